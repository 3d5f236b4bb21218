"""Teaching a bundle a new family from a few images of it: its networks, and what they say of what they know, stay."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from redhanded.attacks import family_named
from redhanded.attributors import Gaussians, Marginal, teach
from redhanded.bundle.card import BundleCard, Part, TaughtFamily
from redhanded.bundle.load import Bundle, load_bundle
from redhanded.bundle.verify import CARD_FILE, GAUSSIANS
from redhanded.core import file_digest, validate_record, whole_folder, write_record
from redhanded.data import AS_LEFT, PIXELS, Pixels, bad_data
from redhanded.errors import RunError
from redhanded.sets import NO_VICTIM, Samples
from redhanded.studies import SetEntry, told_apart

FEWEST = 2  # images of a new family: one must be left out to see how the others name it
_LIMIT = "was taught from {} images when the bundle was there already: how often it is named rightly was not measured"


@dataclass(frozen=True)
class Lesson:
    """A family that a bundle is to learn, and images that are known to be of it."""

    name: str  # of the family
    images: Sequence[Tensor]  # (c, h, w) each, float32 in [0, 1]
    pixels: Sequence[Pixels]  # the protocol that each of them is under already
    sha256: Sequence[str]  # of the files that they came from
    kind: str = "other"  # one of `redhanded.attacks.Kind`
    norm: str = NO_VICTIM  # none where it is not known
    victim: str = NO_VICTIM

    @property
    def distinct(self) -> list[int]:
        """The places of the images without those that are there already: what is there twice proves nothing."""
        digests = [hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in self.images]
        return [place for place, digest in enumerate(digests) if digests.index(digest) == place]

    @property
    def entry(self) -> SetEntry:
        """What the family is in every dimension; it has no setting and no library of its own."""
        content = {
            "victim": self.victim,
            "kind": self.kind,
            "family": self.name,
            "norm": self.norm,
            "setting": {},
            "label": self.name,
            "toolchain": NO_VICTIM,
            "control": self.kind == "control",
        }
        return validate_record(SetEntry, content, f"the lesson {self.name[:50]!r}")

    def seen_under(self, pixels: Pixels) -> Tensor:
        """The distinct images as a pixel protocol leaves them, (k, c, h, w).

        An image that went through another protocol already is left out: it would teach the traces of that one.
        """
        fit = [self.images[place] for place in self.distinct if self.pixels[place] in (AS_LEFT, pixels)]
        return PIXELS[pixels].apply(torch.stack(fit)) if fit else torch.zeros(0)


def teach_bundle(bundle: Bundle, out: Path, lesson: Lesson) -> BundleCard:
    """Write a bundle that knows one family more than another into a new folder.

    Every attributor that can see such images learns it; the others stay as they were, and so do all that an oracle
    would need the clean images for. Raises DataError where the lesson cannot be taught, RunError where `out` exists or
    cannot be written, BundleError where the bundle cannot be trusted.
    """
    if out.exists():
        raise RunError(f"expected a new folder for the bundle, found {out}; take it away or name another")
    _check(bundle, lesson)
    try:
        with whole_folder(out) as part:
            for name in (*bundle.card.files, CARD_FILE):
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.folder / name, part / name)
            card = _teach(bundle, part, lesson)
            load_bundle(part)
    except OSError as error:
        raise RunError(
            f"expected to read {bundle.folder} and to write {out}, found: {error.strerror or error}"
        ) from None
    return card


def _check(bundle: Bundle, lesson: Lesson) -> None:
    """Raise DataError, in one line, for a lesson with a name that is taken or with images that do not suffice."""
    entry, what = lesson.entry, f"the lesson {lesson.name!r}"
    entries = bundle.card.sets
    taken = {NO_VICTIM, *entries, *(name for one in entries.values() for name in (one.family, one.label))}
    if {lesson.name, family_named(lesson.name), f"{entry.victim}/{entry.label}"} & taken or "/" in lesson.name:
        families = ", ".join(dict.fromkeys(one.family for one in entries.values()))
        expected = f"a new name without a slash, none of {families}"
        raise bad_data(what, expected, repr(lesson.name), "give the family another name")
    for image in lesson.images:
        if tuple(image.shape) != bundle.card.shape:
            expected, found = (" x ".join(map(str, shape)) for shape in (bundle.card.shape, image.shape))
            raise bad_data(what, f"images of {expected}", found, "give them as the classifier received them")
    if len(lesson.distinct) < FEWEST:
        remedy = "give more; from 10 on it can also be ruled out"
        raise bad_data(what, f"{FEWEST} different images or more", str(len(lesson.distinct)), remedy)


def _teach(bundle: Bundle, out: Path, lesson: Lesson) -> BundleCard:
    """Teach every part that can be taught in `out`, a copy of the bundle, and write its card."""
    name = f"{lesson.victim}/{lesson.name}"
    card, sets = bundle.card, bundle.card.sets | {name: lesson.entry}
    parts, counts = [], {}
    for part in card.parts:
        images = lesson.seen_under(part.pixels)
        if len(images) >= FEWEST and part.knowledge != "oracle":
            counts[part.folder] = len(images)
            part = _teach_part(bundle, part, out / part.folder, name, sets, images)
        parts.append(part)
    if not counts:
        present = ", ".join(f"{part.knowledge} ({part.pixels})" for part in card.parts)
        expected = f"images for an attributor of the bundle, {present}"
        found = " and ".join(dict.fromkeys(lesson.pixels))
        raise bad_data(
            f"the lesson {lesson.name!r}", expected, f"images of {found}", "give them as the attack left them"
        )
    paths = [path for path in sorted(out.rglob("*")) if path.is_file() and path != out / CARD_FILE]
    taught = TaughtFamily(name=name, images=counts, sha256=list(dict.fromkeys(lesson.sha256)))
    changes = {
        "sets": sets,
        "parts": parts,
        "taught": [*card.taught, taught],
        "files": {path.relative_to(out).as_posix(): file_digest(path) for path in paths},
        "limits": [*card.limits, f"{lesson.name} {_LIMIT.format(max(counts.values()))}"],
    }
    content = {field: getattr(card, field) for field in BundleCard.model_fields} | changes
    new = validate_record(BundleCard, content, str(out / CARD_FILE))
    write_record(new, out / CARD_FILE)
    return new


def _teach_part(bundle: Bundle, part: Part, out: Path, name: str, sets: dict[str, SetEntry], images: Tensor) -> Part:
    """Put a taught attributor in the place of one, with a normal distribution for the new family's features."""
    place = (part.pixels, part.knowledge)
    attributor = bundle.attributors[place]
    families = told_apart({known: sets[known] for known in attributor.classes_})["family"]
    samples = Samples(images, torch.zeros(len(images), dtype=torch.int64), (name,), victims=bundle.victims)
    taught = teach(attributor, samples, families)
    shutil.rmtree(out)
    taught.save(out)
    gaussians = bundle.gaussians[place]
    features = taught.held_out_.features[-len(images) :]
    Gaussians(torch.cat([gaussians.centres, features.mean(0, keepdim=True)]), gaussians.precision).save(out / GAUSSIANS)
    marginals = told_apart({known: sets[known] for known in taught.classes_})
    temperatures = {
        dimension: part.temperatures.get(dimension) or Marginal(taught, classes).temperature
        for dimension, classes in marginals.items()
    }
    return part.model_copy(update={"attributor": taught.kind, "temperatures": temperatures})
