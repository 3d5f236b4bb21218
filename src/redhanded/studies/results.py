"""The records of a study's results: the only source of every table, figure and page."""

from typing import Literal

from pydantic import Field

from redhanded.attributors import Calibration, Knowledge, OpenSet
from redhanded.core import Outcome, Record
from redhanded.data import Pixels

Status = Literal["measured", "collapsed", "too few images"]


class ClassScore(Record):
    """The accuracy of one class of a question."""

    correct: int
    total: int
    accuracy: float
    interval: tuple[float, float]


class SizeBin(Record):
    """The accuracy on test images whose perturbations are of one size, equally many of each class."""

    low: float  # L2
    high: float
    n: int
    correct: int


class Pooled(Record):
    """Actors named from several images of one set, whose log-likelihoods are added."""

    images: int  # of each actor
    n: int  # actors
    correct: int


class Result(Outcome):
    """The answers of one attributor to one question under one pixel protocol, measured."""

    study: str
    source: str
    question: str  # e.g. "algorithm-l2/alexnet"
    item: str  # the paper's table or figure it belongs to, e.g. "table3"
    row: str
    column: str
    attributor: str
    knowledge: Knowledge
    pixels: Pixels
    seed: int
    status: Status
    classes: list[str]
    sets: dict[str, list[str]]  # class -> "victim/attack label" of every set in it
    design: Literal["paired", "equal"]
    n_train: int  # images a class
    n_test: int
    chance: float
    accuracy: float | None
    interval: tuple[float, float] | None
    p_value: float | None  # against chance, exact binomial, before the correction over its table
    per_class: dict[str, ClassScore]
    confusion: list[list[int]]  # rows: true class
    top3: float | None = None  # share of images whose class is among the three likeliest
    calibration: Calibration | None = None
    # Of classes with one distribution of sizes; empty where they have no size in common.
    by_size: list[SizeBin] = Field([])
    pooled: Pooled | None = None
    # Of features, class by class, equally many of each, where asked for.
    projection: list[tuple[float, float]] = Field([])
    attempts: int  # trainings until one did not collapse
    key: str = ""  # names the folder of the attributor in the run; empty where none was fitted


class Unknown(Outcome):
    """Open-set detection of a family that was left out of the training of an attributor."""

    study: str
    source: str
    family: str
    attributor: str
    knowledge: Knowledge
    pixels: Pixels
    seed: int
    n_known: int  # test images, equally many of each set
    n_unknown: int
    closed_accuracy: float  # of the family, among the known
    detectors: dict[str, OpenSet]
