"""Square: random search with squares of shrinking size; the model's gradients are never asked for."""

from collections.abc import Sequence
from itertools import product
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.draws import generators, uniform
from redhanded.attacks.ops.gradients import margin, unit
from redhanded.attacks.ops.values import column, most, numbers
from redhanded.attacks.ops.windows import corner, peak_at, window_at
from redhanded.attacks.spec import USUAL_EPS, AttackOutput, AttackSpec
from redhanded.core import norm_of, per_image

_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries
_SMALLEST = 3  # side of a window in l2
_TILES = 5  # along each side of the first point in l2
_TINY = 1e-12  # keeps a window without change from dividing


class Square(AttackSpec):
    """Square attack: at most `steps` queries inside the ball of radius `eps` > 0 in `norm`.

    The first squares cover the share `p_init` in (0, 1] of the image; `seed` >= 0 decides the draws.

    Defaults: torchattacks', whose `eps` in l2 is that of its PGDL2.
    """

    family: ClassVar[str] = "square"
    setting_names: ClassVar[tuple[str, ...]] = ("eps",)
    norm: Literal["l2", "linf"] = Field(default="linf", description="of the ball")
    eps: float = Field(default_factory=USUAL_EPS, gt=0, description="radius of the ball")
    steps: int = Field(default=5000, gt=0, description="most queries")
    p_init: float = Field(default=0.8, gt=0, le=1, description="share of the image that the first squares cover")
    seed: int = Field(default=0, ge=0, description="decides the draws")


def square(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[Square]) -> list[AttackOutput]:
    """Change a random square and keep the change where the label's lead over the other classes falls.

    linf: the start is `+eps` or `-eps` for each column and channel; a query sets a square to `+eps` or `-eps` in
    each channel. l2: the start is a grid of 5 x 5 tiles, each a peak beside a trough; a query draws two windows,
    gives up the change in the second, and puts `+-peak + d / |d|`, where `d` is the change so far, into the first,
    at the size that both windows had and that was unused; then the whole change is scaled to `eps`. The image is
    clipped to [0, 1]. A square covers `p_init` of the image at first and half as much after 10, 50, 200, 500, 1000,
    2000, 4000, 6000 and 8000 queries where `steps` is 10,000, and in proportion where not. The search for an image
    ends when it fools.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k), k >= 2.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images (the best point found where none fooled), at most `eps` away but for rounding,
        and the number of queries, 1..steps; the clean image is not asked for.

    Paper: Andriushchenko, Croce, Flammarion, Hein, "Square attack: a query-efficient black-box adversarial attack
    via random search", ECCV 2020.
    """
    return [_attack(model, images.detach(), labels, attack) for attack in attacks]


@torch.no_grad()
def _attack(model: nn.Module, images: Tensor, labels: Tensor, attack: Square) -> AttackOutput:
    linf, rngs, (channels, _, width) = attack.norm == "linf", generators(images, attack), images.shape[1:]
    if linf:
        stripes = _coin(uniform(rngs, (channels, 1, width), images))
        result = (images + column(attack.eps, images) * stripes).clamp(0, 1)
    else:
        result = _tiles(images, column(attack.eps, images), rngs)
    lead, used = -margin(model(result), labels), torch.ones_like(labels)  # (n,) of the label
    # Beside one number a channel, a square has a corner; two windows have two, and a peak lies or stands.
    draws = uniform(rngs, (most(attack.steps) - 1, (2 if linf else 5) + channels), images)
    move, steps = _set_square if linf else _move_windows, numbers(attack.steps, labels)
    eps = per_image(numbers(attack.eps, images, torch.float64), images)
    for query in range(most(attack.steps) - 1):
        active = ((lead >= 0) & (query + 1 < steps)).nonzero().flatten()  # the rows of the batch still worked on
        if not len(active):
            break
        sides = _sides(attack, query, images)[active]
        x = images[active]
        for side in sides.unique().tolist():
            own = sides == side
            rows = active[own]
            x[own] = move(images[rows], result[rows], eps[rows], side, draws[rows, query])
        lead_there = -margin(model(x), labels[active])
        better = lead_there < lead[active]
        result[active[better]], lead[active[better]] = x[better], lead_there[better]
        used[active] += 1
    return AttackOutput(result, used)


def _sides(attack: Square, query: int, images: Tensor) -> Tensor:
    """The side of each image's square in pixels, (n,) int64; a window in l2 is odd, so that it has a middle."""
    shape = images.shape[2:]
    place = 10_000 * query // numbers(attack.steps, images, torch.int64)
    halved = (place[:, None] > place.new_tensor(_HALVED_AT)).sum(1)
    share = numbers(attack.p_init, images, torch.float64) / 2**halved
    side = (share * shape.numel()).sqrt().round().long().clamp_min(1 if attack.norm == "linf" else _SMALLEST)
    return (side + (attack.norm == "l2") * (side % 2 == 0)).clamp_max(min(shape))


def _coin(numbers: Tensor) -> Tensor:
    """-1 or 1 from draws in [0, 1]."""
    return torch.where(numbers < 0.5, -1.0, 1.0).to(numbers)


def _set_square(images: Tensor, x: Tensor, eps: Tensor, side: int, numbers: Tensor) -> Tensor:
    shape = images.shape[2:]
    window = window_at(corner(numbers[:, :2], side, shape), side, shape)
    signs = _coin(numbers[:, 2:])[:, :, None, None]  # (n, c, 1, 1)
    return torch.where(window, (images + eps.to(x) * signs).clamp(0, 1), x)


def _tiles(images: Tensor, eps: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Peaks on a grid in the middle of the image, each lying or standing, with a sign a channel, (n, c, h, w)."""
    (channels, *shape), change = images.shape[1:], torch.zeros_like(images)
    side = max(min(shape) // _TILES, 1)
    counts = [min(length // side, _TILES) for length in shape]  # down and across
    top, left = ((length - count * side) // 2 for length, count in zip(shape, counts, strict=True))
    places = [(top + side * row, left + side * column) for row, column in product(*map(range, counts))]
    numbers = uniform(rngs, (len(places), 1 + channels), images)
    for tile, place in enumerate(places):
        corners = torch.tensor(place, device=images.device).expand(len(images), 2)
        peak = peak_at(corners, side, shape, numbers[:, tile, 0])
        change += peak * _coin(numbers[:, tile, 1:])[:, :, None, None]
    return (images + eps * unit(change)).clamp_(0, 1)


def _move_windows(images: Tensor, x: Tensor, eps: Tensor, side: int, numbers: Tensor) -> Tensor:
    shape, change = images.shape[2:], x - images
    first, second = corner(numbers[:, :2], side, shape), corner(numbers[:, 2:4], side, shape)
    taken, given = window_at(first, side, shape), window_at(second, side, shape)
    unused = (eps.square().to(x) - per_image(norm_of(change, "l2").square(), x)).clamp_min(0) / images.shape[1]
    size = (_size(change * (taken | given)).square() + unused).sqrt()  # (n, c, 1, 1)
    signs = _coin(numbers[:, 5:])[:, :, None, None]
    fresh = signs * peak_at(first, side, shape, numbers[:, 4]) + _unit(change * taken)
    moved = torch.where(taken, size * _unit(fresh), change.masked_fill(given, 0))
    return (images + eps.to(x) * unit(moved)).clamp_(0, 1)


def _size(change: Tensor) -> Tensor:
    """L2 size in each channel, (n, c, h, w) -> (n, c, 1, 1)."""
    return torch.linalg.vector_norm(change, dim=(2, 3), keepdim=True)


def _unit(change: Tensor) -> Tensor:
    return change / _size(change).clamp_min(_TINY)
