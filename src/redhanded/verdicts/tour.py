"""A tour of attribution: live attacks on a bundle's own victims, and beside the truth what the bundle says of them."""

import io
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from redhanded.bundle import BundleError
from redhanded.core import seed_for
from redhanded.data import AS_FILE, AS_LEFT, Pixels, Source, as_float, bad_data
from redhanded.errors import DataError, RunError, writing
from redhanded.models import load_victim
from redhanded.report import render_page
from redhanded.sets import NO_VICTIM, SetRef, attacked_index, make_sets, write_png
from redhanded.studies import DIMENSIONS, SetEntry, Study
from redhanded.verdicts.examine import Examiner, Judged
from redhanded.verdicts.statement import title
from redhanded.verdicts.verdict import Verdict

TRIED = 4  # test images that an attack is run on for each one that is shown: some do not fool their victim
FORMS: dict[Pixels, str] = {AS_LEFT: "float", AS_FILE: "8-bit PNG"}  # the files that are attributed, and their names
ASKED = ("adversarial", "kind", "family", "norm", "victim")  # dimensions that are counted


class Exhibit(NamedTuple):
    """An image of the tour in one form: what was done to it, and once it was judged what was said of it."""

    entry: SetEntry  # the truth
    numbers: dict[str, float]  # the attack's setting for this image
    pixels: Pixels
    clean: Tensor  # (c, h, w) in [0, 1]
    image: Tensor  # the same, after the attack
    path: Path
    verdict: Verdict

    def said(self, dimension: str) -> str:
        """The likeliest name in a dimension; empty where the bundle does not answer it."""
        finding = self.verdict.findings.get(dimension)
        return finding.ranked[0].name if finding else ""

    def truth(self, dimension: str) -> str:
        """The true name in a dimension."""
        return DIMENSIONS[dimension].name_of(self.entry)

    def right(self, dimension: str) -> bool:
        """Whether the likeliest name is the true one."""
        return self.said(dimension) == self.truth(dimension)


def take_tour(examiner: Examiner, folder: Path, source: Source, out: Path, count: int = 3) -> list[Exhibit]:
    """Attack test images of a source with all attacks of a bundle's study, attribute them, and write it all down.

    folder: the bundle's; its victims are attacked in turn, each attack and control on images of its own, with settings
    drawn as in the study; count: images of each that are shown in each form, floats (`.npy`) and 8-bit PNG. Writes
    OUT/images and OUT/tour.html. Raises BundleError where the bundle has no victims, DataError where the source has
    other images than it is for or `out` cannot be written.
    """
    card = examiner.bundle.card
    if not card.victims_inside:
        remedy = "take one that was packed with victims, or the package's own"
        raise BundleError(f"{folder}: expected a bundle with the weights of its victims, found none; {remedy}")
    if source.shape != card.shape:
        wanted, found = (" x ".join(map(str, shape)) for shape in (card.shape, source.shape))
        raise bad_data(source.name, f"images of {wanted}, which the bundle is for", found, "name another --source")
    try:
        study = Study.model_validate(card.study)
    except ValueError as error:
        raise RunError(f"{folder}: expected a study in the bundle, found none that can be read: {error}") from None
    victims = {victim.name: load_victim(folder / "victims" / victim.name).network for victim in card.victims}
    with writing(out, DataError):
        images = out / "images"
        images.mkdir(parents=True, exist_ok=True)
        shown = _Shown(victims, source, images, count)
        made = [one for place, ref in enumerate(_order(study, list(victims))) for one in _attack(place, ref, shown)]
        paths = [path for *_, path in made]
        judged = [one for one in examiner.attribute_files(paths) if isinstance(one, Judged)]
        exhibits = [Exhibit(*one, judgement.verdict) for one, judgement in zip(made, judged, strict=True)]
        (out / "tour.html").write_text(_page(examiner, exhibits), encoding="utf-8")
    return exhibits


def _order(study: Study, names: Sequence[str]) -> list[SetRef]:
    """Every attack of a study, on victims in turn, and then every control."""
    attacks = [SetRef(names[turn % len(names)], attack) for turn, attack in enumerate(study.attacks)]
    return attacks + [SetRef(NO_VICTIM, control) for control in study.controls]


class _Shown(NamedTuple):
    """What the attacks of a tour have in common."""

    victims: Mapping[str, nn.Module]
    source: Source
    folder: Path  # of the images
    wanted: int  # images of each attack in each form


Made = tuple[SetEntry, dict[str, float], Pixels, Tensor, Tensor, Path]  # an exhibit that was not judged yet


def _attack(place: int, ref: SetRef, shown: _Shown) -> list[Made]:
    """Run one attack or control, and write the images that are shown."""
    source, count = shown.source, shown.wanted
    tried = min(TRIED * count, len(source.test))
    order = attacked_index(source, "test", len(source.test), seed_for("tour"))
    index = np.roll(order, -tried * place)[:tried]
    victim = ref.victim if ref.victim != NO_VICTIM else next(iter(shown.victims))
    images = as_float(torch.from_numpy(source.test.images[index]))
    (adversarial,) = make_sets(
        shown.victims[victim],
        images,
        torch.from_numpy(source.test.labels[index]),
        torch.from_numpy(index),
        [ref.attack],
        list(FORMS),
        seed=seed_for("tour", ref.name) % 2**32,
    )
    entry, fixed = SetEntry.of(ref), {name: one for name, one in ref.attack.setting.items() if not isinstance(one, str)}
    made: list[Made] = []
    for pixels in FORMS:
        for row in adversarial.eligible(pixels).nonzero().flatten().tolist()[:count]:
            stem = re.sub(r"[^A-Za-z0-9_.=-]", "_", f"{place:02}-{entry.label[:80]}-{ref.victim[:40]}-{index[row]}")
            path = shown.folder / f"{stem}{'.npy' if pixels == AS_LEFT else '.png'}"
            image = adversarial.images[row]
            if pixels == AS_LEFT:
                np.save(path, image.numpy())
            else:
                write_png(image.numpy(), path)
            numbers = fixed | {name: float(values[row]) for name, values in adversarial.parameters.items()}
            made.append((entry, numbers, pixels, images[row], image, path))
    return made


def tour_table(exhibits: Sequence[Exhibit]) -> Table:
    """What was done to each group of images beside what was said of it: right names, and those called unknown."""
    table = Table(box=None, pad_edge=False)
    for name in ("what was done", "kind", "form"):
        table.add_column(name, overflow="fold")
    table.add_column("named", overflow="fold")
    for name in ("right", "wrong", "unknown"):
        table.add_column(name, justify="right")
    groups: dict[tuple[str, str, str, str], list[Exhibit]] = {}
    for one in exhibits:
        norm = "" if one.entry.control else f", {title(one.entry.norm)}"
        key = (f"{title(one.entry.family)}{norm}", one.entry.kind, one.entry.label, one.pixels)
        groups.setdefault(key, []).append(one)
    for (done, kind, _, pixels), group in groups.items():
        said = [title(one.said("family")) for one in group]
        names = ", ".join(sorted(set(said), key=lambda name: (-said.count(name), name)))
        counts = tally(group, "family")
        table.add_row(done, kind, FORMS[pixels].split()[0], names, *(str(number or "") for number in counts))
    return table


class Tally(NamedTuple):
    """How many names were right, how many wrong; an image that is called unknown counts as neither."""

    right: int
    wrong: int
    unknown: int


def tally(exhibits: Sequence[Exhibit], dimension: str) -> Tally:
    """Count the names that were given in a dimension."""
    known = [one for one in exhibits if not one.verdict.unknown]
    right = sum(one.right(dimension) for one in known)
    return Tally(right, len(known) - right, len(exhibits) - len(known))


def tour_totals(exhibits: Sequence[Exhibit]) -> dict[str, dict[str, Tally]]:
    """Count by dimension and form, of the dimensions that the bundle answers."""
    totals: dict[str, dict[str, Tally]] = {}
    for dimension in ASKED:
        for pixels, form in FORMS.items():
            own = [one for one in exhibits if one.pixels == pixels and one.said(dimension)]
            if own:
                totals.setdefault(dimension, {})[form] = tally(own, dimension)
    return totals


def _page(examiner: Examiner, exhibits: Sequence[Exhibit]) -> str:
    groups: dict[str, list[Mapping[str, object]]] = {}
    for one in exhibits:
        more = " (control)" if one.entry.control else f", {title(one.entry.norm)}"
        shown = {
            "exhibit": one,
            "form": FORMS[one.pixels],
            "pictures": [("before", _data_uri(one.clean)), ("after", _data_uri(one.image))],
            "numbers": {name: f"{value:.3g}" for name, value in one.numbers.items()},
            "estimates": one.verdict.numbers,
        }
        groups.setdefault(title(one.entry.family) + more, []).append(shown)
    return render_page(
        "tour.html.j2",
        {
            "bundle": examiner.bundle.label,
            "card": examiner.bundle.card,
            "groups": groups,
            "totals": tour_totals(exhibits),
            "dimensions": {name: DIMENSIONS[name].title for name in ASKED},
            "count": len(exhibits),
        },
    )


def _data_uri(image: Tensor) -> str:
    file = io.BytesIO()
    write_png(image.numpy(), file)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
