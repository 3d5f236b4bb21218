"""The evidence as a picture: image, perturbation, its spectrum, the nearest known examples."""

import io
from collections.abc import Sequence
from textwrap import fill

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

_AMPLIFIED = 0.45  # how far from grey the largest value of a perturbation is drawn
_LINE = 40  # characters of a caption that are as wide as its panel


def draw_evidence(
    image: Tensor, perturbation: Tensor, source: str, nearest: Sequence[tuple[str, Tensor]], title: str
) -> bytes:
    """A PNG of four kinds of panels.

    image, perturbation: (1, c, h, w), the second estimated or true, as `source` says; nearest: captions and images
    (c, h, w) in [0, 1] of the examples.
    """
    largest = perturbation.abs().max().clamp_min(1e-6).item()
    times = _AMPLIFIED / largest
    panels = [
        ("image", image[0]),
        (f"{source} perturbation, times {times:.3g}", 0.5 + perturbation[0] * times),
        ("its spectrum (log)", _spectrum(perturbation[0])[None]),
        *nearest,
    ]
    figure = Figure(figsize=(2.1 * len(panels), 2.6), layout="constrained")
    figure.suptitle(_literal(title), fontsize=8, parse_math=False)
    for place, (caption, pixels) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.imshow(_for_screen(pixels), cmap="gray", interpolation="nearest", vmin=0, vmax=1)
        axes.set_title(fill(_literal(caption), _LINE), fontsize=6, parse_math=False)
        axes.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _literal(text: str) -> str:
    """What no font lacks: anything but printable ASCII spelt out."""
    return ascii(text)[1:-1]


def _spectrum(perturbation: Tensor) -> Tensor:
    """(c, h, w) -> (h, w) in [0, 1]: the mean over channels of the log amplitude, low frequencies in the middle."""
    amplitude = torch.fft.fftshift(torch.fft.fft2(perturbation), dim=(1, 2)).abs().mean(0).add(1e-6).log()
    low, high = amplitude.min(), amplitude.max()
    return (amplitude - low) / (high - low).clamp_min(1e-6)


def _for_screen(pixels: Tensor) -> np.ndarray:
    """(c, h, w) -> (h, w) or (h, w, 3), in [0, 1]."""
    shown = pixels.clamp(0, 1)
    return shown[0].numpy() if len(shown) == 1 else shown.permute(1, 2, 0).numpy()
