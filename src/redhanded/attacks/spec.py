"""What every attack shares: the specification (which is the label to recover) and the calling convention."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn


class AttackSpec(BaseModel):
    """A frozen, hashable attack specification; subclasses add the parameters.

    `family` is the algorithm's name in `ATTACKS`; `setting_names` are the parameters that attribution must
    recover beside the norm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: ClassVar[str]
    setting_names: ClassVar[tuple[str, ...]]
    norm: str

    @property
    def setting(self) -> dict[str, Any]:
        """The parameters that the paper's grid varies, e.g. `{"eps": 1.0}`."""
        return {name: getattr(self, name) for name in self.setting_names}

    @property
    def label(self) -> str:
        """One word for tables and files, e.g. `fgsm-l2-eps=1.0`."""
        return "-".join([self.family, self.norm, *(f"{name}={value}" for name, value in self.setting.items())])

    def __str__(self) -> str:
        """The specification in full, e.g. `fgsm(norm=l2, eps=1.0)`."""
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in self)})"


class Attacked(NamedTuple):
    """What an attack made of a batch."""

    images: Tensor  # (n, c, h, w), [0, 1], the dtype of the input; the input itself where nothing was found
    steps: Tensor  # (n,) int64: how many times the model's gradient was used for this image


# One call serves several settings of one family, so that they can share work (FGSM: one gradient for all).
AttackFunction = Callable[[nn.Module, Tensor, Tensor, Sequence[Any]], list[Attacked]]


class AttackKind(NamedTuple):
    """A row of `ATTACKS`."""

    spec: type[AttackSpec]
    run: AttackFunction
    shares_work: bool  # several settings in one call cost less than one call each
    summary: str
    paper: str
