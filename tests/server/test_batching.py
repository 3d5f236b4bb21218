"""Batching across requests: what is judged together, what happens when it is too much, or goes wrong."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

import redhanded
from redhanded.errors import DataError
from redhanded.server.batching import BATCH, Worker
from redhanded.server.limits import Budget
from redhanded.server.responses import RefusedError
from redhanded.verdicts import Evidence, ExamineOptions, Failure, Verdict
from redhanded.verdicts.evidence import from_array
from support.processes import PATIENCE

SHAPE = (1, 16, 16)


class Judge:
    """Judges when it is let, by the real examiner; remembers what it was asked."""

    def __init__(self, examiner: redhanded.Examiner) -> None:
        self.examiner, self.calls = examiner, list[list[str]]()
        self.let, self.begun = threading.Event(), threading.Event()
        self.fail: Callable[[str], Exception | None] = lambda name: None

    def __call__(self, evidence: Sequence[Evidence], options: ExamineOptions) -> list[Verdict]:
        self.begun.set()
        assert self.let.wait(PATIENCE)
        self.calls.append([one.name for one in evidence])
        for one in evidence:
            if error := self.fail(one.name):
                raise error
        return self.examiner.judge(evidence, options)


@pytest.fixture(scope="module")
def examiner(bundle: Path) -> redhanded.Examiner:
    return redhanded.Examiner.load(bundle)


@pytest.fixture
def judge(examiner: redhanded.Examiner) -> Judge:
    return Judge(examiner)


@pytest.fixture
def worker(judge: Judge) -> Iterator[Worker]:
    """A worker that is at work on an image called "first", so that what is submitted waits."""
    made = Worker(judge, most_waiting=3 * BATCH)
    made.submit([image("first")], ExamineOptions())
    assert judge.begun.wait(PATIENCE)
    yield made
    judge.let.set()
    made.close()


def image(name: str) -> Evidence:
    pixels = np.random.default_rng(len(name)).integers(0, 256, (16, 16), np.uint8)
    return from_array(name, pixels, SHAPE)


def names(job: "Future[list[Verdict | Failure]]") -> list[str]:
    return [one.name for one in job.result(PATIENCE)]


def test_what_is_asked_alike_is_judged_in_one_call(worker: Worker, judge: Judge) -> None:
    jobs = [worker.submit([image(name), image(f"{name}{name}")], ExamineOptions(blind=True)) for name in "abc"]
    judge.let.set()
    assert [names(job) for job in jobs] == [["a", "aa"], ["b", "bb"], ["c", "cc"]]
    assert judge.calls == [["first"], ["a", "aa", "b", "bb", "c", "cc"]]


def test_what_is_asked_otherwise_is_not(worker: Worker, judge: Judge) -> None:
    clean = image("clean")
    ways = {
        "plain": ExamineOptions(),
        "blind": ExamineOptions(blind=True),
        "prior": ExamineOptions(prior={"fgsm": 0.5}),
        "other": ExamineOptions(prior={"fgsm": 0.6}),
        "clean": ExamineOptions(clean=clean),
        "together": ExamineOptions(together=True),
        "apart": ExamineOptions(together=True),
        "plainly": ExamineOptions(),
        "alike": ExamineOptions(clean=image("clean")),
    }
    jobs = {name: worker.submit([image(name)], options) for name, options in ways.items()}
    judge.let.set()
    for job in jobs.values():
        job.result(PATIENCE)
    assert sorted(judge.calls[1:]) == sorted(
        [["plain", "plainly"], ["blind"], ["prior"], ["other"], ["clean", "alike"], ["together"], ["apart"]]
    )


def test_a_call_has_no_more_than_a_batch(worker: Worker, judge: Judge) -> None:
    jobs = [worker.submit([image(str(place))], ExamineOptions(blind=True)) for place in range(BATCH + 5)]
    judge.let.set()
    for job in jobs:
        job.result(PATIENCE)
    assert [len(call) for call in judge.calls] == [1, BATCH, 5]


def test_a_full_queue_refuses_and_tells_when_to_come_again(worker: Worker, judge: Judge) -> None:
    worker.submit([image("a")] * (3 * BATCH - 1), ExamineOptions())
    with pytest.raises(RefusedError) as refused:
        worker.submit([image("b")], ExamineOptions())
    assert refused.value.status == 503
    assert "Retry-After" in refused.value.headers
    assert worker.waiting == 3 * BATCH
    judge.let.set()


def test_one_bad_image_does_not_take_its_neighbours_with_it(worker: Worker, judge: Judge) -> None:
    judge.fail = lambda name: DataError("expected good, found bad; get better") if name == "bad" else None
    good, mixed = (
        worker.submit([image("good")], ExamineOptions()),
        worker.submit([image("fine"), image("bad")], ExamineOptions()),
    )
    judge.let.set()
    assert names(good) == ["good"]
    fine, bad = mixed.result(PATIENCE)
    assert isinstance(fine, Verdict)
    error = "expected good, found bad; get better"
    assert bad == Failure(name="bad", error=error, sha256=image("bad").sha256)


def test_a_bug_ends_its_own_request_and_not_the_thread(worker: Worker, judge: Judge) -> None:
    judge.fail = lambda name: ZeroDivisionError() if name == "bug" else None
    good, bug = worker.submit([image("good")], ExamineOptions()), worker.submit([image("bug")], ExamineOptions())
    judge.let.set()
    assert names(good) == ["good"]
    assert isinstance(bug.exception(PATIENCE), ZeroDivisionError)
    assert worker.alive
    assert names(worker.submit([image("later")], ExamineOptions())) == ["later"]
    assert worker.waiting == 0


def test_who_gave_up_is_not_judged(worker: Worker, judge: Judge) -> None:
    gone, here = worker.submit([image("gone")], ExamineOptions()), worker.submit([image("here")], ExamineOptions())
    assert gone.cancel()
    judge.let.set()
    assert names(here) == ["here"]
    assert judge.calls == [["first"], ["here"]]
    assert worker.waiting == 0


def test_closing_finishes_what_waits_and_takes_no_more(worker: Worker, judge: Judge) -> None:
    jobs = [worker.submit([image(name)], ExamineOptions(together=True)) for name in "abc"]
    judge.let.set()
    worker.close()
    assert all(job.done() for job in jobs)
    with pytest.raises(RefusedError):
        worker.submit([image("late")], ExamineOptions())


def test_a_budget_refuses_what_does_not_fit() -> None:
    budget = Budget(10)
    budget.take(8)
    with pytest.raises(RefusedError) as refused:
        budget.take(3)
    assert refused.value.status == 503
    budget.take(2)
    assert budget.held == 10
