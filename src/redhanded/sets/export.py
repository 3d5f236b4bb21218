"""Adversarial sets as files that other tools read: one `.npz`, or a folder of PNG files with a table."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from redhanded.data import AS_FILE
from redhanded.sets.adversarial_set import column_names, read_column, read_provenance


def export_npz(path: Path, out: Path) -> int:
    """Write every array of the set at `path` into one `.npz`; returns the number of images."""
    columns: dict[str, Any] = {name: read_column(path, name) for name in column_names(path)}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:  # numpy would add `.npz` to a name without it
        np.savez_compressed(file, **columns)
    return len(columns["index"])


def export_png(path: Path, out: Path) -> int:
    """Write each image that fools its victim after rounding as `INDEX.png`, and `images.csv`; returns how many.

    A PNG holds 256 levels, so images that fool in float alone are left out: they would no longer be adversarial.
    """
    kept = np.flatnonzero(read_column(path, f"success_{AS_FILE}"))
    images = read_column(path, "images", kept)
    rest = {name: read_column(path, name)[kept] for name in column_names(path) if name != "images"}
    out.mkdir(parents=True, exist_ok=True)
    with (out / "images.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "attack", *rest])
        attack = read_provenance(path)["attack"]
        for row, image in enumerate(images):
            name = f"{rest['index'][row]:06d}.png"
            write_png(image, out / name)
            table.writerow([name, attack, *(values[row] for values in rest.values())])
    return len(kept)


def write_png(image: np.ndarray, file: Path | BinaryIO) -> None:
    """Write one image, (c, h, w) float32 in [0, 1], as 8-bit grey or RGB."""
    levels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)  # (h, w, c)
    Image.fromarray(levels.squeeze(2) if levels.shape[2] == 1 else levels).save(file, "PNG")


SET_EXPORTS: dict[str, Callable[[Path, Path], int]] = {"npz": export_npz, "png": export_png}
