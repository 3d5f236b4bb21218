"""Views of an image that show what an attack added: its content taken away, or what lies between grey levels."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 255.0  # residuals are counted in grey levels
QUANTUM, LIMIT = 4.0, 3.0  # a residual is divided by the first and truncated at the second, as steganalysis does

# Kernels that give 0 on what is smooth: two of the spatial rich model, and the first differences.
_KV = (
    (-1, 2, -2, 2, -1),
    (2, -6, 8, -6, 2),
    (-2, 8, -12, 8, -2),
    (2, -6, 8, -6, 2),
    (-1, 2, -2, 2, -1),
)
_SQUARE = (
    (0, 0, 0, 0, 0),
    (0, -1, 2, -1, 0),
    (0, 2, -4, 2, 0),
    (0, -1, 2, -1, 0),
    (0, 0, 0, 0, 0),
)
_ACROSS = ((0,) * 5, (0,) * 5, (0, 0, -1, 1, 0), (0,) * 5, (0,) * 5)
_DOWN = tuple(zip(*_ACROSS, strict=True))
_KERNELS = ((_KV, 12), (_SQUARE, 4), (_ACROSS, 1), (_DOWN, 1))
_PERIODS, _REACH = (8, 32), 64  # grey levels: of the waves, and how far from black or white they are seen
RESIDUALS = len(_KERNELS)  # of each channel
VIEWS = 1 + RESIDUALS + 2 + 2 * len(_PERIODS)  # of each channel: itself, residuals, two between levels, and the waves
DUST = 1e-4  # grey levels: what arithmetic in float32 leaves, an order of magnitude above its rounding


class ResidualBank(nn.Module):
    """The normalised image, beside it views of its perturbation, (n, c, h, w) in [0, 1] -> (n, 11 c, h, w).

    Four residuals a channel: `clamp(255 / 4 * (kernel * image), -3, 3)`, with the image continued by its edge pixels.
    Kernels: Fridrich, Kodovsky, "Rich models for steganalysis of digital images", IEEE TIFS 2012. Two views of what
    lies between grey levels, see `between_levels`, and four that tell neighbouring levels near black and white apart,
    see `waves`.
    """

    mean: Tensor
    deviation: Tensor
    kernels: Tensor

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        # As lists, for a bundle is checked on the meta device, where the least arithmetic imports the whole of dynamo.
        bank = [[[[one / divisor for one in row] for row in kernel]] for kernel, divisor in _KERNELS]
        self.register_buffer("kernels", torch.tensor(bank * len(mean)))  # (4 c, 1, 5, 5)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Compute all views, (n, c, h, w) in [0, 1] -> (n, 11 c, h, w)."""
        edged = functional.pad(images, (2, 2, 2, 2), mode="replicate")
        residuals = functional.conv2d(edged, self.kernels, groups=images.shape[1])  # (n, 4 c, h, w)
        truncated = (residuals * (LEVELS / QUANTUM)).clamp(-LIMIT, LIMIT)
        normalised = (images - self.mean) / self.deviation
        return torch.cat([normalised, truncated, between_levels(images), waves(images)], 1)


def between_levels(images: Tensor) -> Tensor:
    """Compute where values lie between two grey levels, (n, c, h, w) in [0, 1] -> (n, 2 c, h, w).

    What was attacked stood on grey levels. While it is a float, its distance r from the nearest level is the
    perturbation where that is below half a level, and elsewhere what is left of it: sin(2 pi r), which has no jump
    there, and the size of r on a logarithmic scale from 0 (below 1e-4) to 0.92. After rounding to 8 bits both are 0.
    """
    apart = from_levels(images)
    size = (1 + apart.abs().clamp_min(DUST).log10() / -math.log10(DUST)).clamp_min(0)
    return torch.cat([(2 * math.pi * apart).sin(), size], 1)


def from_levels(images: Tensor) -> Tensor:
    """Compute each value's signed distance from its nearest grey level, -0.5 to 0.5 levels."""
    levels = images * LEVELS
    return levels - levels.round()


def off_levels(images: Tensor) -> Tensor:
    """The same distance, exactly 0 where it is below DUST, which is what arithmetic leaves."""
    apart = from_levels(images)
    return apart.masked_fill(apart.abs() < DUST, 0)


def waves(images: Tensor) -> Tensor:
    """Sine and cosine of the grey level with periods of 8 and 32 levels, (n, c, h, w) in [0, 1] -> (n, 4 c, h, w).

    Large areas of a picture are black or white, and what was added there can be read off the level. To a network a
    pixel is one number, in which neighbouring levels are nearly the same; here they are far apart, so a step that is
    exactly `eps` can be told from one that is nearly so, after rounding to 8 bits too. The waves fade to 0 at 64 levels
    from black and white, since what lies between is content. Tancik et al., "Fourier features let networks learn high
    frequency functions in low dimensional domains", NeurIPS 2020.
    """
    near = (1 - torch.minimum(images, 1 - images) * (LEVELS / _REACH)).clamp_min(0)
    turns = [images * (2 * math.pi * LEVELS / period) for period in _PERIODS]
    return torch.cat([near * wave(turn) for turn in turns for wave in (torch.sin, torch.cos)], 1)
