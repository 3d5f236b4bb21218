"""Axes: what an image may differ in from those an attributor was trained on, and how its answers fare along each."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import mannwhitneyu

from redhanded.attributors import (
    DETECTORS,
    SURE,
    Factored,
    Knowledge,
    OpenSet,
    Prediction,
    measure_calibration,
    measure_open_set,
)
from redhanded.core import Outcome, Record, confusion_matrix
from redhanded.data import Pixels
from redhanded.sets import NO_VICTIM
from redhanded.studies.decision import Decision
from redhanded.studies.dimensions import DIMENSIONS, SetEntry

KNOWN = "known"  # the axis of what the training was like: other images and other draws alone
ANOTHER = "another"  # what a name is called that the attributor does not know
CONTROL = "control"  # what all controls are called
FEW = 3  # names in a set that still helps
SHOWN_POINTS = 60  # estimates of a parameter, in a picture


class Confusion(Record):
    """What images were named in one dimension; every true name counts the same in the mean of the recalls."""

    truths: list[str]
    names: list[str]
    counts: list[list[int]]  # rows: the true name, columns: the likeliest
    ece: float  # expected calibration error, of the images whose true name is known

    def recalls(self) -> dict[str, tuple[int, int]]:
        """Of each true name that the attributor knows: how many images were named so, of how many."""
        places = {name: place for place, name in enumerate(self.names)}
        rows = zip(self.truths, self.counts, strict=True)
        return {truth: (row[places[truth]], sum(row)) for truth, row in rows if truth in places}


class Tally(Record):
    """What becomes of the images of one family, or of the controls."""

    n: int
    relied_on: int  # named rightly, and the verdict does not say unknown
    unknown: int
    sure_and_wrong: int  # a wrong attack with 80 % or more, and not unknown
    all_clear: int  # called a control, and not unknown
    accused: int  # called an attack, and not unknown
    in_set: int  # the true family is among those that are not ruled out
    few: int  # the same, the set holds at most three names, and the verdict does not say unknown


class NumberScore(Record):
    """How well one parameter is estimated, given the family and norm."""

    family: str
    norm: str
    parameter: str
    n: int
    relative: float  # median of |estimate - truth| / truth
    log10: float  # mean of |log10(estimate / truth)|
    covered: float  # share of the truths inside the stated 90 %
    width: float  # median width of that interval, in parts of the range on its own scale
    points: list[tuple[float, float]] = Field(description="truth and estimate of some of the images")


class AxisResult(Outcome):
    """The answers of one attributor along one axis."""

    study: str
    source: str
    axis: str
    title: str
    attributor: str
    knowledge: Knowledge
    pixels: Pixels  # that the attributor was fitted for
    transport: Pixels  # that the images went through: the same, unless the axis is one of transport
    seed: int
    without: str  # what was kept from the attributor's training
    strangers: bool  # whether the attacked victim is none of the candidates
    n_train: int  # images that it was trained on
    n: int
    dimensions: dict[str, Confusion]
    tallies: dict[str, Tally]
    numbers: list[NumberScore]
    another: float | None  # AUROC: attacked victims that it does not know against those that it does
    detectors: dict[str, OpenSet]  # where a family was kept from it: that family against the others
    key: str  # names the folder of the attributor in the run


class Truth(NamedTuple):
    """What is true of the images that an attributor answered about."""

    entries: Sequence[SetEntry]  # of each set
    of: NDArray[np.int64]  # (n,) which set each image is of
    parameters: Mapping[str, NDArray[np.float64]]  # (n,) NaN where an image drew none


def score_axis(decision: Decision, answer: Prediction, truth: Truth, without: str = "") -> dict[str, object]:
    """Measure everything that an AxisResult has of answers; without: a family that the attributor was not shown."""
    unknown = decision.unknown(answer)
    families = decision.log_proba("family", answer)
    names = decision.marginals["family"].classes_
    controls = {entry.family for entry in decision.entries.values() if entry.control}
    control = np.array([name in controls for name in names])
    named = families.argmax(1).numpy()
    sure = families.exp().amax(1).numpy() >= SURE
    not_ruled_out = decision.not_ruled_out("family", families)  # (n, names)
    is_control = np.array([entry.control for entry in truth.entries])[truth.of]
    adversarial = decision.log_proba("adversarial", answer)
    cleared = adversarial.argmax(1).numpy() == decision.marginals["adversarial"].classes_.index(CONTROL)
    tallies = {}
    true_families = np.array([entry.family for entry in truth.entries])[truth.of]
    home = np.array([names.index(family) if family in names else -1 for family in true_families])
    right = (named == home) | (is_control & control[named])
    held = np.where(home >= 0, not_ruled_out[np.arange(len(home)), home], False)
    held = np.where(is_control, not_ruled_out[:, control].any(1), held)
    for family in dict.fromkeys(true_families.tolist()):
        own = true_families == family
        tallies[family] = Tally(
            n=int(own.sum()),
            relied_on=int((own & right & ~unknown).sum()),
            unknown=int((own & unknown).sum()),
            sure_and_wrong=int((own & ~right & ~control[named] & sure & ~unknown).sum()),
            all_clear=int((own & cleared & ~unknown).sum()),
            accused=int((own & ~cleared & ~unknown).sum()),
            in_set=int((own & held).sum()),
            few=int((own & held & (not_ruled_out.sum(1) <= FEW) & ~unknown).sum()),
        )
    return {
        "n": len(unknown),
        "dimensions": {name: _confusion(decision, name, answer, truth) for name in decision.marginals},
        "tallies": tallies,
        "numbers": _numbers(decision, answer, truth),
        "another": _another(decision, answer, truth),
        "detectors": _detectors(decision, answer, true_families == without, is_control, right, sure) if without else {},
    }


def _confusion(decision: Decision, dimension: str, answer: Prediction, truth: Truth) -> Confusion:
    """What the images were named; all controls are one name, and so are all victims that are not known."""
    row, marginal = DIMENSIONS[dimension], decision.marginals[dimension]
    controls = {row.name_of(entry) for entry in (*decision.entries.values(), *truth.entries) if entry.control}
    called = [CONTROL if name in controls else name for name in marginal.classes_]
    names = list(dict.fromkeys(called))
    of_set = [CONTROL if entry.control else row.name_of(entry) for entry in truth.entries]
    if dimension == "victim":
        of_set = [name if name in names else ANOTHER for name in of_set]
    truths = list(dict.fromkeys(of_set))
    places = np.array([truths.index(name) for name in of_set])[truth.of]
    log_proba = decision.log_proba(dimension, answer)
    likeliest = log_proba.argmax(1).numpy()
    named = np.array([names.index(name) for name in called])[likeliest]
    size = max(len(truths), len(names))
    counts = confusion_matrix(places, named, size)[: len(truths), : len(names)]
    own = [row.name_of(entry) for entry in truth.entries]
    labels = np.array([marginal.classes_.index(name) if name in marginal.classes_ else -1 for name in own])[truth.of]
    known = torch.from_numpy(labels >= 0)
    ece = 0.0
    if known.any():
        labels_known = torch.from_numpy(labels)[known]
        ece = measure_calibration(log_proba[known], labels_known, marginal.temperature).ece
    return Confusion(truths=truths, names=names, counts=counts.tolist(), ece=ece)


def _numbers(decision: Decision, answer: Prediction, truth: Truth) -> list[NumberScore]:
    attributor = decision.attributor.trunk
    if not isinstance(attributor, Factored):
        return []
    scores = []
    estimates = attributor.estimates(answer.features)
    for head in attributor.layout_.heads:
        family, norm = attributor.layout_.attacks[head.attack]
        mine = np.array([(entry.family, entry.norm) == (family, norm) for entry in truth.entries])[truth.of]
        drawn = truth.parameters.get(head.name, np.full(len(mine), np.nan))
        fixed = np.array([_number(entry.setting.get(head.name)) for entry in truth.entries])[truth.of]
        values = np.where(np.isnan(drawn), fixed, drawn)
        rows = np.flatnonzero(mine & ~np.isnan(values))
        if not len(rows):
            continue
        value, low, high = (part.numpy()[rows] for part in estimates[family, norm, head.name])
        values = values[rows]
        shown = np.linspace(0, len(rows) - 1, min(SHOWN_POINTS, len(rows))).astype(int)
        positive = (values > 0) & (value > 0)
        scores.append(
            NumberScore(
                family=family,
                norm=norm,
                parameter=head.name,
                n=len(rows),
                relative=float(np.median(np.abs(value - values) / np.maximum(np.abs(values), 1e-12))),
                log10=float(np.abs(np.log10(value[positive] / values[positive])).mean()) if positive.any() else 0.0,
                covered=float(((low <= values) & (values <= high)).mean()),
                width=float(np.median(head.share_between(torch.from_numpy(low), torch.from_numpy(high)).numpy())),
                points=[(float(values[one]), float(value[one])) for one in shown],
            )
        )
    return scores


def _number(value: object) -> float:
    return value if isinstance(value, float) else float("nan")  # the text of a range is no number


def _another(decision: Decision, answer: Prediction, truth: Truth) -> float | None:
    """How well the likeliest victim's probability tells attacked images of unknown victims from held-out known ones."""
    if "victim" not in decision.marginals:
        return None
    names = decision.marginals["victim"].classes_
    attacks = torch.tensor([name != NO_VICTIM for name in names])
    strange = np.array([entry.victim not in names and not entry.control for entry in truth.entries])[truth.of]
    held = decision.attributor.held_out_
    of_attack = ~decision.is_control[held.labels]
    if not strange.any() or not of_attack.any():
        return None
    known = decision.log_proba("victim", Prediction(held.log_proba[of_attack], held.features[of_attack]))
    asked = decision.log_proba("victim", answer)
    surest = [own[:, attacks].log_softmax(1).amax(1).numpy() for own in (known, asked)]
    ours, theirs = surest[0], surest[1][strange]
    return float(mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs)))


def _detectors(
    decision: Decision,
    answer: Prediction,
    left_out: NDArray[np.bool_],
    is_control: NDArray[np.bool_],
    right: NDArray[np.bool_],
    sure: NDArray[np.bool_],
) -> dict[str, OpenSet]:
    """Measure every novelty score on one family that was left out against the attacks that were not."""
    known = ~left_out & ~is_control
    if not left_out.any() or not known.any():
        return {}
    measured = {}
    for name, detector in DETECTORS.items():
        score = detector.fit(decision.attributor.held_out_, decision.is_control)(answer).numpy()
        measured[name] = measure_open_set(score[known], right[known], score[left_out], sure[left_out])
    return measured
