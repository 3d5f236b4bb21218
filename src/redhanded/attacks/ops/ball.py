"""Balls around images: the nearest point inside, and a random point inside."""

from torch import Tensor

from redhanded.core import Norm, norm_of, per_image

_TINY = 1e-12  # keeps an offset of zero at zero instead of NaN


def project(offset: Tensor, norm: Norm, radius: Tensor) -> Tensor:
    """The point of the ball around zero that is nearest to each offset in L2, (n, ...) -> (n, ...).

    linf: every entry limited to [-radius, radius]; l2: `offset * min(1, radius / |offset|)`. An offset that is
    inside comes back as it is. radius: (n,), one an image, inf for no limit.
    """
    if norm == "linf":
        limit = per_image(radius, offset)
        return offset.clamp(-limit, limit)
    factor = (radius / norm_of(offset, "l2").clamp_min(_TINY)).clamp_max(1)  # (n,)
    return offset * per_image(factor, offset)


def point_in_ball(normal: Tensor, uniform: Tensor, radius: Tensor) -> Tensor:
    """A point drawn uniformly from the l2 ball, (n, ...), from normal draws (n, ...) and a uniform one an image (n,).

    radius: (n,), one an image.

    The direction of normal draws is uniform on the sphere, and the share of the ball within `r` of
    its centre is `(r / radius) ** d` in d dimensions.
    """
    dimensions = normal[0].numel() if len(normal) else 1
    size = radius * uniform ** (1 / dimensions) / norm_of(normal, "l2").clamp_min(_TINY)  # (n,)
    return normal * per_image(size, normal)
