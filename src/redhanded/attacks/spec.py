"""What every attack shares: the specification (which is the label to recover) and the calling convention."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

ToolchainName = Literal["redhanded", "foolbox", "art", "torchattacks", "advlib", "cleverhans"]


class AttackSpec(BaseModel):
    """A frozen, hashable attack specification; subclasses add the parameters.

    `family` is the algorithm's name in `ATTACKS`; `setting_names` are the parameters that attribution must
    recover beside the norm; `shortcut_names` are those that leave the reference algorithm when they are not at
    their defaults. `toolchain` is the library whose code runs the attack.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: ClassVar[str]
    setting_names: ClassVar[tuple[str, ...]]
    shortcut_names: ClassVar[tuple[str, ...]] = ()
    norm: str
    toolchain: ToolchainName = "redhanded"

    @property
    def setting(self) -> dict[str, Any]:
        """The parameters that the paper's grid varies, e.g. `{"eps": 1.0}`."""
        return {name: getattr(self, name) for name in self.setting_names}

    @property
    def label(self) -> str:
        """One word for tables and files, e.g. `fgsm-l2-eps=1.0`; shortcuts and another toolchain are named."""
        fields = type(self).model_fields
        shortcuts = {name: getattr(self, name) for name in self.shortcut_names}
        taken = {name: value for name, value in shortcuts.items() if value != fields[name].default}
        toolchain = () if self.toolchain == "redhanded" else (self.toolchain,)
        named = (f"{name}={value}" for name, value in (self.setting | taken).items())
        return "-".join([self.family, self.norm, *named, *toolchain])

    def __str__(self) -> str:
        """The specification in full, e.g. `fgsm(norm=l2, eps=1.0)`; `toolchain` is left out where it is ours."""
        parameters = {name: value for name, value in self if (name, value) != ("toolchain", "redhanded")}
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in parameters.items())})"


class AttackOutput(NamedTuple):
    """What an attack made of a batch."""

    images: Tensor  # (n, c, h, w), [0, 1], the dtype of the input; the input itself where nothing was found
    steps: Tensor  # (n,) int64: how often the model was asked for this image; 0 where a toolchain does not tell


# One call serves several settings of one family, so that they can share work (FGSM: one gradient for all).
AttackFunction = Callable[[nn.Module, Tensor, Tensor, Sequence[Any]], list[AttackOutput]]


class AttackKind(NamedTuple):
    """A row of `ATTACKS`."""

    spec: type[AttackSpec]
    run: AttackFunction
    summary: str
    paper: str
    reference: str  # the implementation that ours follows and is tested against
    shares_work: bool = False  # several settings in one call cost less than one call each
    uses_gradient: bool = True
    control: bool = False  # no attack: a disturbance that attribution must tell from one
