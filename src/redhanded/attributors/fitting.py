"""Fit an attributor on a user's own adversarial sets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from redhanded.attacks import parse_attack
from redhanded.attributors.estimator import AttackClassifier, as_images
from redhanded.attributors.network import NetworkSettings
from redhanded.core import seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.errors import DataError, RunError
from redhanded.sets import FEWEST, AdversarialSet, choose_design, pick_rows, read_provenance, read_set

Question = Callable[[AdversarialSet], str]  # which class a set belongs to

# Not the rows of `redhanded.studies.DIMENSIONS`, which lie above this room and name the sets of a bundle, controls and
# victims too; here a set is named by its attack alone.
QUESTIONS: dict[str, Question] = {
    "family": lambda attacked: attacked.attack.family,
    "norm": lambda attacked: attacked.attack.norm,
    "setting": lambda attacked: (
        ", ".join(f"{name}={value}" for name, value in attacked.attack.setting.items()) or "none"
    ),
    "attack": lambda attacked: attacked.attack.label,
}

Source = tuple[str, int]  # where an image comes from, and its place there


class Part(NamedTuple):
    """Images of one class."""

    images: Tensor  # (n, c, h, w) float32 in [0, 1]
    sources: Sequence[Source]  # (n,) what each was made of
    able: NDArray[np.bool_]  # (n,) which of them may be used


def fit(
    sets: Iterable[AdversarialSet | Path | str] | Mapping[str, ArrayLike | Tensor],
    question: str | Question = "family",
    *,
    attributor: str = "forensic",
    settings: NetworkSettings | Mapping[str, Any] | None = None,
    pixels: Pixels = "float32",
    seed: int = 0,
) -> AttackClassifier:
    """An attributor of your own, fitted on adversarial sets; it has `predict`, `predict_proba`, `score` and `save`.

    sets: what `redhanded.generate` returned, or the `.zarr` sets that `redhanded attack` wrote; sets that were made
    in this process count as of one source, in which `index` tells the images apart. Or class name -> images,
    (n, c, h, w), uint8 or floats in [0, 1], every one of which is used and is a source image of its own.
    question: what the classes are: `family`, `norm`, `setting` (e.g. "eps=1.0", whatever the family), `attack` (all
    three at once), or a function from an AdversarialSet to the name of its class; a mapping has its own.
    attributor, settings, seed: see AttackClassifier. pixels: `uint8` rounds the images to 256 levels; give images of
    the same kind to `predict`.

    Only images that fool their victim are used (of a control, those that were rightly classified), equally many of
    each class; each source image once a class, from one of the sets of the class that it succeeded in, at random, and
    the very same source images in all classes where that leaves enough. Nothing is split off for testing: test on
    sets of other source images. Raises DataError, or RunError for a set on disk, in one line.
    """
    if pixels not in PIXELS:
        raise DataError(f"expected pixels of {', '.join(PIXELS)}, found {pixels!r}")
    classes = _of_arrays(sets) if isinstance(sets, Mapping) else _of_sets(sets, question, pixels)
    if len(classes) < 2:
        found = ", ".join(classes) or "none"
        raise DataError(f"expected two or more classes, found {found}; give sets that the question tells apart")
    shapes = {tuple(part.images.shape[1:]) for parts in classes.values() for part in parts}
    if len(shapes) > 1:
        found = " and ".join(map(str, sorted(shapes)))
        raise DataError(f"expected images of one shape (c, h, w), found {found}; give sets of one size")
    sources = dict.fromkeys(source for parts in classes.values() for part in parts for source in part.sources)
    columns = {source: place for place, source in enumerate(sources)}
    rows = [np.stack([_rows(part, columns) for part in parts]) for parts in classes.values()]
    able = [rows_of_class >= 0 for rows_of_class in rows]
    for name, able_of_class in zip(classes, able, strict=True):
        count = int(able_of_class.any(0).sum())
        if count < FEWEST["train"]:
            expected = f"{FEWEST['train']} or more source images a class whose attack succeeded"
            raise DataError(f"expected {expected}, found {count} of {name}; attack more images or leave the class out")
    picks = pick_rows(able, choose_design({"train": able}), seed_for("fit", seed))
    images = []  # class by class, in the order of their source images
    for parts, rows_of_class, pick in zip(classes.values(), rows, picks, strict=True):
        picked = zip(pick.sets.tolist(), rows_of_class[pick.sets, pick.rows].tolist(), strict=True)
        images += [parts[place].images[row] for place, row in picked]
    names = np.repeat(list(classes), [len(pick.rows) for pick in picks])
    index = np.concatenate([pick.rows for pick in picks])
    classifier = AttackClassifier(attributor=attributor, settings=settings, seed=seed)
    return classifier.fit(PIXELS[pixels].apply(torch.stack(images)), names, index=index)


def _of_arrays(arrays: Mapping[str, ArrayLike | Tensor]) -> dict[str, list[Part]]:
    images = {str(name): as_images(str(name), own) for name, own in arrays.items()}
    return {
        name: [Part(own, [(name, place) for place in range(len(own))], np.ones(len(own), bool))]
        for name, own in images.items()
    }


def _of_sets(
    sets: Iterable[AdversarialSet | Path | str], question: str | Question, pixels: Pixels
) -> dict[str, list[Part]]:
    if isinstance(question, str):
        if question not in QUESTIONS:
            raise DataError(f"expected a question of {', '.join(QUESTIONS)} or a function, found {question!r}")
        question = QUESTIONS[question]
    if isinstance(sets, AdversarialSet | Path | str):
        raise DataError("expected a list of sets or a mapping from class to images, found one set; give two or more")
    classes: dict[str, list[Part]] = {}
    for origin, attacked in map(_read, sets):
        name = question(attacked)
        if not isinstance(name, str):
            raise DataError(f"expected the name of a class of {attacked.attack} from the question, found {name!r}")
        sources = [(origin, place) for place in attacked.index.tolist()]
        classes.setdefault(name, []).append(Part(attacked.images, sources, attacked.eligible(pixels).numpy()))
    return classes


def _read(given: AdversarialSet | Path | str) -> tuple[str, AdversarialSet]:
    """A set, and the name of the images that its `index` counts."""
    if isinstance(given, AdversarialSet):
        return "", given
    if not isinstance(given, Path | str):
        raise DataError(f"expected adversarial sets or their paths, found {type(given).__name__}")
    provenance = read_provenance(Path(given))
    if not isinstance(provenance.get("attack"), str):
        raise RunError(f"expected a set that redhanded wrote at {given}, found one that does not name its attack")
    origin = f"{provenance.get('source_digest')} {provenance.get('split')}"
    return origin, read_set(Path(given), parse_attack(provenance["attack"]))


def _rows(part: Part, columns: Mapping[Source, int]) -> NDArray[np.int64]:
    """For each source image, (columns,), the row of the image that was made of it; -1 where there is none to use."""
    rows = np.full(len(columns), -1)
    places = np.array([columns[source] for source in part.sources], np.int64)
    rows[places[part.able]] = np.flatnonzero(part.able)
    return rows
