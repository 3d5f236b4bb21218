"""One scenario on one victim: ours and every peer timed, counted and judged."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from torch import nn

from benchmarks.counting import Counts, counted
from benchmarks.outcomes import Judged, compare, judge, outcome
from benchmarks.records import Engine, Pair, Row, spread
from benchmarks.rounds import CONTROL, Say, Times, attempt, take_rounds
from benchmarks.scenarios import OURS, Scenario, asked_of
from benchmarks.subjects import Subject
from redhanded.attacks import AttackOutput, AttackSpec
from redhanded.models import prepare
from redhanded.sets import run_attacks

WARM = 8  # images of the call before the first round


class Conditions(NamedTuple):
    """How the engines are measured, the same for all."""

    rounds: int
    patience: float
    batch_size: int
    peak: float  # GFLOP/s


class _Ran(NamedTuple):
    """What a call did."""

    counts: Counts
    made: dict[AttackSpec, AttackOutput]


class _Seen(NamedTuple):
    """And what its images are worth."""

    counts: Counts
    judged: Judged


def contest(
    subject: Subject, name: str, scenario: Scenario, peers: Sequence[str], conditions: Conditions, say: Say
) -> Row:
    """Measure ours and those peers that can do the scenario; the others are named with their reason."""
    asked = {OURS: scenario.ours} | {peer: asked_of(peer, scenario.theirs) for peer in peers}
    started = time.perf_counter()
    _run(subject, asked[OURS], conditions)
    enough = conditions.patience * (time.perf_counter() - started)
    cold = {peer: _warm_up(subject, asked[peer], conditions, enough) for peer in peers}
    for peer, reason in cold.items():
        if reason:
            say(peer, f"not run: {reason}")
    calls = {
        engine: partial(_run, subject, specs, conditions) for engine, specs in asked.items() if not cold.get(engine)
    }
    times = take_rounds(
        calls,
        conditions.rounds,
        conditions.patience,
        lambda fastest: _control(subject, asked[fastest], conditions),
        say,
    )
    seen = {engine: _see(subject, asked[engine], ran) for engine, ran in times.results.items() if engine != CONTROL}
    refused = {peer: reason for peer, reason in cold.items() if reason} | times.refused
    return Row(
        victim=subject.card.name,
        scenario=name,
        title=scenario.title,
        ours=[str(spec) for spec in scenario.ours],
        theirs=[str(spec) for spec in scenario.theirs],
        target=scenario.target,
        engines=[_engine(engine, seen[engine], times, subject, conditions.peak) for engine in seen],
        pairs=[_pair(peer, seen, times) for peer in seen if peer != OURS],
        refused=refused,
    )


def _warm_up(subject: Subject, specs: Sequence[AttackSpec], conditions: Conditions, enough: float) -> str:
    """Why a peer does not take part: it cannot, or a few images alone take it more than `enough` seconds."""
    seconds, reason = attempt(partial(_seconds, subject, specs, conditions))
    if seconds is None or seconds <= enough:
        return reason
    allowed = f"{conditions.patience:g} times what ours takes for all {len(subject.images)}"
    return f"{WARM} images took it {seconds:.3g} s, more than {allowed}"


def _seconds(subject: Subject, specs: Sequence[AttackSpec], conditions: Conditions) -> float:
    started = time.perf_counter()
    _run(subject, specs, conditions, WARM)
    return time.perf_counter() - started


def _run(subject: Subject, specs: Sequence[AttackSpec], conditions: Conditions, images: int | None = None) -> _Ran:
    with counted(subject.network) as counts:  # one hook on one layer, for every engine alike
        made = run_attacks(subject.network, *subject.few(images), specs, batch_size=conditions.batch_size)
    return _Ran(counts, made)


def _control(subject: Subject, specs: Sequence[AttackSpec], conditions: Conditions) -> Callable[[], object]:
    """A peer on our prepared copy, which is made anew each time, as ours is."""

    def run(images: int | None = None) -> object:
        model: nn.Module = prepare(subject.network)
        return run_attacks(model, *subject.few(images), specs, batch_size=conditions.batch_size)

    attempt(partial(run, WARM))
    return run


def _see(subject: Subject, specs: Sequence[AttackSpec], ran: _Ran) -> _Seen:
    return _Seen(ran.counts, judge(subject.network, subject.images, subject.labels, specs, ran.made))


def _engine(name: str, seen: _Seen, times: Times, subject: Subject, peak: float) -> Engine:
    seconds, counts = times.seconds[name], seen.counts
    gflops = (counts.forwards + counts.backwards) * subject.flops / spread(seconds).median / 1e9
    return Engine(
        name=name,
        seconds=seconds,
        outcome=outcome(seen.judged),
        forwards=counts.forwards,
        backwards=counts.backwards,
        gflops=gflops,
        share_of_peak=gflops / peak,
        slow=name in times.slow,
    )


def _pair(peer: str, seen: Mapping[str, _Seen], times: Times) -> Pair:
    return Pair(
        peer=peer,
        ratios=_ratios(times.seconds[peer], times.seconds[OURS]),
        comparison=compare(seen[OURS].judged, seen[peer].judged),
        prepared=_ratios(times.seconds.get(CONTROL, []), times.seconds[OURS]) if peer == times.fastest else [],
    )


def _ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Round by round, over the rounds that the peer took part in."""
    return [their / our for their, our in zip(theirs, ours, strict=False)]
