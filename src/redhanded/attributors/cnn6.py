"""The paper's attributor: a small convolutional network on the image's pixels (Dotter et al. 2021)."""

from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from redhanded.attributors.base import Attributor, AttributorCard
from redhanded.networks import build_network, channel_statistics, cnn6
from redhanded.results import write_record
from redhanded.samples import Samples
from redhanded.training import Training, pick_device, predict_logits, train
from redhanded.weights import load_weights, save_weights


class Cnn6Settings(BaseModel):
    """`width` multiplies the channels 32, 32, 64, 64, 128, 128 and the 256 hidden units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(1.0, gt=0, le=4)
    training: Training = Training()


class Cnn6(Attributor):
    """Six convolutions, two fully connected layers, softmax, cross-entropy; it sees the image alone."""

    kind: ClassVar[str] = "cnn6"
    knowledge: ClassVar[Literal["blind", "candidates", "oracle"]] = "blind"

    def __init__(self, settings: Cnn6Settings | None = None, seed: int = 0) -> None:
        self.settings = settings or Cnn6Settings()
        self.seed = seed

    def fit(self, samples: Samples) -> Self:
        """Train from fresh weights, again where it collapses to one class; at most `training.attempts` times."""
        self.classes_ = samples.classes
        self.shape_ = (samples.images.shape[1], samples.images.shape[2], samples.images.shape[3])
        statistics = channel_statistics(samples.images)
        trained = train(
            lambda: self._network(*statistics), samples.images, samples.labels, self.settings.training, self.seed
        )
        self.network_ = trained.network.to(pick_device())
        self.attempts_, self.collapsed_ = trained.attempts, trained.collapsed
        return self

    def predict_log_proba(self, samples: Samples) -> Tensor:
        """Log-softmax of the network's logits, (n, c, h, w) -> (n, classes)."""
        return predict_logits(self.network_, samples.images).log_softmax(1)

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and, last, `card.json` with the weights' checksum."""
        card = AttributorCard(
            kind=self.kind,
            settings=self.settings.model_dump(),
            classes=self.classes_,
            shape=self.shape_,
            seed=self.seed,
            attempts=self.attempts_,
            collapsed=self.collapsed_,
            weights_digest=save_weights(self.network_, Path(folder)),
        )
        write_record(card, Path(folder) / "card.json")

    @classmethod
    def from_card(cls, card: AttributorCard, folder: Path) -> Self:
        """Read what `save` wrote; raises RunError where the weights are not those of the card."""
        attributor = cls(Cnn6Settings.model_validate(card.settings), card.seed)
        attributor.classes_, attributor.shape_ = card.classes, card.shape
        attributor.attempts_, attributor.collapsed_ = card.attempts, card.collapsed
        channels = card.shape[0]
        attributor.network_ = attributor._network([0.0] * channels, [1.0] * channels)
        load_weights(attributor.network_, folder, card.weights_digest)
        attributor.network_.eval().to(pick_device())
        return attributor

    def _network(self, mean: list[float], deviation: list[float]) -> nn.Module:
        classes = len(self.classes_)
        network = build_network(cnn6, self.settings.width, self.shape_, classes, mean, deviation)
        return network.to(memory_format=torch.channels_last)
