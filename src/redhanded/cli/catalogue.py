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
    """The rows of a table as they were written down, or the table's own where a third party's parts stand in it.

    Of a toolchain: the version of its library on this machine, or how to install it.
    """
    extended = entry_points(group=f"redhanded.{topic}")
    rows = list(CATALOGUE[topic]() if extended else json.loads(WRITTEN.read_text("utf-8"))[topic])
    for row in rows:
        if "library" in row:
            library, install = row.pop("library"), row.pop("install")
            try:
                row["installed"] = version(library)
            except PackageNotFoundError:
                row["installed"] = f"no: {install}"
    return rows


def _attacks() -> Rows:
    for name, row in attacks.ATTACKS.items():
        fields = row.spec.model_fields.items()
        parameters = ", ".join(
            name if field.is_required() else f"{name}={attacks.default_text(field)}" for name, field in fields
        )
        label = ", ".join(row.spec.setting_names) or "none"
        does = {"attack": name, "kind": row.kind, "does": row.summary}
        yield {**does, "parameters": parameters, "setting": label, "paper": row.paper}


def _toolchains() -> Rows:
    for name, row in attacks.TOOLCHAINS.items():
        where = {"library": row.distribution, "install": row.install}
        yield {"toolchain": name, "is": row.summary, "attacks": ", ".join(row.runs), **where}


def _sources() -> Rows:
    for name, row in data.SOURCES.items():
        shape = " x ".join(map(str, row.shape))
        yield {"source": name, "holds": row.summary, "shape": shape, "weak below": f"{row.weak_below:.0%}"}


def _questions() -> Rows:
    for name, row in studies.QUESTIONS.items():
        items = ", ".join(f"{item} ({source})" for source, item in row.items.items()) or "ours"
        yield {"question": name, "asks": row.summary, "in the paper": items}


CATALOGUE: dict[str, Callable[[], Rows]] = {
    "attacks": _attacks,
    "victims": lambda: (
        {"victim": name, "is": row.summary, "paper": row.paper} for name, row in models.VICTIMS.items()
    ),
    "sources": _sources,
    "questions": _questions,
    "attributors": lambda: (
        {"attributor": name, "is": row.summary, "knows": row.attributor.knowledge, "paper": row.paper}
        for name, row in attributors.ATTRIBUTORS.items()
    ),
    "toolchains": _toolchains,
    "detectors": lambda: (
        {"detector": name, "of the unknown": row.summary, "paper": row.paper}
        for name, row in attributors.DETECTORS.items()
    ),
}
