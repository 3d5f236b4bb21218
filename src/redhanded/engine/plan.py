"""From a resolved study to its steps."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from redhanded.attributors import ATTRIBUTORS
from redhanded.data import AS_FILE, AS_LEFT, SOURCES, Pixels
from redhanded.engine.axes import AxisSteps
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors
from redhanded.engine.steps.described import AskAxis
from redhanded.engine.steps.questions import AskedImages, AskQuestion, ChooseSetting, FitOnQuestion
from redhanded.engine.steps.sets import DescribeSet, MakeSets, MeasureSuccess
from redhanded.engine.steps.unknown import MeasureUnknown
from redhanded.engine.steps.victims import TrainVictim, open_source
from redhanded.errors import StudyError
from redhanded.sets import Split, calls
from redhanded.studies import Question, Study, build_questions

Asked: TypeAlias = AskQuestion | MeasureUnknown | AskAxis
DEFAULT_WEAK_BELOW = 0.6  # for a source that is not in SOURCES


def plan(study: Study, sources: Mapping[str, Path]) -> list[Asked]:
    """One step for each question or axis, attributor, pixel protocol and seed, and for each family left out.

    They need all the others.
    """
    asked: list[Asked] = _asked_questions(study, sources) if study.questions else []
    if study.axes:
        victims = {step.spec.name: step for step in _victims(study, sources)}
        asked += AxisSteps(study, victims, sources).asked()
    if not asked:
        raise StudyError("expected at least two victims, two settings or two norms to tell apart, found no question")
    return asked


def _asked_questions(study: Study, sources: Mapping[str, Path]) -> list[Asked]:
    steps = _Steps(study, sources)
    asked: list[Asked] = [
        steps.ask(question, attributor, pixels, seed)
        for question in build_questions(study.questions, study.grid, study.paper)
        for attributor in study.size.attributors
        for pixels in study.pixels
        for seed in study.attributor_seeds
        if ATTRIBUTORS[attributor].whole or not question.of_all
    ]
    asked += [
        MeasureUnknown(study.source, attributor, steps.fit(attributor, pixels, study.attributor_seeds[0], family))
        for attributor in study.size.unknown
        for pixels in study.pixels
        for family in dict.fromkeys(attack.family for attack in study.attacks)
    ]
    return asked


class _Steps:
    """The steps of a study, each made once."""

    def __init__(self, study: Study, sources: Mapping[str, Path]) -> None:
        self.study = study
        self.cards: list[DescribeSet] = []  # of each set, under every protocol that is asked about or told by
        victims, source = _victims(study, sources), open_source(study.source, sources.get(study.source))
        pixels = dict.fromkeys((AS_LEFT, AS_FILE, *study.pixels))
        # A control is made of what the first victim gets right, as attacks are.
        for victim, attacks in [(victims[0], study.controls), *((victim, study.attacks) for victim in victims)]:
            for together in calls(attacks):
                for split, images in study.images(together[0].family).items():
                    count = min(images, len(source.split(split)))
                    sets = MakeSets(victim, together, split, count, study.size.shard_images, study.seed)
                    for attack in together:
                        self.cards.append(DescribeSet(tuple(MeasureSuccess(sets, attack, name) for name in pixels)))
        self.refs = list(dict.fromkeys(card.ref for card in self.cards))

    @cache  # noqa: B019 - it lives as long as the plan is made
    def under(self, *pixels: Pixels) -> tuple[MeasureSuccess, ...]:
        """All sets under some pixel protocols."""
        return tuple(step for card in self.cards for step in card.measured if step.pixels in pixels)

    @cache  # noqa: B019
    def choice(self, family: str, norm: str, pixels: Pixels) -> ChooseSetting:
        """The choice of one setting of (family, norm)."""
        sets = (step for step in self.under(AS_LEFT, pixels) if step.sets.split == "train")
        own = (step for step in sets if (step.attack.family, step.attack.norm) == (family, norm))
        return ChooseSetting(tuple(own), pixels)

    @cache  # noqa: B019
    def fit(self, attributor: str, pixels: Pixels, seed: int, without: str = "") -> FitOnAll | JoinAttributors:
        """An attributor that is fitted on all sets."""
        parts = [self.fit(part, pixels, seed, without) for part in ATTRIBUTORS[attributor].parts]
        if parts:
            return JoinAttributors(tuple(part for part in parts if isinstance(part, FitOnAll)))
        size = self.study.size
        settings, most = size.attributors[attributor], size.train_images
        return FitOnAll(self.study.name, self.under(pixels), attributor, settings, pixels, seed, most, without)

    def ask(self, question: Question, attributor: str, pixels: Pixels, seed: int) -> AskQuestion:
        """A question to an attributor that was fitted on all sets, or else on this question."""
        study, pool = self.study, set(question.pool(self.refs))
        choices = tuple(self.choice(family, norm, pixels) for family, norm in question.chosen(self.refs))
        sets = tuple(step for step in self.under(pixels) if step.ref in pool)
        most: dict[Split, int] = {"train": study.size.train_images, "test": study.size.test_images}
        images = AskedImages(question, sets, choices, pixels, seed, most)
        fitted = (
            self.fit(attributor, pixels, seed)
            if ATTRIBUTORS[attributor].whole
            else FitOnQuestion(images, attributor, study.size.attributors[attributor])
        )
        cards = tuple(card for card in self.cards if card.ref in pool)
        return AskQuestion(study.name, study.source, images, attributor, fitted, cards)


def only(steps: Sequence[Asked], wanted: Sequence[str], attributors: Sequence[str] = ()) -> list[Asked]:
    """The steps whose item (`table2`) or question (`norm`, `norm/fgsm`) is wanted, of the attributors named.

    All where nothing is named. Raises StudyError for a name that no step has.
    """
    known = list(dict.fromkeys(step.attributor for step in steps))
    for name in attributors:
        if name not in known:
            raise StudyError(f"expected --attributors to name some of {', '.join(known)}, found {name!r}")
    steps = [step for step in steps if step.attributor in (attributors or known)]
    named: set[str] = set()  # keys
    for name in wanted:
        keys = {step.key for step in steps if step.item == name or f"{step.id}/".startswith(f"{name}/")}
        if not keys:
            items = ", ".join(sorted({step.item for step in steps}))
            raise StudyError(f"expected --only to name one of {items} or a question, found {name!r}")
        named |= keys
    return [step for step in steps if not wanted or step.key in named]


def _victims(study: Study, sources: Mapping[str, Path]) -> list[TrainVictim]:
    path = sources.get(study.source)
    digest = open_source(study.source, path).digest
    weak_below = SOURCES[study.source].weak_below if study.source in SOURCES else DEFAULT_WEAK_BELOW
    return [TrainVictim(study.victim_spec(name), study.source, path, digest, weak_below) for name in study.victims]
