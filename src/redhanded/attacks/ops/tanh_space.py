"""Images as `(tanh(w) + 1) / 2`: whatever `w` is, the image is in [0, 1]."""

from torch import Tensor

_INSIDE = 0.999999  # keeps arctanh finite for pixels of exactly 0 and 1


def to_tanh_space(images: Tensor) -> Tensor:
    """The `w` whose image is within 5e-7 of each image."""
    return ((images * 2 - 1) * _INSIDE).arctanh()


def to_image(w: Tensor) -> Tensor:
    """The image of each `w`."""
    return (2 * w).sigmoid()  # the same in half the time
