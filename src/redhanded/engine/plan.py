"""From a resolved study to its steps."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from redhanded.attacks import AttackSpec
from redhanded.attributors import ATTRIBUTORS
from redhanded.data import SOURCES
from redhanded.engine.steps import (
    AskQuestion,
    DescribeSet,
    FitOnAll,
    JoinAttributors,
    MakeSets,
    MeasureUnknown,
    TrainVictim,
    open_source,
)
from redhanded.errors import StudyError
from redhanded.generation import calls
from redhanded.questions import build_questions
from redhanded.results import Pixels
from redhanded.samples import Split
from redhanded.study import Study

Asked = AskQuestion | MeasureUnknown
DEFAULT_WEAK_BELOW = 0.6  # for a source that is not in SOURCES


def plan(study: Study, sources: Mapping[str, Path]) -> list[Asked]:
    """One step for each question, attributor, pixel protocol and seed, and for each family left out.

    They need all the others.
    """
    sets = list(_sets(study, _victims(study, sources)))
    refs = list(dict.fromkeys(step.ref for step in sets))
    most: dict[Split, int] = {"train": study.size.train_images, "test": study.size.test_images}
    asked: list[Asked] = []

    def whole(attributor: str, pixels: Pixels, seed: int, without: str = "") -> FitOnAll | JoinAttributors:
        fits = tuple(fit(part, pixels, seed, without) for part in ATTRIBUTORS[attributor].parts)
        return JoinAttributors(fits) if fits else fit(attributor, pixels, seed, without)

    def fit(attributor: str, pixels: Pixels, seed: int, without: str) -> FitOnAll:
        settings, most = study.size.attributors[attributor], study.size.train_images
        return FitOnAll(study.name, tuple(sets), attributor, settings, pixels, seed, most, without)

    for question in build_questions(study.questions, study.grid, study.paper):
        pool = set(question.pool(refs))
        needed = tuple(step for step in sets if step.ref in pool)
        asked += [
            AskQuestion(
                study.name,
                study.source,
                question,
                needed,
                attributor,
                settings,
                pixels,
                seed,
                most,
                whole(attributor, pixels, seed) if ATTRIBUTORS[attributor].whole else None,
            )
            for attributor, settings in study.size.attributors.items()
            for pixels in study.pixels
            for seed in study.attributor_seeds
            if ATTRIBUTORS[attributor].whole or not question.of_all
        ]
    asked += [
        MeasureUnknown(study.source, attributor, whole(attributor, pixels, study.attributor_seeds[0], family))
        for attributor in study.size.unknown
        for pixels in study.pixels
        for family in dict.fromkeys(attack.family for attack in study.attacks)
    ]
    if not asked:
        raise StudyError("expected at least two victims, two settings or two norms to tell apart, found no question")
    return asked


def only(steps: Sequence[Asked], wanted: Sequence[str], attributors: Sequence[str] = ()) -> list[Asked]:
    """The steps whose item (`table2`) or question (`norm`, `norm/fgsm`) is wanted, of the attributors named.

    All where nothing is named. Raises StudyError for a name that no step has.
    """
    known = list(dict.fromkeys(step.attributor for step in steps))
    for name in attributors:
        if name not in known:
            raise StudyError(f"expected --attributors to name some of {', '.join(known)}, found {name!r}")
    steps = [step for step in steps if step.attributor in (attributors or known)]
    chosen = [step for step in steps if any(_names(step, name) for name in wanted)]
    items = sorted({step.item for step in steps})
    for name in wanted:
        if not any(_names(step, name) for step in steps):
            raise StudyError(f"expected --only to name one of {', '.join(items)} or a question, found {name!r}")
    return chosen if wanted else list(steps)


def _names(step: Asked, name: str) -> bool:
    return step.item == name or f"{step.id}/".startswith(f"{name}/")


def _victims(study: Study, sources: Mapping[str, Path]) -> list[TrainVictim]:
    path = sources.get(study.source)
    source = open_source(study.source, path)
    weak_below = SOURCES[study.source].weak_below if study.source in SOURCES else DEFAULT_WEAK_BELOW
    return [
        TrainVictim(study.victim_spec(name), study.source, path, source.digest, weak_below) for name in study.victims
    ]


def _sets(study: Study, victims: Sequence[TrainVictim]) -> Iterator[DescribeSet]:
    if study.controls:
        yield from _of_victim(study, victims[0], study.controls)  # whose right answers are the images, as of attacks
    for victim in victims:
        yield from _of_victim(study, victim, study.attacks)


def _of_victim(study: Study, victim: TrainVictim, specs: Sequence[AttackSpec]) -> Iterator[DescribeSet]:
    source = open_source(victim.source, victim.source_path)
    for attacks in calls(specs):
        for split, wanted in study.images(attacks[0].family).items():
            count = min(wanted, len(source.split(split)))
            sets = MakeSets(victim, attacks, split, count, study.size.shard_images, study.seed)
            yield from (DescribeSet(sets, attack) for attack in attacks)
