"""Attributors that know what an answer is made of: what was done, whose gradients, and numbers within their ranges."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from redhanded.attributors.base import Knowledge, Prediction
from redhanded.attributors.calibration_set import CalibrationSet
from redhanded.attributors.candidates import NUMBERS, ask_victim
from redhanded.attributors.layout import BINS, Layout
from redhanded.attributors.network import NetworkAttributor, NetworkSettings
from redhanded.attributors.perceptron import layer
from redhanded.attributors.statistics import image_statistics
from redhanded.core import seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.errors import RunError
from redhanded.models import Objective, pick_device, train
from redhanded.sets import Samples

_HIDDEN, _ENCODED, _DROPOUT = 256, 64, 0.3  # at width 1
_FARTHEST = 5.0  # deviations from the mean at which an input is truncated
_OTHERS = 2  # candidates beside the own victim that an image is shown with in training
_LEFT_OUT = 0.25  # share of the images that are trained on without their own victim among the candidates
_VICTIM_WEIGHT, _NUMBER_WEIGHT = 0.3, 0.5  # of their losses, beside that of what was done
_NEVER = -1e9  # the score of a candidate that is left out
_TINY = 1e-30  # keeps the logarithm of a share finite


class FactoredSettings(NetworkSettings):
    """How wide the network is, how it is trained, and what its images went through beside the study's own protocol."""

    transports: tuple[Pixels, ...] = Field((), description="pixel protocols; images of each are trained on as well")


class Estimate(NamedTuple):
    """One parameter of n images, given the attack: the median of its density and the ends of its 90 % interval."""

    value: Tensor  # (n,)
    low: Tensor  # (n,)
    high: Tensor  # (n,)


class Factored(NetworkAttributor):
    """Statistics of the image, two hidden layers, and a head for each part of an answer; it sees the image alone.

    One head tells what was done (family and norm, controls among them), one the victim given an attack, and given the
    family and norm each of its settings has one of its own: a density over equal bins of the range of its values. A
    set's logarithm of probability is the sum of those of its parts, so an answer is learned from all images that share
    it, and a setting that no set has is answered like any other. Every family counts the same in training,
    however many sets it has.
    """

    kind: ClassVar[str] = "factored"
    knowledge: ClassVar[Knowledge] = "blind"
    settings_type: ClassVar[type[NetworkSettings]] = FactoredSettings

    settings: FactoredSettings
    layout_: Layout

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor; raises RunError where a stored attributor's card has no layout."""
        if self.layout_ is None:
            raise RunError(f"expected a layout in the card of {self.kind}, found none; fit it again")
        asked = NUMBERS if self.knowledge == "candidates" else 0
        return _Network(mean, deviation, self.layout_, round(_HIDDEN * self.settings.width), asked)

    def fit(self, samples: Samples) -> Self:
        """Train as NetworkAttributor does; of an image that was transported, the image as it was decides its place."""
        self.layout_, self.classes_ = Layout.of(samples), samples.classes
        channels, height, width = samples.images.shape[1:]
        self.shape_ = channels, height, width
        candidates = self._own_and_others(samples)
        ways = [samples.images, *(PIXELS[name].apply(samples.images) for name in self.settings.transports)]
        views = [self._view(images, samples, candidates) for images in ways]
        seen, times = torch.cat(views), len(ways)
        asked = self.knowledge == "candidates"
        statistics = seen.shape[1] - NUMBERS * (candidates.shape[1] if asked else 0)
        parts = [seen[:, :statistics, 0, 0]]
        if asked:
            parts.append(seen[:, statistics:, 0, 0].reshape(-1, NUMBERS))
        mean, deviation = (torch.cat([part.mean(0) for part in parts]), torch.cat([part.std(0) for part in parts]))
        self.channels_ = len(mean)
        targets = self.layout_.targets(samples)
        index = torch.arange(len(targets)) if samples.index is None else samples.index
        trained = train(
            lambda: self.build(mean.tolist(), deviation.clamp_min(1e-3).tolist()),
            seen,
            targets.repeat(times, 1),
            self.settings.training,
            self.seed,
            index.repeat(times),
            self._objective(targets[:, 0]),
        )
        self.network_ = trained.network.to(pick_device())
        self.attempts_, self.collapsed_ = trained.attempts, trained.collapsed
        rows = trained.validation[trained.validation < len(targets)]  # as the study's own protocol left them
        held = index[rows] if samples.index is not None else torch.full_like(rows, -1)
        known = self._known(samples, candidates)[rows]
        self.held_out_ = CalibrationSet(*self._of(seen[rows], known), samples.labels[rows], held)
        return self

    def _objective(self, attacks: Tensor) -> Objective:
        """The losses of all heads, (m, outputs) and (m, 2 + heads); attacks: (n,) of all images, to weigh families."""
        layout = self.layout_
        families = [family for family, _ in layout.attacks]
        counts = torch.bincount(attacks, minlength=len(families)).double()
        images = {
            name: sum(float(counts[place]) for place, one in enumerate(families) if one == name) for name in families
        }
        weights = torch.tensor([len(attacks) / len(images) / max(images[family], 1) for family in families])

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            attack, victim, bins, scores = self.network_outputs(outputs)
            of, whose = targets[:, 0], targets[:, 1]
            total = functional.cross_entropy(attack, of, weights.to(attack))
            attacked = whose >= 0
            if victim.shape[1] and attacked.any():
                total = total + _VICTIM_WEIGHT * functional.cross_entropy(victim[attacked], whose[attacked])
            for own, target in zip(bins, targets[:, 2:].unbind(1), strict=True):
                known = target >= 0
                if known.any():
                    share = known.double().mean()
                    total = total + _NUMBER_WEIGHT * share * functional.cross_entropy(own[known], target[known])
            if scores is not None and layout.victims:
                nobody = torch.full_like(whose, scores.shape[1] - 1)
                among = attacked & (scores[:, 0] > _NEVER)
                total = total + _VICTIM_WEIGHT * functional.cross_entropy(scores, torch.where(among, 0, nobody))
            return total

        return Objective(
            loss, lambda outputs: self.network_outputs(outputs)[0].argmax(1), lambda targets: targets[:, 0]
        )

    def network_outputs(self, outputs: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...], Tensor | None]:
        """Logits of attacks, of known victims and of each parameter's bins; scores of the candidates and of nobody."""
        layout = self.layout_
        sizes = [len(layout.attacks), len(layout.victims), *[BINS] * len(layout.heads)]
        attack, victim, *bins, scores = outputs.split([*sizes, outputs.shape[1] - sum(sizes)], 1)
        return attack, victim, tuple(bins), scores if scores.shape[1] else None

    def view(self, samples: Samples) -> Tensor:
        """The statistics of each image, and of each candidate its numbers, (n, f + 15 * candidates, 1, 1)."""
        return self._view(samples.images, samples, self._everyone(samples))

    def _view(self, images: Tensor, samples: Samples, candidates: Tensor) -> Tensor:
        return image_statistics(images)[:, :, None, None]

    def _own_and_others(self, samples: Samples) -> Tensor:
        """Which victims each image is trained with, (n, candidates): its own first where it is known."""
        names, count = list(samples.victims), len(samples.labels)
        if not self.layout_.victims or not names:
            return torch.arange(len(names)).expand(count, -1)
        generator = torch.Generator().manual_seed(seed_for("candidates", self.seed) % 2**32)
        order = torch.rand(count, len(names), generator=generator)
        victim = torch.tensor(self.layout_.victim_of)[samples.labels]  # (n,)
        for place, name in enumerate(self.layout_.victims):
            order[victim == place, names.index(name)] = -1  # before all others
        return order.argsort(1)[:, : 1 + _OTHERS]

    def answer(self, samples: Samples) -> Prediction:
        """See Attributor."""
        return self._of(self.view(samples), self._known(samples, self._everyone(samples)))

    def _everyone(self, samples: Samples) -> Tensor:
        return torch.arange(len(samples.victims)).expand(len(samples.images), -1)

    def _known(self, samples: Samples, candidates: Tensor) -> Tensor:
        """The candidates' places among the known victims, (n, candidates); -1 of those that are not known."""
        known = {name: place for place, name in enumerate(self.layout_.victims)}
        places = torch.tensor([known.get(name, -1) for name in samples.victims], dtype=torch.int64)
        return places[candidates] if len(places) else candidates

    def _of(self, seen: Tensor, known: Tensor) -> Prediction:
        outputs, features = self._ask_network(seen)
        attack, victim, bins, scores = self.network_outputs(outputs)
        layout = self.layout_
        log_proba = attack.log_softmax(1)[:, list(layout.attack_of)]  # (n, classes)
        if layout.victims:
            whose = victim.log_softmax(1) if scores is None else self._whose(victim, scores.log_softmax(1), known)
            places = torch.tensor(layout.victim_of)
            log_proba = log_proba + whose[:, places.clamp_min(0)].masked_fill(places < 0, 0)
        return Prediction((log_proba + self._of_settings(bins)).log_softmax(1), features)

    def _whose(self, victim: Tensor, asked: Tensor, known: Tensor) -> Tensor:
        """Log probabilities of the known victims, (n, victims), by what the candidates say and nobody's share.

        victim: (n, victims) what the image alone says; asked: (n, candidates + 1); known: (n, candidates). Known
        victims that are no candidates share what is left for nobody by what the image alone says.
        """
        count = victim.shape[1]
        column = torch.where(known < 0, count, known)  # one more, for candidates that are not known
        among = torch.zeros(len(victim), count + 1, dtype=torch.bool).scatter(1, column, True)[:, :count]
        others = asked[:, -1:] + victim.masked_fill(among, _NEVER).log_softmax(1)
        whose = functional.pad(others.masked_fill(among, _NEVER), (0, 1)).scatter(1, column, asked[:, :-1])
        return whose[:, :count].log_softmax(1)

    def _of_settings(self, bins: Sequence[Tensor]) -> Tensor:
        """How the sets of one attack and victim share its probability: by the density at their fixed settings.

        Log shares, (n, classes); sets without fixed settings, or without a head for them, share evenly.
        """
        layout = self.layout_
        density = torch.zeros(len(bins[0]) if bins else 1, len(layout.attack_of))
        for head, own in zip(layout.heads, bins, strict=True):
            at = [
                place
                for place, (attack, fixed) in enumerate(zip(layout.attack_of, layout.fixed, strict=True))
                if attack == head.attack and head.name in fixed
            ]
            values = torch.tensor([layout.fixed[place][head.name] for place in at], dtype=torch.float64)
            density[:, at] += own.log_softmax(1)[:, head.bin_of(values)]
        pairs = list(zip(layout.attack_of, layout.victim_of, strict=True))
        siblings = torch.tensor([sorted(set(pairs)).index(pair) for pair in pairs])
        total = torch.zeros(len(density), len(set(pairs))).index_add(1, siblings, density.exp())
        return density - total.clamp_min(_TINY).log()[:, siblings]

    @torch.no_grad()
    def estimates(self, features: Tensor, together: bool = False) -> dict[tuple[str, str, str], Estimate]:
        """What each parameter would be, given that the family and norm are those it belongs to; by all three names.

        features: (n, f) of an answer; the median of a parameter's density, and the interval from 5 to 95 % of it, for
        each image or, `together`, once for images that were made with the same setting: then their densities are
        multiplied.
        """
        network: Any = self.network_
        outputs = network.heads(features.to(network.heads.weight.device)).cpu()
        _, _, bins, _ = self.network_outputs(outputs)
        estimates = {}
        for head, logits in zip(self.layout_.heads, bins, strict=True):
            density = logits.double().log_softmax(1)
            if together:
                density = density.sum(0, keepdim=True).log_softmax(1)
            low, value, high = (head.quantile(density, share) for share in (0.05, 0.5, 0.95))
            estimates[(*self.layout_.attacks[head.attack], head.name)] = Estimate(value, low, high)
        return estimates


class FactoredAsked(Factored):
    """`factored`, which also asks any number of candidate victims: fifteen numbers of each, encoded alike and pooled.

    What a victim says is weighed by how likely the perturbation follows its gradients, so candidates may be others
    than those of the training, and more or fewer (Zaheer et al., "Deep sets", NeurIPS 2017); that it is none of them is
    an answer as well. In training an image is shown with its own victim and two others, or with others alone.
    """

    kind: ClassVar[str] = "factored_asked"
    knowledge: ClassVar[Knowledge] = "candidates"

    def _view(self, images: Tensor, samples: Samples, candidates: Tensor) -> Tensor:
        if not samples.victims:
            raise ValueError("expected samples with candidate victims, found none; only their owner has them")
        numbers = torch.zeros(*candidates.shape, NUMBERS)
        for place, victim in enumerate(samples.victims.values()):
            rows, columns = (candidates == place).nonzero(as_tuple=True)
            numbers[rows, columns] = ask_victim(victim, images[rows])
        return torch.cat([super()._view(images, samples, candidates), numbers.flatten(1)[:, :, None, None]], 1)


class _Network(nn.Module):
    """Statistics and the numbers of any candidates to the outputs of all heads, (n, f + 15 k, 1, 1) -> (n, outputs)."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, mean: list[float], deviation: list[float], layout: Layout, hidden: int, numbers_of_candidate: int
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))
        self.numbers = numbers_of_candidate
        self.statistics = len(mean) - self.numbers
        half, pooled = max(1, hidden // 2), 0
        self.trunk = nn.Sequential(*layer(self.statistics, hidden, _DROPOUT), *layer(hidden, half, _DROPOUT))
        if self.numbers:
            pooled = 2 * _ENCODED
            self.encode = nn.Sequential(
                nn.Linear(self.numbers + half, 2 * _ENCODED), nn.ReLU(), nn.Linear(2 * _ENCODED, _ENCODED), nn.ReLU()
            )
            self.score = nn.Linear(_ENCODED, 1)
            self.nobody = nn.Parameter(torch.zeros(1 + _ENCODED))  # its score, and what stands for its numbers
        self.mix = nn.Sequential(*layer(half + pooled, hidden, _DROPOUT))
        outputs = len(layout.attacks) + len(layout.victims) + BINS * len(layout.heads)
        self.heads = nn.Linear(hidden, outputs)

    def forward(self, seen: Tensor) -> Tensor:
        """See the class; the scores of the candidates, and last that of nobody, stand behind the other outputs."""
        seen = seen.flatten(1)
        statistics, rest = seen[:, : self.statistics], seen[:, self.statistics :]
        hidden = self.trunk(self._normalised(statistics, slice(0, self.statistics)))  # (n, half)
        if not self.numbers:
            return self.heads(self.mix(hidden))
        numbers = self._normalised(rest.reshape(len(seen), -1, self.numbers), slice(self.statistics, None))
        beside = hidden[:, None].expand(-1, numbers.shape[1], -1)
        encoded = self.encode(torch.cat([numbers, beside], 2))  # (n, candidates, 64)
        scores = self.score(encoded).squeeze(2)  # (n, candidates)
        if self.training:
            left_out = torch.rand(len(seen), device=seen.device) < _LEFT_OUT
            scores = torch.cat([scores[:, :1].masked_fill(left_out[:, None], _NEVER), scores[:, 1:]], 1)
        scores = torch.cat([scores, self.nobody[:1].expand(len(seen), 1)], 1)
        weights = scores.softmax(1)
        heard = encoded.masked_fill(scores[:, :-1, None] <= _NEVER, 0)
        weighed = (weights[:, :-1, None] * heard).sum(1) + weights[:, -1:] * self.nobody[1:]
        most = heard.amax(1)
        return torch.cat([self.heads(self.mix(torch.cat([hidden, weighed, most], 1))), scores], 1)

    def _normalised(self, values: Tensor, part: slice) -> Tensor:
        return ((values - self.mean[part]) / self.deviation[part]).clamp(-_FARTHEST, _FARTHEST)
