"""The name of an adversarial set, and its statistics."""

from typing import Literal, NamedTuple

from redhanded.attacks import AttackSpec
from redhanded.core import Outcome
from redhanded.data import Pixels

NO_VICTIM = "none"  # whose gradients a control follows


class SetRef(NamedTuple):
    """One adversarial set of a study."""

    victim: str
    attack: AttackSpec

    @property
    def name(self) -> str:
        """The set's name within its study, e.g. `alexnet/fgsm-l2-eps=1.0`."""
        return f"{self.victim}/{self.attack.label}"


class SetCard(Outcome):
    """Statistics of what one attack made of one victim's images on one split."""

    victim: str
    family: str
    norm: str
    setting: dict[str, float | str]  # of a range its text, e.g. log_uniform(0.004,0.25)
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
        """The success rate: the share of the attacked images that fool the victim under a pixel protocol."""
        return self.n_success[pixels] / self.n_attacked if self.n_attacked else 0.0
