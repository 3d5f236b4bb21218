"""A few adversarial PNG files of a run, for trying `redhanded attribute`; all from the test split."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redhanded.choice import choose_settings
from redhanded.engine.layout import RunFolder
from redhanded.engine.steps import DescribeSet
from redhanded.exports import write_png
from redhanded.results import NO_VICTIM, SetCard, read_record


def write_examples(steps: Sequence[DescribeSet], folder: RunFolder) -> list[Path]:
    """For each (family, norm) in its chosen setting one image that fools a victim after rounding, victims in turn.

    The file's name is the answer: victim, attack, place in the source's test split.
    """
    done = [step for step in steps if step.ref.victim != NO_VICTIM and folder.mark(step.key).is_file()]
    chosen = choose_settings([read_record(SetCard, folder.mark(step.key)) for step in done], "uint8")
    victims = list(dict.fromkeys(step.ref.victim for step in done))
    paths = []
    for turn, choice in enumerate(chosen.values()):
        wanted = (victims[turn % len(victims)], choice.label, "test")
        for step in done:
            if (step.ref.victim, step.attack.label, step.sets.split) == wanted:
                paths += _write_first(step, folder)
    return paths


def _write_first(step: DescribeSet, folder: RunFolder) -> list[Path]:
    rows = np.flatnonzero(step.column(folder, "success_uint8"))[:1]
    paths = []
    for row, index in zip(rows, step.column(folder, "index", rows), strict=True):
        path = folder.root / "examples" / f"{step.ref.victim}_{step.attack.label}_test{index}.png"
        path.parent.mkdir(exist_ok=True)
        write_png(step.column(folder, "images", np.array([row]))[0], path)
        paths.append(path)
    return paths
