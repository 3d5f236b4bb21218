"""All runs below a folder beside one another: the page of results and its numbers, from the records alone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from redhanded.attributors import ATTRIBUTORS
from redhanded.errors import RunError
from redhanded.evaluation import ACTOR
from redhanded.questions import SEEN
from redhanded.report.document import make_environment
from redhanded.report.paper import Item, item_rank, victim_rank
from redhanded.report.records import Records, read_run
from redhanded.report.tables import PIXELS, Cell, Table, build_sections
from redhanded.results import Pixels, Result, Unknown
from redhanded.unknown import CHOSEN, DETECTORS

PAPERS_TABLES = tuple(f"table{number}" for number in range(2, 9))
DIMENSIONS = ("family", "norm", "victim", "set")
SMALL = "quick"  # a scale whose numbers show that all works, and are not compared


@dataclass(frozen=True)
class Place:
    """One place of a table: an attributor's answers to one question, a training seed each."""

    row: str
    column: str
    cells: tuple[Cell, ...]

    @property
    def measured(self) -> tuple[Cell, ...]:
        """The seeds that gave a number."""
        return tuple(cell for cell in self.cells if cell.measured)

    @property
    def mean(self) -> float | None:
        """Mean accuracy over the seeds; None where a seed gave no number."""
        if len(self.measured) < len(self.cells):
            return None
        return fmean(cell.result.accuracy or 0.0 for cell in self.cells)

    @property
    def spread(self) -> float:
        """Largest less smallest accuracy of the seeds."""
        found = [cell.result.accuracy or 0.0 for cell in self.measured]
        return max(found) - min(found) if found else 0.0

    @property
    def significant(self) -> bool:
        """Whether every seed is above chance after the correction over its table."""
        return self.mean is not None and all(cell.significant for cell in self.cells)

    @property
    def paper(self) -> float | None:
        """The printed number."""
        return self.cells[0].paper

    @property
    def below(self) -> bool:
        """Whether the mean, rounded as the paper prints, is below its number; so is what gave no number."""
        return self.paper is not None and round(self.mean or 0.0, 2) < self.paper

    @property
    def n_test(self) -> int:
        """Test images a class, of the seed that has the fewest."""
        return min(cell.result.n_test for cell in self.cells)


@dataclass(frozen=True)
class Standing:
    """How one attributor does on one table of one source under one pixel protocol."""

    source: str
    key: str
    item: Item
    attributor: str
    pixels: Pixels
    places: tuple[Place, ...]

    @property
    def mean(self) -> float | None:
        """Mean over the places that have a number."""
        found = [place.mean for place in self.places if place.mean is not None]
        return fmean(found) if found else None

    @property
    def printed(self) -> int:
        """Places that stand beside a printed number."""
        return sum(place.paper is not None for place in self.places)

    def at(self, row: str, column: str) -> Place | None:
        """One of the places; None where the attributor was not asked."""
        return next((place for place in self.places if (place.row, place.column) == (row, column)), None)

    @property
    def below_paper(self) -> int:
        """Places whose mean is below the paper's number."""
        return sum(place.below for place in self.places)

    @property
    def seeds(self) -> int:
        """Trainings of the attributor, of the place that has the fewest."""
        return min(len(place.cells) for place in self.places)

    @property
    def _results(self) -> list[Result]:
        return [cell.result for place in self.places for cell in place.measured]

    @property
    def of_one_size(self) -> float | None:
        """Accuracy on test images whose classes have one distribution of sizes; None where none have."""
        return _share((part.correct, part.n) for result in self._results for part in result.by_size)

    @property
    def together(self) -> float | None:
        """Share of actors, of a few images each, that are named rightly."""
        found = (result.together for result in self._results)
        return _share((actors.correct, actors.n) for actors in found if actors is not None)

    @property
    def numbers(self) -> dict[str, Any]:
        """As they stand in summary.json."""
        return {
            "mean": self.mean,
            "cells": len(self.places),
            "below_paper": self.below_paper,
            "n_test_min": min(place.n_test for place in self.places),
            "seeds": self.seeds,
        }


@dataclass(frozen=True)
class Comparison:
    """The attributors on one table of one source under one pixel protocol; some may have been asked a part of it."""

    standings: tuple[Standing, ...]

    @property
    def asked(self) -> Standing:
        """One of them, for what all share."""
        return self.standings[0]

    @property
    def places(self) -> list[Place]:
        """Every place that one of them was asked."""
        places = {(place.row, place.column): place for one in reversed(self.standings) for place in one.places}
        return [places[name] for name in sorted(places, key=_place_rank)]

    @property
    def paper(self) -> float | None:
        """Mean of the printed numbers."""
        found = [place.paper for place in self.places if place.paper is not None]
        return fmean(found) if found else None

    @property
    def n_test(self) -> int:
        """Test images a class, of the place that has the fewest."""
        return min(place.n_test for one in self.standings for place in one.places)

    def of(self, attributor: str) -> Standing | None:
        """How an attributor does; None where it was not asked."""
        return next((one for one in self.standings if one.attributor == attributor), None)


@dataclass(frozen=True)
class Transfer:
    """How one attributor names the architecture behind one attack: in checkpoints it learned from, and in others."""

    source: str
    row: str
    pixels: Pixels
    attributor: str
    seen: tuple[Result, ...]
    unseen: tuple[Result, ...]  # a checkpoint held out each

    @property
    def n_test(self) -> int:
        """Test images a class, of the answer that has the fewest."""
        return min(result.n_test for result in (*self.seen, *self.unseen))

    @property
    def of_seen(self) -> tuple[float, float, float] | None:
        """Mean, smallest and largest accuracy; None where one gave no number."""
        return _range(self.seen)

    @property
    def of_unseen(self) -> tuple[float, float, float] | None:
        """The same on checkpoints that were not learned from."""
        return _range(self.unseen)


def _range(results: Sequence[Result]) -> tuple[float, float, float] | None:
    found = [result.accuracy or 0.0 for result in results if result.status == "measured"]
    return (fmean(found), min(found), max(found)) if found and len(found) == len(results) else None


@dataclass(frozen=True)
class AllAtOnce:
    """One attributor's answers to a question over all sets of a source, a training seed each."""

    seeds: tuple[Result, ...]

    @property
    def asked(self) -> Result:
        """What all of them share, and the numbers of the first."""
        return self.seeds[0]

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return fmean(result.accuracy or 0.0 for result in self.seeds)

    @property
    def top3(self) -> float:
        """Share of images whose true name is among the three likeliest, mean over the seeds."""
        return fmean(result.top3 or 0.0 for result in self.seeds)


def _share(counts: Iterable[tuple[int, int]]) -> float | None:
    """Rightly named, of how many; None of none."""
    right, total = map(sum, zip(*((0, 0), *counts), strict=True))
    return right / total if total else None


def write_summary(folder: Path) -> Path:
    """Write FOLDER/summary.json and FOLDER/README.md from the records of the runs in FOLDER; returns the page.

    Raises RunError where there is no run, or one contradicts itself.
    """
    runs = {path.parent.name: read_run(path.parent) for path in sorted(folder.glob("*/run.json"))}
    if not runs:
        raise RunError(f"expected runs below {folder}, found none; name a folder that holds run directories")
    compared = [records for records in runs.values() if records.run.scale != SMALL]
    standings = [standing for records in compared for standing in _standings(records)]
    numbers = _numbers(standings, compared)
    (folder / "summary.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8", newline="\n")
    context = {
        "runs": runs,
        "claims": _by_table(standings),
        "numbers": numbers,
        "order": [name for name in ATTRIBUTORS if any(standing.attributor == name for standing in standings)],
        "bounds": [name for name, kind in ATTRIBUTORS.items() if kind.attributor.knowledge == "oracle"],
        "detectors": list(DETECTORS),
        "all_at_once": _all_at_once(compared),
        "transfers": _transfers(compared),
        "widths": [(one, _standings(one, ["algorithm"])) for one in compared if _of_several_widths(one)],
        "actor": ACTOR,
        "chosen": CHOSEN,
        "dimensions": DIMENSIONS,
    }
    page = folder / "README.md"
    page.write_text(make_environment().get_template("results.md.j2").render(context), encoding="utf-8", newline="\n")
    return page


def _standings(records: Records, keys: Sequence[str] = PAPERS_TABLES) -> list[Standing]:
    """Of some items, the paper's tables unless named, in the paper's order."""
    found = [
        Standing(
            table.protocol.source,
            table.key,
            table.item,
            table.protocol.attributor,
            table.protocol.pixels,
            _places(table),
        )
        for section in build_sections(records)
        for table in section.tables
        if table.key in keys
    ]
    return sorted(found, key=lambda one: (item_rank(one.key), PIXELS.index(one.pixels), _rank(one.attributor)))


def _rank(attributor: str) -> int:
    return list(ATTRIBUTORS).index(attributor)


def _places(table: Table) -> tuple[Place, ...]:
    return tuple(Place(*place, table.grid[place]) for place in sorted(table.grid, key=_place_rank))


def _place_rank(place: tuple[str, str]) -> tuple[str, Any]:
    return place[0], victim_rank(place[1])


def _by_table(standings: Sequence[Standing]) -> list[Comparison]:
    """The standings of each source, table and pixel protocol."""
    found: dict[tuple[str, str, Pixels], list[Standing]] = {}
    for one in standings:
        found.setdefault((one.source, one.key, one.pixels), []).append(one)
    return [Comparison(tuple(those)) for those in found.values()]


def _all_at_once(runs: Iterable[Records]) -> list[AllAtOnce]:
    """What was asked over all sets: algorithm, norm and victim at once, and each dimension, controls included."""
    groups: dict[tuple[str, str, int, int], list[Result]] = {}
    for result in (result for records in runs for result in records.results if result.item in ("joint", "dimension")):
        place = (result.source, result.question, PIXELS.index(result.pixels), _rank(result.attributor))
        groups.setdefault(place, []).extend([result] if result.status == "measured" else [])
    return [AllAtOnce(tuple(groups[place])) for place in sorted(groups) if groups[place]]


def _transfers(runs: Iterable[Records]) -> list[list[Transfer]]:
    """For each source, pixel protocol and attack those of all attributors that were asked."""
    found: dict[tuple[str, Pixels, str], dict[str, list[Result]]] = {}
    for result in (result for records in runs for result in records.results if result.item == "architecture"):
        line = found.setdefault((result.source, result.pixels, result.row), {})
        line.setdefault(result.attributor, []).append(result)
    return [
        [
            Transfer(
                source,
                row,
                pixels,
                name,
                tuple(result for result in line[name] if result.column == SEEN),
                tuple(result for result in line[name] if result.column != SEEN),
            )
            for name in sorted(line, key=_rank)
        ]
        for (source, pixels, row), line in sorted(found.items())
    ]


def _of_several_widths(records: Records) -> bool:
    """Whether one architecture was attacked in more than one width."""
    pairs = {(card.architecture, card.width) for card in records.victims}
    return len(pairs) > len({architecture for architecture, _ in pairs})


def _numbers(standings: Iterable[Standing], runs: Sequence[Records]) -> dict[str, Any]:
    """What summary.json holds."""
    numbers: dict[str, Any] = {}
    for one in standings:
        table = numbers.setdefault(one.source, {}).setdefault(one.key, {})
        table.setdefault(one.attributor, {})[one.pixels] = one.numbers
    for source in dict.fromkeys(records.results[0].source for records in runs):
        of_source, table = [one for one in runs if one.results[0].source == source], numbers.setdefault(source, {})
        table["unknown"] = _unknown(one for records in of_source for one in records.unknown)
        table["calibration"] = _calibration(result for records in of_source for result in records.results)
    return numbers


def _unknown(found: Iterable[Unknown]) -> dict[str, Any]:
    """attributor -> pixels -> family left out -> detector -> AUROC."""
    numbers: dict[str, Any] = {}
    for one in found:
        families = numbers.setdefault(one.attributor, {}).setdefault(one.pixels, {})
        families[one.family] = {name: measured.auroc for name, measured in one.detectors.items()}
    return numbers


def _calibration(results: Iterable[Result]) -> dict[str, Any]:
    """attributor -> pixels -> dimension -> expected calibration error, mean over the seeds."""
    errors: dict[tuple[str, str, str], list[float]] = {}
    for result in results:
        if result.item == "dimension" and result.calibration and result.status == "measured":
            errors.setdefault((result.attributor, result.pixels, result.row), []).append(result.calibration.ece)
    numbers: dict[str, Any] = {}
    for (attributor, pixels, row), found in errors.items():
        numbers.setdefault(attributor, {}).setdefault(pixels, {})[row] = fmean(found)
    return numbers
