"""Whether weights are those of the networks that cards ask for, told before memory is spent on any of these."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from redhanded.attributors import ATTRIBUTORS
from redhanded.attributors.base import AttributorCard
from redhanded.attributors.held_out import NAME as HELD_OUT
from redhanded.bundle.errors import bad_bundle
from redhanded.bundle.files import GAUSSIANS
from redhanded.bundle.records import Part
from redhanded.networks import VICTIMS, Normalise
from redhanded.results import VictimCard, read_record
from redhanded.weights import NAME as WEIGHTS

MOST_CHANNELS = 1000  # of what an attributor's network sees
MOST_CLASSES = 1000

Shapes = dict[str, tuple[int, ...]]


def check_attributor(folder: Path, part: Part) -> None:
    """The networks of an attributor, of each part where it joins several; raises BundleError."""
    kind = ATTRIBUTORS.get(part.attributor)
    if kind is None or not kind.whole:
        known = ", ".join(name for name, row in ATTRIBUTORS.items() if row.whole)
        raise bad_bundle(folder, f"an attributor of {known}", part.attributor)
    inner = {folder / name: name for name in kind.parts} or {folder: part.attributor}
    for place, name in inner.items():
        card = read_record(AttributorCard, place / "card.json")
        if card.kind != name:
            raise bad_bundle(place, f"an attributor of the kind {name}", card.kind)
        if card.channels > MOST_CHANNELS or not 2 <= len(set(card.classes)) == len(card.classes) <= MOST_CLASSES:
            expected = f"at most {MOST_CHANNELS} channels and 2 to {MOST_CLASSES} different classes"
            raise bad_bundle(place, expected, f"{card.channels} and {len(card.classes)}")
        _check_weights(partial(_network_of, card), place / WEIGHTS)
        _check_held_out(place / HELD_OUT, len(card.classes))
    # The features of one that joins several are those of its first.
    _check_gaussians(folder / GAUSSIANS, _shapes(next(iter(inner)) / HELD_OUT)["features"][1])


def check_victim(folder: Path, expected: VictimCard, shape: tuple[int, int, int]) -> None:
    """A victim is the one of the bundle's card, for its images, and its weights fit its network; raises BundleError."""
    card = read_record(VictimCard, folder / "card.json")
    known = card.architecture in VICTIMS and 2 <= card.classes <= MOST_CLASSES
    if card != expected or not known or card.shape != shape:
        raise bad_bundle(folder, f"the victim {expected.name} of the bundle's card", f"{card.name}, or not the same")
    _check_weights(partial(_victim_of, card), folder / WEIGHTS)


def _victim_of(card: VictimCard) -> nn.Module:
    """As `redhanded.networks.build_network` puts it together, without a pass through it: no victim has lazy layers."""
    layers = VICTIMS[card.architecture].build(card.width, card.shape[0], card.classes)
    return nn.Sequential(Normalise([0.0] * card.shape[0], [1.0] * card.shape[0]), *layers)


def _network_of(card: AttributorCard) -> nn.Module:
    kind = ATTRIBUTORS[card.kind]
    attributor = kind.attributor(kind.settings.model_validate(card.settings), card.seed)
    attributor.classes_, attributor.shape_, attributor.channels_ = card.classes, card.shape, card.channels
    network: nn.Module = attributor.build([0.0] * card.channels, [1.0] * card.channels)
    return network


def _check_weights(build: Callable[[], nn.Module], path: Path) -> None:
    with torch.device("meta"):  # shapes without memory
        wanted = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    found = _shapes(path)
    if wanted != found:
        name = min(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise bad_bundle(f"{path}, {name}", _said(wanted, name), _said(found, name))


def _check_held_out(path: Path, classes: int) -> None:
    """Answers to at least two images, with labels that are classes; the features' number may be any."""
    found = _shapes(path)
    count, features = found.get("features", (0, 0))
    wanted: Shapes = {"log_proba": (count, classes), "labels": (count,), "index": (count,)}
    if found != wanted | {"features": (count, features)} or count < 2:
        raise bad_bundle(path, f"answers of {classes} classes to two images or more", str(found))
    with safe_open(path, "pt") as file:
        labels, index = file.get_tensor("labels"), file.get_tensor("index")
    if labels.dtype != torch.int64 or index.dtype != torch.int64:
        raise bad_bundle(path, "labels and index of torch.int64", f"{labels.dtype} and {index.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise bad_bundle(path, f"labels from 0 to {classes - 1}", f"{int(labels.min())} to {int(labels.max())}")


def _check_gaussians(path: Path, features: int) -> None:
    """Centres of one class or more in the space of the features, and one precision; their numbers may be any."""
    if not path.is_file():
        raise bad_bundle(path, "normal distributions of the features", "no such file")
    found = _shapes(path)
    count = found.get("centres", (0,))[0]
    wanted: Shapes = {"centres": (count, features), "columns": (features, features)}
    if found != wanted or not 1 <= count <= MOST_CLASSES:
        expected = f"1 to {MOST_CLASSES} centres and a precision of {features} features"
        raise bad_bundle(path, expected, str(found))
    with safe_open(path, "pt") as file:
        kinds = {str(file.get_tensor(name).dtype) for name in wanted}
    if kinds != {str(torch.float32)}:
        raise bad_bundle(path, "numbers of torch.float32", " and ".join(sorted(kinds)))


def _shapes(path: Path) -> Shapes:
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping


def _said(shapes: Shapes, name: str) -> str:
    return f"the shape {shapes[name]}" if name in shapes else "no such tensor"
