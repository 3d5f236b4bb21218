"""From the axes of a resolved study to their steps."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from redhanded.attacks import AttackSpec, family_named
from redhanded.attributors import ATTRIBUTORS, Factored
from redhanded.core import seed_for
from redhanded.data import AS_FILE, AS_LEFT, Pixels
from redhanded.engine.steps.described import AskAxis, DescribeImages, FitOnDescribed
from redhanded.engine.steps.sets import DescribeSet, MakeSets, MeasureSuccess, Pictures
from redhanded.engine.steps.victims import TrainVictim, open_source
from redhanded.sets import Split, calls
from redhanded.studies import KNOWN, Axis, Study


class AxisSteps:
    """The steps that ask the attributors of a study along its axes, each made once."""

    def __init__(self, study: Study, victims: Mapping[str, TrainVictim], sources: Mapping[str, Path]) -> None:
        self.study, self.victims, self.sources = study, victims, sources
        self.trained = tuple(victims[name] for name in study.trained_on)
        self.known = Axis(name=KNOWN, title="what the training was like")

    def asked(self) -> Iterator[AskAxis]:
        """A step for each axis, attributor, pixel protocol and seed, and for each family that is left out in turn."""
        size = self.study.size
        described = [name for name in size.attributors if issubclass(ATTRIBUTORS[name].attributor, Factored)]
        for attributor in described:
            for pixels in self.study.pixels:
                for seed in self.study.attributor_seeds:
                    for axis in (self.known, *self.study.axes):
                        yield from self._ask(axis, attributor, pixels, seed)
                if attributor in size.unknown:
                    for family in dict.fromkeys(family_named(attack.family) for attack in self.study.attacks):
                        fitted = self.fit(attributor, pixels, self.study.attributor_seeds[0], family)
                        yield self._step(self.known, fitted, pixels)

    @cache  # noqa: B019 - it lives as long as the plan is made
    def cards(self) -> tuple[DescribeSet, ...]:
        """Counts of the sets that attributors are trained on, and of their test sets."""
        return tuple(
            DescribeSet(tuple(MeasureSuccess(sets, attack, pixels) for pixels in (AS_LEFT, AS_FILE)))
            for split in ("train", "test")
            for sets in self.sets(self.known, split)
            for attack in sets.attacks
        )

    def _ask(self, axis: Axis, attributor: str, pixels: Pixels, seed: int) -> Iterator[AskAxis]:
        if axis.strangers and ATTRIBUTORS[attributor].attributor.knowledge == "blind":
            return
        fitted = self.fit(attributor, pixels, seed)
        if axis.pixels:
            for transport in axis.pixels if pixels == AS_FILE else ():
                yield self._step(axis, fitted, transport)
            return
        yield self._step(axis, fitted, pixels)
        if axis.in_turn:
            yield self._step(axis, self.fit(attributor, pixels, seed, axis.name), pixels)

    def _step(self, axis: Axis, fitted: FitOnDescribed, pixels: Pixels) -> AskAxis:
        name = f"{axis.name}-{pixels}" if axis.pixels else axis.name
        sets = tuple(
            self._describe(made, attack, pixels, pixels) for made in self.sets(axis, "test") for attack in made.attacks
        )
        cards = self.cards() if axis.name == KNOWN else ()
        return AskAxis(self.study.name, self.study.source, name, axis.title, fitted, sets, axis.strangers, cards)

    @cache  # noqa: B019 - it lives as long as the plan is made
    def fit(self, attributor: str, pixels: Pixels, seed: int, without: str = "") -> FitOnDescribed:
        """An attributor that is trained on the sets of the study and of axes in turn, but for one axis or family."""
        axes = [self.known, *(axis for axis in self.study.axes if axis.in_turn and axis.name != without)]
        settings = self.study.size.attributors[attributor]
        sets = [
            (made, attack)
            for axis in axes
            for made in self.sets(axis, "train")
            for attack in made.attacks
            if family_named(attack.family) != without
        ]
        ways = tuple(
            tuple(self._describe(made, attack, pixels, way) for made, attack in sets)
            for way in (pixels, *(settings.get("transports", ()) if pixels == AS_FILE else ()))
        )
        return FitOnDescribed(self.study.name, ways, attributor, settings, pixels, seed, without)

    @cache  # noqa: B019
    def _describe(self, made: MakeSets, attack: AttackSpec, eligible: Pixels, pixels: Pixels) -> DescribeImages:
        return DescribeImages(MeasureSuccess(made, attack, eligible), pixels, self.trained)

    @cache  # noqa: B019
    def sets(self, axis: Axis, split: Split) -> tuple[MakeSets, ...]:
        """The sets of an axis."""
        study = self.study
        victims = [self.victims[name] for name in axis.victims] or list(self.trained)
        attacks = axis.attacks or study.attacks
        rows = [(victim, attacks) for victim in victims]
        pictures = None
        if axis.source:
            path = self.sources.get(axis.source)
            pictures = Pictures(axis.source, path, open_source(axis.source, path).digest)
        if axis.name == KNOWN or axis.source:  # a control is made of what the first victim gets right
            rows.insert(0, (victims[0], study.controls))
        return tuple(
            self._make(victim, together, split, axis, pictures) for victim, specs in rows for together in calls(specs)
        )

    def _make(
        self, victim: TrainVictim, together: Sequence[AttackSpec], split: Split, axis: Axis, pictures: Pictures | None
    ) -> MakeSets:
        study, spec = self.study, victim.spec
        source = (
            open_source(pictures.source, pictures.path) if pictures else open_source(study.source, victim.source_path)
        )
        counts = axis.images.model_dump() if axis.images else study.images(together[0].family)
        count = counts[split] if axis.images or split == "train" else counts[split] * axis.times
        seed = study.seed if study.same_images else seed_for("attacked", spec.name, study.seed)
        return MakeSets(
            victim,
            tuple(together),
            split,
            min(count, len(source.split(split))),
            study.size.shard_images,
            seed,
            pictures,
        )
