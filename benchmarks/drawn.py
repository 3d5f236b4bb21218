"""What a set of drawn settings costs beside sets of one setting, at several quantiles of the range."""

import time
from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks.counting import counted
from benchmarks.machine import threads
from benchmarks.page import measured_on, spread_text, table
from benchmarks.records import DrawnBench, DrawnRow, spread
from benchmarks.run import Request, describe_setup
from benchmarks.subjects import Subject
from redhanded.attacks import (
    BIM,
    DDN,
    FGSM,
    FMN,
    MIFGSM,
    PGD,
    AttackSpec,
    CarliniWagner,
    DeepFool,
    LogUniform,
    Square,
    Uniform,
)
from redhanded.core import write_record
from redhanded.sets import run_attacks

RECORD, PAGE = "drawn.json", "drawn.md"
HEAD = ("victim", "attack", "passes a second, drawn over fixed", "CPU time, drawn over fixed", "passes an image")
_SEARCH = {"steps": 40, "binary_search_steps": 2, "initial_const": 1.0, "abort_early": False}
_EPS = LogUniform(1 / 255, 0.25)
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the range, at which the sets of one setting stand

DRAWN: tuple[AttackSpec, ...] = (
    FGSM(eps=_EPS),
    PGD(eps=_EPS, steps=20),
    BIM(norm="l2", eps=LogUniform(0.1, 6), steps=20),
    MIFGSM(eps=_EPS, steps=20),
    DeepFool(overshoot=LogUniform(0.005, 1.2)),
    CarliniWagner(learning_rate=LogUniform(0.005, 0.5), confidence=Uniform(0, 10), **_SEARCH),
    DDN(gamma=LogUniform(0.01, 0.1), steps=40),
    FMN(gamma=LogUniform(0.01, 0.1), steps=40),
    Square(eps=_EPS, steps=200),
    PGD(eps=_EPS, steps=LogUniform(5, 100)),
)


def bench_drawn(request: Request, *, rounds: int = 5, thread_count: int = 1) -> DrawnBench:
    """Measure each of `DRAWN` and its sets of one setting once a round, and write OUT/drawn.json and OUT/drawn.md.

    A set of one setting has for every range the same quantile, at five of them in turn; what is compared is the mean
    of the five. Raises RunError and DataError for what cannot be read.
    """
    trained = request.trained()
    subjects = request.subjects(trained)
    setup = describe_setup(request, trained, subjects, thread_count)
    with threads(thread_count):
        rows = [_measure(subject, spec, rounds, request.batch_size) for subject in subjects for spec in DRAWN]
    bench = DrawnBench(**dict(setup), rows=rows)
    write_record(bench, request.out / RECORD)
    (request.out / PAGE).write_text(drawn_page(bench), encoding="utf-8", newline="\n")
    return bench


def _measure(subject: Subject, spec: AttackSpec, rounds: int, batch_size: int) -> DrawnRow:
    """Passes and CPU seconds of the drawn set and, on average, of those of one setting."""
    fixed = [_at(spec, share) for share in _SHARES]
    for one in (spec, fixed[0]):
        run_attacks(subject.network, *subject.few(8), [one], batch_size=batch_size)
    costs, rates, passes = [], [], 0.0
    for _ in range(rounds):
        drawn_passes, drawn_seconds = _cost(subject, spec, batch_size)
        each = [_cost(subject, one, batch_size) for one in fixed]
        fixed_passes, fixed_seconds = (sum(values) / len(each) for values in zip(*each, strict=True))
        costs.append(drawn_seconds / fixed_seconds)
        rates.append((drawn_passes / drawn_seconds) / (fixed_passes / fixed_seconds))
        passes = drawn_passes / len(subject.images)
    return DrawnRow(
        victim=subject.card.name, attack=str(spec), label=spec.label, costs=costs, rates=rates, passes=passes
    )


def _at(spec: AttackSpec, share: float) -> AttackSpec:
    """The specification with the same quantile of each of its ranges, and the defaults that follow from it."""
    values = dict(spec)
    for name, drawn in spec.ranges.items():
        whole = type(spec).model_fields[name].annotation is int
        value = drawn.at(np.array([share]), whole).item()
        values[name] = int(value) if whole else value
    # What stands in place of a default that follows from a range is the function that makes it.
    return type(spec)(**{name: value for name, value in values.items() if not callable(value)})


def _cost(subject: Subject, spec: AttackSpec, batch_size: int) -> tuple[float, float]:
    """Images that passed the network, forwards and backwards, and CPU seconds."""
    with counted(subject.network) as counts:
        started = time.process_time()
        run_attacks(subject.network, subject.images, subject.labels, [spec], batch_size=batch_size)
        seconds = time.process_time() - started
    return counts.forwards + counts.backwards, seconds


def drawn_page(bench: DrawnBench) -> str:
    """The page of a benchmark, from the record alone."""
    return "\n".join(_page(bench)) + "\n"


def _page(bench: DrawnBench) -> Iterator[str]:
    yield from ("# Benchmark of drawn settings", "")
    yield from measured_on(bench)
    yield f"- {bench.images} images of {bench.source}, batches of {bench.batch_size}, {bench.threads} thread"
    yield ""
    yield "A set of which every image draws its own setting, beside the mean of five sets of one setting each, at the"
    yield "10th to the 90th percentile of the range. Passes are images through the network, forwards and backwards;"
    yield "where steps end when an image fools, the setting decides how many there are, so both ratios are given."
    yield f"Medians of {len(bench.rows[0].costs)} rounds with the smallest and the largest."
    yield ""
    cells = [
        [
            row.victim,
            f"`{row.attack}`",
            spread_text(spread(row.rates)),
            spread_text(spread(row.costs)),
            f"{row.passes:.0f}",
        ]
        for row in bench.rows
    ]
    yield from table(HEAD, cells, text_columns=2)
    yield f"Over all rows: {median(median(row.rates) for row in bench.rows):.2f} times the passes a second."
