"""What commands cost from their start to their end, in processes of their own, beside importing PyTorch."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.machine import describe_machine
from benchmarks.page import YES_NO, measured_on, table
from benchmarks.records import StartBench, Started
from redhanded.bundle import load_bundle
from redhanded.core import command_line, commit, write_record
from redhanded.errors import RunError
from redhanded.sets import write_png

RECORD, PAGE = "start.json", "start.md"
REDHANDED = (sys.executable, "-m", "redhanded")
YARDSTICK, ONE, FOLDER = "torch", "one", "folder"  # rows that the others are measured by
HEAD = ("what", "command", "CPU time", "over PyTorch", "target", "met")


class Command(NamedTuple):
    """A row of `COMMANDS`. Its words may hold {one}, {folder} and {bundle}, the paths of what is attributed."""

    words: Sequence[str]
    title: str
    target: float | None = None  # of its CPU time over that of PyTorch's import, at most
    beyond_one: float | None = None  # seconds of CPU time beyond one image, at most


COMMANDS: dict[str, Command] = {
    YARDSTICK: Command((sys.executable, "-c", "import torch"), "PyTorch is imported"),
    "help": Command((*REDHANDED, "--help"), "the help is printed", 0.5),
    "list": Command((*REDHANDED, "list", "attacks"), "a table is listed", 0.5),
    ONE: Command((*REDHANDED, "attribute", "{one}", "--bundle", "{bundle}"), "one image is attributed", 1.8),
    FOLDER: Command(
        (*REDHANDED, "attribute", "{folder}", "--bundle", "{bundle}"), "a folder is attributed", beyond_one=3.0
    ),
}


def bench_start(bundle: Path, out: Path, *, images: int = 1000, rounds: int = 5) -> StartBench:
    """Measure every row of `COMMANDS` once a round on a bundle's own examples, and write OUT/start.json and .md.

    Raises BundleError where the bundle cannot be loaded, RunError where a command fails or the record cannot be
    written.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    loaded = load_bundle(bundle)
    with tempfile.TemporaryDirectory() as scratch:
        folder, one = Path(scratch) / "folder", Path(scratch) / "one.png"
        folder.mkdir()
        examples = (loaded.examples.float() / 255).numpy()
        write_png(examples[0], one)
        for place, image in enumerate(islice(cycle(examples), images)):
            write_png(image, folder / f"{place:06}.png")
        places = {"one": str(one), "folder": str(folder), "bundle": str(bundle)}
        taken = [
            {name: _cpu_seconds([word.format_map(places) for word in row.words]) for name, row in COMMANDS.items()}
            for _ in range(rounds)
        ]
    bench = StartBench(
        command=command_line(),
        version=version("redhanded"),
        commit=commit(),
        started=started,
        machine=describe_machine(),
        bundle=loaded.digest,
        source=loaded.card.source,
        parts=[f"{part.attributor} ({part.knowledge}, {part.pixels})" for part in loaded.card.parts],
        images=images,
        rows=[_row(name, row, taken) for name, row in COMMANDS.items()],
    )
    try:
        write_record(bench, out / RECORD)
        (out / PAGE).write_text(start_page(bench), encoding="utf-8", newline="\n")
    except OSError as error:
        raise RunError(f"expected to write {out / RECORD}, found: {error.strerror or error}") from None
    return bench


def _cpu_seconds(words: Sequence[str]) -> float:
    """User and system time of a process with its children; other processes on the machine do not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, check=False)  # noqa: S603 - our own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RunError(f"expected {' '.join(words)} to end well, found: {done.stderr.strip()[-500:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _row(name: str, row: Command, taken: Sequence[dict[str, float]]) -> Started:
    ratio = median(one[name] / one[YARDSTICK] for one in taken)
    beyond = median(one[name] - one[ONE] for one in taken)
    target, met = "", None
    if row.target is not None:
        target, met = f"{row.target:g} times PyTorch", ratio <= row.target
    if row.beyond_one is not None:
        target, met = f"{row.beyond_one:g} s beyond one image", beyond <= row.beyond_one
    return Started(
        name=name,
        title=row.title,
        command=" ".join(("python", *row.words[1:])).replace("python -m redhanded", "redhanded"),
        seconds=[one[name] for one in taken],
        ratio=ratio,
        beyond_one=beyond,
        target=target,
        met=met,
    )


def start_page(bench: StartBench) -> str:
    """The page of a benchmark, from the record alone."""
    return "\n".join(_page(bench)) + "\n"


def _page(bench: StartBench) -> Iterator[str]:
    yield from ("# Benchmark of starting", "")
    yield from measured_on(bench)
    yield f"- software: Python {bench.machine.python}, torch {bench.machine.torch}"
    yield f"- bundle: {bench.source}; {', '.join(bench.parts)}; card {bench.bundle[:12]}"
    yield ""
    yield "CPU time, user and system, of whole processes. Every command runs once a round, ratios are taken within a"
    rounds = len(bench.rows[0].seconds)
    yield f"round, and medians over {rounds} rounds are shown. The folder holds {bench.images:,} images."
    yield ""
    yield from table(HEAD, [_cells(row) for row in bench.rows], text_columns=2)


def _cells(row: Started) -> list[str]:
    beyond = f" ({row.beyond_one:+.2f} s)" if row.name == FOLDER else ""
    met = "" if row.met is None else YES_NO[row.met]
    return [row.title, f"`{row.command}`", f"{median(row.seconds):.2f} s{beyond}", f"{row.ratio:.2f}", row.target, met]
