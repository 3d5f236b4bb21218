"""What an analyst gets: one verdict for each image, or for several images of one actor."""

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from redhanded.attributors import Knowledge
from redhanded.core import Record
from redhanded.data import Pixels

# Of docs/reference/verdict.schema.json: raised with every name, type or meaning that changes.
VERDICT_VERSION: Final = 4
Form = Literal["float", "8-bit", "lossy"]


class Alternative(Record):
    """One name that a dimension may have."""

    name: str
    probability: float = Field(ge=0, le=1, description="calibrated, the analyst's prior included")
    words: str = Field(description='of ICD 203, e.g. "very likely"; empty where the verdict says unknown')


class Finding(Record):
    """What is said of one dimension."""

    ranked: list[Alternative] = Field(description="most probable first; probabilities sum to 1")
    prediction_set: list[str] = Field(
        description="the names that cannot be ruled out at `coverage`; none: not like anything known"
    )
    coverage: float = Field(description="share of known images whose true name is in such a set")
    likelihood_ratio: float | None = Field(
        description="of the first name over the second, without the prior; None where there is one name"
    )
    measured: float | None = Field(
        description="accuracy on test images under this pixel protocol and knowledge; None where not measured"
    )


class Estimate(Record):
    """A parameter of the likeliest attack as a number."""

    parameter: str = Field(description='e.g. "eps"')
    value: float = Field(description="the median of its distribution, over the known settings or over a range")
    low: float = Field(description="90 % of the probability lies between")
    high: float
    readable: bool = Field(
        description="whether these say more than what is known before any image is seen, the settings or their range"
    )

    def text(self, images: str) -> str:
        """The parameter with its value and interval, or that it cannot be read from what `images` names."""
        if not self.readable:
            return f"{self.parameter} cannot be read from {images}"
        return f"{self.parameter} about {self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


class Fingerprint(Record):
    """A trace that was looked for in the pixels."""

    name: str
    count: int
    of: int
    meaning: str


class Neighbour(Record):
    """A known adversarial image whose features are close to those of the image."""

    example: int = Field(description="its place in the bundle: among its examples, or its held-out answers")
    name: str = Field(description='of its set, e.g. "vgg16/fgsm-l2-eps=1.0"')
    distance: float = Field(description="Euclidean, in deviations of the features")


class Condition(Record):
    """The condition of the evidence."""

    file_format: str = Field(description='"PNG", "JPEG", "NPY", ...; "array" for one that was handed over in memory')
    form: Form
    pixels: Pixels = Field(description="the protocol whose calibration was used")
    remarks: list[str] = Field(description="what the calibration does not cover")


class Verdict(Record):
    """Which attack made the image, as far as the bundle can tell."""

    schema_version: Literal[4] = Field(VERDICT_VERSION, description="of this schema; raised with every change of it")
    name: str = Field(description="the file as it was named, or the names of several")
    files: list[str] = Field(description="of each input, the file that it came from, without the place in an array")
    sha256: list[str] = Field(description="of each of them as received")
    bundle: str = Field(description="that was asked: the name of its study, and the SHA-256 of its card")
    images: int = Field(1, description="whose evidence was added")
    knowledge: Knowledge = Field(description='"oracle": the clean reference was given and the true perturbation used')
    condition: Condition
    prior: dict[str, float] = Field(description="of the families, as the analyst gave it; empty: equal")
    unknown: str = Field("", description="why no name is given; empty where nothing speaks against it")
    ood_quantile: float = Field(
        description="share of known images with a smaller novelty score; near 1: out of distribution"
    )
    findings: dict[str, Finding] = Field(
        description='by dimension: "adversarial", "kind", "family", "norm", "victim", "setting", "toolchain"'
    )
    estimates: list[Estimate]
    fingerprints: list[Fingerprint]
    nearest: list[Neighbour]

    @model_validator(mode="after")
    def _is_not_sure_of_what_is_unknown(self) -> Self:
        if self.unknown and any(one.words for finding in self.findings.values() for one in finding.ranked):
            raise ValueError("a verdict that says unknown, and how likely its names are")
        return self

    def as_unknown(self, reason: str) -> Self:
        """The verdict as one that names nothing: what it would have named is only what the image resembles most."""
        findings = {
            dimension: finding.model_copy(
                update={"ranked": [one.model_copy(update={"words": ""}) for one in finding.ranked]}
            )
            for dimension, finding in self.findings.items()
        }
        return self.model_copy(update={"unknown": reason, "findings": findings})

    @property
    def standing(self) -> str:
        """What the first name of a dimension is to the image: its likeliest, or what it resembles most."""
        return "resembles most" if self.unknown else "likeliest"

    @property
    def numbers(self) -> list[str]:
        """The estimates as text, e.g. `eps about 0.03 (0.02 to 0.05)`; none where the attack is unknown."""
        images = "this image" if self.images == 1 else "these images"
        return [] if self.unknown else [one.text(images) for one in self.estimates]

    @property
    def summary(self) -> str:
        """One line for a log: the first name of each dimension with its words, or what the image resembles most."""
        firsts = [finding.ranked[0] for finding in self.findings.values()]
        if self.unknown:
            return f"unknown; {self.standing} {', '.join(one.name for one in firsts)}"
        return ", ".join(f"{one.name} ({one.words})" for one in firsts)


class Failure(Record):
    """An input that could not be used."""

    name: str
    error: str = Field(description="one line: what was expected, what was found, what to do")
    sha256: str | None = Field(None, description="of the bytes as received; None where not all of them could be had")
