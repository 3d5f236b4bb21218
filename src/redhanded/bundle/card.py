"""The card of a bundle: the records that say what it holds."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from redhanded.attributors import Knowledge
from redhanded.core import Record
from redhanded.data import Pixels
from redhanded.models import VictimCard
from redhanded.studies import Name, SetEntry

FORMAT = 3  # of the bundle; another one is refused
Side = Annotated[int, Field(ge=16, le=64)]  # of an image, pixels


def _ascending(values: list[float]) -> list[float]:
    if any(before > after for before, after in pairwise(values)):
        raise ValueError("quantiles that do not ascend")
    return values


Quantiles = Annotated[list[float], Field(min_length=2, max_length=1001), AfterValidator(_ascending)]


class Measured(Record):
    """The accuracy and calibration of one dimension on test images, every class counting the same."""

    model_config = ConfigDict(allow_inf_nan=False)

    accuracy: float
    ece: float
    n: int  # images
    classes: int


class Part(Record):
    """An attributor of the bundle, and what was measured of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    folder: str  # below the bundle
    attributor: str
    knowledge: Knowledge
    pixels: Pixels
    measured: dict[str, Measured]  # by dimension
    temperatures: dict[str, Annotated[float, Field(ge=0.01, le=100)]]  # by dimension, fitted on the held-out answers
    usual: Quantiles  # of the novelty scores of known test images, in hundredths: 101 of them


class Example(Record):
    """A known adversarial image."""

    name: Name  # of its set
    index: int  # in the test split of the source


class TaughtFamily(Record):
    """A family that the bundle was taught when it was there already."""

    name: Name  # of its set
    images: dict[str, Annotated[int, Field(ge=1)]]  # how many an attributor learned from, by its folder
    sha256: list[str] = Field(max_length=10_000)  # of the files that they came from


class BundleCard(Record):
    """`bundle.json`: everything that a bundle is, and the SHA-256 of every other file in it."""

    format: int
    version: str  # of Redhanded
    study: dict[str, Any]  # the resolved study
    commit: str
    source: str
    shape: tuple[Literal[1, 3], Side, Side]  # of an image: channels, height, width
    sets: dict[Name, SetEntry] = Field(max_length=1000)
    parts: list[Part] = Field(min_length=1)
    victims: list[VictimCard]
    victims_inside: bool  # whether their weights are in the bundle
    examples: list[Example] = Field(max_length=5000)  # none where they were left out
    half: bool = False  # whether attributors' weights and held-out answers are stored in 16 bits
    half_victims: bool = False  # whether the victims' weights are
    files: dict[str, str]  # path below the bundle -> SHA-256
    limits: list[str]
    # Left out where nothing was taught, so that other cards are as they were.
    taught: list[TaughtFamily] = Field([], max_length=1000, exclude_if=lambda taught: not taught)
