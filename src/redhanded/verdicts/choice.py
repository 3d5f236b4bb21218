"""Which bundle an image goes to: the one that was named, or of several the one for images of its shape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from numpy.typing import NDArray
from torch import Tensor

from redhanded.bundle import CARD_FILE, SHIPPED, Bundle, NamedBundle, bundle_named, find_bundles
from redhanded.data import bad_data
from redhanded.verdicts.evidence import Evidence, UnfitError, from_array, read_bytes
from redhanded.verdicts.examine import ExamineOptions, Examiner, FileExaminer
from redhanded.verdicts.verdict import Verdict

Shape = tuple[int, int, int]
OnLoad = Callable[[Examiner], object]


class ExaminerByShape(FileExaminer):
    """The bundles of a folder, each loaded when the first image of its shape comes.

    Raises BundleError in one line where the folder holds none, or one that cannot be trusted.
    """

    def __init__(self, folder: Path, on_load: OnLoad = lambda examiner: None) -> None:
        """on_load: called with each examiner before its first verdict."""
        self.bundles: dict[Shape, NamedBundle] = {one.card.shape: one for one in find_bundles(folder)}
        self._on_load = on_load
        self._loaded: dict[Shape, Examiner] = {}

    def examiner_for(self, shape: Shape) -> Examiner:
        """The examiner of images of a shape that one of the bundles is for."""
        if shape not in self._loaded:
            self._loaded[shape] = Examiner.load(self.bundles[shape].folder)
            self._on_load(self._loaded[shape])
        return self._loaded[shape]

    def read(self, name: str, data: bytes) -> Sequence[Evidence]:
        """See FileExaminer; DataError says what the bundles take where an image fits none of them."""
        return self._fitting(name, lambda shape: read_bytes(name, data, shape))

    def from_array(self, name: str, image: NDArray | Tensor) -> Evidence:
        """See FileExaminer."""
        (evidence,) = self._fitting(name, lambda shape: [from_array(name, image, shape)])
        return evidence

    def _fitting(self, name: str, read: Callable[[Shape], Sequence[Evidence]]) -> Sequence[Evidence]:
        found = ""
        for shape in self.bundles:
            try:
                return read(shape)
            except UnfitError as error:
                found = error.found
        takes = [f"{' x '.join(map(str, shape))} ({one.name})" for shape, one in self.bundles.items()]
        remedy = "give it as the classifier received it, or name the bundle of a study of your own: --bundle DIR"
        raise bad_data(name, f"an image of {' or '.join(takes)}", found, remedy)

    def examiner_of(self, evidence: Evidence) -> Examiner:
        """See FileExaminer."""
        return self.examiner_for(_shape_of(evidence))

    def bundle_of(self, evidence: Sequence[Evidence]) -> Bundle:
        """See FileExaminer; of no evidence the first of the bundles."""
        shapes = list(dict.fromkeys(map(_shape_of, evidence))) or list(self.bundles)[:1]
        if len(shapes) > 1:
            found = " and ".join(self.bundles[shape].name for shape in shapes)
            raise bad_data("an export", "images that one bundle judges", found, "give those of each shape apart")
        return self.examiner_for(shapes[0]).bundle

    def check_prior(self, prior: Mapping[str, float]) -> None:
        """See FileExaminer; a prior must suit the bundles that are asked, so each checks it with its first image."""

    def judge(self, evidence: Sequence[Evidence], options: ExamineOptions | None = None) -> list[Verdict]:
        """See FileExaminer; raises DataError where images of several bundles are one actor's, or have one original."""
        options = options or ExamineOptions()
        shapes: dict[Shape, list[int]] = {}
        for place, one in enumerate(evidence):
            shapes.setdefault(_shape_of(one), []).append(place)
        if options.together and len(shapes) > 1:
            found = " and ".join(" x ".join(map(str, shape)) for shape in shapes)
            raise bad_data("--together", "images of one shape", found, "give those of each shape apart")
        verdicts: dict[int, Verdict] = {}
        for shape, places in shapes.items():
            judged = self.examiner_for(shape).judge([evidence[place] for place in places], options)
            verdicts |= dict(zip(places, judged, strict=False))  # one alone where they are judged together
        return [verdicts[place] for place in sorted(verdicts)]


def load_examiner(folder: Path = SHIPPED, on_load: OnLoad = lambda examiner: None) -> FileExaminer:
    """Load what `redhanded bundle` wrote; of a folder of such bundles each one when it is needed.

    folder: also the name of a bundle that comes with the package; on_load: called with each of several. Raises
    BundleError in one line where there is none that can be trusted.
    """
    folder = bundle_named(folder)
    several = folder == SHIPPED or (not (folder / CARD_FILE).exists() and any(folder.glob(f"*/{CARD_FILE}")))
    return ExaminerByShape(folder, on_load) if several else Examiner.load(folder)


def attribute(
    images: Iterable[NDArray | Tensor],
    *,
    bundle: Path | str = SHIPPED,
    blind: bool = False,
    clean: NDArray | Tensor | None = None,
    prior: Mapping[str, float] | None = None,
    together: bool = False,
) -> list[Verdict]:
    """Give a verdict for each image, or one for all `together`, by the bundles that come with the package.

    images: (h, w), (h, w, c) or (c, h, w), uint8 or floats in [0, 1], of the shape of one of these bundles; bundle: a
    folder that `redhanded bundle` wrote, or one of such folders, asked in their place; clean: the original of all
    images; prior: shares of families, those that are not named share the rest; blind: do not ask the candidate victims.
    Raises DataError in one line for an image that no bundle is for, BundleError where there is no bundle.
    """
    examiner = load_examiner(Path(bundle))
    evidence = [examiner.from_array(f"image {place}", image) for place, image in enumerate(images)]
    reference = None if clean is None else examiner.from_array("clean", clean)
    return examiner.judge(evidence, ExamineOptions(blind, reference, prior or {}, together))


def _shape_of(evidence: Evidence) -> Shape:
    channels, height, width = evidence.image.shape[1:]
    return channels, height, width
