"""The site: the bundle that the server holds, its threads, and the way of one request through them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from redhanded import __version__
from redhanded.server.batching import Worker
from redhanded.server.responses import RETRY, Attribution, RefusedError
from redhanded.server.submission import Submission, read_clean, read_images
from redhanded.verdicts import (
    Campaign,
    Evidence,
    ExamineOptions,
    Examiner,
    Failure,
    Verdict,
    evidence_picture,
    read_campaigns,
)

MOST_PICTURES = 64  # waiting to be drawn


class Outcome(NamedTuple):
    """The verdict or failure of one image of a submission, or of all where they are judged together."""

    file: int
    place: int  # in the file
    answer: Verdict | Failure
    evidence: Evidence | None  # None where the image could not be read
    clean: Evidence | None


class Site:
    """A bundle with its threads: two decode, one judges, one draws (matplotlib is not for several)."""

    def __init__(self, examiner: Examiner, reports: Path | None = None, verdicts: Path | None = None) -> None:
        """reports: a folder of runs; verdicts: what `redhanded watch` writes."""
        self.examiner, self.reports, self.verdicts = examiner, reports, verdicts
        self.worker = Worker(examiner.judge)
        self._decoders, self._drawer = ThreadPoolExecutor(2, "decode"), ThreadPoolExecutor(1, "draw")
        self._drawing = 0

    def close(self) -> None:
        """Finish what was accepted, and end the threads."""
        self._decoders.shutdown()
        self._drawer.shutdown()
        self.worker.close()

    def campaigns(self) -> list[Campaign]:
        """The campaigns that the monitor has seen; raises RunError where its file cannot be read."""
        return read_campaigns(self.verdicts) if self.verdicts else []

    async def attribute(self, submission: Submission) -> list[Outcome]:
        """Judge a submission: an outcome for each image, in order.

        Raises RefusedError, or DataError for a wish that cannot be granted.
        """
        loop, shape = asyncio.get_running_loop(), self.examiner.shape
        wishes = submission.wishes
        self.examiner.full_prior(wishes.prior)  # refused before anything is decoded
        images = await loop.run_in_executor(self._decoders, read_images, submission.images, shape)
        clean = await loop.run_in_executor(self._decoders, read_clean, submission.clean, shape)
        options = ExamineOptions(wishes.blind, clean, wishes.prior, wishes.together)
        evidence = [image for _, _, image in images if isinstance(image, Evidence)]
        judged = await asyncio.wrap_future(self.worker.submit(evidence, options)) if evidence else []
        answers = iter(judged)
        outcomes = []
        for file, place, image in images:
            if isinstance(image, Failure):
                outcomes.append(Outcome(file, place, image, None, clean))
            elif (answer := next(answers, None)) is not None:  # one answer for all that are judged together
                outcomes.append(Outcome(file, place, answer, image, clean))
        return outcomes

    async def picture(self, outcome: Outcome) -> bytes:
        """The evidence of a verdict as a PNG; raises RefusedError (422) for an image that could not be used."""
        if isinstance(outcome.answer, Failure) or outcome.evidence is None:
            raise _unusable([outcome])
        if self._drawing >= MOST_PICTURES:
            raise RefusedError(503, f"{self._drawing} pictures wait already; try again in a second", RETRY)
        self._drawing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._drawer, evidence_picture, self.examiner.bundle, outcome.answer, outcome.evidence, outcome.clean
            )
        finally:
            self._drawing -= 1

    def attribution(self, outcomes: Sequence[Outcome]) -> Attribution:
        """The answer of the API; raises RefusedError (422) where no image could be used."""
        verdicts = [one.answer for one in outcomes if isinstance(one.answer, Verdict)]
        if not verdicts:
            raise _unusable(outcomes)
        bundle = self.examiner.bundle.digest
        return Attribution(bundle=bundle, version=__version__, verdicts=verdicts, failures=_failures(outcomes))


def _unusable(outcomes: Sequence[Outcome]) -> RefusedError:
    failures = _failures(outcomes)
    return RefusedError(422, failures[0].error, failures=failures)


def _failures(outcomes: Sequence[Outcome]) -> list[Failure]:
    return [one.answer for one in outcomes if isinstance(one.answer, Failure)]
