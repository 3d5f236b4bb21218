"""All sets of a study, as its user makes them: ours by processes of one thread, each peer's by one of all threads."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from torch import Tensor

from benchmarks.contest import WARM
from benchmarks.machine import peers, threads
from benchmarks.outcomes import Judged, compare, judge, outcome
from benchmarks.records import Candidate, StudyBench, StudyFamily, StudySet
from benchmarks.rounds import Say, attempt
from benchmarks.run import Request, describe_setup, sayer
from benchmarks.scenarios import OURS, asked_of
from benchmarks.study_page import study_page
from benchmarks.subjects import Subject, Trained, chosen
from redhanded.attacks import AttackOutput, AttackSpec
from redhanded.core import core_count, write_record
from redhanded.engine import start_worker
from redhanded.models import load_victim
from redhanded.sets import calls, run_attacks

RECORD, PAGE = "study.json", "study.md"
TRIAL = 32  # images on which the best peer of a family is chosen
CLOSE = 0.05  # by which the best peer's success may lie below the best one's

Made = dict[AttackSpec, AttackOutput]


class _Best(NamedTuple):
    """The peer that makes a family's sets, and who else was asked."""

    peer: str | None
    candidates: list[Candidate]
    refused: dict[str, str]


def bench_study(request: Request, against: Sequence[str] = (), console: Console | None = None) -> StudyBench:
    """Make every set of a study with ours and with the best peer of each family and norm.

    Ours works as `redhanded run` does: one process of one thread for each core, their start timed with the work. A
    peer works as its user would have it: one process with as many threads as there are cores, one call a set. The
    best peer is the fastest of those whose success is close to the best one's on a few images; `against` names those
    to choose from, all that are installed for none. Writes OUT/study.json and OUT/study.md after each victim. Raises
    as `bench_attacks` does.
    """
    console = console or Console(stderr=True)
    trained, cores = request.trained(), core_count()
    subjects, rivals = request.subjects(trained), chosen("--peer", against, peers())
    with threads(cores):
        setup = describe_setup(request, trained, subjects, cores)
        bench = StudyBench(setup=setup, workers=cores, ours={}, families=[], sets=[], finished=False)
        for subject in subjects:
            say = sayer(console, subject.card.name)
            bench = _add_victim(bench, subject, trained, rivals, request, say)
            bench = bench.model_copy(update={"finished": subject is subjects[-1]})
            write_record(bench, request.out / RECORD)
            (request.out / PAGE).write_text(study_page(bench), encoding="utf-8", newline="\n")
    return bench


def _add_victim(
    bench: StudyBench, subject: Subject, trained: Trained, rivals: Sequence[str], request: Request, say: Say
) -> StudyBench:
    attacks = trained.study.attacks
    ours, busy, seconds = make_ours(subject, attacks, bench.workers, request.batch_size)
    say(OURS, f"{len(attacks)} sets, {seconds:.3g} s")
    families, sets = list(bench.families), list(bench.sets)
    for (family, norm), specs in _families(attacks):
        best = choose_peer(subject, specs, rivals, request.batch_size)
        theirs, took = _make_theirs(subject, specs, best.peer, request.batch_size)
        say(f"{family}-{norm}", f"{best.peer}: {len(specs)} sets, {took or 0:.3g} s")
        row = StudyFamily(
            victim=subject.card.name,
            family=family,
            norm=norm,
            busy_ours=sum(busy[spec] for spec in specs),
            peer=best.peer,
            seconds_theirs=took,
            candidates=best.candidates,
            refused=best.refused,
        )
        families.append(row)
        sets += [_set(subject, spec, best.peer, ours, theirs) for spec in specs]
    update = {"ours": bench.ours | {subject.card.name: seconds}, "families": families, "sets": sets}
    return bench.model_copy(update=update)


def make_ours(
    subject: Subject, attacks: Sequence[AttackSpec], workers: int, batch_size: int
) -> tuple[Made, dict[AttackSpec, float], float]:
    """What ours makes of every attack, the seconds that a process was busy with each, and those on the clock."""
    started, made, busy = time.perf_counter(), dict[AttackSpec, AttackOutput](), dict[AttackSpec, float]()
    work = partial(_work, subject.folder, subject.images, subject.labels, batch_size)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        for part, seconds in pool.map(work, calls(attacks)):
            made |= part
            busy |= dict.fromkeys(part, seconds / len(part))
    return made, busy, time.perf_counter() - started


def _work(
    folder: Path, images: Tensor, labels: Tensor, batch_size: int, specs: Sequence[AttackSpec]
) -> tuple[Made, float]:
    started = time.perf_counter()
    made = run_attacks(load_victim(folder).network, images, labels, specs, batch_size=batch_size)
    return made, time.perf_counter() - started


def choose_peer(subject: Subject, specs: Sequence[AttackSpec], rivals: Sequence[str], batch_size: int) -> _Best:
    """The fastest peer whose success, with the margin, is at most 5 points below the best one's, on a few images."""
    tried, refused = dict[str, Candidate](), dict[str, str]()
    for peer in rivals:
        candidate, reason = attempt(partial(_try, subject, peer, specs, batch_size))
        if candidate is None:
            refused[peer] = reason
        else:
            tried[peer] = candidate
    enough = max((candidate.success for candidate in tried.values()), default=0.0) - CLOSE
    good = [candidate for candidate in tried.values() if candidate.success >= enough]
    best = min(good, key=lambda candidate: candidate.seconds, default=None)
    return _Best(best.name if best else None, list(tried.values()), refused)


def _try(subject: Subject, peer: str, specs: Sequence[AttackSpec], batch_size: int) -> Candidate:
    """A peer on the middle one of the settings, after a call that warms it up."""
    asked = asked_of(peer, (specs[len(specs) // 2],))
    images, labels = subject.few(TRIAL)
    run_attacks(subject.network, *subject.few(WARM), asked, batch_size=batch_size)
    started = time.perf_counter()
    made = run_attacks(subject.network, images, labels, asked, batch_size=batch_size)
    seconds = time.perf_counter() - started
    judged = judge(subject.network, images, labels, asked, made)
    return Candidate(name=peer, seconds=seconds, success=judged.margin_success.double().mean().item())


def _make_theirs(
    subject: Subject, specs: Sequence[AttackSpec], peer: str | None, batch_size: int
) -> tuple[Made, float | None]:
    """What a peer makes of the settings, one call after the other, by our specification, and how long it took."""
    if peer is None:
        return {}, None
    started, made = time.perf_counter(), dict[AttackSpec, AttackOutput]()
    for spec, asked in zip(specs, asked_of(peer, tuple(specs)), strict=True):
        made[spec] = run_attacks(subject.network, subject.images, subject.labels, [asked], batch_size=batch_size)[asked]
    return made, time.perf_counter() - started


def _set(subject: Subject, spec: AttackSpec, peer: str | None, ours: Made, theirs: Made) -> StudySet:
    def judged(made: Made) -> Judged:
        return judge(subject.network, subject.images, subject.labels, [spec], made)

    mine, other = judged(ours), judged(theirs) if peer else None
    return StudySet(
        victim=subject.card.name,
        family=spec.family,
        norm=spec.norm,
        attack=str(spec),
        label=spec.label,
        peer=peer,
        ours=outcome(mine),
        theirs=outcome(other) if other else None,
        comparison=compare(mine, other) if other else None,
    )


def _families(attacks: Sequence[AttackSpec]) -> Iterator[tuple[tuple[str, str], list[AttackSpec]]]:
    """The settings of each family and norm."""

    def key(spec: AttackSpec) -> tuple[str, str]:
        return spec.family, spec.norm

    for name, specs in groupby(sorted(attacks, key=key), key=key):
        yield name, list(specs)
