"""Reading a bundle: nothing in it is believed before it was checked, and all of it is checked before it is used."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from redhanded.attributors import Attributor, Gaussians, Knowledge, Prediction
from redhanded.bundle.card import FORMAT, BundleCard, Part
from redhanded.bundle.verify import (
    CARD_FILE,
    EXAMPLES_FILE,
    GAUSSIANS,
    BundleError,
    bad_bundle,
    check_attributor,
    check_files,
    check_victim,
    read_json,
    trusting_nothing,
)
from redhanded.core import file_digest, read_record
from redhanded.data import PIXELS, Pixels
from redhanded.models import load_victim
from redhanded.sets import Samples
from redhanded.studies import told_apart

__all__ = ["Bundle", "BundleError", "checked_answer", "load_bundle"]
_GREY = 0.5  # of the image that every attributor has to answer


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked; `attributors` by (pixels, knowledge)."""

    card: BundleCard
    attributors: dict[tuple[Pixels, Knowledge], Attributor]
    parts: dict[tuple[Pixels, Knowledge], Part]
    gaussians: dict[tuple[Pixels, Knowledge], Gaussians]  # of the features of what is known
    victims: dict[str, nn.Module]  # those that an attributor asks; empty where they were left out
    examples: Tensor  # (n, c, h, w) uint8
    digest: str  # SHA-256 of its card, and so of all


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle; raises BundleError in one line where anything is missing, changed, surplus or not finite."""
    folder = Path(folder)
    with trusting_nothing(folder):
        card = _read_card(folder)
        check_files(folder, card)
        _check_places(folder, card)
        parts = {(part.pixels, part.knowledge): part for part in card.parts}
        inside = card.victims if card.victims_inside else []
        for part in card.parts:
            check_attributor(folder / part.folder, part)
        for victim in inside:
            check_victim(folder / "victims" / victim.name, victim, card.shape)
        attributors = {place: Attributor.load(folder / part.folder) for place, part in parts.items()}
        gaussians = {place: Gaussians.load(folder / part.folder / GAUSSIANS) for place, part in parts.items()}
        asked = inside if any(part.knowledge == "candidates" for part in card.parts) else []
        victims = {victim.name: load_victim(folder / "victims" / victim.name).network for victim in asked}
        examples = load_file(folder / EXAMPLES_FILE)["images"]
        if tuple(examples.shape) != (len(card.examples), *card.shape) or examples.dtype != torch.uint8:
            raise bad_bundle(folder / EXAMPLES_FILE, f"{len(card.examples)} images", str(tuple(examples.shape)))
        for place, attributor in attributors.items():
            _check_agreement(folder, card, parts[place], attributor)
            _check_answer(card, attributor)
        return Bundle(card, attributors, parts, gaussians, victims, examples, file_digest(folder / CARD_FILE))


def _read_card(folder: Path) -> BundleCard:
    if not (folder / CARD_FILE).is_file():
        raise bad_bundle(folder, f"a bundle, a folder with {CARD_FILE}", "none", "make one with redhanded bundle")
    version = read_json(folder / CARD_FILE).get("format")
    if version != FORMAT:
        raise bad_bundle(folder, f"a bundle of format {FORMAT}", repr(version), "pack it again with this version")
    return read_record(BundleCard, folder / CARD_FILE)


def _check_places(folder: Path, card: BundleCard) -> None:
    """Where the card says that things lie is where checked files are, and nothing has the place of another."""
    places = {part.folder: f"{part.folder}/card.json" for part in card.parts}
    places |= {one.name: f"victims/{one.name}/card.json" for one in card.victims if card.victims_inside}
    for name, path in places.items():
        if path not in card.files:  # a path that leads elsewhere is not among them, however it is written
            raise bad_bundle(folder, "attributors and victims at files of the card", f"one at {name}")
    for part in card.parts:
        if part.pixels not in PIXELS:
            raise bad_bundle(folder, f"attributors for pixels of {', '.join(PIXELS)}", repr(part.pixels))
    inside = card.victims_inside and card.victims
    if not inside and any(part.knowledge == "candidates" for part in card.parts):
        raise bad_bundle(folder, "the victims that its attributors ask", "none")
    if len({(part.pixels, part.knowledge) for part in card.parts}) < len(card.parts):
        raise bad_bundle(folder, "one attributor for each pixel protocol and knowledge", "two for one")


def _check_agreement(folder: Path, card: BundleCard, part: Part, attributor: Attributor) -> None:
    said = (part.attributor, part.knowledge, card.shape)
    found = (attributor.kind, attributor.knowledge, attributor.shape_)
    if said != found:
        raise bad_bundle(folder / part.folder, f"the attributor of the card, {said}", f"another, {found}")
    strange = [name for name in attributor.classes_ if name not in card.sets]
    if strange:
        raise bad_bundle(folder / part.folder, "classes that are sets of the card", strange[0])
    dimensions = told_apart({name: card.sets[name] for name in attributor.classes_})
    if "family" not in dimensions:
        raise bad_bundle(folder / part.folder, "an attributor of two families or more", "one of fewer")
    if part.temperatures.keys() != dimensions.keys():
        expected = f"a temperature for each of {', '.join(dimensions)}"
        raise bad_bundle(folder / part.folder, expected, ", ".join(part.temperatures) or "none")


def _check_answer(card: BundleCard, attributor: Attributor) -> None:
    """To a grey image, where no victim has to be asked: that takes its time, and happens with the first image."""
    if attributor.knowledge != "candidates":
        grey = torch.full((1, *card.shape), _GREY)
        checked_answer(attributor, Samples(grey, torch.zeros(1, dtype=torch.int64), (), clean=grey))


def checked_answer(attributor: Attributor, samples: Samples) -> Prediction:
    """An attributor's answer; raises BundleError unless it is finite and of the shape of those that were held out."""
    with trusting_nothing(f"the bundle's {attributor.kind}"):
        answer = attributor.answer(samples)
        held = attributor.held_out_
        shapes = [tuple(part.shape[1:]) for part in (*answer, held.log_proba, held.features)]
        if shapes[:2] != shapes[2:] or not all(torch.isfinite(part).all() for part in answer):
            found = f"others, or of shapes {shapes[:2]}"
            raise bad_bundle(f"the bundle's {attributor.kind}", f"finite answers of shapes {shapes[2:]}", found)
        return answer
