"""What every attributor is: `fit(samples) -> self`, `predict_log_proba(samples) -> (n, k)`, `classes_`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from torch import Tensor

from redhanded.attributors.calibration_set import CalibrationSet
from redhanded.attributors.layout import Layout
from redhanded.core import Record, read_record, write_record
from redhanded.errors import RunError, first_problem
from redhanded.sets import Samples

Knowledge = Literal["blind", "candidates", "oracle"]


class AttributorCard(Record):
    """What is stored beside an attributor's weights."""

    kind: str
    settings: dict[str, Any]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # of an image
    channels: int = Field(ge=1)  # of what the network sees
    seed: int
    attempts: int
    collapsed: bool
    files: dict[str, str]  # beside the card: name -> SHA-256
    powers: tuple[Annotated[float, Field(ge=0, le=100)], ...] = ()  # fitted for its parts, where it joins several
    # What its classes are made of, where it knows; left out elsewhere, so that other cards are as they were.
    layout: Layout | None = Field(None, exclude_if=lambda layout: layout is None)

    @model_validator(mode="after")
    def _layout_is_of_the_classes(self) -> Self:
        if self.layout is not None and len(self.layout.attack_of) != len(self.classes):
            raise ValueError("a layout of other classes")
        return self


class AttributorKind(NamedTuple):
    """A row of `ATTRIBUTORS`."""

    attributor: type[Any]  # called as attributor(settings, seed)
    settings: type[BaseModel]
    summary: str
    paper: str
    version: int = 1  # raised when fitting gives another attributor: it is fitted again
    whole: bool = False  # fitted once on all sets of a study; a question's answer is a marginal
    parts: tuple[str, ...] = ()  # what it joins, each of them whole


class Prediction(NamedTuple):
    """The log probabilities that an attributor gives n images, and the features that they come from."""

    log_proba: Tensor  # (n, classes) natural logarithms of probabilities
    features: Tensor  # (n, f) what its last layer sees, or that of the first of its parts


class Attributor(ABC):
    """Names the class of an adversarial image; learned names end in an underscore."""

    kind: ClassVar[str]
    knowledge: ClassVar[Knowledge]

    settings: BaseModel
    seed: int
    classes_: tuple[str, ...]
    shape_: tuple[int, int, int]
    attempts_: int
    collapsed_: bool
    held_out_: CalibrationSet
    layout_: Layout | None = None

    @abstractmethod
    def fit(self, samples: Samples) -> Self:
        """Learn from labelled samples; every class must occur."""

    @abstractmethod
    def answer(self, samples: Samples) -> Prediction:
        """The probabilities of the classes, in the order of `classes_`, and the features they are made from."""

    def _write_card(self, folder: Path, channels: int, files: dict[str, str], powers: tuple[float, ...] = ()) -> None:
        """Write `card.json`, which says that everything beside it is there."""
        card = AttributorCard(
            kind=self.kind,
            settings=self.settings.model_dump(),
            classes=self.classes_,
            shape=self.shape_,
            channels=channels,
            seed=self.seed,
            attempts=self.attempts_,
            collapsed=self.collapsed_,
            powers=powers,
            layout=self.layout_,
            files=files,
        )
        write_record(card, folder / "card.json")

    @property
    def trunk(self) -> "Attributor":
        """The attributor whose features the answer is made from: itself, unless it was made of another."""
        return self

    @classmethod
    def parts_of(cls, card: AttributorCard) -> Mapping[str, str]:
        """What its own folder holds whole attributors in: folders below it, and the kind of each; none of a network."""
        return {}

    def predict_log_proba(self, samples: Samples) -> Tensor:
        """Natural logarithm of each class's probability, (n, classes), in the order of `classes_`."""
        return self.answer(samples).log_proba

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the attributor as safetensors and a JSON card."""

    @classmethod
    @abstractmethod
    def from_card(cls, card: AttributorCard, folder: Path) -> Self:
        """Read what `save` wrote."""

    @staticmethod
    def load(folder: Path) -> "Attributor":
        """Read an attributor of any kind; raises RunError where files are missing, damaged or do not agree."""
        from redhanded.attributors.table import ATTRIBUTORS

        path = Path(folder) / "card.json"
        card = read_record(AttributorCard, path)
        if card.kind not in ATTRIBUTORS:
            raise RunError(f"expected an attributor of {', '.join(ATTRIBUTORS)} in {path}, found {card.kind!r}")
        try:
            return ATTRIBUTORS[card.kind].attributor.from_card(card, Path(folder))
        except ValidationError as error:
            problem = first_problem(error, "settings")
            raise RunError(f"expected settings of {card.kind} in {path}, found: {problem}") from None
