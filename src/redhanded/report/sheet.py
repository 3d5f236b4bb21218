"""One row a Result, with every number of it: the report's tables for a spreadsheet."""

import csv
import json
from collections.abc import Iterable
from io import StringIO
from typing import Any

from redhanded.report.tables import Cell, Section


def results_csv(sections: Iterable[Section]) -> str:
    """The results of all sections as CSV; numbers in full, shares between 0 and 1."""
    rows = [_row(cell) for section in sections for cell in section.cells]
    stream = StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _row(cell: Cell) -> dict[str, Any]:
    result = cell.result
    plain = (
        "study",
        "source",
        "item",
        "question",
        "row",
        "column",
        "attributor",
        "knowledge",
        "pixels",
        "seed",
    )
    low, high = result.interval if cell.measured and result.interval else (None, None)
    return {
        **{name: getattr(result, name) for name in plain},
        "status": result.status,
        "attempts": result.attempts,
        "design": result.design,
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
        "paper": cell.paper,
        "difference": cell.difference,
        "weak_victims": " ".join(cell.weak),
        "seconds": result.seconds,
        "per_class": _json({line.name: [line.score.correct, line.score.total] for line in cell.classes}),
        "class_names": _json(result.classes),
        "confusion": _json(result.confusion),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
