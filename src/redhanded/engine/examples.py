"""Adversarial images of a run, all from the test split: a few PNG files to try, and one image under every attack."""

from collections.abc import Sequence

import numpy as np
import torch

from redhanded.core import read_record
from redhanded.data import AS_FILE, AS_LEFT
from redhanded.engine.steps.sets import DescribeSet
from redhanded.engine.steps.victims import open_source
from redhanded.engine.store import RunFolder
from redhanded.sets import NO_VICTIM, Gallery, SetCard, write_png
from redhanded.studies import choose_settings


def write_examples(steps: Sequence[DescribeSet], folder: RunFolder) -> None:
    """Write adversarial images of each (family, norm) in its chosen setting: PNG files, and one image under all.

    A file is of an image that fools a victim after rounding, victims in turn, and its name is the answer: victim,
    attack, place in the source's test split. The one image fooled the first victim each time; where none did, nothing
    is written of it.
    """
    done = [step for step in steps if step.ref.victim != NO_VICTIM and folder.mark(step.key).is_file()]
    cards = [read_record(SetCard, folder.mark(step.key)) for step in done]
    victims = list(dict.fromkeys(step.ref.victim for step in done))
    tests = {(step.ref.victim, step.ref.attack.label): step for step in done if step.split == "test"}
    for turn, choice in enumerate(choose_settings(cards, AS_FILE).values()):
        place = victims[turn % len(victims)], choice.label
        if place in tests:
            step = tests[place]
            for row in np.flatnonzero(step.column(folder, f"success_{AS_FILE}"))[:1]:
                index = step.column(folder, "index", np.array([row]))[0]
                path = folder.root / "examples" / f"{step.ref.victim}_{choice.label}_test{index}.png"
                path.parent.mkdir(exist_ok=True)
                write_png(step.column(folder, "images", np.array([row]))[0], path)
    chosen = [choice.label for choice in choose_settings(cards, AS_LEFT).values()]
    own = {label: step for (victim, label), step in tests.items() if victim == victims[0] and label in chosen}
    fooled = [step.column(folder, "index")[step.column(folder, f"success_{AS_LEFT}")] for step in own.values()]
    common = set.intersection(*(set(index.tolist()) for index in fooled)) if fooled else set()
    if common:
        index, images = min(common), {}
        for label, step in own.items():
            rows = np.flatnonzero(step.column(folder, "index") == index)
            images[label] = torch.from_numpy(step.column(folder, "images", rows)[0])
        victim = step.measured[0].sets.victim
        clean = open_source(victim.source, victim.source_path).split("test").images[index]
        Gallery(victims[0], index, torch.from_numpy(clean).float() / 255, images).save(folder.figure2)
