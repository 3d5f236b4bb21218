"""A scikit-learn classifier around an attributor, for people who bring their own adversarial images."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from redhanded.attributors.base import Attributor
from redhanded.attributors.marginal import answering
from redhanded.attributors.network import NetworkAttributor, NetworkSettings
from redhanded.attributors.table import ATTRIBUTORS, make_attributor
from redhanded.data import MIN_SIDE, as_float
from redhanded.errors import DataError, first_problem
from redhanded.sets import Samples


def blind_attributors() -> list[str]:
    """The names of the attributors that see the image alone, and are fitted by a width and a training."""
    rows = ATTRIBUTORS.items()
    fitted = [name for name, row in rows if issubclass(row.settings, NetworkSettings)]
    return [name for name in fitted if ATTRIBUTORS[name].attributor.knowledge == "blind"]


class AttackClassifier(ClassifierMixin, BaseEstimator):
    """Names the class of an adversarial image from the image alone; `redhanded.fit` makes a fitted one.

    attributor: the name of an attributor that sees the image alone, `forensic`, `forensic_each` or `cnn6`; settings:
    its width and training, a `NetworkSettings` or a mapping such as `{"width": 0.25, "training": {"epochs": 8}}`;
    seed: decides every draw.

    Once fitted: `classes_`, (k,), sorted; `attributor_`, which holds the network; `answer_`, which gives calibrated
    probabilities. Images are arrays or tensors, (n, c, h, w), uint8 or floats in [0, 1].
    """

    def __init__(
        self,
        *,
        attributor: str = "forensic",
        settings: NetworkSettings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.attributor = attributor
        self.settings = settings
        self.seed = seed

    def fit(self, images: ArrayLike | Tensor, y: ArrayLike, *, index: ArrayLike | Tensor | None = None) -> Self:
        """Learn the classes y, (n,), of images, and return itself.

        index: (n,) integers, which source image each was made of: a tenth of the source images, with all that was
        made of them, is kept from training, and the probabilities are calibrated on it; each image is its own unless
        given. Classes count as they come: give equally many of each. Raises DataError in one line for images, classes
        or settings that cannot be used; gives a ConvergenceWarning where every image is given one and the same class.
        """
        pixels, names = as_images("images", images), np.asarray(y)
        _check_length("y", names, pixels)
        self.classes_, labels = np.unique(names, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"expected two or more classes, found {len(self.classes_)}; add images of another")
        groups = None
        if index is not None:
            sources = np.asarray(index)
            _check_length("index", sources, pixels)
            if sources.dtype.kind not in "iu":
                raise DataError(f"expected integers as index, found {sources.dtype}; count the source images")
            groups = torch.from_numpy(sources.astype(np.int64))
        if self.attributor not in blind_attributors():
            raise DataError(f"expected an attributor of {', '.join(blind_attributors())}, found {self.attributor!r}")
        try:
            attributor = make_attributor(self.attributor, self.settings or {}, self.seed)
        except ValidationError as error:
            problem = first_problem(error, "settings")
            raise DataError(f"expected settings of {self.attributor}, found: {problem}") from None
        samples = Samples(pixels, torch.from_numpy(labels), tuple(map(str, self.classes_)), groups)
        return self._take(attributor.fit(samples))

    def predict_proba(self, images: ArrayLike | Tensor) -> NDArray[np.float64]:
        """Calibrated probability of each class, (n, k), in the order of `classes_`; rows sum to 1."""
        check_is_fitted(self)
        pixels = as_images("images", images)
        if tuple(pixels.shape[1:]) != self.attributor_.shape_:
            found, expected = tuple(pixels.shape[1:]), self.attributor_.shape_
            raise DataError(f"expected images of {expected} (c, h, w), as it was fitted on, found {found}")
        if not len(pixels):
            return np.zeros((0, len(self.classes_)))
        samples = Samples(pixels, torch.zeros(len(pixels), dtype=torch.int64), self.attributor_.classes_)
        return self.answer_.predict_log_proba(samples).double().softmax(1).numpy()

    def predict(self, images: ArrayLike | Tensor) -> NDArray:
        """The likeliest class of each image, (n,)."""
        likeliest = self.predict_proba(images).argmax(1)  # first: it says so where nothing was learned yet
        return self.classes_[likeliest]

    def save(self, folder: Path | str) -> None:
        """Write weights (safetensors) and a JSON card; nothing in it can run code."""
        check_is_fitted(self)
        self.attributor_.save(Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; its classes are text. Raises RunError or DataError where it cannot be used."""
        attributor = Attributor.load(Path(folder))
        if not isinstance(attributor, NetworkAttributor) or attributor.kind not in blind_attributors():
            raise DataError(
                f"expected an attributor of {', '.join(blind_attributors())} in {folder}, found {attributor.kind}"
            )
        loaded = cls(attributor=attributor.kind, settings=attributor.settings, seed=attributor.seed)
        loaded.classes_ = np.array(attributor.classes_)
        return loaded._take(attributor)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images are (n, c, h, w)
        return tags

    def _take(self, attributor: Attributor) -> Self:
        if attributor.collapsed_:
            message = "expected several classes, found one given to every held-out image; give more images or epochs"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        self.attributor_ = attributor
        self.answer_ = answering(attributor, {name: [name] for name in attributor.classes_})
        return self


def as_images(where: str, images: ArrayLike | Tensor) -> Tensor:
    """Images (n, c, h, w) as float32 in [0, 1]; raises DataError in one line for anything else."""
    try:
        array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    except ValueError:  # of several sizes
        raise DataError(f"{where}: expected images of one size, found several; make one array of them") from None
    expected = f"{where}: expected images (n, c, h, w) of 1 or 3 channels, {MIN_SIDE} pixels a side or more"
    if array.ndim != 4 or array.shape[1] not in (1, 3) or min(array.shape[2:]) < MIN_SIDE:
        raise DataError(f"{expected}, found an array of shape {array.shape}")
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise DataError(f"{where}: expected images as uint8 or floats, found {array.dtype}; convert them")
    if array.dtype != np.uint8 and array.size and not (array.min() >= 0 and array.max() <= 1):  # NaN fails too
        raise DataError(f"{where}: expected values in [0, 1], found {array.min():.3g} to {array.max():.3g}; scale them")
    kept = array if array.dtype == np.uint8 else array.astype(np.float32)
    return as_float(torch.from_numpy(np.ascontiguousarray(kept)))


def _check_length(what: str, values: NDArray, images: Tensor) -> None:
    if values.shape != (len(images),):
        raise DataError(f"expected {what} of shape ({len(images)},), one for each image, found {values.shape}")
