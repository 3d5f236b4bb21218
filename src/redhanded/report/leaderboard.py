"""How the attributors do beside one another and beside the paper: what the page of results shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from redhanded.data import Pixels
from redhanded.report.paper import victim_rank
from redhanded.report.tables import Cell
from redhanded.studies import QuestionKind, Result


@dataclass(frozen=True)
class Place:
    """One place of a table: an attributor's answers to one question, a training seed each."""

    cells: tuple[Cell, ...]

    @property
    def row(self) -> str:
        """The row of the table that it stands in."""
        return self.cells[0].result.row

    @property
    def column(self) -> str:
        """The column of the table that it stands in."""
        return self.cells[0].result.column

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
        """Range of the accuracies of the seeds."""
        accuracies = [cell.result.accuracy or 0.0 for cell in self.measured]
        return max(accuracies) - min(accuracies) if accuracies else 0.0

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
    item: QuestionKind
    attributor: str
    pixels: Pixels
    places: tuple[Place, ...]

    @property
    def mean(self) -> float | None:
        """Mean over the places that have a number."""
        means = [place.mean for place in self.places if place.mean is not None]
        return fmean(means) if means else None

    @property
    def without_number(self) -> int:
        """Places that the mean leaves out."""
        return sum(place.mean is None for place in self.places)

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
        """Size-matched accuracy: on test images whose classes have one distribution of sizes; None without images."""
        return _share((part.correct, part.n) for result in self._results for part in result.by_size)

    @property
    def pooled(self) -> float | None:
        """Pooled accuracy: the share of actors, a few images each, that are named rightly; None without images."""
        pooled = (result.pooled for result in self._results)
        return _share((actors.correct, actors.n) for actors in pooled if actors is not None)

    @property
    def numbers(self) -> dict[str, Any]:
        """As they stand in summary.json."""
        return {
            "mean": self.mean,
            "cells": len(self.places),
            "without_number": self.without_number,
            "below_paper": self.below_paper,
            "n_test_min": min(place.n_test for place in self.places),
            "seeds": self.seeds,
        }


@dataclass(frozen=True)
class Comparison:
    """The attributors on one table of one source under one pixel protocol; some may have been asked a part of it."""

    leaderboard: tuple[Standing, ...]

    @property
    def asked(self) -> Standing:
        """One of them, for what all share."""
        return self.leaderboard[0]

    @property
    def places(self) -> list[Place]:
        """Every place that one of them was asked."""
        places = {(place.row, place.column): place for one in reversed(self.leaderboard) for place in one.places}
        return [places[name] for name in sorted(places, key=lambda name: (name[0], victim_rank(name[1])))]

    @property
    def paper(self) -> float | None:
        """Mean of the printed numbers."""
        printed = [place.paper for place in self.places if place.paper is not None]
        return fmean(printed) if printed else None

    @property
    def n_test(self) -> int:
        """Test images a class, of the place that has the fewest."""
        return min(place.n_test for one in self.leaderboard for place in one.places)

    def of(self, attributor: str) -> Standing | None:
        """How an attributor does; None where it was not asked."""
        return next((one for one in self.leaderboard if one.attributor == attributor), None)


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
    """Accuracy over all counts (right, total), or None without images."""
    right, total = map(sum, zip(*((0, 0), *counts), strict=True))
    return right / total if total else None
