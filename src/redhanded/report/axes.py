"""The tables of a study with axes, made from its records without text or drawing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot
from statistics import fmean
from typing import NamedTuple

from redhanded.attacks import LogUniform, family_named
from redhanded.attributors import ATTRIBUTORS
from redhanded.core import wilson_interval
from redhanded.data import PIXELS, Pixels
from redhanded.report.paper import rank
from redhanded.report.run import Records
from redhanded.report.tables import Protocol
from redhanded.sets import SetCard
from redhanded.studies import KNOWN, AxisResult, NumberScore

EVERYTHING = "everything"  # the axis in which all differs at once, where a study has one

Trainings = tuple[float, ...]  # a number, once for each training of an attributor; empty where it was not measured
Parameter = tuple[str, str, str]  # family, norm and name of a parameter


class Fate(NamedTuple):
    """A row of `FATES`: what may become of an image, end to end."""

    title: str  # at the head of a column
    of_controls: bool  # whether it is a fate of controls; else of attacks


FATES: dict[str, Fate] = {  # by the name of the count in a Tally
    "relied_on": Fate("relied on", False),
    "unknown": Fate("unknown", False),
    "sure_and_wrong": Fate("sure and wrong", False),
    "all_clear": Fate("false all-clear", False),
    "accused": Fate("false alarm", True),
    "in_set": Fate("in the set", False),
    "few": Fate("in a set of three", False),
}


class Recall(NamedTuple):
    """The mean of the recalls of all true names, each counting the same."""

    each: Trainings
    interval: tuple[float, float]
    loss: float | None  # of the same names, `known` less this; None where nothing is to be compared


@dataclass(frozen=True)
class AxisLine:
    """What one attributor answered along one axis."""

    title: str
    records: tuple[AxisResult, ...]  # one a training
    recalls: dict[str, Recall]  # by dimension; without those in which no true name is known
    fates: dict[str, Trainings]

    @property
    def first(self) -> AxisResult:
        """The record of the first training."""
        return self.records[0]

    @property
    def another(self) -> Trainings:
        """AUROC of attacked victims that are not known against those that are."""
        return tuple(one.another for one in self.records if one.another is not None)

    @cached_property
    def numbers(self) -> dict[Parameter, NumberScore]:
        """How well each parameter is estimated: means over the trainings, the points those of the first."""
        scores: dict[Parameter, list[NumberScore]] = defaultdict(list)
        for score in (score for one in self.records for score in one.numbers):
            scores[score.family, score.norm, score.parameter].append(score)
        measures = ("relative", "log10", "covered", "width")
        return {
            key: own[0].model_copy(update={name: fmean(getattr(one, name) for one in own) for name in measures})
            for key, own in scores.items()
        }


class LeftOut(NamedTuple):
    """What becomes of a family that was kept from an attributor's training, and of what was not."""

    family: str
    record: AxisResult
    chosen: str | None  # the detector with the highest mean AUROC on the other families that were left out
    fates: dict[str, float]  # shares of the family's images
    likeliest: str  # what most of its images are named
    likeliest_share: float
    refused: float  # share of the attacks that were trained on and are called unknown, each family counting the same
    refused_controls: float | None  # the same of the controls

    @property
    def auroc(self) -> float | None:
        """Of the chosen detector on this family, which took no part in the choice."""
        return None if self.chosen is None else self.record.detectors[self.chosen].auroc


@dataclass(frozen=True)
class AxisSection:
    """All that one attributor answered under one protocol."""

    protocol: Protocol
    lines: tuple[AxisLine, ...]  # `known` first, then the order of the study
    left_out: tuple[LeftOut, ...]

    @property
    def known(self) -> AxisLine | None:
        """What the training was like."""
        return next((line for line in self.lines if line.first.axis == KNOWN), None)

    @property
    def hardest(self) -> AxisLine:
        """The axis in which everything differs, else the last whose sets the training was not told to leave out."""
        lines = [line for line in self.lines if not line.first.without] or list(self.lines)
        return next((line for line in lines if line.first.axis == EVERYTHING), lines[-1])

    @property
    def numbered(self) -> list[AxisLine]:
        """The axes along which parameters are estimated."""
        return [line for line in self.lines if line.numbers]

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters that are estimated along some axis."""
        return list(dict.fromkeys(key for line in self.lines for key in line.numbers))

    @property
    def detectors(self) -> list[str]:
        """The detectors that were measured on families left out."""
        return list(dict.fromkeys(name for one in self.left_out for name in one.record.detectors))

    def aurocs(self, detector: str) -> list[float]:
        """The AUROC of a detector on each family left out that it was measured on."""
        measured = [one.record.detectors for one in self.left_out]
        return [of_family[detector].auroc for of_family in measured if detector in of_family]

    @property
    def chosen_aurocs(self) -> list[float]:
        """The AUROC on each family left out of the detector that the others chose."""
        return [one.auroc for one in self.left_out if one.auroc is not None]


def build_axis_sections(records: Records) -> list[AxisSection]:
    """Build a section for each pixel protocol, source, attributor and knowledge, in the order of their rows."""
    through: dict[str, Pixels | None] = {KNOWN: None}  # axis -> what its images go through; in the study's order
    for axis in records.run.study.get("axes", ()):
        through |= {f"{axis['name']}-{name}": name for name in axis["pixels"]} or {axis["name"]: None}
    groups: dict[Protocol, list[AxisResult]] = defaultdict(list)
    for one in records.axes:
        groups[Protocol(one.pixels, one.source, one.attributor, one.knowledge)].append(one)
    return [
        _section(protocol, sorted(groups[protocol], key=lambda one: (rank(one.axis, through), one.without)), through)
        for protocol in sorted(
            groups, key=lambda own: (rank(own.pixels, PIXELS), own.source, rank(own.attributor, ATTRIBUTORS))
        )
    ]


def best_sections(sections: Iterable[AxisSection]) -> list[AxisSection]:
    """Of each source, pixel protocol and knowledge the attributor with the highest recall of families on `known`."""
    best: dict[tuple[str, ...], AxisSection] = {}

    def recall(section: AxisSection) -> float:
        found = section.known.recalls.get("family") if section.known else None
        return fmean(found.each) if found else -1.0

    for section in sections:
        pixels, source, _, knowledge = section.protocol
        one = best.setdefault((pixels, source, knowledge), section)
        if recall(section) > recall(one):
            best[pixels, source, knowledge] = section
    return list(best.values())


def logarithmic(cards: Iterable[SetCard]) -> set[Parameter]:
    """The parameters that are drawn on a logarithmic scale, by what the cards of their sets say."""
    return {
        (family_named(card.family), card.norm, name)
        for card in cards
        for name, value in card.setting.items()
        if str(value).startswith(f"{LogUniform.name}(")
    }


def mean_recall(record: AxisResult, dimension: str, only: Iterable[str] | None = None) -> float | None:
    """Mean recall of the true names that are known, of `only` these where given; None where there is none."""
    recalls = record.dimensions[dimension].recalls() if dimension in record.dimensions else {}
    names = recalls.keys() if only is None else [name for name in only if name in recalls]
    shares = [recalls[name][0] / recalls[name][1] for name in names if recalls[name][1]]
    return fmean(shares) if shares else None


def fate(record: AxisResult, name: str, without: str = "") -> float | None:
    """Mean over the families, or over the controls, of the share that has this fate; without: a family not counted."""
    shares = [
        getattr(tally, name) / tally.n
        for family, tally in record.tallies.items()
        if tally.n and family != without and _is_control(record, family) == FATES[name].of_controls
    ]
    return fmean(shares) if shares else None


def _is_control(record: AxisResult, family: str) -> bool:
    """Whether a family of the tallies is a control: these have one name in a confusion, and it is not theirs."""
    return family not in record.dimensions["family"].truths


def _section(protocol: Protocol, records: Sequence[AxisResult], through: Mapping[str, Pixels | None]) -> AxisSection:
    groups: dict[tuple[str, str], list[AxisResult]] = defaultdict(list)
    for one in sorted(records, key=lambda one: one.seed):
        groups[one.axis, one.without].append(one)
    known = groups.get((KNOWN, ""), [])
    order = dict.fromkeys((one.axis, one.without) for one in records)
    lines = [
        _line(_title(groups[key], groups, through), groups[key], known)
        for key in order
        if key[0] != KNOWN or not key[1]
    ]
    families = [one for one in records if one.axis == KNOWN and one.without]
    return AxisSection(protocol, tuple(lines), tuple(_left_out(one, families) for one in families))


def _title(
    records: Sequence[AxisResult], groups: Iterable[tuple[str, str]], through: Mapping[str, Pixels | None]
) -> str:
    first = records[0]
    pixels = through.get(first.axis)
    title = first.title if pixels is None else f"{first.title}: {PIXELS[pixels].title}"
    if first.without:
        return f"{title}, held out"
    if any(axis == first.axis and without for axis, without in groups) and first.axis != KNOWN:
        return f"{title}, trained on as well"
    return f"{title} (strangers asked)" if first.strangers else title


def _line(title: str, records: Sequence[AxisResult], known: Sequence[AxisResult]) -> AxisLine:
    dimensions = {name: _recall(records, name, known) for name in records[0].dimensions}
    return AxisLine(
        title=title,
        records=tuple(records),
        recalls={name: recall for name, recall in dimensions.items() if recall is not None},
        fates={
            name: tuple(share for one in records for share in [fate(one, name)] if share is not None) for name in FATES
        },
    )


def _recall(records: Sequence[AxisResult], dimension: str, known: Sequence[AxisResult]) -> Recall | None:
    """Mean recall of each training, its interval, and the loss against the trainings of the same seeds on `known`.

    The interval covers the draw of the images: Wilson's of each name, put together as Zou and Donner do, "Construction
    of confidence limits about effect measures", Statistics in Medicine 27, 2008. Of one name it is Wilson's.
    """
    each = tuple(mean for one in records for mean in [mean_recall(one, dimension)] if mean is not None)
    if not each:
        return None
    recalls = [one.dimensions[dimension].recalls() for one in records]
    below, above = [], []
    for name, (_, n) in recalls[0].items():
        if n:
            right = round(fmean(own[name][0] for own in recalls))
            low, high = wilson_interval(right, n)
            below.append(right / n - low)
            above.append(high - right / n)
    mean = fmean(each)
    interval = max(0.0, mean - hypot(*below) / len(below)), min(1.0, mean + hypot(*above) / len(above))
    differences = []
    for one in records if known is not records else ():
        for other in (other for other in known if other.seed == one.seed and dimension in other.dimensions):
            names = recalls[0].keys() & other.dimensions[dimension].recalls().keys()
            here, there = (mean_recall(record, dimension, names) for record in (one, other))
            if here is not None and there is not None:
                differences.append(there - here)
    return Recall(each, interval, fmean(differences) if differences else None)


def _left_out(record: AxisResult, every: Sequence[AxisResult]) -> LeftOut:
    tally, confusion = record.tallies.get(record.without), record.dimensions["family"]
    named = dict(zip(confusion.truths, confusion.counts, strict=True)).get(record.without, [0] * len(confusion.names))
    most = max(range(len(named)), key=named.__getitem__)
    controls = [own.unknown / own.n for name, own in record.tallies.items() if own.n and _is_control(record, name)]
    others = [one.detectors for one in every if one.seed == record.seed and one.without != record.without]
    others = [detectors for detectors in others if detectors]
    # A detector is chosen by families that are not this one: what it comes to on this one is no luck of the choice.
    means = {
        name: fmean(detectors[name].auroc for detectors in others)
        for name in (record.detectors if others else ())
        if all(name in detectors for detectors in others)
    }
    return LeftOut(
        family=record.without,
        record=record,
        chosen=max(means, key=means.__getitem__) if means else None,
        fates={name: getattr(tally, name) / tally.n for name in FATES} if tally and tally.n else {},
        likeliest=confusion.names[most],
        likeliest_share=named[most] / max(sum(named), 1),
        refused=fate(record, "unknown", without=record.without) or 0.0,
        refused_controls=fmean(controls) if controls else None,
    )
