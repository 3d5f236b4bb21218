"""Weights on disk: safetensors with a checksum, never a pickle."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from redhanded.core.hashing import file_digest
from redhanded.errors import RunError

WEIGHTS = "weights.safetensors"


def save_weights(network: nn.Module, folder: Path) -> str:
    """Write a network's weights into `folder`, which is made if need be; returns their SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / WEIGHTS)
    return file_digest(folder / WEIGHTS)


def require_digest(path: Path, expected_digest: str, what: str) -> None:
    """Raise RunError, which calls the content by `what`, unless the file is there and has this SHA-256."""
    if not path.is_file():
        raise RunError(f"expected {what} at {path}, found no file; run the study again to make them")
    found = file_digest(path)
    if found != expected_digest:
        raise RunError(f"expected {what} with SHA-256 {expected_digest[:12]}... at {path}, found {found[:12]}...")


def load_weights(network: nn.Module, folder: Path, expected_digest: str) -> None:
    """Read weights into a network; raises RunError unless the file's SHA-256 and every shape agree."""
    path = folder / WEIGHTS
    require_digest(path, expected_digest, "weights")
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"expected weights of this network at {path}, found others: {reason}") from None
