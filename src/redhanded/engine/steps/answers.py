"""The answers of an attributor to every test image, kept so that each question is put by looking them up."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from redhanded.questions import SetRef
from redhanded.samples import Split

NAME = "answers.safetensors"

Answers = Mapping[str, NDArray[np.float32]]  # set -> (its test images, classes); NaN where the image fools nobody


def write_answers(folder: Path, answers: Answers) -> None:
    """Write answers into an attributor's folder."""
    save_file(dict(answers), folder / NAME)


class StoredAnswers:
    """A reader of answers in the manner of `redhanded.evaluation.ReadColumn`."""

    def __init__(self, folder: Path) -> None:
        self.answers: Answers = load_file(folder / NAME)

    def __call__(self, ref: SetRef, split: Split, column: str, rows: NDArray[np.int64] | None) -> NDArray:
        """The answers to rows of a test set; the column's name does not matter."""
        found = self.answers[ref.name]
        return found if rows is None else found[rows]
