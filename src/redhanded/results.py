"""The records a run leaves behind: the only source of every table, figure and page."""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from redhanded.errors import RunError

Pixels = str  # a key of `redhanded.views.PIXELS`
Knowledge = Literal["blind", "candidates", "oracle"]
Status = Literal["measured", "collapsed", "too few images"]
NO_VICTIM = "none"  # whose gradients a control follows
R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """A frozen JSON record; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(Record):
    """What a step of a study records; whoever stores it says under what it was made."""

    seconds: float
    environment: dict[str, str] = {}  # versions of the libraries and the processor's instructions


class VictimCard(Outcome):
    """How a victim was trained and how good it is."""

    name: str  # within the study, e.g. "alexnet"
    architecture: str
    width: float
    source: str
    source_digest: str
    seed: int
    classes: int
    shape: tuple[int, int, int]  # channels, height, width
    parameters: int
    training: dict[str, Any]
    accuracy: float  # on the source's whole test split
    n_test: int
    interval: tuple[float, float]
    weak_below: float
    weights_digest: str

    @property
    def too_weak(self) -> bool:
        """Whether this victim misses the accuracy below which attacking it says little."""
        return self.accuracy < self.weak_below


class SetCard(Outcome):
    """What one attack made of one victim's images, on one split, in numbers."""

    victim: str
    family: str
    norm: str
    setting: dict[str, float]
    attack: str  # the specification in full
    label: str
    split: Literal["train", "test"]
    n_images: int  # images tried, the victim's own errors included
    n_attacked: int  # of these, rightly classified before the attack
    n_success: dict[Pixels, int]  # still fooling the victim under each pixel protocol that was measured
    median_l2: float  # over the successes in float32; 0 where there are none
    median_linf: float
    mean_steps: float

    def success(self, pixels: Pixels) -> float:
        """Share of the attacked images that fool the victim under a pixel protocol."""
        return self.n_success[pixels] / self.n_attacked if self.n_attacked else 0.0


class ClassScore(Record):
    """One class of a question: how many of its images were named rightly."""

    correct: int
    total: int
    accuracy: float
    interval: tuple[float, float]


class ReliabilityBin(Record):
    """Answers of nearly one confidence: how many, how sure on average, and how many of them right."""

    n: int
    confidence: float
    accuracy: float


class Calibration(Record):
    """What probabilities are worth, on the test images."""

    temperature: float  # fitted on source images that were held out of the training split
    ece: float  # expected calibration error of the named class, bins of a tenth
    brier: float  # mean squared error of the probabilities, summed over the classes: 0 to 2
    cllr: float  # log-likelihood-ratio cost: cross-entropy over that of no answer; 0 at best, 1 says nothing
    reliability: list[ReliabilityBin]


class SizeBin(Record):
    """Test images whose perturbations are of one size, equally many of each class."""

    low: float  # L2
    high: float
    n: int
    correct: int


class Together(Record):
    """Images of one actor: all of one set, their evidence added."""

    images: int  # of each actor
    n: int  # actors
    correct: int


class Result(Outcome):
    """One question, asked of one attributor under one pixel protocol."""

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
    by_size: list[SizeBin] = []  # of classes with one distribution of sizes; empty where they have no size in common
    together: Together | None = None
    projection: list[tuple[float, float]] = []  # of features, class by class, equally many of each, where asked for
    attempts: int  # trainings until one did not collapse
    key: str = ""  # names the folder of the attributor in the run; empty where none was fitted


class OpenSet(Record):
    """How well one score of strangeness tells attacks that were learned from one that was not."""

    auroc: float
    fpr95: float  # share of the unknown among what passes where 95 % of the known pass
    oscr: float  # area under the open-set classification rate
    sure_and_wrong: float  # share of the unknown that passes and is given a name with confidence


class Unknown(Outcome):
    """One family left out of the training of an attributor, and asked about all the same."""

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


class RunCard(Record):
    """What was run, on what, and how long it took."""

    study: dict[str, Any]  # the resolved study
    scale: str
    command: str
    version: str
    commit: str  # "unknown" outside a git checkout
    started: str  # ISO 8601, UTC
    seconds: float  # of one core, all its records added up, whichever session made them
    finished: bool
    hardware: dict[str, str]
    packages: dict[str, str]


def write_record(record: Record, path: Path) -> None:
    """Write a record whole: readers see the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_name(path.name + ".part")
    torn.write_text(record.model_dump_json(indent=1) + "\n")
    torn.replace(path)


def read_record(kind: type[R], path: Path) -> R:
    """Read a record; raises RunError where the file is missing or not such a record."""
    try:
        return validate_record(kind, path.read_bytes(), str(path))
    except FileNotFoundError:
        raise RunError(f"expected a {kind.__name__} at {path}, found no file; is this a run's directory?") from None


def validate_record(kind: type[R], content: Any, where: str) -> R:
    """Make a record of JSON, as bytes or parsed; raises RunError, which names `where`, unless it is such a record."""
    try:
        return kind.model_validate_json(content) if isinstance(content, bytes) else kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        place = place if place.isprintable() else ascii(place)  # a key of the file's own may be anything
        raise RunError(f"expected a {kind.__name__} in {where}, found: {place}: {first['msg']}") from None
