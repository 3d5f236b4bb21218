"""Reading a run directory whole, and refusing one that contradicts itself."""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from redhanded.core import read_record
from redhanded.data import PIXELS, Pixels
from redhanded.engine import RunCard, read_run_records
from redhanded.errors import RunError
from redhanded.models import VictimCard
from redhanded.report.paper import victim_rank
from redhanded.sets import GALLERY_FILE, NO_VICTIM, Gallery, SetCard
from redhanded.studies import AxisResult, Result, Unknown, rows_by_item


@dataclass(frozen=True)
class Records:
    """The records of a run, everything that a report is made of."""

    run: RunCard
    victims: list[VictimCard]
    sets: list[SetCard]
    results: list[Result]
    unknown: list[Unknown]
    axes: list[AxisResult]
    attacked: Gallery | None  # one image under every attack; a run may have none

    @property
    def study(self) -> str:
        """The name of the study."""
        return (self.results or self.axes)[0].study

    @property
    def sources(self) -> list[str]:
        """The sources of images that something was asked of."""
        return sorted({one.source for one in self.results} | {one.source for one in self.axes})

    @property
    def weak(self) -> frozenset[str]:
        """The victims that miss the accuracy below which attacking them says little."""
        return frozenset(card.name for card in self.victims if card.too_weak)

    @property
    def pixels(self) -> list[Pixels]:
        """The pixel protocols under which the success of every set was measured, in the order of PIXELS."""
        return [name for name in PIXELS if all(name in card.n_success for card in self.sets)]

    @property
    def several_widths(self) -> bool:
        """Whether one architecture was attacked in more than one width."""
        pairs = {(card.architecture, card.width) for card in self.victims}
        return len(pairs) > len({architecture for architecture, _ in pairs})

    @cached_property
    def set_by_name(self) -> dict[str, SetCard]:
        """The card of each set under the name that a result has for it, `victim/label`."""
        return {f"{card.victim}/{card.label}": card for card in self.sets}


def read_run(run: Path, *, unfinished: bool = False) -> Records:
    """Read every record of a live or a kept run; raises RunError where one is missing, damaged or contradicts itself.

    unfinished: return a run that has not ended without results, instead of raising where it has none yet.
    """
    card = read_record(RunCard, run / "run.json")
    victims, sets, results, unknown, axes = read_run_records(run)
    if not results and not axes and (card.finished or not unfinished):
        raise RunError(f"expected results below {run}, found none; has this run ended?")
    _check(results, victims, sets, run)

    def set_order(card: SetCard) -> tuple[object, ...]:
        setting = sorted((name, isinstance(value, str), value) for name, value in card.setting.items())
        return victim_rank(card.victim), card.family, card.norm, setting, card.split

    return Records(
        run=card,
        victims=sorted(victims, key=lambda victim: victim_rank(victim.name)),
        sets=sorted(sets, key=set_order),
        results=sorted(results, key=lambda result: (result.question, result.seed)),
        unknown=unknown,
        axes=axes,
        attacked=Gallery.load(run / GALLERY_FILE) if (run / GALLERY_FILE).exists() else None,
    )


def victims_of(result: Result) -> set[str]:
    """The victims whose images a question is asked about."""
    return {name.partition("/")[0] for name in chain(*result.sets.values())} - {NO_VICTIM}


def _check(results: list[Result], victims: list[VictimCard], sets: list[SetCard], run: Path) -> None:
    """Raise RunError for a result whose numbers or names contradict themselves or the other records."""
    items, known_victims = rows_by_item(), {card.name for card in victims}
    known_sets = {f"{card.victim}/{card.label}" for card in sets}
    for result in results:
        for what, name, known in (("item", result.item, items), ("pixels", result.pixels, PIXELS)):
            if name not in known:
                raise RunError(f"expected {what} of {result.question} to be one of {', '.join(known)}, found {name!r}")
        k, sides = len(result.classes), {len(result.confusion), *map(len, result.confusion)}
        absent = [name for name in ("accuracy", "interval", "p_value") if getattr(result, name) is None]
        if result.status == "measured" and (absent or sides != {k}):
            problem = f"no {', '.join(absent)}" if absent else f"a confusion of sides {sorted(sides)} for {k} classes"
            where = f"{result.question} ({result.pixels}, {result.attributor})"
            raise RunError(f"expected a measured result for {where}, found {problem}; delete its record and run again")
        lost = [f"VictimCard for {name}" for name in sorted(victims_of(result) - known_victims)]
        lost += [f"SetCard for {name}" for name in sorted({*chain(*result.sets.values())} - known_sets)]
        if lost:
            raise RunError(
                f"expected a {lost[0]} among the records of {run}, found none, "
                f"but {result.question} is asked about it; run the study again"
            )
