"""Study specification: a TOML file, a scale and overrides become one resolved study."""

import itertools
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from redhanded.attacks import ATTACKS, AttackSpec, make_attack, parse_attack
from redhanded.attributors import ATTRIBUTORS
from redhanded.core import Record
from redhanded.data import AS_FILE, AS_LEFT, PIXELS, Pixels
from redhanded.errors import RedhandedError, StudyError, did_you_mean, expected_one_of
from redhanded.models import VICTIMS, Training, VictimSpec
from redhanded.sets import NO_VICTIM, SetRef, Split
from redhanded.studies.questions import QUESTIONS, Grid

BUILT_IN = ("quick", "mnist", "cifar10", "checkpoints", "width", "wild", "wild-mnist")


class VictimRow(Record):
    """A victim of a study; its width and training come from the scale."""

    architecture: str
    seed: int = 0
    held_out: bool = False  # attributors are asked about what was made against it, and never trained on that


class VictimSize(Record):
    """How wide a victim is and how long it learns."""

    width: float = Field(gt=0, le=4)
    training: Training = Training()


class ImageCounts(Record):
    """Source images of each split."""

    train: int = Field(ge=1)
    test: int = Field(ge=1)


class Size(Record):
    """The size of a study at one scale; counts of images are upper bounds, as a source may hold fewer."""

    train_images: int = Field(ge=1)  # source images that every attack is run on, and images a class of a question
    test_images: int = Field(ge=1)
    shard_images: int = Field(200, ge=1)  # one unit of work
    more_images: dict[str, ImageCounts] = Field({})  # families that run on more: cheap attacks that seldom succeed
    victims: dict[str, VictimSize]
    attack_budgets: dict[str, dict[str, Any]] = Field({})  # parameters of a family that are cost, not label
    attributors: dict[str, dict[str, Any]]
    unknown: tuple[str, ...] = ()  # attributors, fitted on all sets, that each family in turn is kept from
    left_out: tuple[str, ...] = ()  # victims that take no part at this scale


Spec = Annotated[
    AttackSpec,
    BeforeValidator(lambda value: parse_attack(value) if isinstance(value, str) else value),
    PlainSerializer(str),
]


class AxisCommon(Record):
    """What an axis of a study file and of a resolved study share; what is not given is as in training."""

    name: str
    title: str
    victims: tuple[str, ...] = ()
    pixels: tuple[Pixels, ...] = ()  # what images go through that were attacked for 8 bits
    source: str = ""  # pictures of another origin, called what the victim calls them
    in_turn: bool = False  # its sets are trained on as well, but for attributors that are asked about them alone
    strangers: bool = False  # the attacked victim is none of the candidates
    images: ImageCounts | None = None  # that each of its attacks runs on
    times: int = Field(1, ge=1)  # test images otherwise, in units of the study's


class Axis(AxisCommon):
    """What images may differ in from those that attributors were trained on: test sets of their own, asked alone."""

    attacks: tuple[Spec, ...] = ()


class StudyCommon(Record):
    """What a study file and a resolved study share."""

    name: str
    title: str
    source: str
    paper: Literal["mnist", "cifar10"] | None = None  # the paper's source whose tables the questions are numbered by
    seed: int = 0
    attributor_seeds: tuple[int, ...] = Field((0,), min_length=1)
    pixels: tuple[Pixels, ...] = Field((AS_LEFT, AS_FILE), min_length=1)
    questions: tuple[str, ...] = tuple(QUESTIONS)
    same_images: bool = True  # every victim is attacked on the same source images, as pairing needs
    victims: dict[str, VictimRow] = Field(min_length=1)


class Study(StudyCommon):
    """A study resolved to one scale: everything that decides its results."""

    scale: str
    size: Size
    attacks: tuple[Spec, ...]
    controls: tuple[Spec, ...] = ()
    axes: tuple[Axis, ...] = ()

    @model_validator(mode="after")
    def _names_resolve(self) -> "Study":
        _known("question", self.questions, QUESTIONS)
        _known("pixels", self.pixels, PIXELS)
        _known("architecture", (row.architecture for row in self.victims.values()), VICTIMS)
        _known("attributor", self.size.attributors, ATTRIBUTORS)
        _known("victim in size.victims", self.size.victims, self.victims)
        _known("attributor in unknown", self.size.unknown, self.size.attributors)
        _known("attributor in unknown", self.size.unknown, [name for name, row in ATTRIBUTORS.items() if row.whole])
        rows = (("attacks", False, self.attacks), ("controls", True, self.controls))
        for role, control, specs in (*rows, *(("axes.attacks", False, axis.attacks) for axis in self.axes)):
            fitting = [name for name, row in ATTACKS.items() if row.control == control]
            for spec in specs:
                if spec.family not in fitting:
                    expected = f"a family of [[{role}]] to be one of {', '.join(fitting)}"
                    raise StudyError(f"expected {expected}, found {spec.family!r}")
        _known("victim (it needs a row in size.victims)", self.victims, self.size.victims)
        for name, settings in self.size.attributors.items():
            model = ATTRIBUTORS[name].settings
            try:
                model.model_validate(settings)
            except ValidationError as error:
                raise StudyError(f"attributors.{name}: {_first_problem(error, model)}") from None
        labels: dict[str, AttackSpec] = {}
        for attack in (*self.attacks, *self.controls):  # two that differ in budget alone would be one class
            other = labels.setdefault(attack.label, attack)
            if other != attack:
                raise StudyError(f"expected attacks of different norm or setting, found {other} and {attack}")
        return self

    @model_validator(mode="after")
    def _asks_something(self) -> "Study":
        if not self.questions and not self.axes:
            raise StudyError("expected questions or axes to ask along, found neither")
        for axis in self.axes:
            _known(f"victim of the axis {axis.name}", axis.victims, self.victims)
            _known(f"pixels of the axis {axis.name}", axis.pixels, PIXELS)
        if all(row.held_out for row in self.victims.values()):
            raise StudyError("expected a victim that is trained on, found that all are held out")
        return self

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The victims that attributors are trained on."""
        return tuple(name for name, row in self.victims.items() if not row.held_out)

    @property
    def trained_sets(self) -> list[SetRef]:
        """The sets that attributors are trained on: of the controls, of the study's attacks, of the axes in turn."""
        refs = [SetRef(NO_VICTIM, attack) for attack in self.controls]
        refs += [SetRef(victim, attack) for victim in self.trained_on for attack in self.attacks]
        return refs + [
            SetRef(victim, attack)
            for axis in self.axes
            if axis.in_turn
            for victim in axis.victims or self.trained_on
            for attack in axis.attacks or self.attacks
        ]

    def images(self, family: str) -> dict[Split, int]:
        """The number of source images of each split that the attacks of a family run on."""
        size = self.size
        counts = size.more_images.get(family) or ImageCounts(train=size.train_images, test=size.test_images)
        return {"train": counts.train, "test": counts.test}

    def with_seeds(self, count: int | None) -> "Study":
        """Copy the study with so many trainings of each attributor; without a number it is returned as it is."""
        return self if count is None else self.model_copy(update={"attributor_seeds": tuple(range(count))})

    @property
    def grid(self) -> Grid:
        """The grid that the questions are built from."""
        architectures = {name: self.victims[name].architecture for name in self.trained_on}
        return Grid(self.trained_on, self.attacks, self.source, self.controls, architectures)

    def victim_spec(self, name: str) -> VictimSpec:
        """Make the specification of a victim from its row and its size."""
        row, size = self.victims[name], self.size.victims[name]
        return VictimSpec(name=name, seed=row.seed, **size.model_dump(), architecture=row.architecture)


class AxisRow(AxisCommon):
    """An axis as it stands in a file: attacks as grids."""

    attacks: tuple[dict[str, Any], ...] = ()


class StudyFile(StudyCommon):
    """A study as it stands in a file: attacks as grids, several scales."""

    attacks: tuple[dict[str, Any], ...] = Field(min_length=1)
    controls: tuple[dict[str, Any], ...] = ()  # what is no attack, and must not be named as one
    axes: tuple[AxisRow, ...] = ()
    scales: dict[str, Size] = Field(min_length=1)

    def resolve(self, scale: str | None = None) -> Study:
        """Resolve the study to one scale, the first of the file unless named."""
        chosen = scale or next(iter(self.scales))
        _known("scale", [chosen], self.scales)
        size = self.scales[chosen]
        _known("attack family in attack_budgets", size.attack_budgets, ATTACKS)
        _known("attack family in more_images", size.more_images, ATTACKS)
        specs = [spec for row in self.attacks for spec in _expand(row, size.attack_budgets)]
        controls = [spec for row in self.controls for spec in _expand(row, size.attack_budgets)]
        _known("victim in left_out", size.left_out, self.victims)
        victims = {name: row for name, row in self.victims.items() if name not in size.left_out}
        axes = []
        for axis in self.axes:
            present = tuple(name for name in axis.victims if name not in size.left_out)
            if present or not axis.victims:
                attacks = tuple(spec for row in axis.attacks for spec in _expand(row, size.attack_budgets))
                axes.append(Axis(**axis.model_dump(exclude={"attacks", "victims"}), attacks=attacks, victims=present))
        fields = self.model_dump(exclude={"attacks", "controls", "scales", "axes"}) | {"victims": victims}
        grids = {"attacks": tuple(dict.fromkeys(specs)), "controls": tuple(dict.fromkeys(controls))}
        return Study(**fields, **grids, axes=tuple(axes), scale=chosen, size=size)


def load_study(name_or_path: str, scale: str | None = None) -> Study:
    """Load a built-in study by its name, or one from a TOML file; raises StudyError in one line."""
    built_in = name_or_path in BUILT_IN
    file = resources.files("redhanded.studies") / f"{name_or_path}.toml" if built_in else Path(name_or_path)
    where = f"built-in study {name_or_path!r}" if built_in else str(file)
    try:
        return StudyFile.model_validate(tomllib.loads(file.read_text())).resolve(scale)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        expected = f"a study's name ({', '.join(BUILT_IN)}) or a TOML file"
        raise StudyError(f"expected {expected}, found {file}: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"expected TOML in {where}, found: {error}") from None
    except ValidationError as error:
        raise StudyError(f"{where}: {_first_problem(error)}") from None
    except RedhandedError as error:
        raise StudyError(f"{where}: {error}") from None


def _expand(row: dict[str, Any], budgets: dict[str, dict[str, Any]]) -> Iterable[AttackSpec]:
    """Make one specification for each combination of the row's lists."""
    if "family" not in row:
        raise StudyError(f"expected 'family' in each row of [[attacks]], found only {', '.join(row) or 'nothing'}")
    family = row["family"]
    _known("attack family", [family], ATTACKS)
    values = budgets.get(family, {}) | {name: value for name, value in row.items() if name != "family"}
    for name, value in values.items():
        if value == []:
            raise StudyError(f"expected at least one value for {name} of {family}, found an empty list")
    lists = [value if isinstance(value, list) else [value] for value in values.values()]
    for combination in itertools.product(*lists):
        yield make_attack(family, **dict(zip(values, combination, strict=True)))


def _known(what: str, names: Iterable[str], table: Iterable[str]) -> None:
    """Raise StudyError for the first name that is not in the table, with the nearest one that is."""
    choices = list(table)
    for name in names:
        if name not in choices:
            raise StudyError(expected_one_of(what, name, choices))


def _first_problem(error: ValidationError, model: type[BaseModel] = StudyFile) -> str:
    """Say the first thing that is wrong with a study in one line; an unknown key comes with a suggestion."""
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        return f"unknown key {where!r}{did_you_mean(key, _keys(problem['loc'][:-1], model))}"
    return f"{where or 'study'}: {problem['msg']}, found {problem['input']!r:.60}"


def _keys(place: Sequence[int | str], model: Any) -> list[str]:
    """The keys that are allowed at a place below a model, found by walking down the models."""
    for part in place:
        fields = getattr(model, "model_fields", {})
        inner = fields[part].annotation if part in fields else model
        model = next((type_ for type_ in (*get_args(inner), inner) if hasattr(type_, "model_fields")), model)
    return list(model.model_fields)
