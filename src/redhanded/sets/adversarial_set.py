"""Adversarial sets: what one attack made of one victim's images, in memory and on disk (zarr).

On disk a set is a zarr group of sibling arrays, all cut along the first axis into the same shards. A shard is
written whole by one writer; whoever writes it records only afterwards that it is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import zarr
from filelock import FileLock
from torch import Tensor

from redhanded.attacks import ATTACKS, AttackSpec
from redhanded.data import AS_LEFT, Pixels
from redhanded.errors import RunError
from redhanded.sets.card import SetCard

# The arrays of every set and their types on disk; `images` has a shape of its own, the others are (n,). Beside them
# stand `prediction_P` and `success_P` for each pixel protocol P under which success was measured, and `parameter_N` for
# each parameter N of which every image drew a value of its own.
COLUMNS: dict[str, str] = {
    "images": "float32",
    "index": "int64",
    "label": "int64",
    "attacked": "bool",
    "l2": "float32",
    "linf": "float32",
    "steps": "int64",
}
PREFIXED: dict[str, str] = {"prediction": "int64", "success": "bool", "parameter": "float64"}


@dataclass(frozen=True)
class AdversarialSet:
    """What one attack made of n images; every tensor is on the CPU and has n rows."""

    attack: AttackSpec
    images: Tensor  # (n, c, h, w) float32 in [0, 1], as the attack left them
    index: Tensor  # (n,) where the image stands in its source
    label: Tensor  # (n,) the true class
    attacked: Tensor  # (n,) bool: the victim was right before, so that there was something to attack
    l2: Tensor  # (n,) size of the perturbation, pixels in [0, 1]
    linf: Tensor  # (n,)
    steps: Tensor  # (n,) gradients used
    predictions: Mapping[Pixels, Tensor]  # (n,) the victim's class for the image under each pixel protocol
    parameters: Mapping[str, Tensor] = field(default_factory=dict)  # (n,) what each image drew of the attack's ranges

    def __len__(self) -> int:
        return len(self.index)

    def success(self, pixels: Pixels) -> Tensor:
        """(n,) bool: which images fool the victim under a pixel protocol; see `succeeded`."""
        return succeeded(self.attacked, self.linf, self.predictions[pixels], self.label)

    def eligible(self, pixels: Pixels) -> Tensor:
        """(n,) bool: which images count: those that fool their victim; of a control, all that were attacked."""
        return self.attacked if ATTACKS[self.attack.family].control else self.success(pixels)

    def columns(self) -> dict[str, Tensor]:
        """The arrays of the set as they are stored on disk, by name, each with n rows."""
        measured = {
            f"{name}_{pixels}": values
            for pixels, prediction in self.predictions.items()
            for name, values in (("prediction", prediction), ("success", self.success(pixels)))
        }
        drawn = {f"parameter_{name}": values.double() for name, values in self.parameters.items()}
        return {name: getattr(self, name) for name in COLUMNS} | measured | drawn


def succeeded(attacked: Tensor, linf: Tensor, prediction: Tensor, label: Tensor) -> Tensor:
    """Which attacks succeeded, (n,) bool: the image was attacked and changed, and the victim names another class.

    attacked: (n,) bool; linf: (n,) size of the perturbation; prediction, label: (n,) classes.
    """
    return attacked & (linf > 0) & (prediction != label)


def write_shard(
    path: Path, start: int, total: int, shard_size: int, columns: Mapping[str, Tensor], provenance: Mapping[str, Any]
) -> None:
    """Write rows of some arrays of a set of `total` rows, from `start` on; arrays that are not there yet are made.

    `start` must be a multiple of `shard_size`, so that each file has one writer.
    """
    with FileLock(f"{path}.lock"):
        group = zarr.open_group(path, mode="a")
        for name, values in columns.items():
            if name not in group:
                shape = values.shape[1:]
                dtype = COLUMNS.get(name) or PREFIXED[name.partition("_")[0]]
                group.create_array(name, shape=(total, *shape), chunks=(shard_size, *shape), dtype=dtype)
        group.attrs.update(provenance)
    for name, values in columns.items():
        _array(group, name)[start : start + len(values)] = values.numpy()


def read_set(path: Path, attack: AttackSpec) -> AdversarialSet:
    """Read a whole set into memory; raises RunError where there is none."""
    columns = {name: torch.from_numpy(read_column(path, name)) for name in COLUMNS}
    predictions, parameters = (
        {
            name.removeprefix(prefix): torch.from_numpy(read_column(path, name))
            for name in column_names(path)
            if name.startswith(prefix)
        }
        for prefix in ("prediction_", "parameter_")
    )
    return AdversarialSet(attack=attack, **columns, predictions=predictions, parameters=parameters)


def column_names(path: Path) -> list[str]:
    """The names of a set's arrays, sorted; raises RunError where there is no set."""
    return sorted(_open(path).array_keys())


def read_column(path: Path, name: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Read one array of a set, all rows or those given; raises RunError where it is not there."""
    try:
        array = _array(zarr.open_group(path, mode="r"), name)
    except (FileNotFoundError, KeyError):
        raise RunError(f"expected an adversarial set with {name!r} at {path}, found none") from None
    return np.asarray(array[:] if rows is None else array.oindex[rows])


def describe_set(
    path: Path,
    victim: str,
    attack: AttackSpec,
    split: Literal["train", "test"],
    measured: Sequence[Pixels],
    seconds: float,
) -> SetCard:
    """Compute the statistics of a set on disk; `measured` names the pixel protocols, AS_LEFT among them."""
    attacked, success = read_column(path, "attacked"), read_column(path, f"success_{AS_LEFT}")
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
        n_success={pixels: int(read_column(path, f"success_{pixels}").sum()) for pixels in measured},
        median_l2=_median(read_column(path, "l2")[success]),
        median_linf=_median(read_column(path, "linf")[success]),
        mean_steps=float(read_column(path, "steps")[attacked].mean()) if attacked.any() else 0.0,
        seconds=seconds,
    )


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def read_provenance(path: Path) -> dict[str, Any]:
    """Read the provenance of a set, how it was made; raises RunError where there is no set."""
    return dict(_open(path).attrs)


def _open(path: Path) -> zarr.Group:
    try:
        return zarr.open_group(path, mode="r")
    except FileNotFoundError:
        raise RunError(f"expected an adversarial set (a zarr group) at {path}, found none") from None


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(name)
    return array
