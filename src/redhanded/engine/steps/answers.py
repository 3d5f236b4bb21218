"""The answers of an attributor to every test image, kept so that each question is put by looking them up."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from redhanded.attributors import Prediction
from redhanded.sets import SetRef, Split

NAME = "answers.safetensors"


def write_answers(folder: Path, answers: Mapping[str, Prediction]) -> None:
    """Write the answers to each set into an attributor's folder; NaN stands where an image fools nobody."""
    columns = {f"{part}/{name}": value for name, answer in answers.items() for part, value in answer._asdict().items()}
    save_file({name: value.contiguous() for name, value in columns.items()}, folder / NAME)


def read_answers(folder: Path) -> dict[str, Prediction]:
    """Read what `write_answers` wrote."""
    columns = load_file(folder / NAME)
    names = [name.removeprefix("log_proba/") for name in columns if name.startswith("log_proba/")]
    return {name: Prediction(columns[f"log_proba/{name}"], columns[f"features/{name}"]) for name in names}


class StoredAnswers:
    """Reads answers as `redhanded.studies.evaluation.ReadColumn` does: columns log_proba and features."""

    def __init__(self, folder: Path) -> None:
        self.answers = read_answers(folder)

    def __call__(self, ref: SetRef, split: Split, column: str, rows: NDArray[np.int64] | None) -> NDArray:
        """The answers to rows of a test set."""
        found = getattr(self.answers[ref.name], column)
        return np.asarray(found if rows is None else found[torch.from_numpy(rows)])
