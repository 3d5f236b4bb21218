"""Reading a bundle: every file is one that the card names, has the SHA-256 of the card, and holds finite numbers."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from redhanded.attributors import Attributor
from redhanded.bundle.pack import CARD, EXAMPLES
from redhanded.bundle.records import FORMAT, BundleCard, Part
from redhanded.errors import RedhandedError, RunError
from redhanded.identity import file_digest
from redhanded.results import Knowledge, Pixels, read_record
from redhanded.victims import load_victim

SUFFIXES = (".safetensors", ".json")
MOST_BYTES = 1 << 30  # of one file
MOST_FILES = 1000


class BundleError(RedhandedError):
    """A bundle that is missing, damaged, of another format, or holds what no bundle holds."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked; `attributors` by (pixels, knowledge)."""

    card: BundleCard
    attributors: dict[tuple[Pixels, Knowledge], Attributor]
    parts: dict[tuple[Pixels, Knowledge], Part]
    victims: dict[str, nn.Module]  # empty where they were left out
    examples: Tensor  # (n, c, h, w) uint8
    digest: str  # SHA-256 of its card, and so of all


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle; raises BundleError in one line where anything is missing, changed, surplus or not finite."""
    folder = Path(folder)
    try:
        card = _read_card(folder)
        _check_files(folder, card)
        parts = {(part.pixels, part.knowledge): part for part in card.parts}
        attributors = {place: Attributor.load(folder / part.folder) for place, part in parts.items()}
        inside = card.victims if card.victims_inside else []
        victims = {victim.name: load_victim(folder / "victims" / victim.name).network for victim in inside}
        examples = load_file(folder / EXAMPLES)["images"]
    except RunError as error:
        raise BundleError(f"{error}; get the bundle again") from None
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"expected a bundle in {folder}, found: {reason}; get the bundle again") from None
    for place, attributor in attributors.items():
        _check_part(folder, card, parts[place], attributor)
    if len(examples) != len(card.examples) or tuple(examples.shape[1:]) != card.shape:
        raise BundleError(f"expected {len(card.examples)} examples in {folder}, found {tuple(examples.shape)}")
    return Bundle(card, attributors, parts, victims, examples, file_digest(folder / CARD))


def _read_card(folder: Path) -> BundleCard:
    path = folder / CARD
    if not path.is_file() or path.is_symlink() or path.stat().st_size > MOST_BYTES:
        raise BundleError(f"expected a bundle, a folder with {CARD}, found {folder}; make one with redhanded bundle")
    card = read_record(BundleCard, path)
    if card.format != FORMAT:
        raise BundleError(f"expected a bundle of format {FORMAT} in {folder}, found {card.format}; pack it again")
    return card


def _check_files(folder: Path, card: BundleCard) -> None:
    """Every file is named, a plain file below the folder, of a kind that cannot run code, and unchanged."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    if len(found) > MOST_FILES:
        raise BundleError(f"expected at most {MOST_FILES} files in {folder}, found {len(found)}")
    names = {path.relative_to(folder).as_posix() for path in found} - {CARD}
    for name in sorted(names ^ card.files.keys()):
        what = "a file that its card does not name" if name in names else "no such file"
        raise BundleError(f"expected the files of its card in {folder}, found {what}: {name}; get the bundle again")
    for name, digest in card.files.items():
        path = folder / name
        plain = path.is_file() and not path.is_symlink() and ".." not in PurePosixPath(name).parts
        if not plain or path.suffix not in SUFFIXES or path.stat().st_size > MOST_BYTES:
            raise BundleError(f"expected plain {' and '.join(SUFFIXES)} files in {folder}, found {name}")
        if file_digest(path) != digest:
            raise BundleError(f"expected {name} in {folder} as its card has it, found it changed; get the bundle again")
        if path.suffix == ".safetensors":
            _check_numbers(path)


def _check_numbers(path: Path) -> None:
    for name, tensor in load_file(path).items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BundleError(f"expected finite numbers in {path}, found others in {name}; get the bundle again")


def _check_part(folder: Path, card: BundleCard, part: Part, attributor: Attributor) -> None:
    strange = set(attributor.classes_) - card.sets.keys()
    if attributor.kind != part.attributor or attributor.shape_ != card.shape or strange:
        raise BundleError(
            f"expected the attributor that the card of {folder} describes, found another in {part.folder}"
        )
