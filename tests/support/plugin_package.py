"""A third party's package with an attack and an attributor, and one whose rows cannot be used, as pip leaves them."""

from pathlib import Path

MODULE = '''
"""An attack that fades to grey, and an attributor that sees how bright the quarters of an image are."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from redhanded.attacks import ATTACKS, AttackKind, AttackOutput, AttackSpec
from redhanded.attributors import ATTRIBUTORS, AttributorKind, NetworkAttributor, NetworkSettings, fit
from redhanded.models import Normalise


class Blend(AttackSpec):
    """Fade to grey within `eps` > 0 in linf."""

    family: ClassVar[str] = "blend"
    setting_names: ClassVar[tuple[str, ...]] = ("eps",)
    norm: Literal["linf"] = "linf"
    eps: float = Field(default=0.3, gt=0, description="size of the change")


def blend(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[Blend]) -> list[AttackOutput]:
    """Move every pixel towards 1/2; the model is asked whether that was enough."""
    with torch.no_grad():
        model(images) if len(images) else None
    steps = torch.ones_like(labels)
    return [AttackOutput(images + (0.5 - images.detach()).clamp(-one.eps, one.eps), steps) for one in attacks]


class Quarters(NetworkAttributor):
    """A linear layer on the mean of each quarter."""

    kind = "quarters"
    knowledge = "blind"

    def view(self, samples):
        means = functional.adaptive_avg_pool2d(samples.images, 2)
        return means.flatten(1)[:, :, None, None]

    def build(self, mean, deviation):
        layers = (nn.Flatten(), nn.Linear(self.channels_, len(self.classes_)))
        return nn.Sequential(Normalise(mean, deviation), *layers)


BLEND = AttackKind(
    spec=Blend, run=blend, title="Blend", summary="every pixel fades to grey", paper="none: an example",
    reference="the closed form", uses_gradient=False,
)
QUARTERS = AttributorKind(Quarters, NetworkSettings, "the mean of each quarter of the image", "none: an example")
'''
POINTS = {"redhanded.attacks": {"blend": "faded:BLEND"}, "redhanded.attributors": {"quarters": "faded:QUARTERS"}}
UNUSABLE = {
    "redhanded.attacks": {
        "gone": "no_such_module:ROW",
        "missing": "faded:NOTHING",
        "fgsm": "faded:BLEND",
        "bland": "faded:BLEND",
        "quarters": "faded:QUARTERS",
    }
}


def install(site: Path, distribution: str, points: dict[str, dict[str, str]]) -> Path:
    """Put the module and the package's metadata into a folder that is to stand on PYTHONPATH."""
    site.mkdir(exist_ok=True)
    (site / "faded.py").write_text(MODULE)
    metadata = site / f"{distribution}-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n")
    lines = [line for group, rows in points.items() for line in (f"[{group}]", *map(" = ".join, rows.items()))]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site
