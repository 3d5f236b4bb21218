"""Traces in the pixels that can be counted, and what each would mean."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from redhanded.data import round_to_uint8
from redhanded.verdicts.verdict import Fingerprint

_GRID = 1 / 512  # half a grey level
# Pairs of places to put in order, one after the other, that bring the median of nine to place 4. Smith, "Implementing
# median filters in XC4000E FPGAs", XCELL 23, 1996.
_MEDIAN_OF_9 = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8)),
    *((0, 3), (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


class FingerprintKind(NamedTuple):
    """A row of `FINGERPRINTS`; look: (images, perturbations), both (n, c, h, w) -> how many values, of how many."""

    look: Callable[[Tensor, Tensor], tuple[list[int], list[int]]]
    meaning: str


def _saturated(images: Tensor, perturbations: Tensor) -> tuple[list[int], list[int]]:
    return _counted((images == 0) | (images == 1))


def _between_levels(images: Tensor, perturbations: Tensor) -> tuple[list[int], list[int]]:
    return _counted((images - round_to_uint8(images)).abs() > 1e-5)


def _counted(trace: Tensor) -> tuple[list[int], list[int]]:
    return trace.flatten(1).sum(1).tolist(), [trace[0].numel()] * len(trace)


def _two_levels(images: Tensor, perturbations: Tensor) -> tuple[list[int], list[int]]:
    """Values of the perturbation within half a grey level of its commonest size, of those that are not 0."""
    sizes = perturbations.abs().flatten(1)
    levels = (sizes * 255).round().long()
    changed = [row[kept] for row, kept in zip(levels, sizes > _GRID, strict=True)]
    commonest = [int(row.bincount().max()) if len(row) else 0 for row in changed]
    return commonest, [len(row) or images[0].numel() for row in changed]


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


def find_fingerprints(images: Tensor, perturbations: Tensor) -> list[list[Fingerprint]]:
    """Count every fingerprint in each image and its (estimated or true) perturbation, both (n, c, h, w), n > 0."""
    found = [
        [
            Fingerprint(name=name, count=count, of=of, meaning=kind.meaning)
            for count, of in zip(*kind.look(images, perturbations), strict=True)
        ]
        for name, kind in FINGERPRINTS.items()
    ]
    return [list(row) for row in zip(*found, strict=True)]


def estimate_perturbations(images: Tensor) -> Tensor:
    """The images less their median over 3 x 3 pixels, (n, c, h, w): perturbations, and edges of the content too."""
    edged = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    height, width = images.shape[2:]
    windows = [edged[:, :, top : top + height, left : left + width] for top in range(3) for left in range(3)]
    for low, high in _MEDIAN_OF_9:
        pair = windows[low], windows[high]
        windows[low], windows[high] = torch.minimum(*pair), torch.maximum(*pair)
    return images - windows[4]
