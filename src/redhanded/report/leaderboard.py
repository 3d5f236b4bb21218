"""How the attributors do beside one another and beside the paper: what the page of results shows."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from redhanded.attributors import ATTRIBUTORS
from redhanded.data import PIXELS, Pixels
from redhanded.report.paper import rank, victim_rank
from redhanded.report.run import Records
from redhanded.report.tables import Cell, Table, build_sections
from redhanded.studies import SEEN, Result, rows_by_item


class Place(NamedTuple):
    """One place of a table: an attributor's answers to one question, a training seed each."""

    row: str
    column: str
    cells: tuple[Cell, ...]
    mean: float | None  # accuracy over the seeds; None where a seed gave no number
    spread: float  # range of the accuracies of the seeds
    significant: bool  # whether every seed is above chance after the correction over its table
    paper: float | None
    below: bool  # whether the mean, rounded as the paper prints, is below its number; so is what gave no number
    n_test: int  # test images a class, of the seed that has the fewest


class Standing(NamedTuple):
    """How one attributor does on one table of one source under one pixel protocol."""

    table: Table
    places: dict[tuple[str, str], Place]  # by row and column
    mean: float | None  # over the places that have a number
    without_number: int  # places that the mean leaves out
    printed: int  # places that stand beside a printed number
    below_paper: int  # places whose mean is below the paper's number
    seeds: int  # trainings of the attributor, of the place that has the fewest
    of_one_size: float | None  # accuracy on test images whose classes have one distribution of sizes
    pooled: float | None  # share of actors, a few images each, that are named rightly


class Comparison(NamedTuple):
    """The attributors on one table of one source under one pixel protocol; some may have been asked a part of it."""

    table: Table  # of the first of them, for what all share
    leaderboard: Sequence[Standing]
    places: list[Place]  # every one that an attributor was asked
    paper: float | None  # mean of the printed numbers
    n_test: int  # test images a class, of the place that has the fewest

    def of(self, attributor: str) -> Standing | None:
        """How an attributor does; None where it was not asked."""
        return next((one for one in self.leaderboard if one.table.protocol.attributor == attributor), None)


class Transfer(NamedTuple):
    """How one attributor names the architecture behind one attack: in checkpoints it learned from, and in others."""

    source: str
    row: str
    pixels: Pixels
    attributor: str
    n_test: int  # test images a class, of the answer that has the fewest
    seen: tuple[float, float, float] | None  # mean, smallest and largest accuracy; None where one gave no number
    unseen: tuple[float, float, float] | None  # the same where the tested checkpoint was held out, each in turn


class AllAtOnce(NamedTuple):
    """One attributor's answers to a question over all sets of a source, means over the training seeds."""

    asked: Result  # of the first seed, for what all share
    accuracy: float
    top3: float  # share of images whose true name is among the three likeliest


def standings(records: Records, keys: Sequence[str] = ()) -> list[Standing]:
    """Every attributor's standing on some items, the paper's tables unless named, in the order of a report."""
    items = rows_by_item()
    keys = keys or [item for item in items if item.startswith("table")]
    tables = [table for section in build_sections(records) for table in section.tables if table.key in keys]

    def order(table: Table) -> tuple[object, ...]:
        return rank(table.key, items), rank(table.protocol.pixels, PIXELS), rank(table.protocol.attributor, ATTRIBUTORS)

    return [_standing(table) for table in sorted(tables, key=order)]


def _standing(table: Table) -> Standing:
    places = {}
    for cells in table.places:
        first, accuracies = cells[0], [cell.result.accuracy or 0.0 for cell in cells if cell.measured]
        mean = fmean(accuracies) if len(accuracies) == len(cells) else None
        places[first.result.row, first.result.column] = Place(
            row=first.result.row,
            column=first.result.column,
            cells=cells,
            mean=mean,
            spread=max(accuracies, default=0.0) - min(accuracies, default=0.0),
            significant=all(cell.significant for cell in cells),
            paper=first.paper,
            below=first.paper is not None and round(mean or 0.0, 2) < first.paper,
            n_test=min(cell.result.n_test for cell in cells),
        )
    measured = [cell.result for cell in table.cells if cell.measured]
    means = [place.mean for place in places.values() if place.mean is not None]
    return Standing(
        table=table,
        places=places,
        mean=fmean(means) if means else None,
        without_number=len(places) - len(means),
        printed=sum(place.paper is not None for place in places.values()),
        below_paper=sum(place.below for place in places.values()),
        seeds=min(len(place.cells) for place in places.values()),
        of_one_size=_share((part.correct, part.n) for result in measured for part in result.by_size),
        pooled=_share((result.pooled.correct, result.pooled.n) for result in measured if result.pooled),
    )


def _share(counts: Iterable[tuple[int, int]]) -> float | None:
    """Accuracy over all counts (right, total), or None without images."""
    right, total = map(sum, zip(*((0, 0), *counts), strict=True))
    return right / total if total else None


def compare(leaderboard: Iterable[Standing]) -> list[Comparison]:
    """The comparison of each source, table and pixel protocol."""
    groups: dict[tuple[str, str, Pixels], list[Standing]] = {}
    for one in leaderboard:
        groups.setdefault((one.table.protocol.source, one.table.key, one.table.protocol.pixels), []).append(one)
    comparisons = []
    for group in groups.values():
        places = {name: place for one in reversed(group) for name, place in one.places.items()}
        printed = [place.paper for place in places.values() if place.paper is not None]
        comparisons.append(
            Comparison(
                table=group[0].table,
                leaderboard=group,
                places=[places[name] for name in sorted(places, key=lambda name: (name[0], victim_rank(name[1])))],
                paper=fmean(printed) if printed else None,
                n_test=min(place.n_test for one in group for place in one.places.values()),
            )
        )
    return comparisons


def all_at_once(results: Iterable[Result]) -> list[AllAtOnce]:
    """What was asked over all sets: algorithm, norm and victim at once, and each dimension, controls included."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        if result.item in ("joint", "dimension") and result.status == "measured":
            pixels, attributor = rank(result.pixels, PIXELS), rank(result.attributor, ATTRIBUTORS)
            groups.setdefault((result.source, result.question, pixels, attributor), []).append(result)
    return [
        AllAtOnce(seeds[0], fmean(one.accuracy or 0.0 for one in seeds), fmean(one.top3 or 0.0 for one in seeds))
        for _, seeds in sorted(groups.items(), key=lambda group: group[0])
    ]


def transfers(results: Iterable[Result]) -> list[list[Transfer]]:
    """For each source, pixel protocol and attack those of all attributors that were asked."""
    lines: dict[tuple[str, Pixels, str], dict[str, list[Result]]] = {}
    for result in results:
        if result.item == "architecture":
            line = lines.setdefault((result.source, result.pixels, result.row), {})
            line.setdefault(result.attributor, []).append(result)

    def spread(answers: list[Result]) -> tuple[float, float, float] | None:
        accuracies = [result.accuracy or 0.0 for result in answers]
        measured = answers and all(result.status == "measured" for result in answers)
        return (fmean(accuracies), min(accuracies), max(accuracies)) if measured else None

    return [
        [
            Transfer(
                source=source,
                row=row,
                pixels=pixels,
                attributor=name,
                n_test=min(result.n_test for result in line[name]),
                seen=spread([result for result in line[name] if result.column == SEEN]),
                unseen=spread([result for result in line[name] if result.column != SEEN]),
            )
            for name in sorted(line, key=lambda name: rank(name, ATTRIBUTORS))
        ]
        for (source, pixels, row), line in sorted(lines.items())
    ]
