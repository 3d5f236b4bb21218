"""From a run to a bundle: its best attributors, what was measured of them, victims and examples."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from redhanded import __version__
from redhanded.attacks import family_named
from redhanded.attributors import ATTRIBUTORS, Attributor, Knowledge, Marginal, Prediction, measure_calibration
from redhanded.bundle.card import FORMAT, BundleCard, Example, Measured, Part
from redhanded.bundle.compact import compact_attributor, halve_victim
from redhanded.bundle.load import Bundle, checked_answer, load_bundle
from redhanded.bundle.verify import CARD_FILE, EXAMPLES_FILE, GAUSSIANS, BundleError
from redhanded.core import file_digest, read_record, seed_for, whole_folder, write_record
from redhanded.data import AS_FILE, Pixels
from redhanded.engine import RunCard, RunFolder, read_answers, read_run_records
from redhanded.errors import RunError, expected_one_of
from redhanded.models import VictimCard
from redhanded.sets import Samples, SetRef, equally_many, read_column
from redhanded.studies import KNOWN, Confusion, Decision, SetEntry, Study

EXAMPLES_A_SET = 4
_RANKED_BY = "dimension/family"  # the question whose accuracy decides which attributor of a kind is taken


@dataclass(frozen=True)
class PackOptions:
    """What a bundle does without."""

    blind: bool = False  # only attributors that see the image alone
    without_victims: bool = False  # neither the victims' weights, nor the attributors that need them
    victims: Sequence[str] = ()  # whose weights are packed; those of all unless given
    without_examples: bool = False  # no images: the nearest of a verdict are the images that were held out
    half: bool = False  # attributors' weights and held-out answers in 16 bits
    half_victims: bool = False  # the victims' weights in 16 bits: they are other victims then
    held_out: int | None = None  # held-out answers of an attributor at most; all of them unless given


def pack_bundle(run: Path, out: Path, options: PackOptions | None = None) -> BundleCard:
    """Write a bundle of a run's best attributors into a new folder, one for each pixel protocol and knowledge.

    Raises RunError where the run has no attributor that was fitted on all sets, or not such a victim, or where `out`
    exists or cannot be written; BundleError where the bundle would be refused when it is loaded.
    """
    if out.exists():
        raise RunError(f"expected a new folder for the bundle, found {out}; take it away or name another")
    options = options or PackOptions()
    try:
        with whole_folder(out) as part:
            card = _pack(RunFolder(run), part, options)
            _ask_victims(load_bundle(part))
    except OSError as error:
        raise RunError(f"expected to read {run} and to write {out}, found: {error.strerror or error}") from None
    return card


def _pack(folder: RunFolder, out: Path, options: PackOptions) -> BundleCard:
    card = read_record(RunCard, folder.card)
    study = Study.model_validate(card.study)
    sets = {ref.name: SetEntry.of(ref) for ref in study.trained_sets}
    for name in options.victims:
        if name not in study.trained_on:
            raise RunError(expected_one_of("a victim of the run", name, study.trained_on))
    victims = [read_record(VictimCard, folder.victim_record(name)) for name in study.trained_on]
    parts = [_pack_part(folder, best, out, sets, options) for best in _best(folder, options)]
    examples = [] if options.without_examples else _pack_examples(folder, study, victims, out / EXAMPLES_FILE)
    inside = (
        [] if options.without_victims else [one for one in victims if one.name in (options.victims or study.trained_on)]
    )
    for victim in inside:
        shutil.copytree(folder.find_victim(victim), out / "victims" / victim.name)
    if options.half_victims:
        inside = [halve_victim(out / "victims" / victim.name) for victim in inside]
    paths = [path for path in sorted(out.rglob("*")) if path.is_file()]
    families = ", ".join(dict.fromkeys(family_named(attack.family) for attack in study.attacks))
    limits = [
        f"knows {families}, in the settings of the study alone; other attacks are to be noticed as unknown, not named",
        f"victims are networks trained on {study.source}; an image of another kind or size is refused or means nothing",
        "calibrated on images that fool their victim, without compression or resizing in between",
        "names techniques and tools, never people",
    ]
    if options.without_examples:
        limits.append("holds no images: the nearest known images of a verdict are named, not shown")
    if options.half:
        limits.append("holds weights and held-out answers in 16 bits; what was measured, was measured in 32")
    if options.half_victims:
        limits.append("its victims are rounded to 16 bits; what was measured, was measured with those before, of 32")
    if options.held_out is not None:
        limits.append(f"holds at most {options.held_out:,} held-out answers of each attributor")
    bundle = BundleCard(
        format=FORMAT,
        version=__version__,
        study=card.study,
        commit=card.commit,
        source=study.source,
        shape=victims[0].shape,
        sets=sets,
        parts=parts,
        victims=inside or victims,
        victims_inside=bool(inside),
        examples=examples,
        half=options.half,
        half_victims=options.half_victims,
        files={path.relative_to(out).as_posix(): file_digest(path) for path in paths},
        limits=limits,
    )
    write_record(bundle, out / CARD_FILE)
    return bundle


class _Candidate(NamedTuple):
    """An attributor of a run that may be packed."""

    key: str
    attributor: str
    knowledge: Knowledge
    pixels: Pixels
    accuracy: float  # of the family
    measured: dict[str, Measured] | None  # None where it is still to be measured, on its answers to the test images


def _best(folder: RunFolder, options: PackOptions) -> list[_Candidate]:
    """Take for each pixel protocol and knowledge the attributor and seed that names families best."""
    records = read_run_records(folder.root)
    candidates = [
        _Candidate(one.key, one.attributor, one.knowledge, one.pixels, one.accuracy or 0, None)
        for one in records.results
        if one.question == _RANKED_BY and one.status == "measured" and ATTRIBUTORS[one.attributor].whole
    ]
    for axis in records.axes:
        if axis.axis == KNOWN and not axis.without:
            measured = {name: _measured(confusion) for name, confusion in axis.dimensions.items()}
            accuracy = measured["family"].accuracy
            one = _Candidate(axis.key, axis.attributor, axis.knowledge, axis.pixels, accuracy, measured)
            candidates.append(one)
    best: dict[tuple[str, str], _Candidate] = {}
    for one in candidates:
        left_out = options.blind or (options.without_victims and one.knowledge == "candidates")
        if one.knowledge == "blind" or not left_out:
            place = (one.pixels, one.knowledge)
            best[place] = max(best.get(place, one), one, key=lambda one: one.accuracy)
    if not any(knowledge == "blind" for _, knowledge in best):
        names = ", ".join(name for name, row in ATTRIBUTORS.items() if row.whole)
        remedy = f"run it with --only dimension --attributors and some of {names}"
        raise RunError(f"expected {_RANKED_BY} answered blind in {folder.root}, found it not; {remedy}")
    return list(best.values())


def _measured(confusion: Confusion) -> Measured:
    recalls = [right / n for right, n in confusion.recalls().values() if n]
    n = sum(map(sum, confusion.counts))
    return Measured(accuracy=sum(recalls) / len(recalls), ece=confusion.ece, n=n, classes=len(recalls))


def _pack_part(
    folder: RunFolder, best: _Candidate, out: Path, sets: Mapping[str, SetEntry], options: PackOptions
) -> Part:
    source, place = folder.attributor(best.key), f"attributors/{best.knowledge}-{best.pixels}"
    attributor = Attributor.load(source)
    attributor.save(out / place)
    compact_attributor(out / place, half=options.half, held_out=options.held_out)
    decision = Decision(attributor, sets)
    measured = best.measured
    if measured is None:
        answers = {}
        for name, answer in read_answers(source).items():
            fooling = ~answer.log_proba.isnan().any(1)  # images that fool nobody were not asked about
            answers[name] = Prediction(*(tensor[fooling] for tensor in answer))
        found = {name: _measure(marginal, answers) for name, marginal in decision.marginals.items()}
        measured = {name: row for name, row in found.items() if row is not None}
    decision.novelty.gaussians.save(out / place / GAUSSIANS)
    return Part(
        folder=place,
        attributor=best.attributor,
        knowledge=best.knowledge,
        pixels=best.pixels,
        measured=measured,
        temperatures={name: marginal.temperature for name, marginal in decision.marginals.items()},
        usual=decision.novelty.usual.tolist(),
    )


def _ask_victims(bundle: Bundle) -> None:
    """Raise RunError where an attributor of the bundle needs other victims than those that are in it."""
    grey = torch.full((1, *bundle.card.shape), 0.5)
    for (_, knowledge), attributor in bundle.attributors.items():
        if knowledge == "candidates":
            samples = Samples(grey, torch.zeros(1, dtype=torch.int64), (), victims=bundle.victims)
            try:
                checked_answer(attributor, samples)
            except BundleError:
                names = ", ".join(bundle.victims)
                remedy = "pack all victims, or none with --without-victims"
                raise RunError(f"expected the victims that {attributor.kind} asks, found {names}; {remedy}") from None


def _measure(marginal: Marginal, answers: Mapping[str, Prediction]) -> Measured | None:
    """Measure on test images, as many of each class as the smallest has, over all its sets; None where one has none."""
    rng = np.random.default_rng(seed_for("bundle", list(marginal.classes_)))
    columns = [
        torch.cat([answers[name].log_proba for name in names if name in answers]) for names in marginal.members.values()
    ]
    count = min(map(len, columns))
    if not count:
        return None
    rows = equally_many([np.arange(len(column)) for column in columns], rng)
    chosen = [column[torch.from_numpy(kept)] for column, kept in zip(columns, rows, strict=True)]
    labels = torch.arange(len(columns)).repeat_interleave(count)
    log_proba = marginal.answer(torch.cat(chosen))
    return Measured(
        accuracy=(log_proba.argmax(1) == labels).double().mean().item(),
        ece=measure_calibration(log_proba, labels, marginal.temperature).ece,
        n=len(labels),
        classes=len(columns),
    )


def _pack_examples(folder: RunFolder, study: Study, victims: list[VictimCard], out: Path) -> list[Example]:
    """Write the first test images of each attack's sets that fool their victim after rounding, as uint8."""
    images: list[Tensor] = []
    examples: list[Example] = []
    for victim in victims:
        for attack in study.attacks:
            ref = SetRef(victim.name, attack)
            path = folder.find_set(ref, "test", victim.weights_digest)
            if path is not None:
                rows = np.flatnonzero(read_column(path, f"success_{AS_FILE}"))[:EXAMPLES_A_SET]
                images.append(torch.from_numpy(read_column(path, "images", rows)))
                examples += [Example(name=ref.name, index=int(place)) for place in read_column(path, "index", rows)]
    if not examples:
        raise RunError(f"expected adversarial images in {folder.root / 'sets'}, found none; run the study again")
    save_file({"images": torch.cat(images).mul(255).round().to(torch.uint8)}, out)
    return examples
