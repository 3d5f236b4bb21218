"""Every scenario on every victim, written down after each."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks.contest import Conditions, contest
from benchmarks.machine import describe_machine, peers, threads
from benchmarks.page import attacks_page
from benchmarks.peak import measure_peak
from benchmarks.records import AttackBench, Row, Setup
from benchmarks.rounds import Say
from benchmarks.scenarios import SCENARIOS
from benchmarks.subjects import Subject, Trained, chosen, find_victims, load_subject, train_victims
from redhanded.core import command_line, commit, write_record

RECORD, PAGE = "attacks.json", "attacks.md"


class Request(NamedTuple):
    """What to attack, and with what."""

    out: Path
    run: Path | None = None  # a finished run; the quick study's victims, trained into `out`, for None
    sources: Mapping[str, Path] = {}
    victims: Sequence[str] = ()  # all for none
    images: int = 128  # of each victim
    batch_size: int = 128

    def trained(self) -> Trained:
        """The victims."""
        if self.run is None:
            return train_victims(self.out, self.victims)
        return find_victims(self.run, self.sources, self.victims)

    def subjects(self, trained: Trained) -> list[Subject]:
        """The victims with their images."""
        seed = trained.study.seed
        return [load_subject(folder, trained.source, self.images, seed) for folder in trained.folders.values()]


def bench_attacks(
    request: Request,
    scenarios: Sequence[str] = (),
    *,
    against: Sequence[str] = (),
    rounds: int = 5,
    thread_count: int = 1,
    patience: float = 5.0,
    console: Console | None = None,
) -> AttackBench:
    """Measure ours against every library that is installed, and write OUT/attacks.json and OUT/attacks.md.

    scenarios: of `SCENARIOS`, and against: libraries that are installed; all for none. thread_count: for all engines
    alike; patience: a peer that takes more than so many times ours runs one round alone, and none where a few images
    alone take it that long. Raises RunError and DataError for what cannot be read, and AttackError where an attack of
    our own cannot be run.
    """
    wanted = chosen("--scenario", scenarios, SCENARIOS)
    rivals = chosen("--peer", against, peers())
    console = console or Console(stderr=True)
    with threads(thread_count):
        trained = request.trained()
        subjects = request.subjects(trained)
        peak, rows = measure_peak(), list[Row]()
        conditions = Conditions(rounds, patience, request.batch_size, peak)
        base = AttackBench(
            setup=describe_setup(request, trained, subjects, thread_count),
            rounds=rounds,
            patience=patience,
            peak_gflops=peak,
            rows=[],
            finished=False,
        )
        for subject in subjects:
            for name in wanted:
                say = sayer(console, subject.card.name, name)
                rows.append(contest(subject, name, SCENARIOS[name], rivals, conditions, say))
                bench = _write(base, rows, request.out, finished=len(rows) == len(subjects) * len(wanted))
    return bench


def describe_setup(request: Request, trained: Trained, subjects: Sequence[Subject], thread_count: int) -> Setup:
    """The conditions, as they are kept."""
    return Setup(
        command=command_line(),
        version=version("redhanded"),
        commit=commit(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        source=trained.study.source,
        source_digest=trained.source.digest,
        victims=[subject.record() for subject in subjects],
        images=request.images,
        batch_size=request.batch_size,
        threads=thread_count,
    )


def sayer(console: Console, *about: str) -> Say:
    """One line for each engine."""

    def say(name: str, text: str) -> None:
        console.print("  ".join([*about, name, text]), markup=False, highlight=False, soft_wrap=True)

    return say


def _write(base: AttackBench, rows: Sequence[Row], out: Path, finished: bool) -> AttackBench:
    bench = base.model_copy(update={"rows": list(rows), "finished": finished})
    write_record(bench, out / RECORD)
    (out / PAGE).write_text(attacks_page(bench), encoding="utf-8", newline="\n")
    return bench
