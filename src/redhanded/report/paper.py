"""The paper's items and printed numbers, keyed by our question ids."""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

CITATION = (
    "M. Dotter, S. Xie, K. Manville, J. Harguess, C. Busho, M. Rodriguez. "
    "Adversarial Attack Attribution: Discovering Attributable Signals in Adversarial ML Attacks. "
    "arXiv 2101.02899, 2021."
)
LINK = "https://arxiv.org/abs/2101.02899"


class Item(NamedTuple):
    """A table or figure of the report; the question it answers and what is drawn beside its accuracies."""

    name: str
    asks: str
    per_class: bool = False  # a second table with the accuracy of each class
    confusion: bool = False  # a confusion matrix for each of its results
    projection: bool = False  # a picture of the features behind each of its results
    reliability: bool = False  # one of what the probabilities of its results are worth


ALGORITHM = "Which algorithm made the image?"
SETTING = "Which hyperparameters made the image?"
NORM = "In which norm was the attack optimised?"
BOTH = "Which algorithm made the image, and from which victim's gradients?"

ATTACK_AND_SETTING = "Which algorithm and hyperparameters made the image?"
VICTIM = "Which victim's gradients made the image?"
JOINT = "Algorithm, norm and victim at once, all settings pooled (not in the paper)"

ARCHITECTURE = (
    "Which architecture's gradients made the image, and is it known in an unseen checkpoint (not in the paper)?"
)

DIMENSION = "Family (or a control), norm, victim, and the very set, each over all sets (not in the paper)"

# The paper's items; a source that the paper does not have keeps the names of the kinds of question.
ITEMS = {
    "table2": Item("Table 2", ALGORITHM, per_class=True),
    "table3": Item("Table 3", ALGORITHM, per_class=True),
    "algorithm": Item("Algorithm", ALGORITHM, per_class=True),
    "figure4": Item("Figure 4", BOTH, confusion=True),
    "figure5": Item("Figure 5", BOTH, confusion=True),
    "attack-and-victim": Item("Algorithm and victim", BOTH, confusion=True),
    "figure6": Item("Figure 6", ATTACK_AND_SETTING, projection=True),
    "attack-and-setting": Item("Algorithm and setting", ATTACK_AND_SETTING, projection=True),
    "table4": Item("Table 4", VICTIM),
    "victim": Item("Victim", VICTIM),
    "architecture": Item("Architecture", ARCHITECTURE),
    "table5": Item("Table 5", SETTING),
    "table6": Item("Table 6", SETTING),
    "setting": Item("Setting", SETTING),
    "table7": Item("Table 7", NORM, per_class=True),
    "table8": Item("Table 8", NORM, per_class=True),
    "norm": Item("Norm", NORM, per_class=True),
    "joint": Item("Joint", JOINT, confusion=True),
    "dimension": Item("Each dimension", DIMENSION, reliability=True),
}

# Which printed numbers a source stands beside; a source that is not here stands alone.
SOURCES = {"mnist": "mnist", "mnist5k": "mnist", "cifar10": "cifar10"}

TABLES = {
    "cifar10": {
        "algorithm": "table2_cifar10_algorithm",
        "setting": "table5_cifar10_hyperparameter",
        "norm": "table7_cifar10_norm",
    },
    "mnist": {
        "algorithm": "table3_mnist_algorithm",
        "setting": "table6_mnist_hyperparameter",
        "norm": "table8_mnist_norm",
    },
}

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
    return {} if family is None else _numbers(family)


def item_of(name: str) -> Item:
    """What is known about an item; a name that is not the paper's or ours stands for itself."""
    return ITEMS.get(name, Item(name, ""))


def item_rank(name: str) -> tuple[int, str]:
    """The place of an item in the report."""
    names = list(ITEMS)
    return (names.index(name) if name in ITEMS else len(names), name)


def victim_rank(name: str) -> tuple[int, str]:
    """The place of a victim in a table: the paper's order, then the alphabet."""
    order = _paper()["grid"]["victims"]
    return (order.index(name) if name in order else len(order), name)


@cache
def _paper() -> dict[str, Any]:
    text = files("redhanded.report").joinpath("paper_results.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _numbers(family: str) -> dict[str, Printed]:
    paper, tables = _paper(), TABLES[family]
    algorithm = {
        f"{ALGORITHM_IDS[key]}/{victim}": Printed(**cell)
        for key, row in paper[tables["algorithm"]].items()
        for victim, cell in row.items()
    }
    model = {f"victim/{ATTACK_IDS[key]}": Printed(value, {}) for key, value in paper["table4_model"][family].items()}
    setting = {
        f"{kind}/{ATTACK_IDS[key]}/{victim}": Printed(value, {})
        for key, row in paper[tables["setting"]].items()
        for victim, value in row.items()
        for kind in SETTING_KINDS.get(key, ("setting",))
    }
    norm = {
        f"norm/{attack}/{victim}": Printed(**cell)
        for attack, row in paper[tables["norm"]].items()
        for victim, cell in row.items()
    }
    return algorithm | model | setting | norm
