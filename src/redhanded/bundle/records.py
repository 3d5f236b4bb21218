"""What a bundle holds, as its card says it."""

from typing import Any

from pydantic import ConfigDict, Field

from redhanded.results import Knowledge, Pixels, Record, VictimCard

FORMAT = 1  # of the bundle; another one is refused


class SetEntry(Record):
    """One adversarial set that the bundle's attributors tell apart."""

    victim: str  # "none" of a control
    family: str
    norm: str
    setting: dict[str, float]
    label: str  # of the attack, without the victim
    toolchain: str
    control: bool


class Measured(Record):
    """How well a dimension was named on test images, every class counting the same."""

    model_config = ConfigDict(allow_inf_nan=False)

    accuracy: float
    ece: float
    n: int  # images
    classes: int


class Part(Record):
    """One attributor of the bundle, and what was measured of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    folder: str  # below the bundle
    attributor: str
    knowledge: Knowledge
    pixels: Pixels
    measured: dict[str, Measured]  # by dimension
    usual: list[float]  # strangeness of test images of what is known, in hundredths: 101 quantiles


class Example(Record):
    """A known adversarial image."""

    name: str  # of its set
    index: int  # in the test split of the source


class BundleCard(Record):
    """`bundle.json`: everything that a bundle is, and the SHA-256 of every other file in it."""

    format: int
    version: str  # of Redhanded
    study: dict[str, Any]  # the resolved study
    commit: str
    source: str
    shape: tuple[int, int, int]  # of an image: channels, height, width
    sets: dict[str, SetEntry]
    parts: list[Part] = Field(min_length=1)
    victims: list[VictimCard]
    victims_inside: bool  # whether their weights are in the bundle
    examples: list[Example]
    files: dict[str, str]  # path below the bundle -> SHA-256
    limits: list[str]
