"""The results of a run as a table, a row each: a pandas frame for Python, the same as CSV for a spreadsheet."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redhanded.report.axes import FATES, fate, mean_recall
from redhanded.report.run import read_run
from redhanded.report.tables import Cell, Section, build_sections
from redhanded.studies import DIMENSIONS, AxisResult

if TYPE_CHECKING:
    import pandas as pd

NESTED = ("per_class", "class_names", "confusion")  # columns whose values are lists or dicts, in a CSV as JSON
NESTED_IN_AXES = ("dimensions", "tallies", "numbers", "detectors")
NOT_IN_CSV = ("top3", "ece")


def load_results(run: Path | str) -> "pd.DataFrame":
    """Load the results of a live or kept run as a tidy frame, a row for each question, attributor, pixels and seed.

    Shares are between 0 and 1: accuracy with its 95 % Wilson interval, chance, top3, ece (expected calibration error).
    p_value is the exact binomial test's against chance, p_holm the same corrected over the table of the report that
    the row stands in. n_train and n_test are images a class. What is not measured is NaN; status says why. Raises
    RunError where records are missing, damaged or contradict each other.
    """
    return _frame(build_sections(read_run(Path(run))))


def load_axes(run: Path | str) -> "pd.DataFrame":
    """Load the answers along the axes of a live or kept run as a frame, a row for each axis, attributor and training.

    Shares are between 0 and 1. recall_family and its like: mean recall of the true names that the attributor knows,
    each counting the same; relied_on, unknown, sure_and_wrong, all_clear, in_set, few: means over the families of
    attacks; accused: over the controls. dimensions, tallies, numbers, detectors: the counts behind these, as in an
    AxisResult. What is not measured is NaN. Raises RunError where records are missing or damaged.
    """
    import pandas as pd

    return pd.DataFrame(map(_axis_row, read_run(Path(run)).axes))


def results_csv(sections: Iterable[Section]) -> str:
    """Write the results of all sections as CSV, numbers in full; empty where there is none."""
    frame = _frame(sections)
    return "" if frame.empty else _csv(frame.drop(columns=list(NOT_IN_CSV)), NESTED)


def axes_csv(axes: Iterable[AxisResult]) -> str:
    """Write the records of all axes as CSV, numbers in full; empty where there is none."""
    import pandas as pd

    frame = pd.DataFrame(map(_axis_row, axes))
    return "" if frame.empty else _csv(frame, NESTED_IN_AXES)


def _csv(frame: "pd.DataFrame", nested: Iterable[str]) -> str:
    for name in nested:
        frame[name] = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in frame[name]]
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _frame(sections: Iterable[Section]) -> "pd.DataFrame":
    import pandas as pd  # nothing else here needs it, and it takes as long to import as all the rest

    frame = pd.DataFrame([_row(cell) for section in sections for cell in section.cells])
    return frame if frame.empty else frame.astype({"above_chance": "boolean"})


def _axis_row(one: AxisResult) -> dict[str, Any]:
    of_run = ("study", "source", "axis", "without", "title", "attributor", "knowledge", "pixels", "transport", "seed")
    return {
        **{name: getattr(one, name) for name in (*of_run, "strangers", "n_train", "n")},
        **{f"recall_{name}": mean_recall(one, name) for name in DIMENSIONS},
        **{name: fate(one, name) for name in FATES},
        "another": one.another,
        "seconds": one.seconds,
        "dimensions": {name: confusion.model_dump() for name, confusion in one.dimensions.items()},
        "tallies": {name: tally.model_dump() for name, tally in one.tallies.items()},
        "numbers": [score.model_dump(exclude={"points"}) for score in one.numbers],
        "detectors": {name: measured.model_dump() for name, measured in one.detectors.items()},
    }


def _row(cell: Cell) -> dict[str, Any]:
    result = cell.result
    shared = ("study", "source", "item", "question", "row", "column", "attributor", "knowledge", "pixels", "seed")
    training = ("status", "attempts", "design")
    low, high = result.interval if cell.measured and result.interval else (None, None)
    return {
        **{name: getattr(result, name) for name in (*shared, *training)},
        "classes": len(result.classes),
        "n_train": result.n_train,
        "n_test": result.n_test,
        "chance": result.chance,
        "accuracy": result.accuracy if cell.measured else None,
        "interval_low": low,
        "interval_high": high,
        "p_value": result.p_value if cell.measured else None,
        "p_holm": cell.p_holm,
        "above_chance": cell.significant if cell.measured else None,
        "top3": result.top3 if cell.measured else None,
        "ece": result.calibration.ece if cell.measured and result.calibration else None,
        "paper": cell.paper,
        "difference": cell.difference,
        "weak_victims": " ".join(cell.weak),
        "seconds": result.seconds,
        "per_class": {line.name: [line.score.correct, line.score.total] for line in cell.classes},
        "class_names": result.classes,
        "confusion": result.confusion,
    }
