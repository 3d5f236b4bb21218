"""Patches of the photographs that scikit-image and scikit-learn ship: colour pictures that no data set was made of."""

from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from redhanded.data.folders import bad_data, reading

PHOTOGRAPHS = {  # class by class: in which package, and where in it
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
}
SIDE = 32  # of a patch, pixels
_TRAIN, _TEST = 500, 200  # patches of each photograph
_SHARES = (6, 4, 3)  # a patch shows a sixth, a quarter or a third of the photograph's shorter side
_STEPS = 48  # patches of one scale lie a 48th of the shorter side apart
_FLAT = 6.0  # standard deviation, grey levels, under which a patch shows nothing

Square = tuple[int, int, int, int]  # left, upper, right, lower, pixels


def photograph_patches() -> list[np.ndarray]:
    """Patches (n, 32, 32, 3) uint8 and the photographs that they are of, (n,), for train and for test.

    A photograph's middle third, along its longer side, is test and the two others are train, so no pixel is on both
    sides. Classes are equally many and take turns, so any prefix is balanced. Raises DataError, in one line, without
    scikit-image.
    """
    chosen: tuple[list[np.ndarray], ...] = ([], [])
    for package, file in PHOTOGRAPHS.values():
        photograph = _photograph(package, file)
        length = max(photograph.size)
        thirds = [(length * part // 3, length * (part + 1) // 3) for part in range(3)]
        for patches, number, bands in zip(chosen, (_TRAIN, _TEST), (thirds[::2], thirds[1:2]), strict=True):
            squares = [square for band in bands for square in _squares(photograph.size, *band)]
            patches.append(_patches(photograph, squares, number))
    labels = np.arange(len(PHOTOGRAPHS))
    train, test = (np.stack(patches, 1).reshape(-1, SIDE, SIDE, 3) for patches in chosen)
    return [train, np.tile(labels, _TRAIN), test, np.tile(labels, _TEST)]


def _photograph(package: str, file: str) -> Image.Image:
    spec = find_spec(package)  # not imported: the file is all that is needed
    if spec is None or not spec.submodule_search_locations:
        remedy = "install it: pip install 'redhanded[photographs]'"
        raise bad_data("photographs", "the package scikit-image", "none", remedy)
    path = Path(spec.submodule_search_locations[0]) / file
    with reading(path, "a photograph that the package ships"), Image.open(path, formats=["PNG", "JPEG"]) as opened:
        return opened.convert("RGB")


def _squares(size: tuple[int, int], start: int, stop: int) -> list[Square]:
    """All squares of a band of the longer side, of all scales."""
    shorter, squares = min(size), []
    step = shorter // _STEPS
    for side in (shorter // share for share in _SHARES):
        for along, across in product(range(start, stop - side + 1, step), range(0, shorter - side + 1, step)):
            left, upper = (along, across) if size[0] >= size[1] else (across, along)
            squares.append((left, upper, left + side, upper + side))
    return squares


def _patches(photograph: Image.Image, squares: list[Square], number: int) -> np.ndarray:
    """So many of the squares that show something, scaled down by area; each prefix is spread over places and scales."""
    patches: list[np.ndarray] = []
    for turn in np.argsort(
        np.arange(len(squares)) * (5**0.5 - 1) / 2 % 1, kind="stable"
    ):  # by steps of the golden ratio
        patch = np.array(photograph.resize((SIDE, SIDE), Image.Resampling.BOX, squares[turn]))
        if patch.mean(2).std() >= _FLAT:
            patches.append(patch)
        if len(patches) == number:
            break
    return np.stack(patches)
