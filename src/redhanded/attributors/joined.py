"""Attributors that know different things, joined: a product of their probabilities, each to a power of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import scipy
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from redhanded.attributors.base import Attributor, AttributorCard, Knowledge, Prediction
from redhanded.attributors.calibration_set import CalibrationSet
from redhanded.attributors.candidates import Candidates
from redhanded.attributors.forensic import Forensic
from redhanded.attributors.network import NetworkSettings
from redhanded.core import file_digest, require_digest
from redhanded.errors import RunError
from redhanded.sets import Samples

_CARDS = tuple(f"{part.kind}/card.json" for part in (Forensic, Candidates))
_MOST = 5.0  # a power; an expert surer than that of itself is not to be had


class JoinedSettings(BaseModel):
    """The settings of the parts, for where they are fitted together; a study takes those of its own parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forensic: NetworkSettings = NetworkSettings()
    candidates: NetworkSettings = NetworkSettings()


class Joined(Attributor):
    """`forensic` and `candidates`: log p = a log p_forensic + b log p_candidates, and normalised.

    The powers a and b, at least 0, are those of the least cross-entropy on the source images that both held out
    (Hinton, "Training products of experts by minimizing contrastive divergence", 2002, with experts that are given).
    """

    kind: ClassVar[str] = "joined"
    knowledge: ClassVar[Knowledge] = "candidates"

    settings: JoinedSettings

    def __init__(self, settings: JoinedSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or JoinedSettings()
        self.seed = seed

    def fit(self, samples: Samples) -> Self:
        """Fit both parts on the samples, with the same source images held out, and join them."""
        forensic = Forensic(self.settings.forensic, self.seed).fit(samples)
        return self.join([forensic, Candidates(self.settings.candidates, self.seed).fit(samples)])

    def join(self, parts: Sequence[Attributor], powers: Sequence[float] = ()) -> Self:
        """Join parts that were fitted on the same samples; raises ValueError where they held out different ones.

        powers: of the parts, where they were fitted before.
        """
        held = [part.held_out_ for part in parts]
        if not all(torch.equal(one.index, held[0].index) and torch.equal(one.labels, held[0].labels) for one in held):
            raise ValueError("expected attributors that held out the same images, found different ones")
        self.parts_ = tuple(parts)
        self.classes_, self.shape_ = parts[0].classes_, parts[0].shape_
        self.attempts_ = max(part.attempts_ for part in parts)
        self.collapsed_ = all(part.collapsed_ for part in parts)
        self.powers_ = tuple(powers) or _fit_powers([one.log_proba for one in held], held[0].labels)
        together = self.combine([Prediction(one.log_proba, one.features) for one in held])
        self.held_out_ = CalibrationSet(*together, held[0].labels, held[0].index)
        return self

    def combine(self, answers: Sequence[Prediction]) -> Prediction:
        """The answers of the parts, in their order -> the joined one, with the features of the first."""
        return Prediction(_product([answer.log_proba for answer in answers], self.powers_), answers[0].features)

    def answer(self, samples: Samples) -> Prediction:
        """See Attributor."""
        return self.combine([part.answer(samples) for part in self.parts_])

    def save(self, folder: Path) -> None:
        """Write each part into a folder of its own and, last, `card.json` with their cards' checksums."""
        folder = Path(folder)
        for part in self.parts_:
            part.save(folder / part.kind)
        self._write_card(folder, self.shape_[0], {name: file_digest(folder / name) for name in _CARDS}, self.powers_)

    @classmethod
    def parts_of(cls, card: AttributorCard) -> Mapping[str, str]:
        """See Attributor."""
        return {part.kind: part.kind for part in (Forensic, Candidates)}

    @classmethod
    def from_card(cls, card: AttributorCard, folder: Path) -> Self:
        """Read what `save` wrote and join it again; raises RunError where a part is not that of the card."""
        settings = JoinedSettings.model_validate(card.settings)
        for name in _CARDS:
            require_digest(folder / name, card.files.get(name, "none"), "cards of the parts")
        if card.powers and len(card.powers) != len(_CARDS):
            raise RunError(f"expected a power for each of {len(_CARDS)} parts in {folder}, found {len(card.powers)}")
        parts = [Attributor.load((folder / name).parent) for name in _CARDS]
        joined = cls(settings, card.seed).join(parts, card.powers)
        if joined.classes_ != card.classes:
            raise RunError(f"expected the parts in {folder} to know the classes of its card, found others")
        return joined


def _product(answers: Sequence[Tensor], powers: Sequence[float]) -> Tensor:
    return sum((power * answer for power, answer in zip(powers, answers, strict=True)), answers[0] * 0).log_softmax(1)


def _fit_powers(answers: Sequence[Tensor], labels: Tensor) -> tuple[float, ...]:
    def loss(powers: np.ndarray) -> float:
        return functional.nll_loss(_product(answers, powers.tolist()), labels).item()

    start = np.full(len(answers), 0.5)
    bounds = [(0.0, _MOST)] * len(answers)
    least = scipy.optimize.minimize(loss, start, method="Nelder-Mead", bounds=bounds, options={"xatol": 1e-3})
    return tuple(least.x.tolist())
