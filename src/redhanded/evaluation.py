"""Question x attributor x pixel protocol -> result."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from redhanded.identity import seed_for
from redhanded.metrics import confusion_matrix, p_above_chance, wilson_interval
from redhanded.questions import SetRef
from redhanded.results import ClassScore, Pixels, Status
from redhanded.samples import FEWEST, Design, Pick, Samples, Split, choose_design, pick_rows
from redhanded.views import PIXELS

# (set, split, column, rows or all of them) -> that array; the engine reads zarr, a test may read memory.
ReadColumn = Callable[[SetRef, Split, str, NDArray[np.int64] | None], NDArray]


class Answers(Protocol):
    """What can be scored: an attributor, or a marginal of one."""

    @property
    def collapsed_(self) -> bool:
        """Whether it named one class for everything in validation."""

    def predict_log_proba(self, samples: Samples) -> torch.Tensor:
        """(n, classes)."""


class Gathered(NamedTuple):
    """The samples of a question, and how they were chosen; `counts` are images a class."""

    design: Design
    counts: dict[Split, int]
    samples: dict[Split, Samples]

    @property
    def enough(self) -> bool:
        """Whether both splits have at least the fewest images that a question is put with."""
        return all(self.counts[split] >= fewest for split, fewest in FEWEST.items())


class Scores(NamedTuple):
    """The measured part of a result; see `redhanded.results.Result`."""

    status: Status
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    per_class: dict[str, ClassScore] = {}  # noqa: RUF012 (never written)
    confusion: list[list[int]] = []  # noqa: RUF012


def gather(
    classes: Mapping[str, Sequence[SetRef]],
    read: ReadColumn,
    pixels: Pixels,
    seed_parts: Sequence[object],
    most: Mapping[Split, int] | None = None,
) -> Gathered:
    """Read the images that fool their victim under a pixel protocol, equally many for each class, at most `most`.

    Train and test come from the source's own splits, so that all variants of an image stay on one side. Row i of
    every set is the same source image; a set may end earlier than another.
    """
    caps: Mapping[Split, int] = most or {}
    success = {split: _successes(classes, read, pixels, split) for split in FEWEST}
    design = choose_design(success)
    picks = {
        split: pick_rows(success[split], design, seed_for(*seed_parts, "pick", split), caps.get(split))
        for split in FEWEST
    }
    samples = {split: _samples(classes, picks[split], read, pixels, split) for split in FEWEST}
    return Gathered(design, {split: len(picks[split][0].rows) for split in FEWEST}, samples)


def gather_sets(refs: Sequence[SetRef], read: ReadColumn, pixels: Pixels, seed: int, most: int) -> Samples:
    """What fools its victim of every set of the train split, at most `most` images each, each set a class.

    Images of a set that has fewer than the largest are repeated, so that classes are equally large; a set of which
    nothing fools is no class.
    """
    rng = np.random.default_rng(seed)
    able = {ref: np.flatnonzero(read(ref, "train", f"success_{pixels}", None)) for ref in refs}
    rows = {ref: rng.permutation(found)[:most] for ref, found in able.items() if len(found)}
    size = max(map(len, rows.values()), default=0)
    images, index = (
        np.concatenate([read(ref, "train", name, np.resize(chosen, size)) for ref, chosen in rows.items()])
        for name in ("images", "index")
    )
    return Samples(
        images=PIXELS[pixels].apply(torch.from_numpy(images)),
        labels=torch.arange(len(rows)).repeat_interleave(size),
        classes=tuple(ref.name for ref in rows),
        index=torch.from_numpy(index),
    )


def score(attributor: Answers, test: Samples) -> Scores:
    """Test accuracy with its interval, the exact test against chance, and the confusion matrix.

    Collapsed is an attributor that names one class for every test image, whatever it did in validation.
    """
    classes = test.classes
    predicted = attributor.predict_log_proba(test).argmax(1).numpy()
    confusion = confusion_matrix(test.labels.numpy(), predicted, len(classes))
    correct, total = int(np.trace(confusion)), int(confusion.sum())
    return Scores(
        status="collapsed" if attributor.collapsed_ or np.count_nonzero(confusion.any(0)) == 1 else "measured",
        accuracy=correct / total,
        interval=wilson_interval(correct, total),
        p_value=p_above_chance(correct, total, len(classes)),
        per_class={name: _class_score(confusion[place], place) for place, name in enumerate(classes)},
        confusion=confusion.tolist(),
    )


def _successes(
    classes: Mapping[str, Sequence[SetRef]], read: ReadColumn, pixels: Pixels, split: Split
) -> list[NDArray[np.bool_]]:
    """For each class (its sets, source images): whether the set's image of that source image fools the victim."""
    found = [[read(ref, split, f"success_{pixels}", None) for ref in refs] for refs in classes.values()]
    longest = max(len(column) for columns in found for column in columns)
    return [np.stack([np.pad(column, (0, longest - len(column))) for column in columns]) for columns in found]


def _class_score(counts: NDArray[np.int64], place: int) -> ClassScore:
    correct, total = int(counts[place]), int(counts.sum())
    return ClassScore(correct=correct, total=total, accuracy=correct / total, interval=wilson_interval(correct, total))


def _samples(
    classes: Mapping[str, Sequence[SetRef]], picks: Sequence[Pick], read: ReadColumn, pixels: Pixels, split: Split
) -> Samples:
    images, index = (
        [_column(refs, pick, read, split, name) for refs, pick in zip(classes.values(), picks, strict=True)]
        for name in ("images", "index")
    )
    counts = torch.tensor([len(part) for part in images])
    return Samples(
        images=PIXELS[pixels].apply(torch.from_numpy(np.concatenate(images))),
        labels=torch.arange(len(images)).repeat_interleave(counts),
        classes=tuple(classes),
        index=torch.from_numpy(np.concatenate(index)),
    )


def _column(refs: Sequence[SetRef], pick: Pick, read: ReadColumn, split: Split, name: str) -> NDArray:
    """The picked rows of a class, one set at a time so that no set has to stay in memory."""
    parts = [read(ref, split, name, pick.rows[pick.sets == number]) for number, ref in enumerate(refs)]
    return np.concatenate(parts)
