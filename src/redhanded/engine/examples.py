"""Adversarial images of a run, all from the test split: a few PNG files to try, and one image under every attack."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from redhanded.core import read_record
from redhanded.data import AS_FILE, AS_LEFT, Pixels
from redhanded.engine.steps.sets import DescribeSet
from redhanded.engine.steps.victims import open_source
from redhanded.engine.store import RunFolder
from redhanded.sets import NO_VICTIM, Gallery, SetCard, write_png
from redhanded.studies import choose_settings


def write_examples(steps: Sequence[DescribeSet], folder: RunFolder) -> list[Path]:
    """For each (family, norm) in its chosen setting one image that fools a victim after rounding, victims in turn.

    The file's name is the answer: victim, attack, place in the source's test split.
    """
    done, labels = _chosen(steps, folder, AS_FILE)
    victims = list(dict.fromkeys(step.ref.victim for step in done))
    by_place = {(step.ref.victim, step.ref.attack.label, step.split): step for step in done}
    paths = []
    for turn, label in enumerate(labels):
        step = by_place.get((victims[turn % len(victims)], label, "test"))
        if step is None:
            continue
        for row in np.flatnonzero(step.column(folder, f"success_{AS_FILE}"))[:1]:
            index = step.column(folder, "index", np.array([row]))[0]
            path = folder.root / "examples" / f"{step.ref.victim}_{label}_test{index}.png"
            path.parent.mkdir(exist_ok=True)
            write_png(step.column(folder, "images", np.array([row]))[0], path)
            paths.append(path)
    return paths


def write_attacked(steps: Sequence[DescribeSet], folder: RunFolder) -> None:
    """One image of the first victim under every (family, norm) in its chosen setting, which fooled it each time.

    Nothing is written where no image did.
    """
    done, labels = _chosen(steps, folder, AS_LEFT)
    first = [step for step in done if step.ref.victim == done[0].ref.victim and step.split == "test"]
    shown = {step.ref.attack.label: step for step in first if step.ref.attack.label in labels}
    fooled = [step.column(folder, "index")[step.column(folder, f"success_{AS_LEFT}")] for step in shown.values()]
    common = set.intersection(*(set(index.tolist()) for index in fooled)) if fooled else set()
    if common:
        index, victim = min(common), first[0].measured[0].sets.victim
        clean = open_source(victim.source, victim.source_path).split("test").images[index]
        images = {}
        for label, step in shown.items():
            rows = np.flatnonzero(step.column(folder, "index") == index)
            images[label] = torch.from_numpy(step.column(folder, "images", rows)[0])
        name = first[0].ref.victim
        Gallery(name, index, torch.from_numpy(clean).float() / 255, images).save(folder.figure2)


def _chosen(steps: Sequence[DescribeSet], folder: RunFolder, pixels: Pixels) -> tuple[list[DescribeSet], list[str]]:
    """The sets of attacks that are done, and the label of the setting that stands for each (family, norm)."""
    done = [step for step in steps if step.ref.victim != NO_VICTIM and folder.mark(step.key).is_file()]
    chosen = choose_settings([read_record(SetCard, folder.mark(step.key)) for step in done], pixels)
    return done, [choice.label for choice in chosen.values()]
