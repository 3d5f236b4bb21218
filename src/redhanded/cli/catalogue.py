"""The tables that the code is built on, as rows of text: for `redhanded list` and the documentation."""

from collections.abc import Callable, Iterator

from redhanded.attacks import ATTACKS, default_text
from redhanded.attacks.toolchains import TOOLCHAINS, installed, toolchain_version
from redhanded.attributors import ATTRIBUTORS, DETECTORS
from redhanded.data import SOURCES
from redhanded.models import VICTIMS
from redhanded.studies import QUESTIONS

Rows = Iterator[dict[str, str]]


def _attacks() -> Rows:
    for name, kind in ATTACKS.items():
        fields = kind.spec.model_fields.items()
        parameters = ", ".join(
            name if field.is_required() else f"{name}={default_text(field)}" for name, field in fields
        )
        label = ", ".join(kind.spec.setting_names) or "none"
        yield {"attack": name, "does": kind.summary, "parameters": parameters, "setting": label, "paper": kind.paper}


def _victims() -> Rows:
    for name, kind in VICTIMS.items():
        yield {"victim": name, "is": kind.summary, "paper": kind.paper}


def _sources() -> Rows:
    for name, kind in SOURCES.items():
        shape = " x ".join(map(str, kind.shape))
        yield {"source": name, "holds": kind.summary, "shape": shape, "weak below": f"{kind.weak_below:.0%}"}


def _questions() -> Rows:
    for name, kind in QUESTIONS.items():
        items = ", ".join(f"{item} ({source})" for source, item in kind.items.items()) or "ours"
        yield {"question": name, "asks": kind.summary, "in the paper": items}


def _attributors() -> Rows:
    for name, kind in ATTRIBUTORS.items():
        yield {"attributor": name, "is": kind.summary, "knows": kind.attributor.knowledge, "paper": kind.paper}


def _toolchains() -> Rows:
    for name, row in TOOLCHAINS.items():
        version = toolchain_version(name) if installed(name) else f"no: {row.install}"
        yield {"toolchain": name, "is": row.summary, "attacks": ", ".join(row.runs), "installed": version}


def _detectors() -> Rows:
    for name, kind in DETECTORS.items():
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
