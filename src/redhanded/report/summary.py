"""All runs below a folder beside one another: the page of results and its numbers, from the records alone."""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from redhanded.attributors import ATTRIBUTORS, CHOSEN, DETECTORS
from redhanded.data import PIXELS, Pixels
from redhanded.errors import RunError
from redhanded.report.leaderboard import AllAtOnce, Comparison, Place, Standing, Transfer
from redhanded.report.paper import rank
from redhanded.report.render import make_environment
from redhanded.report.run import Records, read_run
from redhanded.report.tables import build_sections
from redhanded.studies import ACTOR, ASKED_OF_ALL, SEEN, Result, rows_by_item

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
    leaderboard = [standing for records in compared for standing in _standings(records)]
    numbers = _numbers(leaderboard, compared)
    (folder / "summary.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8", newline="\n")
    context = {
        "runs": runs,
        "left_out": left_out,
        "claims": _by_table(leaderboard),
        "numbers": numbers,
        "order": [name for name in ATTRIBUTORS if any(standing.attributor == name for standing in leaderboard)],
        "bounds": [name for name, kind in ATTRIBUTORS.items() if kind.attributor.knowledge == "oracle"],
        "detectors": list(DETECTORS),
        "all_at_once": _all_at_once(compared),
        "transfers": _transfers(compared),
        "widths": [(one, _standings(one, ["algorithm"])) for one in compared if one.several_widths],
        "actor": ACTOR,
        "chosen": CHOSEN,
        "dimensions": ASKED_OF_ALL,
    }
    page = folder / "README.md"
    page.write_text(make_environment().get_template("results.md.j2").render(context), encoding="utf-8", newline="\n")
    return page


def _standings(records: Records, keys: Sequence[str] = ()) -> list[Standing]:
    """Of some items, the paper's tables unless named, in the order of a report."""
    items = rows_by_item()
    keys = keys or [item for item in items if item.startswith("table")]
    found = [
        Standing(
            table.protocol.source,
            table.key,
            table.item,
            table.protocol.attributor,
            table.protocol.pixels,
            tuple(map(Place, table.places)),
        )
        for section in build_sections(records)
        for table in section.tables
        if table.key in keys
    ]
    return sorted(
        found, key=lambda one: (rank(one.key, items), rank(one.pixels, PIXELS), rank(one.attributor, ATTRIBUTORS))
    )


def _by_table(leaderboard: Sequence[Standing]) -> list[Comparison]:
    """The leaderboard of each source, table and pixel protocol."""
    found: dict[tuple[str, str, Pixels], list[Standing]] = {}
    for one in leaderboard:
        found.setdefault((one.source, one.key, one.pixels), []).append(one)
    return [Comparison(tuple(those)) for those in found.values()]


def _all_at_once(runs: Iterable[Records]) -> list[AllAtOnce]:
    """What was asked over all sets: algorithm, norm and victim at once, and each dimension, controls included."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in (result for records in runs for result in records.results if result.item in ("joint", "dimension")):
        place = (result.source, result.question, rank(result.pixels, PIXELS), rank(result.attributor, ATTRIBUTORS))
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
            for name in sorted(line, key=lambda name: rank(name, ATTRIBUTORS))
        ]
        for (source, pixels, row), line in sorted(found.items())
    ]


def _numbers(leaderboard: Iterable[Standing], runs: Sequence[Records]) -> dict[str, Any]:
    """What summary.json holds: for each source its tables, detectors of unknown families, and calibration."""
    numbers: dict[str, Any] = {}
    for one in leaderboard:
        table = numbers.setdefault(one.source, {}).setdefault(one.key, {})
        table.setdefault(one.attributor, {})[one.pixels] = one.numbers
    for source in dict.fromkeys(records.results[0].source for records in runs):
        of_source = [one for one in runs if one.results[0].source == source]
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
