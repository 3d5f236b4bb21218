"""An attributor that was taught classes which its network never saw, each from a few images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from redhanded.attributors.base import Attributor, AttributorCard, Knowledge, Prediction
from redhanded.attributors.calibration_set import HELD_OUT, CalibrationSet
from redhanded.core import file_digest, require_digest
from redhanded.errors import RunError
from redhanded.sets import Samples

INNER, HEADS = "inner", "heads.safetensors"
_INNER_CARD = f"{INNER}/card.json"
_FARTHEST = 5.0  # deviations from the mean at which a feature is truncated


class TaughtSettings(BaseModel):
    """What is taught: the kind of attributor whose features the new classes are told by, and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inner: str = Field("factored", description="a kind that is fitted on all sets, and not itself taught")
    settings: dict[str, Any] = {}


class Head(NamedTuple):
    """A linear head on standardised features: the log odds of a new class against all that was known before it."""

    weights: Tensor  # (f,) float32, as all of them
    bias: Tensor  # ()
    mean: Tensor  # (f,) of the features of known images
    deviation: Tensor  # (f,)

    def log_odds(self, features: Tensor) -> Tensor:
        """(n, f) -> (n,); a row's value is the same to the bit whatever rows stand beside it."""
        return (self.standardise(features) * self.weights).sum(1) + self.bias

    def standardise(self, features: Tensor) -> Tensor:
        """Features in deviations from the mean of known ones, (n, f) -> (n, f)."""
        return ((features - self.mean) / self.deviation).clamp(-_FARTHEST, _FARTHEST)


def with_class(log_proba: Tensor, log_odds: Tensor) -> Tensor:
    """Probabilities with one class more, (n, c), (n,) -> (n, c + 1): the others keep their shares of what it leaves."""
    others = log_proba + functional.logsigmoid(-log_odds)[:, None]
    return torch.cat([others, functional.logsigmoid(log_odds)[:, None]], 1)


class Taught(Attributor):
    """A fitted attributor with a linear head on its features for each class that was taught it afterwards.

    p(new | x) is the head's, and p(c | x) = (1 - p(new | x)) p_before(c | x) for every class c that was known before.
    What was fitted stays as it is. `redhanded.attributors.teach` adds a class; fitted on samples it is its inner
    attributor, and has been taught nothing.
    """

    kind: ClassVar[str] = "taught"
    knowledge: Knowledge = "blind"  # type: ignore[misc] # that of the inner attributor, so of each its own

    settings: TaughtSettings
    inner_: Attributor
    names_: tuple[str, ...]  # of the classes that were taught
    heads_: tuple[Head, ...]  # in the same order

    def __init__(self, settings: TaughtSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or TaughtSettings()
        self.seed = seed
        self.knowledge = self._row().attributor.knowledge

    def _row(self) -> Any:
        from redhanded.attributors.table import ATTRIBUTORS  # whose rows are made of this class too

        row = ATTRIBUTORS.get(self.settings.inner)
        if row is None or not row.whole or row.attributor is type(self):
            whole = [name for name, one in ATTRIBUTORS.items() if one.whole and one.attributor is not type(self)]
            raise RunError(f"expected an inner attributor of {', '.join(whole)}, found {self.settings.inner!r}")
        return row

    def fit(self, samples: Samples) -> Self:
        """Fit the inner attributor; nothing is taught yet."""
        row = self._row()
        inner = row.attributor(row.settings.model_validate(self.settings.settings), self.seed).fit(samples)
        return self.made_of(inner, (), (), inner.held_out_)

    @classmethod
    def around(cls, attributor: Attributor) -> Self:
        """One of a fitted attributor, that was taught nothing."""
        settings = TaughtSettings(inner=attributor.kind, settings=attributor.settings.model_dump(mode="json"))
        return cls(settings, attributor.seed).made_of(attributor, (), (), attributor.held_out_)

    def made_of(self, inner: Attributor, names: Sequence[str], heads: Sequence[Head], held_out: CalibrationSet) -> Self:
        """Take a fitted attributor, heads for the classes that were taught it, and held-out answers of all classes."""
        self.inner_, self.names_, self.heads_, self.held_out_ = inner, tuple(names), tuple(heads), held_out
        self.classes_, self.shape_ = (*inner.classes_, *names), inner.shape_
        self.attempts_, self.collapsed_ = inner.attempts_, inner.collapsed_
        return self

    @property
    def parts_(self) -> tuple[Attributor, ...]:
        """What it is made of."""
        return (self.inner_,)

    @property
    def trunk(self) -> Attributor:
        """See Attributor."""
        return self.inner_

    def answer(self, samples: Samples) -> Prediction:
        """See Attributor."""
        log_proba, features = self.inner_.answer(samples)
        for head in self.heads_:
            log_proba = with_class(log_proba, head.log_odds(features))
        return Prediction(log_proba, features)

    def save(self, folder: Path) -> None:
        """Write the inner attributor into a folder of its own, the heads, the held-out answers and, last, the card."""
        folder = Path(folder)
        self.inner_.save(folder / INNER)
        width = self.held_out_.features.shape[1]
        stacked = {
            name: torch.stack([getattr(head, name) for head in self.heads_])
            if self.heads_
            else torch.zeros((0,) if name == "bias" else (0, width))
            for name in Head._fields
        }
        save_file({name: value.contiguous() for name, value in stacked.items()}, folder / HEADS)
        files = {name: file_digest(folder / name) for name in (_INNER_CARD, HEADS)}
        self._write_card(folder, self.shape_[0], files | {HELD_OUT: self.held_out_.save(folder)})

    @classmethod
    def parts_of(cls, card: AttributorCard) -> Mapping[str, str]:
        """See Attributor."""
        taught = cls(TaughtSettings.model_validate(card.settings), card.seed)
        return {INNER: taught.settings.inner}

    @classmethod
    def from_card(cls, card: AttributorCard, folder: Path) -> Self:
        """Read what `save` wrote; raises RunError where the files are not those of the card or do not agree."""
        taught = cls(TaughtSettings.model_validate(card.settings), card.seed)
        for name, what in ((_INNER_CARD, "the card of what was taught"), (HEADS, "heads")):
            require_digest(folder / name, card.files.get(name, "none"), what)
        inner = Attributor.load(folder / INNER)
        held = CalibrationSet.load(folder, card.files.get(HELD_OUT, "none"))
        names = card.classes[len(inner.classes_) :]
        if inner.kind != taught.settings.inner or (*inner.classes_, *names) != card.classes:
            raise RunError(
                f"expected the attributor in {folder / INNER} to know the classes of its card, found another"
            )
        return taught.made_of(inner, names, _read_heads(folder / HEADS, len(names), held.features.shape[1]), held)


def _read_heads(path: Path, count: int, width: int) -> list[Head]:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise RunError(f"expected heads at {path}, found: {str(error).splitlines()[0]}") from None
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    wanted = {name: ((count,) if name == "bias" else (count, width), torch.float32) for name in Head._fields}
    if found != wanted or not (tensors["deviation"] > 0).all():
        raise RunError(f"expected {count} heads on {width} features, with deviations over 0, at {path}, found others")
    return [Head(*(tensors[name][place] for name in Head._fields)) for place in range(count)]
