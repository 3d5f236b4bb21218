"""Reading a run directory whole, and refusing one that contradicts itself."""

from dataclasses import dataclass
from pathlib import Path

from redhanded.core import read_record
from redhanded.data import PIXELS, Pixels
from redhanded.engine import RunCard, read_run_records
from redhanded.errors import RunError
from redhanded.models import VictimCard
from redhanded.report.paper import victim_rank
from redhanded.sets import GALLERY_FILE, NO_VICTIM, Gallery, SetCard
from redhanded.studies import Result, Unknown, rows_by_item


@dataclass(frozen=True)
class Records:
    """Everything that a report is made of."""

    run: RunCard
    victims: list[VictimCard]
    sets: list[SetCard]
    results: list[Result]
    unknown: list[Unknown]
    attacked: Gallery | None  # one image under every attack; a run may have none

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

    def set_of(self, name: str) -> SetCard | None:
        """The card of a set that a result names as `victim/label`."""
        return next((card for card in self.sets if f"{card.victim}/{card.label}" == name), None)


def read_run(run: Path, *, unfinished: bool = False) -> Records:
    """Read every record of a live or a kept run; raises RunError where one is missing, damaged or contradicts itself.

    unfinished: return a run that has not ended without results, instead of raising where it has none yet.
    """
    card = read_record(RunCard, run / "run.json")
    victims, sets, results, unknown = read_run_records(run)
    if not results and (card.finished or not unfinished):
        raise RunError(f"expected results below {run}, found none; has this run ended?")
    items = rows_by_item()
    for result in results:
        for what, name, known in (("item", result.item, items), ("pixels", result.pixels, PIXELS)):
            if name not in known:
                raise RunError(f"expected {what} of {result.question} to be one of {', '.join(known)}, found {name!r}")
        _check_shape(result)
    _check_named(results, victims, sets, run)
    return Records(
        run=card,
        victims=sorted(victims, key=lambda victim: victim_rank(victim.name)),
        sets=sorted(sets, key=_set_order),
        results=sorted(results, key=lambda result: (result.question, result.seed)),
        unknown=unknown,
        attacked=Gallery.load(run / GALLERY_FILE) if (run / GALLERY_FILE).exists() else None,
    )


def victims_of(result: Result) -> set[str]:
    """The victims whose images a question is asked about."""
    return {name.partition("/")[0] for names in result.sets.values() for name in names} - {NO_VICTIM}


def _set_order(card: SetCard) -> tuple[object, ...]:
    return (victim_rank(card.victim), card.family, card.norm, sorted(card.setting.items()), card.split)


def _check_shape(result: Result) -> None:
    if result.status != "measured":
        return
    absent = [name for name in ("accuracy", "interval", "p_value") if getattr(result, name) is None]
    k = len(result.classes)
    sides = {len(result.confusion), *map(len, result.confusion)}
    if absent or sides != {k}:
        found = f"no {', '.join(absent)}" if absent else f"a confusion of sides {sorted(sides)} for {k} classes"
        where = f"{result.question} ({result.pixels}, {result.attributor})"
        raise RunError(f"expected a measured result for {where}, found {found}; delete its record and run again")


def _check_named(results: list[Result], victims: list[VictimCard], sets: list[SetCard], run: Path) -> None:
    known_victims = {card.name for card in victims}
    known_sets = {f"{card.victim}/{card.label}" for card in sets}
    for result in results:
        named = {name for names in result.sets.values() for name in names}
        lost = [("VictimCard", name) for name in sorted(victims_of(result) - known_victims)]
        lost += [("SetCard", name) for name in sorted(named - known_sets)]
        if lost:
            kind, name = lost[0]
            raise RunError(
                f"expected a {kind} for {name} among the records of {run}, found none, "
                f"but {result.question} is asked about it; run the study again"
            )
