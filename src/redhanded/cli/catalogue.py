"""The tables that the code is built on, as rows of text: what `redhanded list` prints.

The rows of the tables hold classes and functions, so to read a table is to import PyTorch. What is printed of them is
therefore written down beside this module by `python docs/generate.py`; a test fails where that is behind the tables.
"""

import json
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from redhanded import attacks, attributors, data, models, studies  # lazy doors, behind which a table lies

Rows = Iterator[dict[str, str]]
WRITTEN = Path(__file__).with_suffix(".json")


def rows_of(topic: str) -> list[dict[str, str]]:
    """The rows of a table as they were written down, or the table's own where a third party's parts stand in it."""
    extended = entry_points(group=f"redhanded.{topic}")
    rows = CATALOGUE[topic]() if extended else json.loads(WRITTEN.read_text("utf-8"))[topic]
    return [_with_version(row) if "library" in row else row for row in rows]


def _with_version(row: dict[str, str]) -> dict[str, str]:
    """Of a toolchain: the version of its library on this machine, or how to install it."""
    library, install = row["library"], row["install"]
    shown = {name: text for name, text in row.items() if name not in {"library", "install"}}
    try:
        return shown | {"installed": version(library)}
    except PackageNotFoundError:
        return shown | {"installed": f"no: {install}"}


def _attacks() -> Rows:
    for name, kind in attacks.ATTACKS.items():
        fields = kind.spec.model_fields.items()
        parameters = ", ".join(
            name if field.is_required() else f"{name}={attacks.default_text(field)}" for name, field in fields
        )
        label = ", ".join(kind.spec.setting_names) or "none"
        yield {"attack": name, "does": kind.summary, "parameters": parameters, "setting": label, "paper": kind.paper}


def _victims() -> Rows:
    for name, kind in models.VICTIMS.items():
        yield {"victim": name, "is": kind.summary, "paper": kind.paper}


def _sources() -> Rows:
    for name, kind in data.SOURCES.items():
        shape = " x ".join(map(str, kind.shape))
        yield {"source": name, "holds": kind.summary, "shape": shape, "weak below": f"{kind.weak_below:.0%}"}


def _questions() -> Rows:
    for name, kind in studies.QUESTIONS.items():
        items = ", ".join(f"{item} ({source})" for source, item in kind.items.items()) or "ours"
        yield {"question": name, "asks": kind.summary, "in the paper": items}


def _attributors() -> Rows:
    for name, kind in attributors.ATTRIBUTORS.items():
        yield {"attributor": name, "is": kind.summary, "knows": kind.attributor.knowledge, "paper": kind.paper}


def _toolchains() -> Rows:
    for name, row in attacks.TOOLCHAINS.items():
        runs = ", ".join(row.runs)
        yield {
            "toolchain": name,
            "is": row.summary,
            "attacks": runs,
            "library": row.distribution,
            "install": row.install,
        }


def _detectors() -> Rows:
    for name, kind in attributors.DETECTORS.items():
        yield {"detector": name, "of the unknown": kind.summary, "paper": kind.paper}


CATALOGUE: dict[str, Callable[[], Rows]] = {
    "attacks": _attacks,
    "victims": _victims,
    "sources": _sources,
    "questions": _questions,
    "attributors": _attributors,
    "toolchains": _toolchains,
    "detectors": _detectors,
}
