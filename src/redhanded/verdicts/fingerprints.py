"""Traces in the pixels that can be counted, and what each would mean."""

import torch
from torch import Tensor

from redhanded.data import round_to_uint8
from redhanded.verdicts.verdict import Fingerprint

_GRID = 1 / 512  # half a grey level
MEANINGS = {
    "saturated": "values at 0 or 1: clipping leaves them, the tanh space of C&W does not reach them",
    "between grey levels": "values that no 8-bit file can hold: the image has not been stored as a picture since",
    "two levels": "perturbation of one size and two signs: many of them are what one signed step (FGSM Linf) leaves",
}
# Pairs of places to put in order, one after the other, that bring the median of nine to place 4. Smith, "Implementing
# median filters in XC4000E FPGAs", XCELL 23, 1996.
_MEDIAN_OF_9 = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8)),
    *((0, 3), (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


def find_fingerprints(images: Tensor, perturbations: Tensor) -> list[list[Fingerprint]]:
    """Count every fingerprint in each image and its (estimated or true) perturbation, both (n, c, h, w), n > 0."""
    size = images[0].numel()
    saturated = ((images == 0) | (images == 1)).flatten(1).sum(1).tolist()
    between_levels = ((images - round_to_uint8(images)).abs() > 1e-5).flatten(1).sum(1).tolist()
    amounts = perturbations.abs().flatten(1)
    levels = (amounts * 255).round().long()
    fingerprints = []
    for row, changed in enumerate(amounts > _GRID):
        changed_levels = levels[row][changed]
        commonest = int(changed_levels.bincount().max()) if len(changed_levels) else 0
        counts = {
            "saturated": (saturated[row], size),
            "between grey levels": (between_levels[row], size),
            "two levels": (commonest, len(changed_levels) or size),
        }
        fingerprints.append(
            [Fingerprint(name=name, count=count, of=of, meaning=MEANINGS[name]) for name, (count, of) in counts.items()]
        )
    return fingerprints


def estimate_perturbations(images: Tensor) -> Tensor:
    """The images less their median over 3 x 3 pixels, (n, c, h, w): perturbations, and edges of the content too."""
    edged = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    height, width = images.shape[2:]
    windows = [edged[:, :, top : top + height, left : left + width] for top in range(3) for left in range(3)]
    for low, high in _MEDIAN_OF_9:
        pair = windows[low], windows[high]
        windows[low], windows[high] = torch.minimum(*pair), torch.maximum(*pair)
    return images - windows[4]
