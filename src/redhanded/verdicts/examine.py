"""The examiner: from images to verdicts, by a bundle."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from redhanded.attributors import Knowledge
from redhanded.bundle import Bundle, Lesson, checked_answer, load_bundle, teach_bundle, trusting_nothing
from redhanded.data import PIXELS, Pixels, bad_data
from redhanded.errors import DataError
from redhanded.sets import NO_VICTIM, Samples
from redhanded.studies import reason
from redhanded.verdicts.evidence import Evidence, from_array, read_bytes, read_paths
from redhanded.verdicts.fingerprints import estimate_perturbations, find_fingerprints
from redhanded.verdicts.judge import Panel
from redhanded.verdicts.verdict import Failure, Neighbour, Verdict

BATCH = 256  # images in one call of an attributor
NEAREST = 3  # known examples beside a verdict
MOST_TOGETHER = 10_000  # images of one actor: they are judged in one piece


@dataclass(frozen=True)
class ExamineOptions:
    """What an analyst may decide about an examination."""

    blind: bool = False  # do not ask the candidate victims
    clean: Evidence | None = None  # the original of all images
    prior: Mapping[str, float] = field(default_factory=dict)  # shares of families; the others share the rest
    together: bool = False  # the images are one actor's


class Judged(NamedTuple):
    """A verdict, and the evidence it is about (the first of several)."""

    verdict: Verdict
    evidence: Evidence


class FileExaminer(ABC):
    """Whoever gives verdicts on files and on evidence, by one bundle or by several for images of different shapes."""

    @abstractmethod
    def read(self, name: str, data: bytes) -> Sequence[Evidence]:
        """The images of one file, given as bytes; raises DataError in one line for anything else."""

    @abstractmethod
    def from_array(self, name: str, image: NDArray | Tensor) -> Evidence:
        """An image that is in memory already: (h, w), (h, w, c) or (c, h, w), uint8 or floats in [0, 1]."""

    @abstractmethod
    def examiner_of(self, evidence: Evidence) -> "Examiner":
        """The examiner that judges it."""

    @abstractmethod
    def bundle_of(self, evidence: Sequence[Evidence]) -> Bundle:
        """The one bundle that judges all of it; raises DataError where there are several."""

    @abstractmethod
    def check_prior(self, prior: Mapping[str, float]) -> None:
        """Raise DataError, in one line, for a prior that no verdict can be given with."""

    @abstractmethod
    def judge(self, evidence: Sequence[Evidence], options: ExamineOptions | None = None) -> list[Verdict]:
        """Judge evidence that was read already: a verdict for each image, in order, or one for all together."""

    def attribute_files(
        self, paths: Iterable[Path], options: ExamineOptions | None = None
    ) -> Iterator[Judged | Failure]:
        """A verdict for each image of files and folders, in order; a file that cannot be used gives a Failure."""
        options = options or ExamineOptions()
        waiting: list[Evidence] = []
        for item in read_paths(paths, self.read):
            failure = item if isinstance(item, Failure) else None
            if isinstance(item, Evidence):
                try:
                    self.examiner_of(item).panel_for(item, options)
                    waiting.append(item)
                except DataError as error:  # the bundle cannot be asked about such an image
                    failure = Failure(name=item.name, error=str(error), sha256=item.sha256)
            if not options.together and (failure is not None or len(waiting) == BATCH):
                yield from map(Judged, self.judge(waiting, options), waiting)
                waiting = []
            if failure is not None:
                yield failure
            if len(waiting) > MOST_TOGETHER:
                raise bad_data("--together", f"at most {MOST_TOGETHER:,} images", "more", "give some of them")
        yield from map(Judged, self.judge(waiting, options), waiting)


class Examiner(FileExaminer):
    """A bundle, loaded: `Examiner.load(folder).attribute(images) -> list[Verdict]`."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.panels = {
            place: Panel(attributor, bundle.parts[place], bundle.gaussians[place], bundle.card.sets)
            for place, attributor in bundle.attributors.items()
        }
        # Of the known examples, made when first asked for: standardised features, (n, f), places and sets.
        self._known: dict[tuple[Pixels, Knowledge], tuple[Tensor, list[tuple[int, str]]]] = {}

    @classmethod
    def load(cls, folder: Path | str) -> "Examiner":
        """Read a bundle that `redhanded bundle` wrote; raises BundleError in one line where it cannot be trusted."""
        with trusting_nothing(folder):
            return cls(load_bundle(Path(folder)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image, (c, h, w)."""
        return self.bundle.card.shape

    @property
    def families(self) -> list[str]:
        """The names that a prior can be given for."""
        return list(dict.fromkeys(entry.family for entry in self.bundle.card.sets.values()))

    def attribute(
        self,
        images: Iterable[NDArray | Tensor],
        *,
        blind: bool = False,
        clean: NDArray | Tensor | None = None,
        prior: Mapping[str, float] | None = None,
        together: bool = False,
    ) -> list[Verdict]:
        """A verdict for each image, or one for all `together`.

        images: (h, w), (h, w, c) or (c, h, w), uint8 or floats in [0, 1]; clean: the original of all of them; prior:
        shares of families, those that are not named share the rest; blind: do not ask the candidate victims. Raises
        DataError in one line for an image that the bundle cannot be asked about.
        """
        evidence = [self.from_array(f"image {place}", image) for place, image in enumerate(images)]
        reference = None if clean is None else self.from_array("clean", clean)
        return self.judge(evidence, ExamineOptions(blind, reference, prior or {}, together))

    def teach(
        self,
        name: str,
        images: Iterable[NDArray | Tensor],
        out: Path | str,
        *,
        kind: str = "other",
        norm: str = NO_VICTIM,
        victim: str = NO_VICTIM,
    ) -> "Examiner":
        """Write a bundle that also knows the family `name` from some images of it, and load it; this one stays.

        images: as in `attribute`, two or more; out: a new folder; kind, norm, victim: of the family, where known.
        Raises DataError in one line for a name that is taken and for images that cannot be used.
        """
        evidence = [self.from_array(f"image {place}", image) for place, image in enumerate(images)]
        return self.teach_evidence(name, evidence, Path(out), kind=kind, norm=norm, victim=victim)

    def teach_evidence(
        self, name: str, evidence: Sequence[Evidence], out: Path, *, kind: str, norm: str, victim: str
    ) -> "Examiner":
        """The same with evidence that was read already."""
        lesson = Lesson(
            name=name,
            images=[one.image[0] for one in evidence],
            pixels=[one.condition.pixels for one in evidence],
            sha256=[one.sha256 for one in evidence],
            kind=kind,
            norm=norm,
            victim=victim,
        )
        teach_bundle(self.bundle, out, lesson)
        return Examiner.load(out)

    def read(self, name: str, data: bytes) -> Sequence[Evidence]:
        """See FileExaminer."""
        return read_bytes(name, data, self.shape)

    def from_array(self, name: str, image: NDArray | Tensor) -> Evidence:
        """See FileExaminer."""
        return from_array(name, image, self.shape)

    def examiner_of(self, evidence: Evidence) -> "Examiner":
        """See FileExaminer."""
        return self

    def bundle_of(self, evidence: Sequence[Evidence]) -> Bundle:
        """See FileExaminer."""
        return self.bundle

    def check_prior(self, prior: Mapping[str, float]) -> None:
        """See FileExaminer."""
        self.full_prior(prior)

    def judge(self, evidence: Sequence[Evidence], options: ExamineOptions | None = None) -> list[Verdict]:
        """Judge evidence that was read already, as `attribute` does; one actor's must be of one pixel protocol."""
        options = options or ExamineOptions()
        prior = self.full_prior(options.prior)
        protocols: dict[Pixels, list[int]] = {}
        for place, one in enumerate(evidence):
            protocols.setdefault(one.condition.pixels, []).append(place)
        if options.together and len(protocols) > 1:
            remedy = "give float images and 8-bit images apart"
            raise bad_data("--together", "images of one pixel protocol", " and ".join(protocols), remedy)
        verdicts: dict[int, Verdict] = {}
        for pixels, places in protocols.items():
            judged = self._judge([evidence[place] for place in places], pixels, options, prior)
            verdicts |= dict(zip(places, judged, strict=False))  # one alone where they are judged together
        return [verdicts[place] for place in sorted(verdicts)]

    def full_prior(self, prior: Mapping[str, float]) -> dict[str, float]:
        """Shares of all families that sum to 1; empty where none was given."""
        unheard = [name for name in prior if name not in self.families]
        rest = [name for name in self.families if name not in prior]
        total = sum(prior.values())
        shares = all(0 <= share <= 1 for share in prior.values())  # NaN is none
        if unheard or not shares or total > 1 + 1e-9 or (not rest and abs(total - 1) > 1e-6):
            expected = f"shares of {', '.join(self.families)} that sum to 1 or less"
            found = ", ".join(f"{name}={share}" for name, share in prior.items())
            raise bad_data("prior", expected, found, "name the families that are likelier or less likely")
        share = max(0.0, 1 - total) / max(1, len(rest))
        smallest = 1e-9  # nothing is impossible
        return {name: max(smallest, prior.get(name, share)) for name in self.families} if prior else {}

    def _judge(
        self, evidence: Sequence[Evidence], pixels: Pixels, options: ExamineOptions, prior: Mapping[str, float]
    ) -> list[Verdict]:
        """A verdict for each image of one pixel protocol, or one for all: then their log-likelihoods are added."""
        panel = self.panel_for(evidence[0], options)
        images = torch.cat([one.image for one in evidence])
        reference = None if options.clean is None else options.clean.image.expand_as(images)
        perturbations = estimate_perturbations(images) if reference is None else images - reference
        samples = Samples(
            images=PIXELS[pixels].apply(images),
            labels=torch.zeros(len(images), dtype=torch.int64),
            classes=panel.attributor.classes_,
            clean=reference,
            victims=self.bundle.victims,
        )
        answer = checked_answer(panel.attributor, samples)
        fingerprints = find_fingerprints(images, perturbations)
        nearest = self._nearest(panel, answer.features)
        ood, knn = panel.ood_quantile(answer), panel.knn_quantile(answer)
        groups = [range(len(evidence))] if options.together else [range(row, row + 1) for row in range(len(evidence))]
        verdicts = []
        for rows, findings in zip(groups, panel.findings(answer, prior, options.together), strict=True):
            first, own = evidence[rows[0]], [evidence[row] for row in rows]
            remarks = dict.fromkeys(remark for one in own for remark in one.condition.remarks)
            ood_quantile, knn_quantile = (sorted(each[row] for row in rows)[len(rows) // 2] for each in (ood, knn))
            verdict = Verdict(
                name=", ".join(one.name for one in own),
                files=[one.file for one in own],
                sha256=[one.sha256 for one in own],
                bundle=self.bundle.label,
                images=len(own),
                knowledge=panel.part.knowledge,
                condition=first.condition.model_copy(update={"remarks": list(remarks)}),
                prior=dict(prior),
                ood_quantile=ood_quantile,
                findings=findings,
                estimates=panel.estimates(findings.get("setting"), answer.features[rows.start : rows.stop]),
                fingerprints=fingerprints[rows[0]],
                nearest=nearest[rows[0]],
            )
            doubt = reason(ood_quantile, knn_quantile, bool(findings["family"].prediction_set))
            verdicts.append(verdict.as_unknown(doubt) if doubt else verdict)
        return verdicts

    def panel_for(self, evidence: Evidence, options: ExamineOptions) -> Panel:
        """The panel that knows most of what it may; raises DataError where the bundle has none for such an image."""
        if options.clean is not None and options.clean.image.shape != evidence.image.shape:
            shapes = [" x ".join(map(str, one.image.shape[1:])) for one in (options.clean, evidence)]
            remedy = "give the original of this image"
            raise bad_data(evidence.name, f"the shape of its clean reference, {shapes[0]}", shapes[1], remedy)
        order: list[Knowledge] = ["blind"] if options.blind else ["candidates", "blind"]
        order = order if options.clean is None else ["oracle"]
        pixels = evidence.condition.pixels
        panel = next((self.panels[pixels, one] for one in order if (pixels, one) in self.panels), None)
        if panel is None:
            needed = {"oracle": "a clean reference"}.get(order[0], f"{order[0]} images")
            present = ", ".join(f"{one} ({protocol})" for protocol, one in self.panels)
            remedy = "use a bundle that was packed from a run with such an attributor"
            raise bad_data(evidence.name, f"a bundle for {needed} of {pixels}", present, remedy)
        return panel

    def _nearest(self, panel: Panel, features: Tensor) -> list[list[Neighbour]]:
        """The known examples whose features are closest to each image's; features: (n, f)."""
        place = (panel.part.pixels, panel.part.knowledge)
        if place not in self._known:
            self._known[place] = self._known_examples(panel)
        known, sets = self._known[place]
        exact = "donot_use_mm_for_euclid_dist"  # an image that is an example is at distance 0
        distances = torch.cdist(panel.standardise(features), known, compute_mode=exact)  # (n, examples)
        closest = distances.topk(min(NEAREST, distances.shape[1]), largest=False)
        return [
            [
                Neighbour(example=sets[where][0], name=sets[where][1], distance=distance)
                for where, distance in zip(*row, strict=True)
            ]
            for row in zip(closest.indices.tolist(), closest.values.tolist(), strict=True)
        ]

    def _known_examples(self, panel: Panel) -> tuple[Tensor, list[tuple[int, str]]]:
        """Standardised features of the bundle's examples, (n, f), with the place and the set of each.

        Where the examples were left out, those of the adversarial images that were held out.
        """
        examples, attributor = self.bundle.card.examples, panel.attributor
        if not examples:
            names = [attributor.classes_[label] for label in attributor.held_out_.labels.tolist()]
            rows = [row for row, name in enumerate(names) if not self.bundle.card.sets[name].control]
            return panel.standardise(attributor.held_out_.features[rows]), [(row, names[row]) for row in rows]
        if panel.part.knowledge == "oracle":  # the examples' own clean images are not in the bundle
            return attributor.held_out_.features[:0], []
        images = self.bundle.examples.float() / 255
        samples = Samples(images, torch.zeros(len(images), dtype=torch.int64), (), victims=self.bundle.victims)
        features = panel.standardise(checked_answer(attributor, samples).features)
        return features, [(place, one.name) for place, one in enumerate(examples)]


def read_all(paths: Iterable[Path], examiner: FileExaminer) -> list[Evidence]:
    """Read every image of files and folders; raises DataError for the first file that cannot be used."""
    images = list(read_paths(paths, examiner.read))
    for one in images:
        if isinstance(one, Failure):
            raise DataError(one.error)
    return [one for one in images if isinstance(one, Evidence)]


def read_reference(path: Path, examiner: FileExaminer) -> Evidence:
    """The clean original of what is attributed; raises DataError where the file holds anything but one image."""
    images = list(read_paths([path], examiner.read))
    if len(images) != 1 or isinstance(images[0], Failure):
        reason = images[0].error if images and isinstance(images[0], Failure) else f"{path}: found {len(images)} images"
        raise DataError(f"expected one clean reference image; {reason}")
    return images[0]
