"""A smaller bundle: numbers in 16 bits, and fewer held-out answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from redhanded.attributors import HELD_OUT, AttributorCard
from redhanded.core import WEIGHTS, file_digest, read_record, seed_for, write_record
from redhanded.models import VictimCard


def compact_attributor(folder: Path, *, half: bool, held_out: int | None) -> None:
    """Rewrite what a stored attributor holds, and that of its parts where it joins several.

    half: weights and held-out answers in 16 bits; held_out: how many of these are kept at most, of each class as many.
    What was fitted to all of them stays as it was.
    """
    for path in sorted(folder.rglob("card.json"), key=lambda path: -len(path.parts)):  # a part before what names it
        place = path.parent
        if (place / HELD_OUT).is_file():
            tensors = load_file(place / HELD_OUT)
            rows = _evenly(tensors["labels"], len(tensors["labels"]) if held_out is None else held_out)
            save_file({name: value[rows].contiguous() for name, value in tensors.items()}, place / HELD_OUT)
        for stored in (place / WEIGHTS, place / HELD_OUT) if half else ():
            if stored.is_file():
                _halve(stored)
        card = read_record(AttributorCard, path)
        files = {name: file_digest(place / name) for name in card.files}
        write_record(card.model_copy(update={"files": files}), path)


def halve_victim(folder: Path) -> VictimCard:
    """Store a victim's weights in 16 bits; returns its card, with the new weights' checksum."""
    _halve(folder / WEIGHTS)
    card = read_record(VictimCard, folder / "card.json")
    card = card.model_copy(update={"weights_digest": file_digest(folder / WEIGHTS)})
    write_record(card, folder / "card.json")
    return card


def _halve(path: Path) -> None:
    """Store tensors of floats in 16 bits, of two dimensions or more, where all their numbers fit.

    Vectors, also those laid out along a channel, are small, and some are divided by: a deviation must not become 0.
    """

    def halved() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in load_file(path).items():
            short = tensor.half() if tensor.is_floating_point() and tensor.squeeze().ndim > 1 else tensor
            yield name, short if short.dtype != torch.float16 or torch.isfinite(short).all() else tensor

    save_file(dict(halved()), path)


def _evenly(labels: Tensor, most: int) -> Tensor:
    """At most `most` rows, in their order: of each class the same number, or all that it has; (n,) -> (rows,)."""
    counts = np.bincount(labels.numpy())
    each = next((each for each in range(int(counts.max()), 0, -1) if np.minimum(counts, each).sum() <= most), 1)
    order = np.random.default_rng(seed_for("held out", len(labels), most)).permutation(len(labels))
    drawn = labels.numpy()[order]
    kept = [order[drawn == label][:each] for label in range(len(counts))]
    return torch.from_numpy(np.sort(np.concatenate(kept)))
