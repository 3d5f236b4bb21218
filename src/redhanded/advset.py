"""Adversarial sets: what one attack made of one victim's images, in memory and on disk (zarr).

On disk a set is a zarr group of sibling arrays, all cut along the first axis into the same shards. A shard is
written whole by one writer; whoever writes it records only afterwards that it is done.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import zarr
from filelock import FileLock
from torch import Tensor

from redhanded.attacks import AttackSpec
from redhanded.errors import RunError
from redhanded.results import Pixels, SetCard

# The arrays of a set and their types on disk; `images` has a shape of its own, the others are (n,).
COLUMNS: dict[str, str] = {
    "images": "float32",
    "index": "int64",
    "label": "int64",
    "attacked": "bool",
    "prediction_float32": "int64",
    "prediction_uint8": "int64",
    "success_float32": "bool",
    "success_uint8": "bool",
    "l2": "float32",
    "linf": "float32",
    "steps": "int64",
}


@dataclass(frozen=True)
class AdversarialSet:
    """What one attack made of n images; every tensor is on the CPU and has n rows."""

    attack: AttackSpec
    images: Tensor  # (n, c, h, w) float32 in [0, 1], as the attack left them
    index: Tensor  # (n,) where the image stands in its source
    label: Tensor  # (n,) the true class
    attacked: Tensor  # (n,) bool: the victim was right before, so that there was something to attack
    prediction_float32: Tensor  # (n,) the victim's class for the image as it is
    prediction_uint8: Tensor  # (n,) and after rounding to 8 bits
    success_float32: Tensor  # (n,) bool: attacked, changed, and the victim is wrong
    success_uint8: Tensor  # (n,) bool: the same after rounding
    l2: Tensor  # (n,) size of the perturbation, pixels in [0, 1]
    linf: Tensor  # (n,)
    steps: Tensor  # (n,) gradients used

    def __len__(self) -> int:
        return len(self.index)

    def success(self, pixels: Pixels) -> Tensor:
        """(n,) bool: which images fool the victim under a pixel protocol."""
        return self.success_float32 if pixels == "float32" else self.success_uint8


def write_shard(
    path: Path, start: int, total: int, shard_size: int, shard: AdversarialSet, provenance: dict[str, Any]
) -> None:
    """Write rows `start` to `start + len(shard)` of a set of `total` rows, which is made if it is not there yet.

    `start` must be a multiple of `shard_size`, so that each file has one writer.
    """
    with FileLock(f"{path}.lock"):
        group = zarr.open_group(path, mode="a")
        for name, dtype in COLUMNS.items():
            if name not in group:
                shape = getattr(shard, name).shape[1:]
                group.create_array(name, shape=(total, *shape), chunks=(shard_size, *shape), dtype=dtype)
        group.attrs.update(provenance)
    for name in COLUMNS:
        _array(group, name)[start : start + len(shard)] = getattr(shard, name).numpy()


def read_set(path: Path, attack: AttackSpec) -> AdversarialSet:
    """Read a whole set into memory; raises RunError where there is none."""
    columns = {name: torch.from_numpy(read_column(path, name)) for name in COLUMNS}
    return AdversarialSet(attack=attack, **columns)


def read_column(path: Path, name: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Read one array of a set, all rows or those given; raises RunError where it is not there."""
    try:
        array = _array(zarr.open_group(path, mode="r"), name)
    except (FileNotFoundError, KeyError):
        raise RunError(f"expected an adversarial set with {name!r} at {path}, found none") from None
    return np.asarray(array[:] if rows is None else array.oindex[rows])


def describe_set(
    path: Path, victim: str, attack: AttackSpec, split: Literal["train", "test"], seconds: float
) -> SetCard:
    """Count what a set on disk holds."""
    attacked, success = read_column(path, "attacked"), read_column(path, "success_float32")
    return SetCard(
        victim=victim,
        family=attack.family,
        norm=attack.norm,
        setting=attack.setting,
        attack=str(attack),
        label=attack.label,
        split=split,
        n_images=len(attacked),
        n_attacked=int(attacked.sum()),
        n_success={"float32": int(success.sum()), "uint8": int(read_column(path, "success_uint8").sum())},
        median_l2=_median(read_column(path, "l2")[success]),
        median_linf=_median(read_column(path, "linf")[success]),
        mean_steps=float(read_column(path, "steps")[attacked].mean()) if attacked.any() else 0.0,
        seconds=seconds,
    )


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def read_provenance(path: Path) -> dict[str, Any]:
    """What is known of how a set was made; raises RunError where there is no set."""
    try:
        return dict(zarr.open_group(path, mode="r").attrs)
    except FileNotFoundError:
        raise RunError(f"expected an adversarial set (a zarr group) at {path}, found none") from None


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(name)
    return array
