"""The files of a bundle, before anything believes what they hold: named, plain, unchanged, finite, not too large."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from redhanded.bundle.errors import bad_bundle
from redhanded.bundle.records import BundleCard
from redhanded.identity import file_digest

CARD, EXAMPLES = "bundle.json", "examples.safetensors"
GAUSSIANS = "gaussians.safetensors"  # beside an attributor
SUFFIXES = (".safetensors", ".json")
MOST_FILES = 1000
MOST_JSON = 1 << 23  # bytes of one card
MOST_BYTES = 1 << 28  # of one file
MOST_TOGETHER = 1 << 29  # of all files
_LONGEST_INTEGER = 20  # characters of one in 64 bits
DTYPES = (torch.float32, torch.int64, torch.uint8)  # those that are packed; a wider one could overflow when it is read


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, strictly: no name twice, no infinity, no NaN; raises BundleError."""
    plain = path.is_file() and not path.is_symlink()
    if not plain or path.stat().st_size > MOST_JSON:
        found = "a larger one" if plain else "no plain file"
        raise bad_bundle(path, f"a JSON file of at most {MOST_JSON:,} bytes", found)
    try:
        found = json.loads(
            path.read_text("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise bad_bundle(path, "plain JSON", str(error)) from None
    if not isinstance(found, dict):
        raise bad_bundle(path, "a JSON object", type(found).__name__)
    return found


def check_files(folder: Path, card: BundleCard) -> None:
    """Every file is one of the card's, lies below the folder, cannot run code, is unchanged and holds finite numbers.

    Raises BundleError at the first one that is not so.
    """
    found = list(islice(_files_below(folder), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise bad_bundle(folder, f"at most {MOST_FILES} files", "more")
    names = {path.relative_to(folder).as_posix() for path in found} - {CARD}
    for name in sorted(names ^ card.files.keys()):  # so a name that leads out of the folder is refused too
        what = "one that it does not name" if name in names else "no such file"
        raise bad_bundle(folder, "the files that the card names", f"{what}: {name}")
    paths = [folder / name for name in card.files]
    _check_kinds(folder, paths)
    for path, digest in zip(paths, card.files.values(), strict=True):
        if file_digest(path) != digest:
            raise bad_bundle(path, f"the SHA-256 that the card has ({digest[:12]}...)", "another: it was changed")
        if path.suffix == ".json":
            read_json(path)
        else:
            _check_numbers(path)


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _check_kinds(folder: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_symlink() or not path.is_file() or path.suffix not in SUFFIXES:
            raise bad_bundle(path, f"a plain file that ends in {' or '.join(SUFFIXES)}", "something else")
    sizes = [path.stat().st_size for path in paths]
    if max(sizes, default=0) > MOST_BYTES or sum(sizes) > MOST_TOGETHER:
        expected = f"files of at most {MOST_BYTES:,} bytes, {MOST_TOGETHER:,} together"
        raise bad_bundle(folder, expected, f"{max(sizes):,}, {sum(sizes):,} together")


def _check_numbers(path: Path) -> None:
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            tensor = file.get_tensor(name)  # one at a time
            if tensor.dtype not in DTYPES:
                raise bad_bundle(f"{path}, {name}", f"one of {', '.join(map(str, DTYPES))}", str(tensor.dtype))
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise bad_bundle(f"{path}, {name}", "finite numbers", "others")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"a name twice: {twice}")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number that is not finite: {text}")
    return number


def _whole(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
