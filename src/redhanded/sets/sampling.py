"""The images of a question: equal classes, paired by source image where that leaves enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from redhanded.sets.card import SetRef

Design = Literal["paired", "equal"]
Split = Literal["train", "test"]

# Images a class, below which a question is not put: an interval would span most of [0, 1].
FEWEST: dict[Split, int] = {"train": 50, "test": 25}


@dataclass(frozen=True)
class Samples:
    """Labelled images as an attributor sees them; labels are places in `classes`."""

    images: Tensor  # (n, c, h, w) float32 in [0, 1]
    labels: Tensor  # (n,) int64
    classes: tuple[str, ...]
    index: Tensor | None = None  # (n,) int64: where the image stands in its source's split
    clean: Tensor | None = None  # (n, c, h, w) the source's own images; only oracles get them
    victims: Mapping[str, nn.Module] = field(default_factory=dict)  # by name; only a defender who owns them has them
    sets: tuple[SetRef, ...] = ()  # what each class is, where the classes are adversarial sets
    parameters: Mapping[str, Tensor] = field(default_factory=dict)  # (n,) what each image drew, NaN where it drew none

    @property
    def perturbations(self) -> Tensor:
        """The true perturbations, (n, c, h, w); raises ValueError where the clean images are not given."""
        if self.clean is None:
            raise ValueError("expected samples with their clean images, found none; only an oracle has them")
        return self.images - self.clean


class Pick(NamedTuple):
    """The rows of one class: row `rows[i]` of its set number `sets[i]`."""

    sets: NDArray[np.int64]
    rows: NDArray[np.int64]


def choose_design(success: Mapping[Split, Sequence[NDArray[np.bool_]]]) -> Design:
    """Choose "paired" where every split keeps enough source images that succeeded in every class, else "equal".

    success: for each split, for each class, (sets of the class, source images).
    """
    paired = {split: int(_available(classes).all(0).sum()) for split, classes in success.items()}
    return "paired" if all(count >= FEWEST[split] for split, count in paired.items()) else "equal"


def pick_rows(success: Sequence[NDArray[np.bool_]], design: Design, seed: int, most: int | None = None) -> list[Pick]:
    """Draw the same number of source images for every class, at most `most`, each image once.

    paired: the very images that succeeded in every class; equal: a random part of each class as large as the
    smallest class. Where a class has several sets, each image comes from one of those it succeeded in, at random.
    """
    rng = np.random.default_rng(seed)
    available = _available(success)
    if design == "paired":
        rows = [_some(np.all(available, axis=0), most, rng)] * len(success)
    else:
        smallest = int(available.sum(1).min())
        rows = [_some(able, smallest if most is None else min(smallest, most), rng) for able in available]
    picks = []
    for able, kept in zip(success, rows, strict=True):
        chances = able[:, kept] * rng.uniform(0.5, 1.0, (len(able), len(kept)))  # 0 for sets without the image
        picks.append(Pick(np.argmax(chances, axis=0), kept))
    return picks


def equally_many(
    rows: Sequence[NDArray[np.int64]], rng: np.random.Generator, most: int | None = None
) -> list[NDArray[np.int64]]:
    """Draw a random part of each class's rows, in random order, as large as the smallest class and at most `most`."""
    count = min(map(len, rows))
    return [rng.permutation(places)[: count if most is None else min(count, most)] for places in rows]


def _available(success: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """(classes, source images): whether any set of the class has it."""
    return np.stack([able.any(0) for able in success])


def _some(able: NDArray[np.bool_], most: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """The places that are true, in order; a random part of them where there are more than `most`."""
    places = np.flatnonzero(able)
    return places if most is None or len(places) <= most else np.sort(rng.choice(places, most, replace=False))
