"""How fast a bundle answers: loading it, one image through the Python call, a folder, a server with many clients."""

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.attribute_page import attribute_page
from benchmarks.clients import load_server
from benchmarks.machine import describe_machine, threads
from benchmarks.records import SERVER_GROWTH, SERVER_SHARE, AttributeBench, Served, Timing
from redhanded.core import command_line, commit, write_record
from redhanded.errors import RunError
from redhanded.sets import write_png
from redhanded.verdicts import ExamineOptions, Examiner

RECORD, PAGE = "attribute.json", "attribute.md"
_WARM = 3  # calls that are not measured: the first one makes the features of the examples
CLIENTS = 32  # of the server, at once
REQUESTS = (1, 16)  # images in each request


class Job(NamedTuple):
    """What is measured."""

    bundle: Path
    examiner: Examiner
    images: NDArray[np.uint8]  # (n, c, h, w)
    rounds: int


class Measure(NamedTuple):
    """A row of `MEASURES`."""

    run: Callable[[Job], Sequence[float]]  # one value for each time that it was done
    unit: str
    title: str
    target: float  # of the median: at most, or at least where more is better
    more: bool = False  # is better
    knowledge: str = ""  # of the attributor that is asked; a bundle without it is not measured


def bench_attribute(
    bundle: Path, out: Path, *, images: int = 200, rounds: int = 5, seconds: float = 60, thread_count: int = 2
) -> AttributeBench:
    """Measure every row of `MEASURES` on a bundle's own examples, and write OUT/attribute.json and .md.

    images: how many are asked one by one, and how many a folder has; rounds: how often the bundle is loaded and the
    folder read; seconds: how long clients ask a server, 0 for not at all. Raises BundleError where the bundle cannot be
    loaded, RunError where a server does not start or the record cannot be written.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with threads(thread_count):
        examiner = Examiner.load(bundle)
        card = examiner.bundle.card
        job = Job(bundle, examiner, _examples(examiner, images), rounds)
        known = {"", *(part.knowledge for part in card.parts if part.pixels == "uint8")}
        timings = [_timed(name, row, job) for name, row in MEASURES.items() if row.knowledge in known]
        served = [_served(job, count, seconds) for count in REQUESTS] if seconds and "blind" in known else []
    bench = AttributeBench(
        command=command_line(),
        version=version("redhanded"),
        commit=commit(),
        started=started,
        machine=describe_machine(),
        threads=thread_count,
        bundle=examiner.bundle.digest,
        source=card.source,
        parts=[f"{part.attributor} ({part.knowledge}, {part.pixels})" for part in card.parts],
        images=images,
        timings=timings,
        served=served,
    )
    try:
        write_record(bench, out / RECORD)
        (out / PAGE).write_text(attribute_page(bench), encoding="utf-8", newline="\n")
    except OSError as error:
        raise RunError(f"expected to write {out / RECORD}, found: {error.strerror or error}") from None
    return bench


def _examples(examiner: Examiner, count: int) -> NDArray[np.uint8]:
    known = examiner.bundle.examples.numpy()
    return known[np.arange(count) % len(known)]


def _timed(name: str, row: Measure, job: Job) -> Timing:
    values = list(row.run(job))
    median = float(np.median(values))
    return Timing(
        name=name,
        title=row.title,
        unit=row.unit,
        values=values,
        median=median,
        worst=float(np.percentile(values, 1 if row.more else 99)),
        target=row.target,
        met=median >= row.target if row.more else median <= row.target,
    )


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _load(job: Job) -> list[float]:
    return [_seconds(partial(Examiner.load, job.bundle)) for _ in range(job.rounds)]


def _one_by_one(blind: bool, job: Job) -> list[float]:
    """Milliseconds of each call with one image."""
    calls = [partial(job.examiner.attribute, image[None], blind=blind) for image in job.images]
    for call in calls[:_WARM]:
        call()
    return [1000 * _seconds(call) for call in calls]


def _folder(job: Job) -> list[float]:
    """Images a second, from PNG files to verdicts."""
    options = ExamineOptions(blind=True)
    with tempfile.TemporaryDirectory() as folder:
        for place, image in enumerate(job.images):
            write_png(image / np.float32(255), Path(folder) / f"{place:06}.png")
        rounds = [
            _seconds(lambda: list(job.examiner.attribute_files([Path(folder)], options))) for _ in range(1 + job.rounds)
        ]
    return [len(job.images) / seconds for seconds in rounds[1:]]  # the first one warms up


def _served(job: Job, count: int, seconds: float) -> Served:
    """Clients that ask a server with so many images at once, beside the Python call with as many."""
    calls = [job.images[first : first + count] for first in range(0, len(job.images), count)]
    took = sum(_seconds(partial(job.examiner.attribute, images, blind=True)) for images in calls)
    load = load_server(job.bundle, list(job.images), CLIENTS, seconds, count)
    rate, python_rate = load.images / load.seconds, len(job.images) / took
    growth = load.peak_mib - load.idle_mib
    return Served(
        images=count,
        clients=CLIENTS,
        seconds=load.seconds,
        requests=len(load.latencies),
        errors=load.errors,
        rate=rate,
        python_rate=python_rate,
        median_ms=1000 * float(np.median(load.latencies)),
        worst_ms=1000 * float(np.percentile(load.latencies, 99)),
        idle_mib=load.idle_mib,
        peak_mib=load.peak_mib,
        met=rate >= SERVER_SHARE * python_rate and not load.errors and growth <= SERVER_GROWTH,
    )


MEASURES: dict[str, Measure] = {
    "load": Measure(_load, "s", "the bundle is loaded", 1.5),
    "blind": Measure(partial(_one_by_one, True), "ms", "one image, blind", 50, knowledge="blind"),
    "candidates": Measure(partial(_one_by_one, False), "ms", "one image, victims asked", 150, knowledge="candidates"),
    "folder": Measure(_folder, "images/s", "a folder of PNG files, blind", 150, more=True, knowledge="blind"),
}
