"""The paper's printed numbers, keyed by our question ids, and its order."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

CITATION = (
    "M. Dotter, S. Xie, K. Manville, J. Harguess, C. Busho, M. Rodriguez. "
    "Adversarial Attack Attribution: Discovering Attributable Signals in Adversarial ML Attacks. "
    "arXiv 2101.02899, 2021."
)
LINK = "https://arxiv.org/abs/2101.02899"

# Which printed numbers a source stands beside; a source that is not here stands alone.
SOURCES = {"mnist": "mnist", "mnist5k": "mnist", "cifar10": "cifar10"}

ALGORITHM_IDS = {
    "cw_l2|deepfool_l2|fgsm_l2": "algorithm-l2",
    "cw_l2|deepfool_linf|fgsm_linf": "algorithm-linf",
}

ATTACK_IDS = {
    "cw_l2": "carlini_wagner-l2",
    "deepfool_l2": "deepfool-l2",
    "deepfool_linf": "deepfool-linf",
    "fgsm_l2": "fgsm-l2",
    "fgsm_linf": "fgsm-linf",
}

# The paper prints one number for an attack's hyperparameters; C&W's may be either of two questions.
SETTING_KINDS = {"cw_l2": ("setting", "learning-rate")}


class Printed(NamedTuple):
    """A number as printed, with its per-class numbers by algorithm or norm (empty where there are none)."""

    accuracy: float
    per_class: dict[str, float]


@cache
def printed_numbers(source: str) -> dict[str, Printed]:
    """The paper's numbers for a source, by question id; empty for a source that the paper does not have."""
    family = SOURCES.get(source)
    if family is None:
        return {}
    paper = _paper()
    tables = {name.rsplit("_", 1)[1]: rows for name, rows in paper.items() if f"_{family}_" in name}
    algorithm = {
        f"{ALGORITHM_IDS[key]}/{victim}": Printed(**cell)
        for key, row in tables["algorithm"].items()
        for victim, cell in row.items()
    }
    model = {f"victim/{ATTACK_IDS[key]}": Printed(value, {}) for key, value in paper["table4_model"][family].items()}
    setting = {
        f"{question}/{ATTACK_IDS[key]}/{victim}": Printed(value, {})
        for key, row in tables["hyperparameter"].items()
        for victim, value in row.items()
        for question in SETTING_KINDS.get(key, ("setting",))
    }
    norm = {
        f"norm/{attack}/{victim}": Printed(**cell)
        for attack, row in tables["norm"].items()
        for victim, cell in row.items()
    }
    return algorithm | model | setting | norm


def rank(name: str, order: Iterable[str]) -> tuple[int, str]:
    """A sort key: the place of a name in an order; names that it lacks come last, by the alphabet."""
    names = list(order)
    return (names.index(name) if name in names else len(names), name)


def victim_rank(name: str) -> tuple[int, str]:
    """The place of a victim in a table: the paper's order, then the alphabet."""
    return rank(name, _paper()["grid"]["victims"])


@cache
def _paper() -> dict[str, Any]:
    text = files("redhanded.report").joinpath("paper_results.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
