"""Traces in the pixels that can be counted, and what each would mean."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from redhanded.desk.records import Fingerprint
from redhanded.views import round_to_uint8

_GRID = 1 / 512  # half a grey level


class FingerprintKind(NamedTuple):
    """A row of `FINGERPRINTS`; look: (image, perturbation), both (1, c, h, w) -> how many values, of how many."""

    look: Callable[[Tensor, Tensor], tuple[int, int]]
    meaning: str


def _saturated(image: Tensor, perturbation: Tensor) -> tuple[int, int]:
    return int(((image == 0) | (image == 1)).sum()), image.numel()


def _between_levels(image: Tensor, perturbation: Tensor) -> tuple[int, int]:
    apart = (image - round_to_uint8(image)).abs()
    return int((apart > 1e-5).sum()), image.numel()


def _two_levels(image: Tensor, perturbation: Tensor) -> tuple[int, int]:
    """Values of the perturbation within half a grey level of its commonest size, of those that are not 0."""
    sizes = perturbation.abs().flatten()
    sizes = sizes[sizes > _GRID]
    if not len(sizes):
        return 0, image.numel()
    levels = (sizes * 255).round().long()
    commonest = levels.bincount().argmax()
    return int((levels == commonest).sum()), len(sizes)


FINGERPRINTS: dict[str, FingerprintKind] = {
    "saturated": FingerprintKind(
        _saturated, "values at 0 or 1: clipping leaves them, the tanh space of C&W does not reach them"
    ),
    "between grey levels": FingerprintKind(
        _between_levels, "values that no 8-bit file can hold: the image has not been stored as a picture since"
    ),
    "two levels": FingerprintKind(
        _two_levels, "perturbation of one size and two signs: many of them are what one signed step (FGSM Linf) leaves"
    ),
}


def find_fingerprints(image: Tensor, perturbation: Tensor) -> list[Fingerprint]:
    """Count every fingerprint in an image and its (estimated or true) perturbation, both (1, c, h, w)."""
    found = []
    for name, kind in FINGERPRINTS.items():
        count, of = kind.look(image, perturbation)
        found.append(Fingerprint(name=name, count=count, of=of, meaning=kind.meaning))
    return found


def estimate_perturbation(image: Tensor) -> Tensor:
    """The image less its median over 3 x 3 pixels, (1, c, h, w): the perturbation, and edges of the content too."""
    edged = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="reflect")
    windows = edged.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)  # (1, c, h, w, 9)
    return image - windows.median(4).values
