"""A study that runs in seconds: three easy classes, two narrow victims, every attack in both norms."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from redhanded.engine import RunFolder
from redhanded.engine.executor import complete
from redhanded.engine.step import Step
from redhanded.studies import Study, load_study

TRAIN, TEST = 90, 45  # images of the source

TOML = """
name = "tiny"
title = "Bright bars on a dark ground"
source = "bars"
questions = ["setting", "norm", "joint"]

[victims]
alexnet = { architecture = "alexnet" }
other = { architecture = "alexnet", seed = 1 }

[[attacks]]
family = "carlini_wagner"
learning_rate = [0.1, 0.5]
confidence = 0.1

[[attacks]]
family = "deepfool"
norm = ["l2", "linf"]
overshoot = [0.2, 1.0]

[[attacks]]
family = "fgsm"
norm = "l2"
eps = [4.0, 6.0]

[[attacks]]
family = "fgsm"
norm = "linf"
eps = [0.4, 0.6]

[scales.tiny]
train_images = 60
test_images = 30
shard_images = 30
more_images = { fgsm = { train = 90, test = 45 } }

[scales.tiny.victims]
alexnet = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }
other = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }

[scales.tiny.attack_budgets]
carlini_wagner = { steps = 10, binary_search_steps = 2, initial_const = 1.0, abort_early = false }
deepfool = { steps = 20 }

[scales.tiny.attributors]
cnn6 = { width = 0.125, training = { epochs = 6, batch_size = 32, learning_rate = 1e-2, attempts = 2 } }
"""


class InOrder:
    """An executor that starts no processes: one step after the other, here."""

    def run(self, steps: Sequence[Step], store: RunFolder, on_done: Callable[[Step], None]) -> None:
        for step in steps:
            complete(step, store)
            on_done(step)


def write_source(path: Path) -> Path:
    """16 x 16 images of Keras' layout, the class told by where a bright bar lies; in train one label of 45 is wrong."""
    rng = np.random.default_rng(5)
    arrays = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 60, (count, 16, 16))
        for image, label in zip(images, labels, strict=True):
            image[:, 5 * label : 5 * label + 6] += rng.integers(90, 150)
        if split == "train":  # so that there are images that are not attacked
            labels[7::45] = (labels[7::45] + 1) % 3
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels.astype(np.uint8)}
    np.savez(path, **arrays)
    return path


def write_study(path: Path, *changes: tuple[str, str]) -> Path:
    """The study as a file; each change replaces a text that must stand in it."""
    text = TOML
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{old!r} does not stand in the tiny study")
        text = text.replace(old, new)
    path.write_text(text)
    return path


def tiny_study(folder: Path, *changes: tuple[str, str]) -> Study:
    """The resolved study, after changes as in `write_study`."""
    return load_study(str(write_study(folder / "tiny.toml", *changes)))
