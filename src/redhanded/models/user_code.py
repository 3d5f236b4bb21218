"""A user's own model, made by the user's own code: what goes wrong there is told with its file and line."""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import nn

from redhanded.core import file_digest
from redhanded.errors import AttackError, did_you_mean
from redhanded.models.checks import describe_error
from redhanded.models.training import pick_device

MODULE = "redhanded_victim"  # under which the file is imported: no package has this name


class UserModel(NamedTuple):
    """A user's model with its provenance."""

    network: nn.Module
    name: str  # FILE.py:NAME, without folders
    file_digest: str  # SHA-256 of the file
    weights_digest: str  # SHA-256 of the state_dict


def load_model(reference: str, device: str | None = None) -> UserModel:
    """Load the model that FILE.py:NAME names: a Module, or a function without arguments that returns one.

    device: `cpu` or `cuda`, on which the model is put; CUDA where there is one for None. This runs the code of the
    file, with its folder first on the import path, as `python FILE.py` has it. Raises AttackError, in one line, for a
    reference of another form, whatever that code raises, a NAME that gives no Module, and a GPU that is not there.
    """
    file, _, name = reference.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise AttackError(f"expected --victim FILE.py:NAME, found {reference!r}; e.g. my_model.py:make_model")
    path = Path(file)
    if not path.is_file():
        raise AttackError(f"expected a Python file at {path}, found none; check the path")
    place = torch.device(device) if device else pick_device()
    if place.type == "cuda" and not torch.cuda.is_available():
        raise AttackError("expected a GPU for --device cuda, found none that torch can use; give --device cpu")
    with _user_code(path, "to be imported"):
        checksum, module = file_digest(path), _import(path)
    if not hasattr(module, name):
        hint = did_you_mean(name, [known for known in vars(module) if not known.startswith("_")]).removeprefix("; ")
        hint = hint or "give the name of a function or of a model"
        raise AttackError(f"expected {name!r} in {path}, found no such name; {hint}")
    network = getattr(module, name)
    with _user_code(path, f"to give a model by {name}"):
        if callable(network) and not isinstance(network, nn.Module):
            network = network()
    if not isinstance(network, nn.Module):
        found = f"an object of type {type(network).__name__}"
        raise AttackError(f"expected {reference} to give a torch.nn.Module, found {found}; return the model itself")
    with _user_code(path, f"to give a model that can be moved to {place}"):
        return UserModel(network.to(place), f"{path.name}:{name}", checksum, weights_digest(network))


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of a model's parameters and buffers, in the order of the names."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if isinstance(value, torch.Tensor):  # a module may keep anything beside its tensors
            sha.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
            sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _import(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None  # noqa: S101 - a name that ends in .py has a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module  # dataclasses and pickles look their classes up there
    spec.loader.exec_module(module)
    return module


@contextmanager
def _user_code(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever the user's code raises, `sys.exit()` too, into an AttackError with the line of the file."""
    try:
        yield
    except (Exception, SystemExit) as error:
        # The last line of the file that the exception went through; a syntax error says its line itself.
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
        found = describe_error(error) + (f" ({path.name}, line {lines[-1]})" if lines else "")
        raise AttackError(f"expected {path} {expected}, found {found}; run it alone to see more") from error
