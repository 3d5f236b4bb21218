"""All runs below a folder beside one another: the page of results and its numbers, from the records alone."""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from redhanded.attributors import ATTRIBUTORS, CHOSEN, DETECTORS
from redhanded.data import PIXELS, Pixels
from redhanded.errors import RunError
from redhanded.report.axes import FATES, build_axis_sections
from redhanded.report.paper import rank, victim_rank
from redhanded.report.render import make_environment
from redhanded.report.run import Records, read_run
from redhanded.report.tables import Cell, Table, build_sections
from redhanded.studies import ACTOR, ASKED_OF_ALL, SEEN, Result, rows_by_item

Spread = tuple[float, float, float] | None  # mean, smallest and largest accuracy; None where one gave no number
SMALL = "quick"  # a scale whose numbers show that all works, and are not compared


class Place(NamedTuple):
    """An attributor's answers to one question, a training seed each: one place of a table."""

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
    """The accuracy of one attributor on one table of one source under one pixel protocol."""

    table: Table
    places: dict[tuple[str, str], Place]  # by row and column
    numbers: dict[str, float | None]  # as they stand in summary.json; without_number: places that the mean leaves out
    printed: int  # places that stand beside a printed number
    of_one_size: float | None  # accuracy on test images whose classes have one distribution of sizes
    pooled: float | None  # accuracy on actors of a few images each


class Comparison(NamedTuple):
    """The attributors on one table of one source under one pixel protocol; some may have been asked a part of it."""

    table: Table  # of the first of them, for what all share
    leaderboard: Sequence[Standing]
    places: list[Place]  # every one that an attributor was asked
    paper: float | None  # mean of the printed numbers
    n_test: int  # test images a class, of the place that has the fewest

    def of(self, attributor: str) -> Standing | None:
        """The standing of an attributor; None where it was not asked."""
        return next((one for one in self.leaderboard if one.table.protocol.attributor == attributor), None)


def write_summary(folder: Path) -> Path:
    """Write FOLDER/summary.json and FOLDER/README.md from the records of the runs in FOLDER; returns the page.

    An unfinished run counts with the results that it has; one without any is named on the page, in a warning, and left
    out. Raises RunError where there is no run, or one is damaged or contradicts itself.
    """
    every = {path.parent.name: read_run(path.parent, unfinished=True) for path in sorted(folder.glob("*/run.json"))}
    if not every:
        raise RunError(f"expected runs below {folder}, found none; name a folder that holds run directories")
    runs = {name: records for name, records in every.items() if records.results or records.axes}
    left_out = [name for name in every if name not in runs]
    for name in left_out:
        warnings.warn(f"{folder / name} is unfinished, has no results yet and is left out", stacklevel=2)
    compared = [records for records in runs.values() if records.run.scale != SMALL]
    leaderboard = [standing for records in compared for standing in _standings(records)]
    results = [result for records in compared for result in records.results]
    asked = {standing.table.protocol.attributor for standing in leaderboard}
    numbers = _numbers(leaderboard, compared)
    (folder / "summary.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8", newline="\n")
    context = {
        "runs": runs,
        "left_out": left_out,
        "claims": _compare(leaderboard),
        "numbers": numbers,
        "order": [name for name in ATTRIBUTORS if name in asked],
        "bounds": [name for name, row in ATTRIBUTORS.items() if row.attributor.knowledge == "oracle"],
        "detectors": list(DETECTORS),
        "all_at_once": _all_at_once(results),
        "transfers": _transfers(results),
        "axes": [(name, records.study, build_axis_sections(records)) for name, records in runs.items() if records.axes],
        "fates": {name: FATES[name] for name in ("relied_on", "unknown", "sure_and_wrong", "all_clear", "accused")},
        "widths": [(records, _standings(records, ["algorithm"])) for records in compared if records.several_widths],
        "actor": ACTOR,
        "chosen": CHOSEN,
        "dimensions": ASKED_OF_ALL,
    }
    page = folder / "README.md"
    page.write_text(make_environment().get_template("results.md.j2").render(context), encoding="utf-8", newline="\n")
    return page


def _standings(records: Records, keys: Sequence[str] = ()) -> list[Standing]:
    """Compute every attributor's standing on some items, the paper's tables unless named, in a report's order."""
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
        numbers={
            "mean": fmean(means) if means else None,
            "cells": len(places),
            "without_number": len(places) - len(means),
            "below_paper": sum(place.below for place in places.values()),
            "n_test_min": min(place.n_test for place in places.values()),
            "seeds": min(len(place.cells) for place in places.values()),
        },
        printed=sum(place.paper is not None for place in places.values()),
        of_one_size=_share((part.correct, part.n) for result in measured for part in result.by_size),
        pooled=_share((result.pooled.correct, result.pooled.n) for result in measured if result.pooled),
    )


def _share(counts: Iterable[tuple[int, int]]) -> float | None:
    """Accuracy over all counts (correct, total), or None without images."""
    correct, total = map(sum, zip(*((0, 0), *counts), strict=True))
    return correct / total if total else None


def _compare(leaderboard: Iterable[Standing]) -> list[Comparison]:
    """Compare the attributors on each source, table and pixel protocol."""
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


def _all_at_once(results: Iterable[Result]) -> list[tuple[Result, float, float]]:
    """Average what was asked over all sets: algorithm, norm and victim at once; each dimension, controls included.

    For each question and attributor the result of the first training seed, and over the seeds the mean accuracy and
    the mean share of images whose true name is among the three likeliest.
    """
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        if result.item in ("joint", "dimension") and result.status == "measured":
            pixels, attributor = rank(result.pixels, PIXELS), rank(result.attributor, ATTRIBUTORS)
            groups.setdefault((result.source, result.question, pixels, attributor), []).append(result)
    return [
        (seeds[0], fmean(one.accuracy or 0.0 for one in seeds), fmean(one.top3 or 0.0 for one in seeds))
        for _, seeds in sorted(groups.items(), key=lambda group: group[0])
    ]


def _transfers(results: Iterable[Result]) -> list[tuple[list[Result], dict[str, tuple[Spread, Spread]]]]:
    """Compare accuracies on the architecture behind an attack, in checkpoints that were learned from and in others.

    For each source, pixel protocol and attack all its results, and by attributor the spread where every checkpoint was
    seen, and where the tested one was held out, each in turn.
    """
    lines: dict[tuple[str, Pixels, str], tuple[list[Result], dict[str, tuple[list[Result], list[Result]]]]] = {}
    for result in sorted(results, key=lambda result: rank(result.attributor, ATTRIBUTORS)):
        if result.item == "architecture":
            line, answers = lines.setdefault((result.source, result.pixels, result.row), ([], {}))
            line.append(result)
            seen, unseen = answers.setdefault(result.attributor, ([], []))
            (seen if result.column == SEEN else unseen).append(result)

    def spread(answers: list[Result]) -> Spread:
        accuracies = [result.accuracy or 0.0 for result in answers]
        measured = answers and all(result.status == "measured" for result in answers)
        return (fmean(accuracies), min(accuracies), max(accuracies)) if measured else None

    return [
        (line, {name: (spread(seen), spread(unseen)) for name, (seen, unseen) in answers.items()})
        for _, (line, answers) in sorted(lines.items(), key=lambda entry: entry[0])
    ]


def _numbers(leaderboard: Iterable[Standing], runs: Sequence[Records]) -> dict[str, Any]:
    """Collect for summary.json the tables, detectors of unknown families, calibration and axes of each source."""
    numbers: dict[str, Any] = {}
    for one in leaderboard:
        pixels, source, attributor, _ = one.table.protocol
        table = numbers.setdefault(source, {}).setdefault(one.table.key, {})
        table.setdefault(attributor, {})[pixels] = one.numbers
    for source in dict.fromkeys(records.sources[0] for records in runs):
        of_source = [records for records in runs if records.sources[0] == source]
        unknown: dict[str, Any] = {}  # attributor -> pixels -> family left out -> detector -> AUROC
        for left_out in (left_out for records in of_source for left_out in records.unknown):
            families = unknown.setdefault(left_out.attributor, {}).setdefault(left_out.pixels, {})
            families[left_out.family] = {name: measured.auroc for name, measured in left_out.detectors.items()}
        errors: dict[tuple[str, str, str], list[float]] = {}
        for result in (result for records in of_source for result in records.results):
            if result.item == "dimension" and result.calibration and result.status == "measured":
                errors.setdefault((result.attributor, result.pixels, result.row), []).append(result.calibration.ece)
        calibration: dict[str, Any] = {}  # attributor -> pixels -> dimension -> expected calibration error
        for (attributor, pixels, row), seeds in errors.items():
            calibration.setdefault(attributor, {}).setdefault(pixels, {})[row] = fmean(seeds)
        numbers.setdefault(source, {}).update(unknown=unknown, calibration=calibration)
        for records in (records for records in of_source if records.axes):
            numbers[source].setdefault("axes", {})[records.study] = _axes(records)
    return numbers


def _axes(records: Records) -> dict[str, Any]:
    """Collect attributor -> pixels -> axis -> mean recalls and fates over the trainings, and families left out."""
    numbers: dict[str, Any] = {}
    for section in build_axis_sections(records):
        along: dict[str, Any] = {}
        for line in section.lines:
            first = line.first
            along[f"{first.axis}-without-{first.without}" if first.without else first.axis] = {
                "n": first.n,
                "recall": {name: fmean(recall.each) for name, recall in line.recalls.items()},
                "loss": {name: recall.loss for name, recall in line.recalls.items()},
                "fates": {name: fmean(each) for name, each in line.fates.items() if each},
                "another": fmean(line.another) if line.another else None,
            }
        left_out = {
            one.family: {"chosen": one.chosen, "auroc": one.auroc, "fates": one.fates, "refused": one.refused}
            for one in section.left_out
        }
        by_pixels = numbers.setdefault(section.protocol.attributor, {})
        by_pixels[section.protocol.pixels] = {"axes": along, "left_out": left_out}
    return numbers
