"""Verification of a bundle: files, numbers and networks are checked before anything believes or builds them.

Every check raises BundleError, in one line, at the first thing that no sound bundle has.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from redhanded.attributors import ATTRIBUTORS, HELD_OUT, AttributorCard, make_attributor
from redhanded.bundle.card import BundleCard, Part
from redhanded.core import WEIGHTS, file_digest, read_record
from redhanded.errors import RedhandedError, one_line
from redhanded.models import VICTIMS, Normalise, VictimCard

CARD_FILE, EXAMPLES_FILE = "bundle.json", "examples.safetensors"
GAUSSIANS = "gaussians.safetensors"  # beside an attributor
SUFFIXES = (".safetensors", ".json")
DTYPES = (torch.float32, torch.int64, torch.uint8)  # those that are packed; a wider one could overflow when it is read
MOST_FILES = 1000
MOST_JSON = 1 << 23  # bytes of one card
MOST_BYTES = 1 << 28  # of one file
MOST_TOGETHER = 1 << 29  # of all files
MOST_CHANNELS = 1000  # of what an attributor's network sees
MOST_CLASSES = 1000
_LONGEST_INTEGER = 20  # characters of one in 64 bits
_LONGEST = 200  # characters of what was found; a hostile file may have anything in it
_REMEDY = "get the bundle again from whoever packed it"


class BundleError(RedhandedError):
    """A bundle that is missing, damaged, of another format, or holds what no bundle holds."""


def bad_bundle(where: object, expected: str, found: str, remedy: str = _REMEDY) -> BundleError:
    """Make a BundleError of one printable line: the place, what was expected, what was found, what to do."""
    return BundleError(one_line(f"{where}: expected {expected}, found {found[:_LONGEST]}; {remedy}"))


@contextmanager
def trusting_nothing(where: object) -> Iterator[None]:
    """Turn whatever foreign numbers and cards make the reading code raise into a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except RedhandedError as error:
        raise BundleError(one_line(f"{str(error)[: 3 * _LONGEST]}; {_REMEDY}")) from error
    except Exception as error:
        reason = str(error).partition("\n")[0] or "nothing that can be said"
        raise bad_bundle(where, "a sound bundle", f"{type(error).__name__}: {reason}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, strictly: no name twice, no infinity, no NaN."""
    plain = path.is_file() and not path.is_symlink()
    if not plain or path.stat().st_size > MOST_JSON:
        expected = f"a JSON file of at most {MOST_JSON:,} bytes"
        raise bad_bundle(path, expected, "a larger one" if plain else "no plain file")
    try:
        content = json.loads(
            path.read_text("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise bad_bundle(path, "plain JSON", str(error)) from None
    if not isinstance(content, dict):
        raise bad_bundle(path, "a JSON object", type(content).__name__)
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"a name twice: {twice}")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number that is not finite: {text}")
    return number


def _whole(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def check_files(folder: Path, card: BundleCard) -> None:
    """Check that every file is one of the card's, lies below the folder, cannot run code and is unchanged.

    A file of tensors holds finite numbers of the types that are packed.
    """
    below = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    present = list(islice(below, MOST_FILES + 1))
    if len(present) > MOST_FILES:
        raise bad_bundle(folder, f"at most {MOST_FILES} files", "more")
    names = {path.relative_to(folder).as_posix() for path in present} - {CARD_FILE}
    for name in sorted(names ^ card.files.keys()):  # so a name that leads out of the folder is refused too
        what = "one that it does not name" if name in names else "no such file"
        raise bad_bundle(folder, "the files that the card names", f"{what}: {name}")
    digests = {folder / name: digest for name, digest in card.files.items()}
    for path in digests:
        if path.is_symlink() or not path.is_file() or path.suffix not in SUFFIXES:
            raise bad_bundle(path, f"a plain file that ends in {' or '.join(SUFFIXES)}", "something else")
    sizes = [path.stat().st_size for path in digests]
    if max(sizes, default=0) > MOST_BYTES or sum(sizes) > MOST_TOGETHER:
        expected = f"files of at most {MOST_BYTES:,} bytes, {MOST_TOGETHER:,} together"
        raise bad_bundle(folder, expected, f"{max(sizes):,}, {sum(sizes):,} together")
    for path, digest in digests.items():
        if file_digest(path) != digest:
            raise bad_bundle(path, f"the SHA-256 that the card has ({digest[:12]}...)", "another: it was changed")
        if path.suffix == ".json":
            read_json(path)
        else:
            _check_numbers(path, (*DTYPES, torch.float16) if card.half or card.half_victims else DTYPES)


def _check_numbers(path: Path, dtypes: Sequence[torch.dtype]) -> None:
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            tensor = file.get_tensor(name)  # one at a time
            if tensor.dtype not in dtypes:
                raise bad_bundle(f"{path}, {name}", f"one of {', '.join(map(str, dtypes))}", str(tensor.dtype))
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise bad_bundle(f"{path}, {name}", "finite numbers", "others")


def check_attributor(folder: Path, part: Part) -> None:
    """Check the cards, weights and held-out answers of an attributor, of each part where it joins several."""
    row = ATTRIBUTORS.get(part.attributor)
    if row is None or not row.whole:
        known = ", ".join(name for name, known_row in ATTRIBUTORS.items() if known_row.whole)
        raise bad_bundle(folder, f"an attributor of {known}", part.attributor)
    _check_gaussians(folder / GAUSSIANS, _check_stored(folder, part.attributor))


def _check_stored(place: Path, kind: str) -> int:
    """Check one stored attributor and all that it is made of; returns how many features it gives, those of the first.

    Whatever a kind keeps beside that, it checks itself when it is read.
    """
    card = read_record(AttributorCard, place / "card.json")
    if card.kind != kind:
        raise bad_bundle(place, f"an attributor of the kind {kind}", card.kind)
    if card.channels > MOST_CHANNELS or not 2 <= len(set(card.classes)) == len(card.classes) <= MOST_CLASSES:
        expected = f"at most {MOST_CHANNELS} channels and 2 to {MOST_CLASSES} different classes"
        raise bad_bundle(place, expected, f"{card.channels} and {len(card.classes)}")
    row = ATTRIBUTORS[kind]
    features = [_check_stored(place / name, part) for name, part in row.attributor.parts_of(card).items()]
    if features:
        return features[0]
    attributor: Any = make_attributor(card.kind, card.settings, card.seed)
    attributor.classes_, attributor.shape_, attributor.channels_ = card.classes, card.shape, card.channels
    attributor.layout_ = card.layout
    with torch.device("meta"):  # shapes without memory
        network: nn.Module = attributor.build([0.0] * card.channels, [1.0] * card.channels)
    _check_weights(network, place / WEIGHTS)
    return _check_held_out(place / HELD_OUT, len(card.classes))


def check_victim(folder: Path, expected: VictimCard, shape: tuple[int, int, int]) -> None:
    """Check that a victim is the one of the bundle's card, for images of its shape, and that its weights fit."""
    card = read_record(VictimCard, folder / "card.json")
    known = card.architecture in VICTIMS and 2 <= card.classes <= MOST_CLASSES
    if card != expected or not known or card.shape != shape:
        raise bad_bundle(folder, f"the victim {expected.name} of the bundle's card", f"{card.name}, or not the same")
    with torch.device("meta"):  # as `build_network` puts it together, without a pass: no victim has lazy layers
        layers = VICTIMS[card.architecture].build(card.width, card.shape[0], card.classes)
        network = nn.Sequential(Normalise([0.0] * card.shape[0], [1.0] * card.shape[0]), *layers)
    _check_weights(network, folder / WEIGHTS)


def _check_weights(network: nn.Module, path: Path) -> None:
    wanted, present = _shapes(network.state_dict()), _shapes(load_file(path))
    if wanted != present:
        name = min(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        both = (shapes.get(name) for shapes in (wanted, present))
        expected, found = ("no such tensor" if shape is None else f"the shape {shape}" for shape in both)
        raise bad_bundle(f"{path}, {name}", expected, found)


def _check_held_out(path: Path, classes: int) -> int:
    """Check answers to at least two images, with labels that are classes; returns how many features they have."""
    answers = load_file(path)
    shapes = _shapes(answers)
    count, features = shapes.get("features", (0, 0))
    wanted = {"log_proba": (count, classes), "labels": (count,), "index": (count,), "features": (count, features)}
    if shapes != wanted or count < 2:
        raise bad_bundle(path, f"answers of {classes} classes to two images or more", str(shapes))
    labels, index = answers["labels"], answers["index"]
    if labels.dtype != torch.int64 or index.dtype != torch.int64:
        raise bad_bundle(path, "labels and index of torch.int64", f"{labels.dtype} and {index.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise bad_bundle(path, f"labels from 0 to {classes - 1}", f"{int(labels.min())} to {int(labels.max())}")
    return features


def _check_gaussians(path: Path, features: int) -> None:
    """Check the centres of one class or more in the space of the features, and their shared precision."""
    if not path.is_file():
        raise bad_bundle(path, "normal distributions of the features", "no such file")
    gaussians = load_file(path)
    shapes = _shapes(gaussians)
    count = shapes.get("centres", (0,))[0]
    if shapes != {"centres": (count, features), "columns": (features, features)} or not 1 <= count <= MOST_CLASSES:
        expected = f"1 to {MOST_CLASSES} centres and a precision of {features} features"
        raise bad_bundle(path, expected, str(shapes))
    dtypes = {str(tensor.dtype) for tensor in gaussians.values()}
    if dtypes != {str(torch.float32)}:
        raise bad_bundle(path, "numbers of torch.float32", " and ".join(sorted(dtypes)))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
