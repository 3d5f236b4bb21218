"""From a suspicious image to ranked algorithms, norms, victims and settings, by the attributors of a run."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redhanded.attributors import Attributor, Marginal, answering
from redhanded.engine.layout import RunFolder
from redhanded.errors import DataError, RunError
from redhanded.image_files import IMAGE_FORMATS, bad_data, read_image
from redhanded.questions import (
    FAMILY_TITLES,
    NORM_TITLES,
    Selector,
    build_questions,
    title,
)
from redhanded.results import Pixels, Result, RunCard, read_record, read_records
from redhanded.samples import Samples
from redhanded.study import Study
from redhanded.views import round_to_uint8

Ranked = list[tuple[str, float]]  # alternatives with their probability, most probable first

DIMENSIONS = ("algorithm", "norm", "victim", "setting")
MAX_NPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Evidence:
    """One image as it was handed in: (1, c, h, w) float32 in [0, 1], and the pixel protocol it falls under."""

    name: str
    images: Tensor
    pixels: Pixels


@dataclass(frozen=True)
class Verdict:
    """What a run's attributors say of one image, calibrated on source images that were held out of their training."""

    name: str
    pixels: Pixels
    dimensions: dict[str, Ranked]  # algorithm, norm, victim, setting


@dataclass(frozen=True)
class Desk:
    """The attributors of one run and pixel protocol that together name an attack."""

    pixels: Pixels
    joint: Attributor | Marginal
    classes: dict[str, Selector]  # of the joint question
    settings: dict[str, Attributor | Marginal]  # for each of these classes, where its settings were told apart

    def attribute(self, evidence: Evidence) -> Verdict:
        """Rank the alternatives of each dimension; raises DataError where the image has another shape.

        The joint attributor gives P(algorithm, norm, victim); the attributor of each such class gives P(setting
        | class). Each dimension is a sum of their products.
        """
        shape, found = self.joint.shape_, tuple(evidence.images.shape[1:])
        if shape != found:
            remedy = "attribute it with a run on images of its size"
            raise bad_data(evidence.name, f"an image of shape {shape} (c, h, w)", str(found), remedy)
        sums: dict[str, dict[str, float]] = {name: defaultdict(float) for name in DIMENSIONS}
        for name, probability in self._probabilities(self.joint, evidence):
            selector = self.classes[name]
            family, norm, victim = str(selector.family), str(selector.norm), str(selector.victim)
            sums["algorithm"][FAMILY_TITLES.get(family, family)] += probability
            sums["norm"][NORM_TITLES.get(norm, norm)] += probability
            sums["victim"][victim] += probability
            for setting, share in self._settings(name, evidence):
                sums["setting"][f"{title(family, norm)}, {setting}"] += probability * share
        return Verdict(evidence.name, evidence.pixels, {name: _ranked(tally) for name, tally in sums.items()})

    def _settings(self, name: str, evidence: Evidence) -> Ranked:
        if name not in self.settings:
            return [("setting not learned", 1.0)]
        return self._probabilities(self.settings[name], evidence)

    @staticmethod
    def _probabilities(attributor: Attributor | Marginal, evidence: Evidence) -> Ranked:
        samples = Samples(evidence.images, torch.zeros(1, dtype=torch.int64), attributor.classes_)
        probabilities = attributor.predict_log_proba(samples)[0].exp().tolist()
        return list(zip(attributor.classes_, probabilities, strict=True))


def _ranked(shares: dict[str, float]) -> Ranked:
    return sorted(shares.items(), key=lambda pair: -pair[1])


def load_desk(run: Path, pixels: Pixels) -> Desk:
    """The attributors of a run for one pixel protocol; raises RunError where they are missing or collapsed."""
    folder = RunFolder(run)
    study = Study.model_validate(read_record(RunCard, folder.card).study)
    questions = {question.id: question for question in build_questions(study.questions, study.grid, study.paper)}
    asked = [
        result
        for result in read_records(Result, folder.results / "questions")
        if result.pixels == pixels and result.knowledge == "blind"
    ]
    results = _of_the_best([result for result in asked if result.status == "measured"])
    if "joint" not in results or "joint" not in questions:
        expected = f"expected the question 'joint', {pixels}, answered in {run}"
        for result in asked:
            if result.question == "joint":
                raise RunError(f"{expected}, found it answered with {result.status!r}; give the study more images")
        raise RunError(f"{expected}, found none; run it with --only joint")
    classes = questions["joint"].classes
    names = {name: f"setting/{chosen.family}-{chosen.norm}/{chosen.victim}" for name, chosen in classes.items()}

    def load(result: Result) -> Attributor | Marginal:
        return answering(Attributor.load(folder.attributor(result.key)), result.sets)

    settings = {name: load(results[question]) for name, question in names.items() if question in results}
    return Desk(pixels, load(results["joint"]), classes, settings)


def _of_the_best(measured: list[Result]) -> dict[str, Result]:
    """By question, the results of the attributor and seed that answered the joint question best."""
    joint = [result for result in measured if result.question == "joint"]
    best = max(joint, key=lambda result: result.accuracy or 0.0, default=None)
    return {
        result.question: result
        for result in measured
        if best is not None and (result.attributor, result.seed) == (best.attributor, best.seed)
    }


def read_evidence(path: Path) -> Evidence:
    """An image file, or a `.npy` array of one image; raises DataError in one line.

    Image files and arrays of whole grey levels fall under `uint8`, other floats in [0, 1] under `float32`.
    """
    if path.suffix.lower() in IMAGE_FORMATS:
        image = torch.from_numpy(read_image(path)).float() / 255
        return Evidence(str(path), _channels_first(path, image), "uint8")
    if path.suffix.lower() == ".npy":
        image = _read_npy(path)
        whole = torch.equal(round_to_uint8(image), image)
        return Evidence(str(path), _channels_first(path, image), "uint8" if whole else "float32")
    known = ", ".join([*IMAGE_FORMATS, ".npy"])
    raise bad_data(path, f"a file ending in {known}", repr(path.suffix), "convert it, best to PNG or .npy")


def _read_npy(path: Path) -> Tensor:
    remedy = "save one image with numpy.save, float32 in [0, 1] or uint8"
    try:
        if path.stat().st_size > MAX_NPY_BYTES:
            raise bad_data(path, f"at most {MAX_NPY_BYTES} bytes", str(path.stat().st_size), remedy)
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise bad_data(path, "an array of one image", str(error).splitlines()[0], remedy) from None
    if not isinstance(array, np.ndarray) or array.dtype not in (np.uint8, np.float32, np.float64):
        raise bad_data(path, "float32, float64 or uint8", str(getattr(array, "dtype", "an archive")), remedy)
    scaled = array / np.float32(255) if array.dtype == np.uint8 else array
    if not array.size or not (scaled.min() >= 0 and scaled.max() <= 1):  # written so that NaN fails too
        raise bad_data(path, "values in [0, 1]", "others", remedy)
    return torch.from_numpy(scaled.astype(np.float32))


def _channels_first(path: Path, image: Tensor) -> Tensor:
    """(h, w), (h, w, c) or (c, h, w) -> (1, c, h, w)."""
    if image.ndim == 2:
        return image[None, None]
    if image.ndim == 3 and image.shape[0] in (1, 3):
        return image[None]
    if image.ndim == 3 and image.shape[2] in (1, 3):
        return image.permute(2, 0, 1)[None]
    raise bad_data(path, "one image (h, w), (h, w, c) or (c, h, w)", str(tuple(image.shape)), "save a single image")


def attribute(paths: list[Path], run: Path) -> list[Verdict | DataError]:
    """A verdict for each file, in order; a file that cannot be used gives its error and the others go on."""
    desks: dict[Pixels, Desk] = {}
    verdicts: list[Verdict | DataError] = []
    for path in paths:
        try:
            evidence = read_evidence(path)
            if evidence.pixels not in desks:
                desks[evidence.pixels] = load_desk(run, evidence.pixels)
            verdicts.append(desks[evidence.pixels].attribute(evidence))
        except DataError as error:
            verdicts.append(error)
    return verdicts
