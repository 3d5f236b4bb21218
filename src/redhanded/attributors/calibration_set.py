"""The calibration set: an attributor's answers to images that were held out of its training."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from redhanded.core import file_digest, require_digest
from redhanded.errors import RunError

HELD_OUT = "held_out.safetensors"


@dataclass(frozen=True)
class CalibrationSet:
    """Log probabilities, features and labels of the images made of held-out source images."""

    log_proba: Tensor  # (n, classes)
    features: Tensor  # (n, f) what the attributor's last layer sees
    labels: Tensor  # (n,) int64: places in the attributor's classes
    index: Tensor  # (n,) int64: where the image stands in its source's split; -1 where it is not known

    def save(self, folder: Path) -> str:
        """Write the set as safetensors; returns the file's SHA-256."""
        save_file({name: value.contiguous() for name, value in vars(self).items()}, folder / HELD_OUT)
        return file_digest(folder / HELD_OUT)

    @classmethod
    def load(cls, folder: Path, expected_digest: str) -> "CalibrationSet":
        """Read what `save` wrote, as float32 also where a bundle keeps it in 16 bits.

        Raises RunError unless the file's SHA-256 agrees.
        """
        path = folder / HELD_OUT
        require_digest(path, expected_digest, "held-out answers")
        try:
            stored = load_file(path).items()
            return cls(**{name: value.float() if value.dtype == torch.float16 else value for name, value in stored})
        except (SafetensorError, TypeError) as error:
            raise RunError(f"expected held-out answers at {path}, found: {str(error).splitlines()[0]}") from None
