"""Evaluation: the images that a question is put with, and the scores of an attributor's answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redhanded.attributors import Calibration, measure_calibration
from redhanded.core import confusion_matrix, p_above_chance, seed_for, wilson_interval
from redhanded.data import PIXELS, Pixels
from redhanded.sets import FEWEST, Design, Pick, Samples, SetRef, Split, choose_design, equally_many, pick_rows
from redhanded.studies.results import ClassScore, Pooled, SizeBin, Status

# (set, split, column, rows or all of them) -> that array; the engine reads zarr, a test may read memory. The column
# `eligible` says which images count: those that fool their victim under the reader's pixel protocol, of a control all.
ReadColumn = Callable[[SetRef, Split, str, NDArray[np.int64] | None], NDArray]
ACTOR = 5  # images of one actor
BINS = 8  # of perturbation sizes
PERPLEXITY = 30.0  # of a projection
Classes = Mapping[str, Sequence[SetRef]]


class Picked(NamedTuple):
    """The images that a question is put with; `counts` are images a class."""

    design: Design
    counts: dict[Split, int]
    picks: dict[Split, list[Pick]]

    @property
    def enough(self) -> bool:
        """Whether both splits have at least the fewest images that a question is put with."""
        return all(self.counts[split] >= fewest for split, fewest in FEWEST.items())


class Scores(NamedTuple):
    """The measured part of a result; see `redhanded.studies.Result`."""

    status: Status
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    per_class: dict[str, ClassScore] = {}  # noqa: RUF012 (never written)
    confusion: list[list[int]] = []  # noqa: RUF012
    top3: float | None = None
    calibration: Calibration | None = None
    by_size: list[SizeBin] = []  # noqa: RUF012
    pooled: Pooled | None = None
    projection: list[tuple[float, float]] = []  # noqa: RUF012


def pick_images(
    classes: Classes,
    read: ReadColumn,
    seed_parts: Sequence[object],
    most: Mapping[Split, int] | None = None,
) -> Picked:
    """Choose among the eligible images, equally many a class, at most `most`.

    Train and test come from the source's own splits, so that all variants of an image stay on one side. Row i of
    every set is the same source image; a set may end earlier than another.
    """
    eligible = {split: _eligible_images(classes, read, split) for split in FEWEST}
    design, caps = choose_design(eligible), most or {}
    picks = {
        split: pick_rows(arrays, design, seed_for(*seed_parts, "pick", split), caps.get(split))
        for split, arrays in eligible.items()
    }
    return Picked(design, {split: len(picks[split][0].rows) for split in FEWEST}, picks)


def _eligible_images(classes: Classes, read: ReadColumn, split: Split) -> list[NDArray[np.bool_]]:
    """Read for each class (its sets, source images) whether the set's image of that source image is eligible."""
    columns = [[read(ref, split, "eligible", None) for ref in refs] for refs in classes.values()]
    longest = max(map(len, chain(*columns)))
    return [np.stack([np.pad(column, (0, longest - len(column))) for column in own]) for own in columns]


def load_picked(classes: Classes, picked: Picked, read: ReadColumn, pixels: Pixels, split: Split) -> Samples:
    """Load the images that were picked of one split."""
    images, index = (column_of(classes, picked.picks[split], read, split, name) for name in ("images", "index"))
    return Samples(
        images=PIXELS[pixels].apply(torch.from_numpy(images)),
        labels=labels_of(picked, split),
        classes=tuple(classes),
        index=torch.from_numpy(index),
    )


def labels_of(picked: Picked, split: Split) -> Tensor:
    """The class of every image that was picked of one split, (n,)."""
    return torch.arange(len(picked.picks[split])).repeat_interleave(picked.counts[split])


def column_of(classes: Classes, picks: Sequence[Pick], read: ReadColumn, split: Split, name: str) -> NDArray:
    """Read the picked rows of an array, class by class, one set at a time so that no set has to stay in memory."""
    parts = [
        read(ref, split, name, pick.rows[pick.sets == number])
        for refs, pick in zip(classes.values(), picks, strict=True)
        for number, ref in enumerate(refs)
    ]
    return np.concatenate(parts)


def load_sets(refs: Sequence[SetRef], read: ReadColumn, pixels: Pixels, seed: int, most: int) -> Samples:
    """Load the eligible images of every set of the train split, at most `most` images each, each set a class.

    Images of a set that has fewer than the largest are repeated, so that classes are equally large; a set of which
    nothing fools is no class.
    """
    rng = np.random.default_rng(seed)
    eligible = {ref: np.flatnonzero(read(ref, "train", "eligible", None)) for ref in refs}
    rows = {ref: rng.permutation(places)[:most] for ref, places in eligible.items() if len(places)}
    size = max(map(len, rows.values()), default=0)
    picks = [Pick(np.zeros(size, dtype=np.int64), np.resize(chosen, size)) for chosen in rows.values()]
    picked = Picked("equal", {"train": size}, {"train": picks})
    samples = load_picked({ref.name: [ref] for ref in rows}, picked, read, pixels, "train")
    drawn = dict.fromkeys(name for ref in rows for name in ref.attack.ranges)
    parameters = {name: np.full((len(rows), size), np.nan) for name in drawn}
    for place, (ref, pick) in enumerate(zip(rows, picks, strict=True)):
        for name in ref.attack.ranges:
            parameters[name][place] = read(ref, "train", f"parameter_{name}", pick.rows)
    tensors = {name: torch.from_numpy(values).flatten() for name, values in parameters.items()}
    return replace(samples, sets=tuple(rows), parameters=tensors)


def score_answers(
    log_proba: Tensor, labels: Tensor, classes: Sequence[str], *, collapsed: bool = False, temperature: float = 1.0
) -> Scores:
    """Measure accuracy with its interval, the exact test against chance, the confusion matrix and the calibration.

    log_proba: (n, classes) natural logarithms of probabilities that `temperature` is already part of; labels: (n,).
    Collapsed is an attributor that did so in validation, or that names one class for every test image.
    """
    confusion = confusion_matrix(labels.numpy(), log_proba.argmax(1).numpy(), len(classes))
    correct, total = int(np.trace(confusion)), int(confusion.sum())
    counts = zip(classes, confusion.diagonal().tolist(), confusion.sum(1).tolist(), strict=True)
    likeliest = log_proba.topk(min(3, len(classes)), 1).indices
    return Scores(
        status="collapsed" if collapsed or np.count_nonzero(confusion.any(0)) == 1 else "measured",
        accuracy=correct / total,
        interval=wilson_interval(correct, total),
        p_value=p_above_chance(correct, total, len(classes)),
        per_class={
            name: ClassScore(correct=own, total=n, accuracy=own / n, interval=wilson_interval(own, n))
            for name, own, n in counts
        },
        confusion=confusion.tolist(),
        top3=(likeliest == labels[:, None]).any(1).double().mean().item(),
        calibration=measure_calibration(log_proba, labels, temperature),
    )


def score_by_size(
    log_proba: Tensor, classes: Classes, picked: Picked, read: ReadColumn, seed_parts: Sequence[object]
) -> list[SizeBin]:
    """Score the answers in bins of the perturbations' L2 size, of classes that are equally large in each."""
    labels = labels_of(picked, "test")
    l2 = column_of(classes, picked.picks["test"], read, "test", "l2")
    right = (log_proba.argmax(1) == labels).numpy()
    return size_matched_bins(l2, labels.numpy(), right, seed_for(*seed_parts, "sizes"))


def size_matched_bins(
    l2: NDArray[np.floating], labels: NDArray[np.int64], right: NDArray[np.bool_], seed: int
) -> list[SizeBin]:
    """Measure accuracy on images of one size, in bins of equal counts from the smallest to the largest size.

    l2, labels, right: (n,) size of the perturbation, class, and whether the class was named. Of each class a random
    part stays in a bin, as large as that of its smallest; a bin in which a class is absent is left out. All bins
    together are a test set whose classes have one distribution of sizes.
    """
    rng = np.random.default_rng(seed)
    edges = np.unique(np.quantile(l2, np.linspace(0, 1, BINS + 1)))
    places = np.clip(np.searchsorted(edges, l2, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = np.unique(labels)
    bins = []
    for place in range(max(len(edges) - 1, 1)):
        rows = [np.flatnonzero((places == place) & (labels == name)) for name in names]
        kept = np.concatenate(equally_many(rows, rng))
        if len(kept):
            low, high = float(l2[places == place].min()), float(l2[places == place].max())
            bins.append(SizeBin(low=low, high=high, n=len(kept), correct=int(right[kept].sum())))
    return bins


def score_pooled(log_proba: Tensor, picked: Picked, images: int = ACTOR) -> Pooled:
    """Measure pooled accuracy: actors are named from the added log-likelihoods of so many test images of one set.

    The classes are equally likely beforehand, so that adding log-probabilities adds log-likelihoods. Images that are
    left over in a set take no part.
    """
    labels, numbers = labels_of(picked, "test"), np.concatenate([np.sort(pick.sets) for pick in picked.picks["test"]])
    named = []
    for label, number in sorted({*zip(labels.tolist(), numbers.tolist(), strict=True)}):
        own = log_proba[(labels == label) & torch.from_numpy(numbers == number)]
        actors = own[: len(own) // images * images].view(-1, images, own.shape[1])  # (actors, images, classes)
        named.append(actors.sum(1).argmax(1) == label)
    right = torch.cat(named)
    return Pooled(images=images, n=len(right), correct=int(right.sum()))


def project_features(features: NDArray[np.floating], seed: int) -> list[tuple[float, float]]:
    """Project standardised features by t-SNE, (n, f) with n >= 4 -> n points, the widest axis from -1 to 1.

    Van der Maaten, Hinton, "Visualizing data using t-SNE", 2008.
    """
    from sklearn.manifold import TSNE  # slow to import

    deviation = features.std(0)
    kept = (features - features.mean(0))[:, deviation > 0] / deviation[deviation > 0]
    perplexity = min(PERPLEXITY, (len(kept) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(kept)
    centred = points - (points.max(0) + points.min(0)) / 2
    return [(round(float(x), 3), round(float(y), 3)) for x, y in centred / np.abs(centred).max()]
