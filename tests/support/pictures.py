"""What a picture of the evidence shows, read from its PNG."""

import io

import numpy as np
from PIL import Image


def read_panels(png: bytes, side: int = 16) -> list[np.ndarray]:
    """The grey panels of a picture from left to right, each (side, side) in [0, 1]: the middle of every cell.

    Panels are what is not white in the lowest band of rows, apart from each other by white columns; captions stand
    above them.
    """
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("L"))
    top, bottom = _bands((pixels < 255).any(1))[-1]
    middle = (np.arange(side) + 0.5) / side
    panels = []
    for left, right in _bands((pixels[top:bottom] < 255).any(0)):
        rows, columns = top + middle * (bottom - top), left + middle * (right - left)
        panels.append(pixels[np.ix_(rows.astype(int), columns.astype(int))] / 255)
    return panels


def _bands(inked: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked, [0]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
