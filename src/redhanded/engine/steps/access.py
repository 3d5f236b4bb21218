"""What an attributor is shown beside the images, by what it may know."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from redhanded.attributors import Knowledge
from redhanded.engine.steps.sets import MeasureSuccess
from redhanded.engine.steps.victims import open_source
from redhanded.engine.store import RunFolder
from redhanded.models import load_victim
from redhanded.sets import Samples, Split


def _image_alone(sets: Sequence[MeasureSuccess], folder: RunFolder, split: Split, samples: Samples) -> Samples:
    return samples


def _with_victims(sets: Sequence[MeasureSuccess], folder: RunFolder, split: Split, samples: Samples) -> Samples:
    """The victims that the sets are of: the defender's own."""
    trained = {step.sets.victim.spec.name: step.sets.victim for step in sets}
    victims = {name: load_victim(victim.folder(folder)).network for name, victim in trained.items()}
    return replace(samples, victims=victims)


def _with_clean(sets: Sequence[MeasureSuccess], folder: RunFolder, split: Split, samples: Samples) -> Samples:
    victim = sets[0].sets.victim
    images = open_source(victim.source, victim.source_path).split(split).images
    return replace(samples, clean=torch.from_numpy(images[np.asarray(samples.index)]).float() / 255)


ACCESS: dict[Knowledge, Callable[[Sequence[MeasureSuccess], RunFolder, Split, Samples], Samples]] = {
    "blind": _image_alone,
    "candidates": _with_victims,
    "oracle": _with_clean,
}
