"""What attributors that are a network share: training with retries, log-softmax, weights with a card."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from redhanded.attributors.base import Attributor, AttributorCard, Prediction
from redhanded.attributors.calibration_set import HELD_OUT, CalibrationSet
from redhanded.core import WEIGHTS, load_weights, save_weights
from redhanded.models import Training, channel_statistics, pick_device, predict_logits, train
from redhanded.sets import Samples


class NetworkSettings(BaseModel):
    """How wide the network is and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(1.0, gt=0, le=4)
    training: Training = Training()


class NetworkAttributor(Attributor):
    """Softmax and cross-entropy over the classes; the kinds differ in what they see and in their layers."""

    channels_: int  # of what the network sees
    settings: NetworkSettings

    settings_type: ClassVar[type[NetworkSettings]] = NetworkSettings

    def __init__(self, settings: NetworkSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or self.settings_type()
        self.seed = seed

    @abstractmethod
    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """A network with fresh weights from the global generator, from `channels_` to as many logits as `classes_`."""

    def view(self, samples: Samples) -> Tensor:
        """What of the samples the network sees, (n, channels, height, width): the images."""
        return samples.images

    def fit(self, samples: Samples) -> Self:
        """Train from fresh weights, again where it collapses to one class; at most `training.attempts` times.

        A share of the source images is held out with all that was made of them; the answers to these are kept.
        """
        seen, (channels, height, width) = self.view(samples), samples.images.shape[1:]
        self.classes_, self.shape_, self.channels_ = samples.classes, (channels, height, width), seen.shape[1]
        mean, deviation = channel_statistics(seen)
        how, labels, index = self.settings.training, samples.labels, samples.index
        trained = train(lambda: self.build(mean, deviation), seen, labels, how, self.seed, groups=index)
        self.network_ = trained.network.to(pick_device())
        self.attempts_, self.collapsed_ = trained.attempts, trained.collapsed
        rows = trained.validation
        index = torch.full_like(labels, -1) if index is None else index
        self.held_out_ = CalibrationSet(*self._answer(seen[rows]), labels[rows], index[rows])
        return self

    def answer(self, samples: Samples) -> Prediction:
        """Log-softmax of the network's logits, and what its last linear layer sees."""
        return self._answer(self.view(samples))

    def _answer(self, seen: Tensor) -> Prediction:
        outputs, features = self._ask_network(seen)
        return Prediction(outputs.log_softmax(1), features)

    def _ask_network(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The network's outputs, and what its last linear layer sees."""
        features: list[Tensor] = []
        last = [layer for layer in self.network_.modules() if isinstance(layer, nn.Linear)][-1]
        hook = last.register_forward_pre_hook(lambda layer, inputs: features.append(inputs[0].cpu()))
        try:
            return predict_logits(self.network_, seen), torch.cat(features)
        finally:
            hook.remove()

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors`, `held_out.safetensors` and, last, `card.json` with their checksums."""
        folder = Path(folder)
        files = {WEIGHTS: save_weights(self.network_, folder), HELD_OUT: self.held_out_.save(folder)}
        self._write_card(folder, self.channels_, files)

    @classmethod
    def from_card(cls, card: AttributorCard, folder: Path) -> Self:
        """Read what `save` wrote; raises RunError where the files are not those of the card."""
        attributor = cls(cls.settings_type.model_validate(card.settings), card.seed)
        attributor.classes_, attributor.shape_ = card.classes, card.shape
        attributor.attempts_, attributor.collapsed_ = card.attempts, card.collapsed
        attributor.channels_, attributor.layout_ = card.channels, card.layout
        no_statistics = [0.0] * card.channels, [1.0] * card.channels  # the stored weights hold the real ones
        attributor.network_ = attributor.build(*no_statistics)
        load_weights(attributor.network_, folder, card.files.get(WEIGHTS, "none"))
        attributor.held_out_ = CalibrationSet.load(folder, card.files.get(HELD_OUT, "none"))
        attributor.network_.eval().to(pick_device())
        return attributor
