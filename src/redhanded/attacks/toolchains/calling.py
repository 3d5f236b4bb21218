"""Adapters from a library's attacks to our calling convention: check limits, call, guard the result."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.attacks.toolchains.guard import guard
from redhanded.core import seed_for, untouched_model, untouched_random_state
from redhanded.errors import AttackError

ORDERS = {"l2": 2, "linf": math.inf}  # of the norms, as most libraries want them

# (model, images, labels, specification) -> images of any type, range and device, as the library returns them.
LibraryAttack = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]


class Limit(NamedTuple):
    """A condition on a specification under which a library runs it faithfully."""

    parameter: str
    expected: str
    holds: Callable[[Any], bool]  # of the specification
    because: str


def only(parameter: str, value: object, because: str) -> Limit:
    """The limit to a single value of a parameter, with the reason, e.g. `it has no binary search`."""
    return Limit(parameter, f"{parameter}={value}", lambda attack: getattr(attack, parameter) == value, because)


LARGEST_SQUARE = Limit(
    "p_init",
    "p_init <= 0.8",
    lambda attack: attack.p_init <= 0.8,
    "a larger square can leave the library no place for it",
)


@dataclass(frozen=True)
class Adapter:
    """An attack of a library behind our calling convention; see `adapter`."""

    attack: LibraryAttack
    limits: tuple[Limit, ...]

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, specifications: Sequence[AttackSpec]
    ) -> list[AttackOutput]:
        """Run the specifications one after the other; `steps` is 0 for every image.

        A library takes numbers alone: where a parameter is one value an image, the images of each value are a batch.
        It draws from the global random states, which begin at a seed made of the specification and of the batch.
        """
        if images.dtype != torch.float32:
            raise AttackError(
                f"expected torch.float32 images for an attack library, found {images.dtype}; convert the images"
            )
        outputs = []
        for attack in specifications:
            adversarial, batches = images.clone(), defaultdict[AttackSpec, list[int]](list)
            for place in range(len(images)):
                batches[attack.of_image(place)].append(place)
            for alike in batches or ([] if attack.varies else [attack]):
                self.check(alike)
            for alike, rows in batches.items():
                # Copies, since a library may write into what it is given; of one layout, since draws follow it.
                batch = images[rows].detach().contiguous()
                seed = seed_for("attack", str(alike), hashlib.sha256(batch.cpu().numpy().tobytes()).hexdigest())
                with untouched_model(model), untouched_random_state(images.device, seed), torch.enable_grad():
                    returned = self.attack(model, batch, labels[rows].clone(), alike)
                adversarial[rows] = guard(returned, images[rows])
            outputs.append(AttackOutput(adversarial, torch.zeros_like(labels)))
        return outputs

    def check(self, attack: AttackSpec) -> None:
        """Raise AttackError, in one line, where the library would not run the specification faithfully.

        Of parameters that differ from image to image the lowest and the highest values are checked.
        """
        if attack.varies:
            for end in attack.ends:
                self.check(end)
            return
        fields, because = type(attack).model_fields, "a shortcut of our own engine"
        shortcuts = (only(name, fields[name].default, because) for name in attack.shortcut_names)
        for limit in (*shortcuts, *self.limits):
            if not limit.holds(attack):
                found = f"{limit.parameter}={getattr(attack, limit.parameter)}"
                raise AttackError(
                    f"expected {limit.expected} of {attack.family} in the toolchain {attack.toolchain} "
                    f"({limit.because}), found {found}; change it or the toolchain"
                )


def adapter(*limits: Limit) -> Callable[[LibraryAttack], Adapter]:
    """Give a library's attack our calling convention, as far as `limits` allow.

    The result checks every specification, leaves the model and the global random states as they were, and sends
    what the library returns through the guard. No library's own word on its success is asked for.
    """
    return lambda attack: Adapter(attack, limits)


def class_count(model: nn.Module, images: Tensor) -> int:
    """Return the number of the model's classes, which some libraries want to be told."""
    with torch.no_grad():
        return int(model(images[:1]).shape[1])
