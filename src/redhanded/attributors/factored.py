"""Attributors that know what an answer is made of: what was done, whose gradients, and numbers within their ranges."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from redhanded.attributors.base import Knowledge, Prediction
from redhanded.attributors.calibration_set import CalibrationSet
from redhanded.attributors.candidates import NUMBERS
from redhanded.attributors.described import Described, own_and_others
from redhanded.attributors.layout import BINS, Layout
from redhanded.attributors.network import NetworkAttributor, NetworkSettings
from redhanded.attributors.perceptron import layer
from redhanded.core import seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.errors import RunError
from redhanded.models import Objective, device_of, pick_device, train
from redhanded.sets import Samples

_HIDDEN, _ENCODED, _DROPOUT = 256, 64, 0.3  # at width 1
_RANK = 48  # of the densities' logits: 64 for each parameter would be most of the network
_FARTHEST = 5.0  # deviations from the mean at which an input is truncated
OTHERS = 2  # candidates beside the own victim that an image is shown with in training
_LEFT_OUT = 0.3  # share of the images that are trained on without their own victim among the candidates
_PART_WEIGHT, _NUMBER_WEIGHT = 0.3, 0.5  # of the losses of victim and toolchain, and of numbers, beside the attack's
_NEVER = -1e9  # the score of a candidate that is left out
_TINY = 1e-30  # keeps the logarithm of a share finite
_BATCH = 4096  # images that are asked about at once


class FactoredSettings(NetworkSettings):
    """How wide the network is, how it is trained, and what its images went through beside the study's own protocol."""

    transports: tuple[Pixels, ...] = Field((), description="pixel protocols; images of each are trained on as well")


class Estimate(NamedTuple):
    """One parameter of n images, given the attack: the median of its density and the ends of its 90 % interval."""

    value: Tensor  # (n,)
    low: Tensor  # (n,)
    high: Tensor  # (n,)


class Outputs(NamedTuple):
    """What the network says of n images, as logits; scores are of the candidates, and last of nobody."""

    attack: Tensor  # (n, attacks)
    victim: Tensor  # (n, known victims)
    toolchain: Tensor  # (n, toolchains)
    bins: Tensor  # (n, heads, BINS)
    scores: Tensor  # (n, candidates + 1); none of an attributor that asks nobody


class Factored(NetworkAttributor):
    """Statistics of the image, two hidden layers, and a head for each part of an answer; it sees the image alone.

    One head tells what was done (family and norm, controls among them), one the victim given an attack, one the
    library whose code ran, and given the family and norm each of its settings has one of its own: a density over equal
    bins of the range of its values. A set's likelihood is the product of those of its parts, so an answer is learned
    from all images that share it, and a setting that no set has is answered like any other. Every family counts the
    same in training, however many sets it has.
    """

    kind: ClassVar[str] = "factored"
    knowledge: ClassVar[Knowledge] = "blind"
    settings_type: ClassVar[type[NetworkSettings]] = FactoredSettings

    settings: FactoredSettings
    network_: Any  # a _Network
    layout_: Layout

    def build(self, mean: list[float], deviation: list[float]) -> "_Network":
        """See NetworkAttributor; raises RunError where a stored attributor's card has no layout."""
        if self.layout_ is None:
            raise RunError(f"expected a layout in the card of {self.kind}, found none; fit it again")
        asked = NUMBERS if self.knowledge == "candidates" else 0
        return _Network(mean, deviation, self.layout_, round(_HIDDEN * self.settings.width), asked)

    def fit(self, samples: Samples) -> Self:
        """Train as NetworkAttributor does, on the images and on what each transport makes of them."""
        names = list(samples.victims)
        places = [names.index(ref.victim) if ref.victim in names else -1 for ref in samples.sets]
        own = torch.tensor(places or [-1] * len(samples.classes))[samples.labels]
        generator = torch.Generator().manual_seed(seed_for("candidates", self.seed) % 2**32)
        shown = own_and_others(own, len(names), OTHERS, generator)
        ways = [samples.images, *(PIXELS[name].apply(samples.images) for name in self.settings.transports)]
        return self.fit_described([self._describe(images, samples, shown) for images in ways], samples)

    def fit_described(self, ways: Sequence[Described], samples: Samples) -> Self:
        """Train on images that were described before: as the study's protocol left them, then after each transport.

        samples: labels, classes, sets and parameters of the same images; of the images themselves the shape is read.
        """
        self.layout_, self.classes_ = Layout.of(samples), samples.classes
        channels, height, width = samples.images.shape[1:]
        self.shape_ = channels, height, width
        if self.knowledge == "blind":
            ways = [described.shown(0, 0) for described in ways]
        parts = [torch.cat([described.statistics for described in ways])]
        if self.knowledge == "candidates":
            parts.append(torch.cat([described.numbers for described in ways]).flatten(0, 1))
        mean, deviation = (torch.cat([part.mean(0) for part in parts]), torch.cat([part.std(0) for part in parts]))
        self.channels_ = len(mean)
        targets = self.layout_.targets(samples)
        index = torch.arange(len(targets)) if samples.index is None else samples.index
        trained = train(
            lambda: self.build(mean.tolist(), deviation.clamp_min(1e-3).tolist()),
            torch.cat([described.flat for described in ways])[:, :, None, None],  # as images
            targets.repeat(len(ways), 1),
            self.settings.training,
            self.seed,
            index.repeat(len(ways)),
            self._objective(targets[:, 0]),
        )
        self.network_ = trained.network.to(pick_device())
        self.attempts_, self.collapsed_ = trained.attempts, trained.collapsed
        rows = trained.validation[trained.validation < len(targets)]  # as the study's own protocol left them
        held = index[rows] if samples.index is not None else torch.full_like(rows, -1)
        answers = self.answer_described(ways[0])
        self.held_out_ = CalibrationSet(answers.log_proba[rows], answers.features[rows], samples.labels[rows], held)
        return self

    def _objective(self, attacks: Tensor) -> Objective:
        """The losses of all heads, (m, outputs) and (m, 3 + heads); attacks: (n,) of all images, to weigh families."""
        counts = torch.bincount(attacks, minlength=len(self.layout_.attacks)).clamp_min(1)
        weights = len(attacks) * torch.tensor(self.layout_.attack_shares) / counts

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            said = self.outputs(outputs)
            total = functional.cross_entropy(said.attack, targets[:, 0], weights.to(said.attack))
            attacked = targets[:, 1] >= 0
            if attacked.any():
                for logits, truth in ((said.victim, targets[:, 1]), (said.toolchain, targets[:, 2])):
                    total = total + _PART_WEIGHT * functional.cross_entropy(logits[attacked], truth[attacked])
            known = targets[:, 3:] >= 0  # (m, heads)
            if known.any():
                own = functional.cross_entropy(said.bins[known], targets[:, 3:][known], reduction="sum")
                total = total + _NUMBER_WEIGHT * own / len(targets)
            if said.scores.shape[1] and self.layout_.victims:
                nobody = torch.full_like(targets[:, 1], said.scores.shape[1] - 1)
                among = attacked & (said.scores[:, 0] > _NEVER)
                total = total + _PART_WEIGHT * functional.cross_entropy(said.scores, torch.where(among, 0, nobody))
            return total

        return Objective(loss, lambda outputs: self.outputs(outputs).attack.argmax(1), lambda targets: targets[:, 0])

    def outputs(self, outputs: Tensor) -> Outputs:
        """Split what the network gives, (n, outputs)."""
        layout = self.layout_
        sizes = [len(layout.attacks), len(layout.victims), len(layout.toolchains), BINS * len(layout.heads)]
        attack, victim, toolchain, bins, scores = outputs.split([*sizes, outputs.shape[1] - sum(sizes)], 1)
        return Outputs(attack, victim, toolchain, bins.unflatten(1, (len(layout.heads), BINS)), scores)

    def _describe(self, images: Tensor, samples: Samples, candidates: Tensor) -> Described:
        return Described.of(images, {}, candidates[:, :0])

    def answer(self, samples: Samples) -> Prediction:
        """See Attributor; all victims that the samples come with are candidates for each image."""
        everyone = torch.arange(len(samples.victims)).expand(len(samples.images), -1)
        return self.answer_described(self._describe(samples.images, samples, everyone))

    def answer_described(self, described: Described) -> Prediction:
        """The same of images that were described before."""
        if self.knowledge == "blind":
            described = described.shown(0, 0)
        outputs, features = self.ask(described)
        said, layout = self.outputs(outputs), self.layout_
        log_proba = said.attack.log_softmax(1)[:, list(layout.attack_of)]  # (n, classes)
        whose = said.victim.log_softmax(1)
        if said.scores.shape[1]:
            known = {name: place for place, name in enumerate(layout.victims)}
            places = torch.tensor([known.get(name, -1) for name in described.names], dtype=torch.int64)
            asked = places[described.candidates] if len(places) else described.candidates
            whose = self._whose(said.victim, said.scores.log_softmax(1), asked)
        for logits, of in ((whose, layout.victim_of), (said.toolchain.log_softmax(1), layout.toolchain_of)):
            if logits.shape[1]:
                places = torch.tensor(of)
                log_proba = log_proba + logits[:, places.clamp_min(0)].masked_fill(places < 0, 0)
        # A class's likelihood: what it was given, less what it was given before anything was seen.
        log_proba = log_proba + self._of_settings(said.bins) - torch.tensor(layout.shares).log()
        return Prediction(log_proba.log_softmax(1), features)

    @torch.no_grad()
    def ask(self, described: Described) -> tuple[Tensor, Tensor]:
        """The network's outputs, (n, outputs), and the features that they are made from, (n, f)."""
        network = self.network_.eval()
        outputs, features = [], []
        for batch in described.flat.split(_BATCH):
            own, scores = network.features(batch.to(device_of(network)))
            outputs.append(torch.cat([network.outputs(own), scores], 1).cpu())
            features.append(own.cpu())
        return torch.cat(outputs), torch.cat(features)

    def _whose(self, victim: Tensor, asked: Tensor, known: Tensor) -> Tensor:
        """Log probabilities of the known victims, (n, victims), by what the candidates say and nobody's share.

        victim: (n, victims) what the image alone says; asked: (n, candidates + 1); known: (n, candidates) places among
        the known victims, -1 of others. Known victims that are no candidates share what is left for nobody by what the
        image alone says.
        """
        count = victim.shape[1]
        column = torch.where(known < 0, count, known)  # one more, for candidates that are not known
        among = torch.zeros(len(victim), count + 1, dtype=torch.bool).scatter(1, column, True)[:, :count]
        others = asked[:, -1:] + victim.masked_fill(among, _NEVER).log_softmax(1)
        whose = functional.pad(others.masked_fill(among, _NEVER), (0, 1)).scatter(1, column, asked[:, :-1])
        return whose[:, :count].log_softmax(1)

    def _of_settings(self, bins: Tensor) -> Tensor:
        """How the sets of one attack, victim and library share its probability: by the density at their settings.

        bins: (n, heads, BINS). Log shares, (n, classes); sets without fixed settings, or without a head for them, share
        evenly.
        """
        layout = self.layout_
        density = torch.zeros(len(bins), len(layout.attack_of))
        for place, head in enumerate(layout.heads):
            at = [
                own
                for own, (attack, fixed) in enumerate(zip(layout.attack_of, layout.fixed, strict=True))
                if attack == head.attack and head.name in fixed
            ]
            values = torch.tensor([layout.fixed[own][head.name] for own in at], dtype=torch.float64)
            density[:, at] += bins[:, place].log_softmax(1)[:, head.bin_of(values)]
        triples = list(zip(layout.attack_of, layout.victim_of, layout.toolchain_of, strict=True))
        distinct = sorted(set(triples))
        siblings = torch.tensor([distinct.index(triple) for triple in triples])
        total = torch.zeros(len(density), len(distinct)).index_add(1, siblings, density.exp())
        return density - total.clamp_min(_TINY).log()[:, siblings]

    @torch.no_grad()
    def estimates(self, features: Tensor, together: bool = False) -> dict[tuple[str, str, str], Estimate]:
        """What each parameter would be, given that the family and norm are those it belongs to; by all three names.

        features: (n, f) of an answer; the median of a parameter's density, and the interval from 5 to 95 % of it, for
        each image or, `together`, once for images that were made with the same setting: then their densities are
        multiplied.
        """
        network = self.network_
        bins = self.outputs(network.outputs(features.to(device_of(network))).cpu()).bins
        estimates = {}
        for place, head in enumerate(self.layout_.heads):
            density = bins[:, place].double().log_softmax(1)
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

    def _describe(self, images: Tensor, samples: Samples, candidates: Tensor) -> Described:
        if not samples.victims:
            raise ValueError("expected samples with candidate victims, found none; only their owner has them")
        return Described.of(images, samples.victims, candidates)


class _Network(nn.Module):
    """Statistics and numbers of any candidates to the outputs of all heads, (n, f + 15 k, 1, 1) -> (n, outputs)."""

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
        self.names = nn.Linear(hidden, len(layout.attacks) + len(layout.victims) + len(layout.toolchains))
        bins = BINS * len(layout.heads)
        self.densities = nn.Sequential(nn.Linear(hidden, _RANK), nn.Linear(_RANK, bins)) if bins else None

    def forward(self, seen: Tensor) -> Tensor:
        """See the class; the scores of the candidates, and last that of nobody, stand behind the other outputs."""
        features, scores = self.features(seen.flatten(1))
        return torch.cat([self.outputs(features), scores], 1)

    def outputs(self, features: Tensor) -> Tensor:
        """What all heads but the scores say, (n, hidden) -> (n, outputs)."""
        names = self.names(features)
        return names if self.densities is None else torch.cat([names, self.densities(features)], 1)

    def features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """What the heads see, (n, hidden), and the candidates' scores, (n, candidates + 1) or (n, 0)."""
        statistics, rest = seen[:, : self.statistics], seen[:, self.statistics :]
        hidden = self.trunk(self._normalised(statistics, slice(0, self.statistics)))  # (n, half)
        if not self.numbers:
            return self.mix(hidden), seen.new_zeros(len(seen), 0)
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
        return self.mix(torch.cat([hidden, weighed, most], 1)), scores

    def _normalised(self, values: Tensor, part: slice) -> Tensor:
        return ((values - self.mean[part]) / self.deviation[part]).clamp(-_FARTHEST, _FARTHEST)
