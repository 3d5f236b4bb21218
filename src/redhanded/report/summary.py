"""All runs below a folder beside one another: the page of results and its numbers, from the records alone."""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from redhanded.attributors import ATTRIBUTORS, CHOSEN, DETECTORS
from redhanded.errors import RunError
from redhanded.report.leaderboard import Standing, all_at_once, compare, standings, transfers
from redhanded.report.render import make_environment
from redhanded.report.run import Records, read_run
from redhanded.studies import ACTOR, ASKED_OF_ALL

SMALL = "quick"  # a scale whose numbers show that all works, and are not compared


def write_summary(folder: Path) -> Path:
    """Write FOLDER/summary.json and FOLDER/README.md from the records of the runs in FOLDER; returns the page.

    An unfinished run counts with the results that it has; one without any is named on the page, in a warning, and left
    out. Raises RunError where there is no run, or one is damaged or contradicts itself.
    """
    every = {path.parent.name: read_run(path.parent, unfinished=True) for path in sorted(folder.glob("*/run.json"))}
    if not every:
        raise RunError(f"expected runs below {folder}, found none; name a folder that holds run directories")
    runs = {name: records for name, records in every.items() if records.results}
    left_out = [name for name in every if name not in runs]
    for name in left_out:
        warnings.warn(f"{folder / name} is unfinished, has no results yet and is left out", stacklevel=2)
    compared = [records for records in runs.values() if records.run.scale != SMALL]
    leaderboard = [standing for records in compared for standing in standings(records)]
    results = [result for records in compared for result in records.results]
    asked = {standing.table.protocol.attributor for standing in leaderboard}
    numbers = _numbers(leaderboard, compared)
    (folder / "summary.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8", newline="\n")
    context = {
        "runs": runs,
        "left_out": left_out,
        "claims": compare(leaderboard),
        "numbers": numbers,
        "order": [name for name in ATTRIBUTORS if name in asked],
        "bounds": [name for name, row in ATTRIBUTORS.items() if row.attributor.knowledge == "oracle"],
        "detectors": list(DETECTORS),
        "all_at_once": all_at_once(results),
        "transfers": transfers(results),
        "widths": [(records, standings(records, ["algorithm"])) for records in compared if records.several_widths],
        "actor": ACTOR,
        "chosen": CHOSEN,
        "dimensions": ASKED_OF_ALL,
    }
    page = folder / "README.md"
    page.write_text(make_environment().get_template("results.md.j2").render(context), encoding="utf-8", newline="\n")
    return page


def _numbers(leaderboard: Iterable[Standing], runs: Sequence[Records]) -> dict[str, Any]:
    """What summary.json holds: for each source its tables, detectors of unknown families, and calibration."""
    numbers: dict[str, Any] = {}
    for one in leaderboard:
        table = numbers.setdefault(one.table.protocol.source, {}).setdefault(one.table.key, {})
        table.setdefault(one.table.protocol.attributor, {})[one.table.protocol.pixels] = {
            "mean": one.mean,
            "cells": len(one.places),
            "without_number": one.without_number,
            "below_paper": one.below_paper,
            "n_test_min": min(place.n_test for place in one.places.values()),
            "seeds": one.seeds,
        }
    for source in dict.fromkeys(records.results[0].source for records in runs):
        of_source = [records for records in runs if records.results[0].source == source]
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
    return numbers
