"""What every attack shares: the specification (which is the label to recover) and the calling convention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from torch import Tensor, nn

from redhanded.attacks.ranges import Range, read_range
from redhanded.core import seed_for
from redhanded.errors import AttackError, expected_one_of

# How an attack looks for its image, whatever its name: what stands above the families.
Kind = Literal["single step", "iterative in a ball", "minimal norm", "random search", "control", "other"]
ToolchainName = Literal["redhanded", "foolbox", "art", "torchattacks", "advlib", "cleverhans"]
_DTYPES = (torch.float32, torch.float64)  # of images that an attack is called with


class AttackOutput(NamedTuple):
    """The adversarial images of a batch, and how often the model was asked for each."""

    images: Tensor  # (n, c, h, w), [0, 1], the dtype of the input; the input itself where nothing was found
    steps: Tensor  # (n,) int64: how often the model was asked for this image; 0 where a toolchain does not tell


class AttackSpec(BaseModel):
    """A frozen, hashable attack specification, which can be called; subclasses add the parameters.

    `family` is the algorithm's name in `ATTACKS`; `setting_names` are the parameters that attribution must
    recover beside the norm; `shortcut_names` are those that leave the reference algorithm when they are not at
    their defaults. `toolchain` is the library whose code runs the attack.

    A parameter that is a number may also be a `Range`, from which each image draws a value of its own, or a tensor of
    one value an image; a default that depends on it is then each image's own as well.

    Raises AttackError, in one line, for an unknown parameter, a missing one, and a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: ClassVar[str]
    setting_names: ClassVar[tuple[str, ...]]
    shortcut_names: ClassVar[tuple[str, ...]] = ()
    norm: str
    toolchain: ToolchainName = Field(default="redhanded", description="the library whose code runs the attack")

    def __init__(self, **parameters: Any) -> None:
        fields = type(self).model_fields
        for name in parameters:
            if name not in fields:
                raise AttackError(expected_one_of(f"the parameter of {self.family}", name, fields))
        parameters = {name: read_range(value) for name, value in parameters.items()}
        spread = {name: value for name, value in parameters.items() if isinstance(value, Range | Tensor)}
        ruled = {name: field.default_factory for name, field in fields.items() if name not in parameters}
        for name, value in spread.items():
            if name not in self.spreadable():
                raise AttackError(f"expected one value of {name} for all images of {self.family}, found {value}")
        if spread:
            # Whatever every end allows, all between them do.
            low, _ = (self._at_ends(parameters, end) for end in (0, 1))
            parameters = {name: getattr(low, name) for name in fields}
        try:
            super().__init__(**parameters)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            if first["type"] == "missing":
                raise AttackError(f"expected the parameter {where} of {self.family}, found none") from None
            reason = first["msg"].removeprefix("Input should be ")
            raise AttackError(f"expected {where} of {self.family} to be {reason}, found {first['input']!r}") from None
        if spread:
            known = {name: value for name, value in parameters.items() if name not in spread}
            self.__dict__.update(spread)
            self.__dict__.update(
                (name, rule) for name, rule in ruled.items() if isinstance(rule, Rule) and rule.needs_more(known)
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was given alone: the rule of a default that is each image's own is the class's."""
        return _remade, (type(self), {name: value for name, value in self if not isinstance(value, Rule)})

    @classmethod
    def spreadable(cls) -> list[str]:
        """The parameters that may differ from image to image: all numbers but the seed of the draws."""
        return [name for name, field in cls.model_fields.items() if field.annotation in (int, float) and name != "seed"]

    @classmethod
    def _at_ends(cls, parameters: dict[str, Any], end: Literal[0, 1]) -> Self:
        """The specification with the lowest, or the highest, value of everything that is spread."""
        parameters = dict(parameters)
        relative = {}
        for name, value in parameters.items():
            if isinstance(value, Range) and value.times is not None:
                relative[name] = value
            elif isinstance(value, Range):
                parameters[name] = value.bounds[end]
            elif isinstance(value, Tensor):
                if value.ndim != 1 or not len(value):
                    raise AttackError(f"expected {name} as a number or (n,) values, found shape {tuple(value.shape)}")
                parameters[name] = (value.max() if end else value.min()).item()
        whole = cls(**{name: value for name, value in parameters.items() if name not in relative})
        for name, value in relative.items():
            if value.times not in cls.spreadable() or value.times in relative:
                units = ", ".join(other for other in cls.spreadable() if other not in relative)
                raise AttackError(f"expected {name} of {cls.family} in units of {units}, found {value.times!r}")
            parameters[name] = value.bounds[end] * getattr(whole, value.times)
        return cls(**parameters) if relative else whole

    @property
    def varies(self) -> bool:
        """Whether a parameter differs from image to image: a range, one value an image, or what follows from these."""
        return any(isinstance(value, Range | Tensor | Rule) for _, value in self)

    @property
    def ends(self) -> tuple[Self, Self]:
        """The specification with the lowest, and with the highest, value of all that differs from image to image."""
        given = {name: value for name, value in self if not isinstance(value, Rule)}
        return self._at_ends(given, 0), self._at_ends(given, 1)

    @property
    def ranges(self) -> dict[str, Range]:
        """The parameters of which each image draws a value of its own."""
        return {name: value for name, value in self if isinstance(value, Range)}

    def drawn(self, index: Tensor, seed: int) -> Self:
        """The specification with one value an image in place of each range: itself where it has none.

        index: (n,) int64, where each image stands in its source; seed: of the set. Each value depends on the image's
        own index, the seed, the specification and the parameter alone.
        """
        values: dict[str, Any] = {}
        for name, value in sorted(self.ranges.items(), key=lambda item: item[1].times is not None):
            what = ("drawn", str(self), name, seed)
            shares = np.array([seed_for(*what, place) / 2**63 for place in index.tolist()])
            whole = type(self).model_fields[name].annotation is int
            numbers = torch.from_numpy(value.at(shares, whole)).to(torch.int64 if whole else torch.float64)
            unit = 1 if value.times is None else values.get(value.times, getattr(self, value.times))
            values[name] = numbers * unit
        for name, value in self:
            if isinstance(value, Rule):
                values[name] = value(dict(self) | values)
        return self.model_copy(update=values) if values else self

    def of_image(self, place: int) -> Self:
        """The specification of one image of a batch: that with the image's own values as numbers."""
        values = {name: value[place].item() for name, value in self if isinstance(value, Tensor)}
        return self.model_copy(update=values) if values else self

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor) -> AttackOutput:
        """Run the attack on a batch, with the code of its toolchain; success is not measured.

        Args:
            model: in evaluation mode, from images (n, c, h, w) in [0, 1] to logits (n, k).
            images: (n, c, h, w) float32 or float64 in [0, 1], on the model's device.
            labels: (n,) int64, the true classes, on the same device.

        Returns:
            What the row of `ATTACKS` for this family makes: the images and how often the model was asked for each.
            Of a range each image draws the value that `drawn(torch.arange(n), 0)` tells.

        Raises AttackError, in one line, for inputs of another form, for a family without a row, and where the
        toolchain lacks the attack or is not installed.
        """
        from redhanded.attacks.toolchains import attack_function  # knows `ATTACKS`, whose rows are made of this class

        if not isinstance(model, nn.Module):
            raise AttackError(f"expected the model as a torch.nn.Module, found {type(model).__name__}; wrap it in one")
        # A frozen TorchScript module has no mode: it evaluates for good.
        training = next((part for part in model.modules() if getattr(part, "training", False)), None)
        if training is not None:
            found = f"{type(training).__name__} in training mode"
            raise AttackError(f"expected a model in evaluation mode, found {found}; call model.eval() first")
        check_batch(images, _DTYPES, labels=labels)
        devices = {tensor.device for tensor in (images, labels, *model.parameters())}
        if len(devices) > 1:
            found = ", ".join(sorted(map(str, devices)))
            raise AttackError(f"expected model, images and labels on one device, found {found}; move them to one")
        if len(labels) and labels.min() < 0:
            raise AttackError(
                f"expected labels of 0 or more, found {labels.min()}; number the classes as the model does"
            )
        drawn = self.drawn(torch.arange(len(images)), 0)
        for name, value in drawn:
            if isinstance(value, Tensor) and len(value) != len(images):
                raise AttackError(f"expected {name} for each of {len(images)} images, found {len(value)} values")
        return attack_function(self)(model, images, labels, [drawn])[0]

    @property
    def setting(self) -> dict[str, Any]:
        """The parameters that attribution must recover as JSON values, e.g. `{"eps": 1.0}`; of a range its text."""
        values = {name: getattr(self, name) for name in self.setting_names}
        return {name: str(value) if isinstance(value, Range) else value for name, value in values.items()}

    @property
    def label(self) -> str:
        """One word for tables and files, e.g. `fgsm-l2-eps=1.0`; shortcuts and another toolchain are named."""
        fields = type(self).model_fields
        shortcuts = [name for name in self.shortcut_names if getattr(self, name) != fields[name].default]
        values = ((name, getattr(self, name)) for name in (*self.setting_names, *shortcuts))
        named = (f"{name}={value.label if isinstance(value, Range) else value}" for name, value in values)
        toolchain = () if self.toolchain == "redhanded" else (self.toolchain,)
        return "-".join([self.family, self.norm, *named, *toolchain])

    def __str__(self) -> str:
        """The specification in full, e.g. `fgsm(norm=l2, eps=1.0)`; `toolchain` is left out where it is ours."""
        parameters = {name: value for name, value in self if not isinstance(value, Rule)}
        if self.toolchain == "redhanded":
            del parameters["toolchain"]
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in parameters.items())})"


# One call serves several settings of one family, so that they can share work (FGSM: one gradient for all).
AttackFunction = Callable[[nn.Module, Tensor, Tensor, Sequence[Any]], list[AttackOutput]]


def _remade(kind: type[AttackSpec], parameters: dict[str, Any]) -> AttackSpec:
    return kind(**parameters)


class AttackKind(NamedTuple):
    """A row of `ATTACKS`."""

    spec: type[AttackSpec]
    run: AttackFunction
    title: str  # as tables and sentences name it
    summary: str
    paper: str
    reference: str  # the implementation that ours follows and is tested against
    differs: str = ""  # where ours leaves it
    shares_work: bool = False  # several settings in one call cost less than one call each
    uses_gradient: bool = True
    version: int = 1  # raised when `run` gives other images: its sets are made again
    counted_as: str = ""  # the family whose name it gets, where no image shows which of the two it was
    kind: Kind = "other"  # how it looks for its image; "control": no attack, a disturbance to be told from one

    @property
    def control(self) -> bool:
        """Whether this is no attack but a disturbance that attribution must tell from one."""
        return self.kind == "control"


@dataclass(frozen=True)
class Rule:
    """A default that depends on the parameters before it, for `Field(default_factory=Rule(...))`."""

    text: str  # for the documentation
    value: Callable[[dict[str, Any]], float]

    def __call__(self, parameters: dict[str, Any]) -> float:
        """Return the default that goes with valid parameters."""
        return self.value(parameters)

    def needs_more(self, parameters: dict[str, Any]) -> bool:
        """Whether these parameters are too few to decide the default."""
        try:
            self.value(parameters)
        except KeyError:
            return True
        return False


USUAL_EPS = Rule("8/255 (l2: 1.0)", lambda parameters: {"linf": 8 / 255, "l2": 1.0}[parameters["norm"]])


def default_text(field: FieldInfo) -> str:
    """A parameter's default as text, e.g. `40` or `2.5 * eps / steps`; `required` where there is none."""
    if field.is_required():
        return "required"
    return field.default_factory.text if isinstance(field.default_factory, Rule) else str(field.default)


def check_batch(images: Tensor, dtypes: Sequence[torch.dtype], **per_image: Tensor) -> None:
    """Raise AttackError unless images are (n, c, h, w) of one of the types in [0, 1], and the others (n,) int64."""
    for name, values in {"images": images, **per_image}.items():
        if not isinstance(values, Tensor):
            raise AttackError(f"expected {name} as a torch.Tensor, found {type(values).__name__}; use torch.as_tensor")
    if images.ndim != 4 or images.dtype not in dtypes:
        found = f"{images.dtype} of shape {tuple(images.shape)}"
        expected = f"expected images as {' or '.join(map(str, dtypes))} of shape (n, c, h, w)"
        raise AttackError(f"{expected}, found {found}")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):  # written so that NaN fails too
        found = f"{images.min():.3g} to {images.max():.3g}"
        raise AttackError(f"expected images in [0, 1], found {found}; normalise inside the model")
    for name, values in per_image.items():
        if values.shape != images.shape[:1] or values.dtype != torch.int64:
            found = f"{values.dtype} of shape {tuple(values.shape)}"
            raise AttackError(f"expected {name} as torch.int64 of shape ({len(images)},), found {found}")
