"""A verdict in sentences, with the probability words and confidence levels of ICD 203."""

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Literal

from redhanded.attacks import titles_named
from redhanded.bundle import Bundle
from redhanded.sets import NO_VICTIM
from redhanded.studies import DIMENSIONS, NORM_TITLES
from redhanded.verdicts.atlas import CRAFTED, technique_of
from redhanded.verdicts.verdict import Alternative, Verdict

# (upper bound, words), read top to bottom; at the ends the standard has no words, and certainty is never claimed.
ICD_203 = (
    (0.05, "almost no chance"),
    (0.20, "very unlikely"),
    (0.45, "unlikely"),
    (0.55, "roughly even chance"),
    (0.80, "likely"),
    (0.95, "very likely"),
    (1.00, "almost certain"),
)


def words_for(probability: float) -> str:
    """The words for a probability in [0, 1]; a bound belongs to the words below it."""
    return ICD_203[bisect_left(ICD_203, probability, key=itemgetter(0))][1]


Confidence = Literal["high", "moderate", "low"]

OPENINGS = {"almost no chance": "There is almost no chance", "roughly even chance": "There is a roughly even chance"}
# (smallest accuracy of naming the family on test images, confidence), read top to bottom.
CONFIDENCE: tuple[tuple[float, Confidence], ...] = ((0.9, "high"), (0.7, "moderate"), (0.0, "low"))
KNOWING = {
    "blind": "from the image alone",
    "candidates": "by asking the candidate victims",
    "oracle": "from the difference to the clean reference",
}


@dataclass(frozen=True)
class Judgement:
    """A verdict, and the families that are controls: of these, nothing was attacked."""

    verdict: Verdict
    controls: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, verdict: Verdict, bundle: Bundle) -> "Judgement":
        """The judgement on a verdict of a bundle, whose card tells the controls."""
        controls = frozenset(entry.family for entry in bundle.card.sets.values() if entry.control)
        return cls(verdict, controls)

    @cached_property
    def adversarial(self) -> Alternative | None:
        """The probability that the image is adversarial at all; None where the bundle has no controls."""
        finding = self.verdict.findings.get("adversarial")
        return next((one for one in finding.ranked if one.name == "adversarial"), None) if finding else None

    @property
    def attacked(self) -> bool:
        """Whether an attack was detected: the image is rather adversarial than not, and of a known kind."""
        return not self.verdict.unknown and self.adversarial is not None and self.adversarial.probability > 0.5

    def likeliest(self, dimension: str) -> Alternative | None:
        """The likeliest name that an attack has in a dimension; None where the dimension was not asked."""
        finding = self.verdict.findings.get(dimension)
        names = finding.ranked if finding else []
        return next((one for one in names if one.name not in self.controls | {NO_VICTIM}), None)

    @property
    def technique(self) -> tuple[str, float]:
        """The narrowest ATLAS technique of all families that are not ruled out, and the probability of its use."""
        finding, best = self.verdict.findings["family"], self.likeliest("family")
        left = {*finding.prediction_set, best.name if best else ""} - self.controls
        families = {one.name: one.probability for one in finding.ranked if one.name in left}
        technique = technique_of(families)
        share = self.adversarial.probability if self.adversarial else 0.0
        return technique, share if technique == CRAFTED else min(share, sum(families.values()))

    @property
    def confidence(self) -> Confidence:
        """The analytic confidence of ICD 203: how far the method can be relied upon for such an image."""
        measured = self.verdict.findings["family"].measured
        if measured is None or self.verdict.unknown or self.verdict.condition.form == "lossy":
            return "low"
        return next(word for least, word in CONFIDENCE if measured >= least)

    def sentences(self) -> list[str]:
        """The analytic statement: how likely each name is, what is not ruled out, how far that can be relied upon."""
        verdict, family = self.verdict, self.verdict.findings["family"]
        images = "the image is" if verdict.images == 1 else f"the {verdict.images} images, taken together, are"
        if verdict.unknown:
            lines = [f"No attack is named: {verdict.unknown}."]
            firsts = {name: finding.ranked[0].name for name, finding in verdict.findings.items() if name in DIMENSIONS}
            nearest = [
                f"{DIMENSIONS[name].title.lower()} {title(first)}"
                for name, first in firsts.items()
                if DIMENSIONS[name].claim is not None and first != NO_VICTIM
            ]
            lines += [f"What it resembles most, and is not said to be: {', '.join(nearest)}."] if nearest else []
        elif self.adversarial is None:
            lines = [
                f"Whether {images} adversarial was not asked, since the bundle knows no controls; supposing it is:"
            ]
        else:
            lines = [f"{_likelihood(self.adversarial)} that {images} adversarial."]
        named = self.attacked or (not verdict.unknown and self.adversarial is None)
        for dimension, row in DIMENSIONS.items() if named else ():
            best = self.likeliest(dimension)
            if best is not None and row.claim is not None:
                lines.append(f"{_likelihood(best)} that {row.claim.format(title(best.name))}.")
        if family.prediction_set and not verdict.unknown:
            names = ", ".join(title(name) for name in family.prediction_set)
            share = f"{family.coverage:.0%} of known images"
            lines.append(f"Not ruled out: {names} (such sets hold the true name for {share}).")
        if named and verdict.numbers:
            lines.append(f"Estimated parameters: {', '.join(verdict.numbers)}.")
        measured = family.measured
        tested = "was not measured" if measured is None else f"named the attack of {measured:.0%} of test images"
        basis = f"the method ({KNOWING[verdict.knowledge]}, {verdict.condition.pixels}) {tested}"
        lines.append(f"Confidence in this judgement is {self.confidence}: {basis}.")
        if verdict.condition.remarks:
            lines.append(f"Condition of the evidence: {'; '.join(verdict.condition.remarks)}.")
        if verdict.prior:
            shares = ", ".join(f"{title(name)} {share:.3g}" for name, share in verdict.prior.items())
            lines.append(f"The analyst's own prior was used: {shares}.")
        return lines


def title(name: str) -> str:
    """The name by which a sentence calls a family, a norm or another name of a finding."""
    return NORM_TITLES.get(name) or titles_named(name)


def _likelihood(one: Alternative) -> str:
    """The start of a sentence such as `It is very likely (87 %)`; certainty is never claimed."""
    share = min(99, max(1, round(100 * one.probability)))
    return f"{OPENINGS.get(one.words, f'It is {one.words}')} ({share} %)"
