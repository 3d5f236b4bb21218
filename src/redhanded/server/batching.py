"""A queue and one thread that judges for all requests: images that are asked about alike are judged in one call."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import NamedTuple

from redhanded.errors import RedhandedError
from redhanded.server.responses import RETRY, RefusedError
from redhanded.verdicts import Evidence, ExamineOptions, Failure, Verdict

BATCH = 64  # images in one call
MOST_WAITING = 1024  # images accepted and not yet judged

Judge = Callable[[Sequence[Evidence], ExamineOptions], list[Verdict]]
Outcomes = list[Verdict | Failure]


class Job(NamedTuple):
    """The images of one request; its outcomes are one verdict where they are judged together, else one an image."""

    evidence: Sequence[Evidence]
    options: ExamineOptions
    done: "Future[Outcomes]"

    @property
    def same(self) -> object:
        """A key that is equal for jobs that may be judged in one call."""
        if self.options.together:
            return id(self)
        clean = self.options.clean.sha256 if self.options.clean else ""
        return self.options.blind, clean, tuple(sorted(self.options.prior.items()))


class Worker:
    """A bounded queue and its thread; `close` finishes what was accepted."""

    def __init__(self, judge: Judge, most_waiting: int = MOST_WAITING) -> None:
        self._judge, self._most = judge, most_waiting
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.waiting = 0  # images
        self._thread = threading.Thread(target=self._work, name="judge", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether somebody works on the queue."""
        return self._thread.is_alive()

    def submit(self, evidence: Sequence[Evidence], options: ExamineOptions) -> "Future[Outcomes]":
        """Queue the images of one request; raises RefusedError (503) where the queue is full."""
        job = Job(evidence, options, Future())
        with self._changed:
            if self.waiting + len(evidence) > self._most or self._closed:
                raise RefusedError(503, f"{self.waiting} images wait already; try again in a second", RETRY)
            self.waiting += len(evidence)
            self._jobs.append(job)
            self._changed.notify()
        return job.done

    def close(self) -> None:
        """Finish what waits, and take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while taken := self._take():
            jobs = [job for job in taken if job.done.set_running_or_notify_cancel()]
            answers = self._answer(jobs) if jobs else []
            with self._changed:
                self.waiting -= sum(len(job.evidence) for job in taken)
            for job, answer in zip(jobs, answers, strict=True):
                if isinstance(answer, Exception):
                    job.done.set_exception(answer)
                else:
                    job.done.set_result(answer)

    def _take(self) -> list[Job]:
        """The first job and those behind it with an equal key, up to a batch; none once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            taken: list[Job] = []
            left: deque[Job] = deque()
            room = BATCH
            for job in self._jobs:
                fits = not taken or (len(job.evidence) <= room and job.same == taken[0].same)
                (taken if fits else left).append(job)
                room -= len(job.evidence) if fits else 0
            self._jobs = left
            return taken

    def _answer(self, jobs: Sequence[Job]) -> list[Outcomes | Exception]:
        """The outcomes of each job; one that cannot be judged does not take its neighbours with it."""
        evidence, options = [one for job in jobs for one in job.evidence], jobs[0].options
        try:
            verdicts = iter(self._judge(evidence, options))
        except Exception as error:  # a bug in one answer must not end the thread
            if len(jobs) > 1:
                return [answer for job in jobs for answer in self._answer([job])]
            if options.together or not isinstance(error, RedhandedError):
                return [error]
            if len(evidence) == 1:
                return [[Failure(name=evidence[0].name, error=str(error), sha256=evidence[0].sha256)]]
            outcomes: Outcomes = []
            for one in evidence:
                (answer,) = self._answer([jobs[0]._replace(evidence=[one])])
                if isinstance(answer, Exception):
                    return [answer]
                outcomes += answer
            return [outcomes]
        if options.together:
            return [list(verdicts)]
        return [list(islice(verdicts, len(job.evidence))) for job in jobs]
