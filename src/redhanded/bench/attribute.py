"""How fast a bundle answers: loading it, one image through the Python call, a folder."""

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
from PIL import Image
from pydantic import Field
from rich.table import Table

from redhanded.bench.machine import describe_machine, threads
from redhanded.bench.records import Machine
from redhanded.desk.attribute import Attributor, How
from redhanded.errors import RunError
from redhanded.provenance import command_line, commit
from redhanded.results import Record, write_record

RECORD = "attribute.json"
_WARM = 3  # calls that are not measured: the first one makes the features of the examples


class Job(NamedTuple):
    """What is measured."""

    bundle: Path
    desk: Attributor
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


class Timing(Record):
    """What was measured of one row."""

    name: str
    title: str
    unit: str
    values: list[float] = Field(min_length=1)
    median: float
    worst: float  # 99th percentile; the 1st where more is better
    target: float
    met: bool


class AttributeBench(Record):
    """The record of `redhanded bench attribute`."""

    command: str
    version: str
    commit: str
    started: str  # ISO 8601, UTC
    machine: Machine
    threads: int
    bundle: str  # SHA-256 of its card
    source: str
    parts: list[str]
    images: int
    timings: list[Timing]


def bench_attribute(
    bundle: Path, out: Path, *, images: int = 200, rounds: int = 5, thread_count: int = 2
) -> AttributeBench:
    """Measure every row of `MEASURES` on a bundle's own examples, and write OUT/attribute.json.

    images: how many are asked one by one, and how many a folder has; rounds: how often the bundle is loaded and the
    folder read. Raises BundleError where the bundle cannot be loaded, RunError where the record cannot be written.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with threads(thread_count):
        desk = Attributor.load(bundle)
        card = desk.bundle.card
        job = Job(bundle, desk, _examples(desk, images), rounds)
        known = {"", *(part.knowledge for part in card.parts if part.pixels == "uint8")}
        timings = [_timed(name, row, job) for name, row in MEASURES.items() if row.knowledge in known]
    bench = AttributeBench(
        command=command_line(),
        version=version("redhanded"),
        commit=commit(),
        started=started,
        machine=describe_machine(),
        threads=thread_count,
        bundle=desk.bundle.digest,
        source=card.source,
        parts=[f"{part.attributor} ({part.knowledge}, {part.pixels})" for part in card.parts],
        images=images,
        timings=timings,
    )
    try:
        write_record(bench, out / RECORD)
    except OSError as error:
        raise RunError(f"expected to write {out / RECORD}, found: {error.strerror or error}") from None
    return bench


def timings_table(bench: AttributeBench) -> Table:
    """The record for a terminal."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "median", "99th percentile", "target", "met"):
        table.add_column(name, justify="right" if name else "left")
    for timing in bench.timings:
        values = (f"{value:.3g} {timing.unit}" for value in (timing.median, timing.worst, timing.target))
        table.add_row(timing.title, *values, "yes" if timing.met else "no")
    return table


def _examples(desk: Attributor, count: int) -> NDArray[np.uint8]:
    known = desk.bundle.examples.numpy()
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
    return [_seconds(partial(Attributor.load, job.bundle)) for _ in range(job.rounds)]


def _one_by_one(blind: bool, job: Job) -> list[float]:
    """Milliseconds of each call with one image."""
    calls = [partial(job.desk.attribute, image[None], blind=blind) for image in job.images]
    for call in calls[:_WARM]:
        call()
    return [1000 * _seconds(call) for call in calls]


def _folder(job: Job) -> list[float]:
    """Images a second, from PNG files to verdicts."""
    how = How(blind=True)
    with tempfile.TemporaryDirectory() as folder:
        for place, image in enumerate(job.images):
            pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, 2)
            Image.fromarray(pixels).save(Path(folder) / f"{place:06}.png")
        rounds = [_seconds(lambda: list(job.desk.attribute_files([Path(folder)], how))) for _ in range(1 + job.rounds)]
    return [len(job.images) / seconds for seconds in rounds[1:]]  # the first one warms up


MEASURES: dict[str, Measure] = {
    "load": Measure(_load, "s", "the bundle is loaded", 1.5),
    "blind": Measure(partial(_one_by_one, True), "ms", "one image, blind", 50, knowledge="blind"),
    "candidates": Measure(partial(_one_by_one, False), "ms", "one image, victims asked", 150, knowledge="candidates"),
    "folder": Measure(_folder, "images/s", "a folder of PNG files, blind", 150, more=True, knowledge="blind"),
}
