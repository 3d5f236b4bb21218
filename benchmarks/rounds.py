"""Several engines on the same work, one after the other, round after round."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from redhanded.errors import AttackError

T = TypeVar("T")
Call = Callable[[], object]
Say = Callable[[str, str], None]  # told an engine's name and what became of it

CONTROL = "control"
_LONGEST = 200  # characters of a reason


class Times(NamedTuple):
    """Seconds of every engine, one a round, and why the others have none."""

    seconds: dict[str, list[float]]
    results: dict[str, Any]  # what each call gave in its first round
    slow: frozenset[str]  # those that ran one round alone
    fastest: str | None  # of the peers, by the first round: the control is made from it
    refused: dict[str, str]


def take_rounds(
    calls: Mapping[str, Call], rounds: int, patience: float, control: Callable[[str], Call], say: Say
) -> Times:
    """Time every call once a round; ours is the first of `calls`, and the order moves on by one each round.

    A peer that raises is refused; one whose first round took more than `patience` times ours runs no other. From
    the first round on the call that `control` makes from the name of the fastest peer runs beside them.
    """
    ours, *peers = calls
    took, result = _timed(calls[ours])
    say(ours, _took(took))
    seconds, results, refused = {ours: [took]}, {ours: result}, dict[str, str]()
    for peer in peers:
        _first_round(peer, calls[peer], seconds, results, refused, say)
    slow = frozenset(peer for peer in seconds if seconds[peer][0] > patience * seconds[ours][0])
    running = {name: calls[name] for name in seconds if name not in slow}
    fastest = min((peer for peer in peers if peer in seconds), key=lambda peer: seconds[peer][0], default=None)
    if fastest is not None and fastest not in slow:
        running[CONTROL] = control(fastest)
        _first_round(CONTROL, running[CONTROL], seconds, results, refused, say)
    for number in range(1, rounds):
        for name in _moved_on([name for name in running if name in seconds], number):
            seconds[name].append(_timed(running[name])[0])
    return Times(seconds, results, slow, fastest, refused)


def attempt(call: Callable[[], T]) -> tuple[T | None, str]:
    """What a call of foreign code gives, or, in one line, why it gives nothing."""
    try:
        return call(), ""
    except AttackError as error:
        return None, str(error)
    except Exception as error:  # foreign code may raise anything, and the others are still to be measured
        return None, f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST]


def _first_round(
    name: str,
    call: Call,
    seconds: dict[str, list[float]],
    results: dict[str, object],
    refused: dict[str, str],
    say: Say,
) -> None:
    timed, reason = attempt(lambda: _timed(call))
    if timed is None:
        refused[name] = reason
        say(name, f"not run: {reason}")
    else:
        seconds[name], results[name] = [timed[0]], timed[1]
        say(name, _took(timed[0]))


def _timed(call: Call) -> tuple[float, object]:
    gc.collect()  # so that no engine pays for what another left behind
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _moved_on(names: list[str], by: int) -> list[str]:
    start = by % len(names)
    return names[start:] + names[:start]


def _took(seconds: float) -> str:
    return f"{seconds:.3g} s"
