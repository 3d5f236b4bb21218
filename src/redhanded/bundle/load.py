"""Loading a bundle: all of it is checked before any of it is used."""

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


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked; `attributors` by (pixels, knowledge)."""

    card: BundleCard
    attributors: dict[tuple[Pixels, Knowledge], Attributor]
    parts: dict[tuple[Pixels, Knowledge], Part]
    gaussians: dict[tuple[Pixels, Knowledge], Gaussians]  # of the features of what is known
    victims: dict[str, nn.Module]  # those that an attributor asks; empty where they were left out
    examples: Tensor  # (n, c, h, w) uint8; n is 0 where they were left out
    digest: str  # SHA-256 of its card, and so of all
    folder: Path  # that it was read from

    @property
    def label(self) -> str:
        """Its study and digest in one word, `quick@sha256:0a1b...`: what a verdict is referred to."""
        return f"{self.card.study.get('name') or 'unnamed'}@sha256:{self.digest}"


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle; raises BundleError in one line where anything is missing, changed, surplus or not finite."""
    folder = Path(folder)
    with trusting_nothing(folder):
        if not (folder / CARD_FILE).is_file():
            raise bad_bundle(folder, f"a bundle, a folder with {CARD_FILE}", "none", "make one with redhanded bundle")
        version = read_json(folder / CARD_FILE).get("format")
        if version != FORMAT:
            raise bad_bundle(folder, f"a bundle of format {FORMAT}", repr(version), "pack it again with this version")
        card = read_record(BundleCard, folder / CARD_FILE)
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
        examples = torch.zeros(0, *card.shape, dtype=torch.uint8)
        if card.examples or EXAMPLES_FILE in card.files:
            examples = load_file(folder / EXAMPLES_FILE)["images"]
        if tuple(examples.shape) != (len(card.examples), *card.shape) or examples.dtype != torch.uint8:
            raise bad_bundle(folder / EXAMPLES_FILE, f"{len(card.examples)} images", str(tuple(examples.shape)))
        for place, attributor in attributors.items():
            _check_agreement(folder, card, parts[place], attributor)
            if attributor.knowledge != "candidates":  # asking victims takes its time, and happens with the first image
                grey = torch.full((1, *card.shape), 0.5)
                checked_answer(attributor, Samples(grey, torch.zeros(1, dtype=torch.int64), (), clean=grey))
        return Bundle(card, attributors, parts, gaussians, victims, examples, file_digest(folder / CARD_FILE), folder)


def _check_places(folder: Path, card: BundleCard) -> None:
    """Check that what the card places lies among the checked files, and that no two things have one place."""
    places = {part.folder: f"{part.folder}/card.json" for part in card.parts}
    places |= {victim.name: f"victims/{victim.name}/card.json" for victim in card.victims if card.victims_inside}
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
    """Check that an attributor is the one of the card, and that its classes are sets that the card knows."""
    expected = (part.attributor, part.knowledge, card.shape)
    loaded = (attributor.kind, attributor.knowledge, attributor.shape_)
    if expected != loaded:
        raise bad_bundle(folder / part.folder, f"the attributor of the card, {expected}", f"another, {loaded}")
    unknown = [name for name in attributor.classes_ if name not in card.sets]
    if unknown:
        raise bad_bundle(folder / part.folder, "classes that are sets of the card", unknown[0])
    dimensions = told_apart({name: card.sets[name] for name in attributor.classes_})
    if "family" not in dimensions:
        raise bad_bundle(folder / part.folder, "an attributor of two families or more", "one of fewer")
    if part.temperatures.keys() != dimensions.keys():
        wanted = f"a temperature for each of {', '.join(dimensions)}"
        raise bad_bundle(folder / part.folder, wanted, ", ".join(part.temperatures) or "none")


def checked_answer(attributor: Attributor, samples: Samples) -> Prediction:
    """Ask a bundle's attributor; raises BundleError unless its answer is finite and shaped like the held-out ones."""
    where = f"the bundle's {attributor.kind}"
    with trusting_nothing(where):
        answer, held = attributor.answer(samples), attributor.held_out_
        shapes = [tuple(tensor.shape[1:]) for tensor in answer]
        expected = [tuple(tensor.shape[1:]) for tensor in (held.log_proba, held.features)]
        if shapes != expected or not all(torch.isfinite(tensor).all() for tensor in answer):
            raise bad_bundle(where, f"finite answers of shapes {expected}", f"others, or of shapes {shapes}")
        return answer
