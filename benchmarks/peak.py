"""What the machine can do at best: its fastest convolution."""

import time
from statistics import median

import torch
from torch.nn import functional as F

_BATCH = 32
_SHAPES = ((64, 32), (64, 16), (128, 16), (256, 8))  # channels in and out, pixels a side; kernels of 3 x 3
_REPEATS = 7


def measure_peak() -> float:
    """GFLOP/s of the fastest 3 x 3 convolution in float32, forwards, with torch's current number of threads."""
    formats = (torch.contiguous_format, torch.channels_last)
    return max(_rate(channels, side, layout) for channels, side in _SHAPES for layout in formats)


@torch.no_grad()
def _rate(channels: int, side: int, layout: torch.memory_format) -> float:
    images = torch.rand(_BATCH, channels, side, side).contiguous(memory_format=layout)
    kernel = torch.rand(channels, channels, 3, 3).contiguous(memory_format=layout)
    F.conv2d(images, kernel, padding=1)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        F.conv2d(images, kernel, padding=1)
        seconds.append(time.perf_counter() - started)
    return 2 * _BATCH * channels * channels * 9 * side * side / median(seconds) / 1e9
