"""The site: the bundle that the server holds, its threads, and the way of one request through them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
    found: Verdict | Failure
    evidence: Evidence | None
    clean: Evidence | None


@dataclass
class Site:
    """A bundle with its threads: two decode, one judges, one draws (matplotlib is not for several)."""

    examiner: Examiner
    reports: Path | None = None  # a folder of runs
    verdicts: Path | None = None  # what `redhanded watch` writes
    decoders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "decode"))
    drawer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "draw"))
    drawing: int = 0

    def __post_init__(self) -> None:
        self.worker = Worker(self.examiner.judge)

    def close(self) -> None:
        """Finish what was accepted."""
        for part in (self.decoders, self.drawer):
            part.shutdown()
        self.worker.close()

    def campaigns(self) -> list[Campaign]:
        """What the monitor has seen; raises RunError where its file cannot be read."""
        return read_campaigns(self.verdicts) if self.verdicts else []

    async def attribute(self, submission: Submission) -> list[Outcome]:
        """An outcome for each image, in order; raises RefusedError, or DataError for a wish that cannot be granted."""
        loop, shape = asyncio.get_running_loop(), self.examiner.shape
        wishes = submission.wishes
        self.examiner.full_prior(wishes.prior)  # refused before anything is decoded
        reads = await loop.run_in_executor(self.decoders, read_images, submission.images, shape)
        clean = await loop.run_in_executor(self.decoders, read_clean, submission.clean, shape)
        options = ExamineOptions(wishes.blind, clean, wishes.prior, wishes.together)
        evidence = [read.found for read in reads if isinstance(read.found, Evidence)]
        judged = await asyncio.wrap_future(self.worker.submit(evidence, options)) if evidence else []
        answers = iter(judged)
        outcomes = []
        for file, place, found in reads:
            if isinstance(found, Failure):
                outcomes.append(Outcome(file, place, found, None, clean))
            elif (answer := next(answers, None)) is not None:  # one answer for all that are judged together
                outcomes.append(Outcome(file, place, answer, found, clean))
        return outcomes

    async def picture(self, outcome: Outcome) -> bytes:
        """The evidence of a verdict as a PNG."""
        if isinstance(outcome.found, Failure) or outcome.evidence is None:
            raise _nothing([outcome])
        if self.drawing >= MOST_PICTURES:
            raise RefusedError(503, f"{self.drawing} pictures wait already; try again in a second", RETRY)
        self.drawing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.drawer, evidence_picture, self.examiner.bundle, outcome.found, outcome.evidence, outcome.clean
            )
        finally:
            self.drawing -= 1

    def attribution(self, outcomes: Sequence[Outcome]) -> Attribution:
        """The answer of the API; raises RefusedError (422) where no image could be used."""
        verdicts = [one.found for one in outcomes if isinstance(one.found, Verdict)]
        failures = [one.found for one in outcomes if isinstance(one.found, Failure)]
        if not verdicts:
            raise _nothing(outcomes)
        return Attribution(
            bundle=self.examiner.bundle.digest, version=__version__, verdicts=verdicts, failures=failures
        )


def _nothing(outcomes: Sequence[Outcome]) -> RefusedError:
    failures = [one.found for one in outcomes if isinstance(one.found, Failure)]
    return RefusedError(422, failures[0].error, failures=failures)
