"""From a bundle and images to verdicts: what is said is what the stored numbers say, and how sure it may be."""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

import redhanded
from redhanded.attributors import Attributor as Stored
from redhanded.bundle import BundleError
from redhanded.errors import DataError
from redhanded.models import prepare
from redhanded.sets import Samples
from redhanded.studies import COVERAGE, DIMENSIONS, reason
from redhanded.verdicts import EXPORTS, Evidence, ExamineOptions, Failure, Judged, Judgement, Verdict
from redhanded.verdicts.evidence import read_files
from redhanded.verdicts.printing import CSV_COLUMNS, PRINTERS, print_verdict
from redhanded.verdicts.statement import ICD_203, words_for
from support.pictures import read_panels
from support.processes import PATIENCE
from support.tiny_bundle import KnownImages

REDHANDED = Path(sys.executable).with_name("redhanded")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def examiner(bundle: Path) -> redhanded.Examiner:
    return redhanded.Examiner.load(bundle)


def shares(verdict: Verdict, dimension: str) -> dict[str, float]:
    return {one.name: one.probability for one in verdict.findings[dimension].ranked}


def examples(examiner: redhanded.Examiner) -> list[np.ndarray]:
    return list(examiner.bundle.examples.numpy())


def save_png(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image.squeeze()).save(path)
    return path


@pytest.fixture
def pngs(examiner: redhanded.Examiner, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pngs"
    folder.mkdir()
    return [save_png(folder / f"{place}.png", image) for place, image in enumerate(examples(examiner)[::4])]


# --- what is said


def independent(bundle: Path, place: str, images: np.ndarray, victims: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The dimensions of each image from the stored attributor's own answers, in NumPy.

    The mean of the members' likelihoods, the temperature by a grid, and no surer than the held-out images allow.
    """
    card = json.loads((bundle / "bundle.json").read_text())
    stored = Stored.load(bundle / "attributors" / place)
    tensor = torch.from_numpy(images)
    samples = Samples(tensor, torch.zeros(len(tensor), dtype=torch.int64), (), victims=victims)
    answers = stored.predict_log_proba(samples).double().numpy()
    held, labels = stored.held_out_.log_proba.double().numpy(), stored.held_out_.labels.numpy()
    columns: dict[str, dict[str, list[int]]] = {name: {} for name in DIMENSIONS}
    for column, name in enumerate(stored.classes_):
        entry = card["sets"][name]
        control = entry["control"]
        said = {
            "adversarial": "control" if control else "adversarial",
            "kind": "none" if control else entry["kind"],
            "family": entry["family"],
            "victim": entry["victim"],
            "setting": entry["label"],
        }
        for dimension, word in said.items():
            columns[dimension].setdefault(word, []).append(column)

    def mean(log_proba: np.ndarray, members: dict[str, list[int]]) -> np.ndarray:
        means = np.stack([np.exp(log_proba[:, places]).mean(1) for places in members.values()], 1)
        return np.log(means / means.sum(1, keepdims=True))

    def sharpened(log_proba: np.ndarray, temperature: float) -> np.ndarray:
        powers = np.exp(log_proba / temperature)
        return powers / powers.sum(1, keepdims=True)

    found: list[dict[str, Any]] = [{} for _ in images]
    for dimension, members in columns.items():
        if len(members) < 2:
            continue
        home = {column: place for place, places in enumerate(members.values()) for column in places}
        truth = np.array([home[label] for label in labels])
        of_held = mean(held, members)
        losses = {
            t: -np.maximum(np.log(sharpened(of_held, t)[np.arange(len(truth)), truth]), -30).mean()
            for t in np.geomspace(0.05, 20, 4000)
        }
        temperature = min(losses, key=losses.__getitem__)
        share = 1 / (len(labels) + 1)
        bounded = (1 - share) * sharpened(mean(answers, members), temperature) + share / len(members)
        for row, said_of in zip(bounded, found, strict=True):
            said_of[dimension] = dict(zip(members, row.tolist(), strict=True))
    yield from found


@pytest.mark.parametrize("blind", [True, False])
@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_a_verdict_is_what_the_stored_numbers_say(
    examiner: redhanded.Examiner, bundle: Path, known: dict[str, KnownImages], pixels: str, blind: bool
) -> None:
    images = np.concatenate([images[:2] for images, _ in known.values()])
    if pixels == "uint8":
        images = (np.round(images * 255) / 255).astype(np.float32)
    else:
        images = np.concatenate([one[None] for one in images if (np.round(one * 255) / 255 != one).any()])
    verdicts = examiner.attribute(images, blind=blind)
    knowledge = "blind" if blind else "candidates"
    expected = independent(bundle, f"{knowledge}-{pixels}", images, examiner.bundle.victims)
    for verdict, said in zip(verdicts, expected, strict=True):
        assert (verdict.knowledge, verdict.condition.pixels) == (knowledge, pixels)
        assert verdict.findings.keys() == said.keys()
        for dimension, finding in verdict.findings.items():
            ranked = [one.probability for one in finding.ranked]
            assert sum(ranked) == pytest.approx(1)
            assert ranked == sorted(ranked, reverse=True)
            assert shares(verdict, dimension) == pytest.approx(said[dimension], abs=5e-3)  # the grid's step
            first, second = (said[dimension][one.name] for one in finding.ranked[:2])
            assert finding.likelihood_ratio == pytest.approx(first / second, rel=0.05)


def test_known_images_are_named_better_than_by_chance(
    examiner: redhanded.Examiner, known: dict[str, KnownImages]
) -> None:
    right = total = 0
    for name, (images, _) in known.items():
        for verdict in examiner.attribute(images):
            right += verdict.findings["family"].ranked[0].name == DIMENSIONS["family"].name_of(
                examiner.bundle.card.sets[name]
            )
            total += 1
    assert right / total > 0.6  # of three families


def test_the_set_that_is_not_told_apart_holds_the_truth_as_often_as_it_says(
    examiner: redhanded.Examiner, known: dict[str, KnownImages]
) -> None:
    for blind in (True, False):
        held = {dimension: [] for dimension in DIMENSIONS}
        for name, (images, _) in known.items():
            for verdict in examiner.attribute(images, blind=blind):
                for dimension, finding in verdict.findings.items():
                    assert finding.coverage == COVERAGE
                    held[dimension].append(
                        DIMENSIONS[dimension].name_of(examiner.bundle.card.sets[name]) in finding.prediction_set
                    )
        for inside in filter(None, held.values()):
            assert np.mean(inside) > COVERAGE - 0.08  # that of so few held-out images scatters


def test_known_images_are_as_strange_as_known_images_and_mostly_not_unknown(
    examiner: redhanded.Examiner, known: dict[str, KnownImages]
) -> None:
    verdicts = [verdict for images, _ in known.values() for verdict in examiner.attribute(images)]
    assert np.mean([bool(verdict.unknown) for verdict in verdicts]) < 0.15
    quantiles = np.mean([[verdict.ood_quantile < share for share in (0.25, 0.5, 0.75)] for verdict in verdicts], 0)
    assert quantiles == pytest.approx([0.25, 0.5, 0.75], abs=0.1)


def strange_images(clean: np.ndarray) -> dict[str, np.ndarray]:
    """Images (n, 1, 16, 16) that are like none of the bundle's.

    Uniform noise is not among them: FGSM of 6.0 in L2 moves each of 256 pixels by 0.38, and the residuals of noise lie
    within those of such images, so that features that tell FGSM from DeepFool keep nothing that would tell noise.
    """
    draw = np.random.default_rng(0).random((20, 1, 16, 16))
    return {
        "one grey": np.ones((3, 1, 16, 16)) * np.array([0, 0.3, 1])[:, None, None, None],
        "chessboard": np.indices((1, 1, 16, 16)).sum(0) % 2,
        "black or white": draw > 0.5,
        "white dots": draw < 0.02,
        "negatives": 1 - clean,
    }


@pytest.mark.parametrize("blind", [True, False])
def test_what_no_known_image_is_like_is_unknown(
    examiner: redhanded.Examiner, known: dict[str, KnownImages], blind: bool
) -> None:
    for name, images in strange_images(known["none/clean-none"].images).items():
        verdicts = examiner.attribute(images.astype(np.float32), blind=blind)
        assert [name for verdict in verdicts if not verdict.unknown] == []


def test_every_reason_for_unknown_is_given() -> None:
    assert reason(0.95, 0.99, True) == ""
    assert "stranger than those of 96.0%" in reason(0.96, 0.0, True)
    assert "farther from those of known images than 99.5%" in reason(0.5, 0.995, True)
    assert "for no known family would such an answer be usual (coverage 90%)" in reason(0.0, 0.0, False)


def unknown_verdicts(examiner: redhanded.Examiner, known: dict[str, KnownImages]) -> list[Verdict]:
    strange = np.concatenate(list(strange_images(known["none/clean-none"].images).values())).astype(np.float32)
    return [verdict for verdict in examiner.attribute(strange) if verdict.unknown]


def shown(verdict: Verdict, examiner: redhanded.Examiner, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """All that is printed, written and told of a verdict."""
    texts = {"statement": "\n".join(Judgement.of(verdict, examiner.bundle).sentences()), "log": verdict.summary}
    for name, printer in PRINTERS.items():
        printer()(verdict)
        texts[name] = capsys.readouterr().out
    exported = json.loads(EXPORTS["stix"].text([verdict], examiner.bundle))["objects"]
    told = [one for one in exported if one["type"] != "extension-definition"]  # which has a schema, not a verdict
    return texts | {"stix": json.dumps(told), "case": EXPORTS["case"].text([verdict], examiner.bundle)}


HOW_LIKELY = re.compile(r"\b(almost certain|almost no chance|(un)?likely|roughly even chance)\b")


def test_nothing_that_is_shown_of_the_unknown_says_how_likely_a_name_is(
    examiner: redhanded.Examiner, known: dict[str, KnownImages], capsys: pytest.CaptureFixture[str]
) -> None:
    named = next(one for one in examiner.attribute(examples(examiner)) if not one.unknown)
    said = {name for name, text in shown(named, examiner, capsys).items() if HOW_LIKELY.search(text)}
    assert said == {"statement", "log", "table", "json", "csv", "stix", "case"}
    for verdict in unknown_verdicts(examiner, known):
        texts = shown(verdict, examiner, capsys)
        assert {name for name, text in texts.items() if HOW_LIKELY.search(text)} == set()
        assert {one.words for finding in verdict.findings.values() for one in finding.ranked} == {""}
        lines = texts["table"].splitlines()
        assert lines[1].startswith("unknown: its features")
        header = next(line for line in lines if "LR" in line)
        assert header.split()[:2] == ["resembles", "most"]
        assert "estimate: " not in texts["table"]
        assert "about" not in texts["statement"]
        nearest = verdict.findings["kind"].ranked[0].name
        assert nearest in texts["log"]
        resembles = "What it resembles most, and is not said to be: "
        assert nearest == "none" or f"{resembles}kind of attack {nearest}, family of attacks" in texts["statement"]
        (likeliest, resembled) = zip(
            *((row["likeliest"], row["resembles_most"]) for row in csv.DictReader(io.StringIO(texts["csv"]))),
            strict=True,
        )
        assert set(likeliest) == {""}
        assert resembled == tuple(finding.ranked[0].name for finding in verdict.findings.values())


def test_a_verdict_cannot_say_unknown_and_how_likely(examiner: redhanded.Examiner) -> None:
    verdict = next(one for one in examiner.attribute(examples(examiner)) if not one.unknown)
    assert Verdict.model_validate(verdict.as_unknown("strange").model_dump()).unknown == "strange"
    with pytest.raises(ValidationError, match="says unknown, and how likely its names are"):
        Verdict.model_validate(verdict.model_dump() | {"unknown": "strange"})


@pytest.mark.parametrize("width", [80, 40])
def test_a_table_fits_its_terminal(examiner: redhanded.Examiner, known: dict[str, KnownImages], width: int) -> None:
    named = examiner.attribute(examples(examiner)[::3])
    for verdict in [*named, *unknown_verdicts(examiner, known)[:3]]:
        console = Console(width=width, file=io.StringIO())
        print_verdict(verdict, console)
        assert max(map(len, console.file.getvalue().splitlines())) <= width


# --- priors, several images, a reference


def posterior(likelihoods: dict[str, float], prior: Mapping[str, float]) -> dict[str, float]:
    weighed = {name: likelihood * prior[name] for name, likelihood in likelihoods.items()}
    return {name: value / sum(weighed.values()) for name, value in weighed.items()}


def test_a_prior_multiplies_likelihoods_and_leaves_their_ratio(examiner: redhanded.Examiner) -> None:
    plain = examiner.attribute(examples(examiner))
    given = examiner.attribute(examples(examiner), prior={"fgsm": 0.8})
    full = {"clean": 0.1, "deepfool": 0.1, "fgsm": 0.8}
    for before, after in zip(plain, given, strict=True):
        assert after.prior == pytest.approx(full)
        assert before.prior == {}
        assert shares(after, "family") == pytest.approx(posterior(shares(before, "family"), full))
        control = after.findings["adversarial"]
        ratio = control.likelihood_ratio
        assert ratio is not None
        first, second = (shares(before, "adversarial")[one.name] for one in control.ranked)
        assert ratio == pytest.approx(first / second)


def test_a_prior_that_is_the_usual_weight_of_the_sets_changes_nothing_within_a_family(
    examiner: redhanded.Examiner,
) -> None:
    plain = examiner.attribute(examples(examiner))
    even = examiner.attribute(examples(examiner), prior=dict.fromkeys(examiner.families, 1 / len(examiner.families)))
    for before, after in zip(plain, even, strict=True):
        assert shares(after, "family") == pytest.approx(shares(before, "family"))


def test_a_prior_weighs_the_sets_inside_a_class(examiner: redhanded.Examiner) -> None:
    """Where one family is all but sure, the victim is the one that this family's sets name."""
    sets = examiner.bundle.card.sets
    verdicts = examiner.attribute(examples(examiner), prior={"fgsm": 1.0}, blind=True)
    panel = examiner.panels["uint8", "blind"]
    marginal = panel.marginals["victim"]
    images = examiner.bundle.examples.float() / 255
    answer = panel.attributor.answer(Samples(images, torch.zeros(len(images), dtype=torch.int64), ()))
    places = {name: place for place, name in enumerate(panel.attributor.classes_)}
    fgsm = {
        victim: [places[one] for one in names if sets[one].family == "fgsm"]
        for victim, names in marginal.members.items()
    }
    likely = {victim: answer.log_proba[:, columns].exp().mean(1) for victim, columns in fgsm.items() if columns}
    named = torch.stack(list(likely.values())).argmax(0).tolist()
    for verdict, place in zip(verdicts, named, strict=True):
        assert verdict.findings["victim"].ranked[0].name == list(likely)[place]


@pytest.mark.parametrize(
    "prior",
    [
        {"nobody": 0.5},
        {"fgsm": -0.1},
        {"fgsm": 1.5},
        {"fgsm": 0.7, "deepfool": 0.7},
        {"fgsm": float("nan")},
        {"fgsm": float("inf")},
        {"fgsm": 0.1, "deepfool": 0.1, "clean": 0.1},
    ],
)
def test_a_prior_that_is_none_is_refused(examiner: redhanded.Examiner, prior: dict[str, float]) -> None:
    with pytest.raises(DataError, match="prior: expected shares of clean, deepfool, fgsm that sum to 1 or less, found"):
        examiner.attribute(examples(examiner)[:1], prior=prior)


def test_together_adds_the_evidence(examiner: redhanded.Examiner) -> None:
    images = examples(examiner)[4:8]  # of one set
    apart = examiner.attribute(images)
    (whole,) = examiner.attribute(images, together=True)
    assert (whole.images, whole.name) == (4, "image 0, image 1, image 2, image 3")
    assert whole.sha256 == [digest for verdict in apart for digest in verdict.sha256]
    for dimension in whole.findings:
        product = {
            name: np.prod([shares(verdict, dimension)[name] for verdict in apart]) for name in shares(whole, dimension)
        }
        total = sum(product.values())
        assert shares(whole, dimension) == pytest.approx({name: value / total for name, value in product.items()})
    (weighed,) = examiner.attribute(images, together=True, prior={"fgsm": 0.8})  # once, not once for each image
    full = {"clean": 0.1, "deepfool": 0.1, "fgsm": 0.8}
    assert shares(weighed, "family") == pytest.approx(posterior(shares(whole, "family"), full))


def test_one_image_together_is_one_image(examiner: redhanded.Examiner) -> None:
    (alone,) = examiner.attribute(examples(examiner)[:1])
    (together,) = examiner.attribute(examples(examiner)[:1], together=True)
    assert shares(together, "family") == pytest.approx(shares(alone, "family"))
    assert together.findings["family"].prediction_set == alone.findings["family"].prediction_set


def test_images_of_two_protocols_are_no_one_piece_of_evidence(examiner: redhanded.Examiner) -> None:
    image = examples(examiner)[0]
    with pytest.raises(DataError, match="expected images of one pixel protocol, found uint8 and float32"):
        examiner.attribute([image, np.clip(image / np.float32(255) + 1e-3, 0, 1)], together=True)


def test_with_the_original_the_true_perturbation_is_used(
    examiner: redhanded.Examiner, bundle: Path, known: dict[str, KnownImages]
) -> None:
    adversarial, originals = known["alexnet/fgsm-l2-eps=6.0"], known["none/clean-none"]
    place = adversarial.index.tolist().index(originals.index[0])
    image, clean = adversarial.images[place], originals.images[0]
    (verdict,) = examiner.attribute([image], clean=clean)
    assert verdict.knowledge == "oracle"
    assert verdict.findings["family"].ranked[0].name == "fgsm"
    assert verdict.nearest == []  # the examples' originals are not at hand
    stored = Stored.load(bundle / "attributors" / "oracle-float32")
    tensors = torch.from_numpy(image)[None], torch.from_numpy(clean)[None]
    samples = Samples(tensors[0], torch.zeros(1, dtype=torch.int64), (), clean=tensors[1])
    best = stored.classes_[int(stored.predict_log_proba(samples).argmax())]
    assert verdict.findings["setting"].ranked[0].name == best.partition("/")[2]


# --- conditions and evidence


def test_the_condition_is_that_of_the_file(examiner: redhanded.Examiner, tmp_path: Path) -> None:
    image = examples(examiner)[0].squeeze()
    between = np.clip(image / np.float32(255) + np.float32(1e-3), 0, 1)
    np.save(tmp_path / "a.npy", between)
    np.save(tmp_path / "b.npy", image / np.float32(255))
    np.save(tmp_path / "c.npy", image)
    np.savez(tmp_path / "d.npz", images=np.stack([between, between])[:, None])
    for name, options in {
        "e.png": {},
        "f.bmp": {},
        "g.tiff": {},
        "h.webp": {"lossless": True},
        "i.webp": {"quality": 90},
        "j.jpg": {"quality": 90},
        "k.tif": {"compression": "jpeg"},
    }.items():
        Image.fromarray(np.stack([image] * 3, 2) if "webp" in name else image).save(tmp_path / name, **options)
    found = list(read_files([tmp_path], examiner.shape))
    assert all(isinstance(one, Evidence) or "i.webp" in one.name for one in found), found
    said = {Path(one.name).name: one.condition for one in found if isinstance(one, Evidence)}
    forms = {name: (condition.file_format, condition.form, condition.pixels) for name, condition in said.items()}
    forms.pop("i.webp", None)  # its channels may differ
    assert forms == {
        "a.npy": ("NPY", "float", "float32"),
        "b.npy": ("NPY", "8-bit", "uint8"),
        "c.npy": ("NPY", "8-bit", "uint8"),
        "d.npz[0]": ("NPY", "float", "float32"),
        "d.npz[1]": ("NPY", "float", "float32"),
        "e.png": ("PNG", "8-bit", "uint8"),
        "f.bmp": ("BMP", "8-bit", "uint8"),
        "g.tiff": ("TIFF", "8-bit", "uint8"),
        "h.webp": ("WEBP", "8-bit", "uint8"),
        "j.jpg": ("JPEG", "lossy", "uint8"),
        "k.tif": ("TIFF", "lossy", "uint8"),
    }
    assert said["e.png"].remarks == []
    assert any("without it" in remark for remark in said["j.jpg"].remarks)
    pixels = {one.name: one.image for one in found if isinstance(one, Evidence)}
    for name in ("b.npy", "c.npy", "e.png", "f.bmp", "g.tiff", "h.webp"):
        assert torch.equal(
            (pixels[str(tmp_path / name)] * 255).round().to(torch.uint8).squeeze(), torch.from_numpy(image)
        )


def test_a_lossy_webp_of_colour_says_so(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for name, options in {"a.webp": {"quality": 90}, "b.webp": {"lossless": True, "icc_profile": b"p" * 999}}.items():
        Image.fromarray(pixels).save(tmp_path / name, **options)
    lossy, lossless = read_files([tmp_path], (3, 16, 16))
    assert isinstance(lossy, Evidence)
    assert isinstance(lossless, Evidence)
    assert (lossy.condition.form, lossless.condition.form) == ("lossy", "8-bit")


def test_repeated_pixels_are_taken_away_and_nothing_else_is(examiner: redhanded.Examiner, tmp_path: Path) -> None:
    image = examples(examiner)[0].squeeze()
    large = image.repeat(3, 0).repeat(3, 1)
    save_png(tmp_path / "a.png", large)
    Image.fromarray(np.stack([large] * 3, 2)).save(tmp_path / "b.png")
    large[0, 0] ^= 1
    save_png(tmp_path / "c.png", large)
    save_png(tmp_path / "d.png", image)
    grey, colour, other, plain = read_files([tmp_path], examiner.shape)
    assert isinstance(plain, Evidence)
    for one, remarks in ((grey, 1), (colour, 2)):
        assert isinstance(one, Evidence)
        assert torch.equal(one.image, plain.image)
        assert len(one.condition.remarks) == remarks
        assert one.condition.remarks[-1] == "enlarged 3 times by repeating pixels; undone"
    assert isinstance(other, Failure)
    assert "expected an image of 1 x 16 x 16, found 1 x 48 x 48" in other.error


def test_the_nearest_example_of_an_example_is_itself(examiner: redhanded.Examiner) -> None:
    for blind in (True, False):
        for place, verdict in enumerate(examiner.attribute(examples(examiner), blind=blind)):
            closest = verdict.nearest[0]
            assert len(verdict.nearest) == 3
            assert closest.distance == pytest.approx(0, abs=1e-3)
            same = [
                torch.equal(examiner.bundle.examples[one.example], examiner.bundle.examples[place])
                for one in verdict.nearest
            ]
            assert any(same)
            assert closest.name == examiner.bundle.card.examples[closest.example].name


def test_the_hash_is_that_of_the_bytes(examiner: redhanded.Examiner, pngs: list[Path]) -> None:
    for judged, path in zip(examiner.attribute_files(pngs), pngs, strict=True):
        assert isinstance(judged, Judged)
        assert judged.verdict.sha256 == [hashlib.sha256(path.read_bytes()).hexdigest()]
        assert judged.verdict.files == [str(path)]


def test_estimates_are_quantiles_between_the_known_settings(examiner: redhanded.Examiner) -> None:
    for verdict in examiner.attribute(examples(examiner)):
        best = verdict.findings["setting"].ranked[0].name
        if not best.startswith("fgsm"):
            assert best.startswith("clean") == (verdict.estimates == [])
            continue
        (estimate,) = verdict.estimates
        four, six = (shares(verdict, "setting")[f"fgsm-l2-eps={eps}"] for eps in ("4.0", "6.0"))
        low, high = four / (four + six) / 2, (four + six / 2) / (four + six)  # where each setting's middle lies
        values = np.exp(np.interp([0.05, 0.5, 0.95], [low, high], np.log([4.0, 6.0])))
        assert estimate.parameter == "eps"
        assert [estimate.low, estimate.value, estimate.high] == pytest.approx(values.tolist())


def test_a_number_is_read_where_its_interval_is_narrower_than_what_was_known(examiner: redhanded.Examiner) -> None:
    """Of two settings the interval is that of both, unless one of them has 95 % of the probability."""
    readable = set()
    for verdict in examiner.attribute(examples(examiner)):
        best = verdict.findings["setting"].ranked[0].name
        for estimate in verdict.estimates:
            family = {name: p for name, p in shares(verdict, "setting").items() if name[:4] == best[:4]}
            sure = max(family.values()) / sum(family.values()) >= 0.95
            assert estimate.readable is sure
            readable.add(sure)
            text = estimate.text("this image")
            assert ("cannot be read from this image" in text) is not sure
            assert (" about " in text) is sure
    assert readable == {True, False}


def test_a_setting_that_is_the_only_one_known_is_no_number_that_cannot_be_read(
    examiner: redhanded.Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = examiner.panels["uint8", "blind"]
    (verdict,) = examiner.attribute(examples(examiner)[4:5], blind=True)
    only = {name: entry.model_copy(update={"setting": {"eps": 2.0}}) for name, entry in panel.sets.items()}
    monkeypatch.setattr(panel, "sets", only)
    (estimate,) = panel.estimates(verdict.findings["setting"], torch.zeros(1, 0))
    assert (estimate.low, estimate.high, estimate.readable) == (2.0, 2.0, True)


def test_a_setting_of_zero_has_an_estimate_too(examiner: redhanded.Examiner, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = examiner.panels["uint8", "blind"]
    (verdict,) = examiner.attribute(examples(examiner)[4:5], blind=True)
    zeroed = {
        name: entry.model_copy(
            update={"setting": {key: value - min(value, 4.0) for key, value in entry.setting.items()}}
        )
        for name, entry in panel.sets.items()
    }
    monkeypatch.setattr(panel, "sets", zeroed)
    for estimate in panel.estimates(verdict.findings["setting"], torch.zeros(1, 0)):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 2


def test_words_never_claim_certainty() -> None:
    assert [words_for(share) for share in (0.0, 0.05, 0.0501, 0.5, 0.8, 0.95, 0.9501, 1.0)] == [
        *("almost no chance", "almost no chance", "very unlikely", "roughly even chance", "likely", "very likely"),
        *("almost certain", "almost certain"),
    ]
    assert [bound for bound, _ in ICD_203] == sorted(bound for bound, _ in ICD_203)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((16, 16), np.float16), "expected float32, float64 or uint8, found float16"),
        (np.full((16, 16), 1.5, np.float32), "expected values in"),
        (np.zeros((2, 16, 16), np.uint8), "expected one image"),
        (np.zeros((17, 16), np.uint8), "expected an image of 1 x 16 x 16, found 1 x 17 x 16"),
        (torch.zeros(1, 16, 16, dtype=torch.bfloat16), "expected an array of numbers"),
        (torch.zeros(0, 16), "expected an image, found an array of shape"),
        ([[0], [0, 1]], "expected an array of numbers"),
    ],
)
def test_an_image_in_memory_that_is_none_is_refused_by_its_place(
    examiner: redhanded.Examiner, image: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said) as error:
        examiner.attribute([examples(examiner)[0], image])
    assert str(error.value).startswith("image 1: ")


def test_every_layout_of_an_image_is_the_same_evidence(examiner: redhanded.Examiner) -> None:
    image = examples(examiner)[0]  # (1, 16, 16) uint8
    same = [image, image[0], image[0][..., None], torch.from_numpy(image), image / 255, image / np.float32(255)]
    same.append(torch.from_numpy(image / np.float32(255)).requires_grad_())
    verdicts = [examiner.attribute([one])[0] for one in same]
    told = [verdict.model_dump(exclude={"name", "files", "sha256"}) for verdict in verdicts]
    assert all(one == told[0] for one in told)


def test_evidence_does_not_change_with_the_array(examiner: redhanded.Examiner) -> None:
    from redhanded.verdicts.evidence import from_array

    array = examples(examiner)[0] / np.float32(255)
    evidence = from_array("a", array, examiner.shape)
    before = evidence.image.clone()
    array[:] = 0
    assert torch.equal(evidence.image, before)


# --- the same answer every time


def test_neighbours_do_not_matter(examiner: redhanded.Examiner) -> None:
    for blind in (True, False):
        alone = [examiner.attribute([image], blind=blind)[0] for image in examples(examiner)]
        for one, other in zip(alone, examiner.attribute(examples(examiner), blind=blind), strict=True):
            for dimension in one.findings:
                assert shares(one, dimension) == pytest.approx(shares(other, dimension), abs=1e-4)
            assert one.fingerprints == other.fingerprints


@pytest.mark.slow
def test_the_same_bytes_give_the_same_json_in_other_processes(bundle: Path, pngs: list[Path], tmp_path: Path) -> None:
    np.save(pngs[0].parent / "float.npy", np.random.default_rng(0).random((16, 16)).astype(np.float32))
    command = [REDHANDED, "attribute", pngs[0].parent, "--bundle", bundle, "--json"]
    one, other = (subprocess.run(command, capture_output=True, timeout=PATIENCE) for _ in range(2))
    assert (one.returncode, one.stderr) == (0, b"")
    assert one.stdout == other.stdout
    assert len(one.stdout.splitlines()) == len(pngs) + 1


# --- the command


def test_json_has_everything(cli: Cli, examiner: redhanded.Examiner, bundle: Path, pngs: list[Path]) -> None:
    code, out, err = cli("attribute", *pngs, "--bundle", bundle, "--json")
    assert (code, err) == (0, "")
    verdicts = [Verdict.model_validate_json(line) for line in out.splitlines()]
    judged = [one.verdict for one in examiner.attribute_files(pngs) if isinstance(one, Judged)]
    assert verdicts == judged
    assert [verdict.name for verdict in verdicts] == list(map(str, pngs))


def test_csv_has_a_row_for_each_dimension_and_runs_no_formula(
    cli: Cli, examiner: redhanded.Examiner, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_png(tmp_path / "=1+1.png", examples(examiner)[0])
    code, out, _ = cli("attribute", "=1+1.png", "--bundle", bundle, "--csv")
    head, *rows = csv.reader(io.StringIO(out))
    assert code == 0
    assert tuple(head) == CSV_COLUMNS
    assert {row[0] for row in rows} == {"'=1+1.png"}
    (verdict,) = (one.verdict for one in examiner.attribute_files([Path("=1+1.png")]) if isinstance(one, Judged))
    column = "resembles_most" if verdict.unknown else "likeliest"
    dimensions = {row[head.index("dimension")]: row[head.index(column)] for row in rows}
    assert dimensions == {name: finding.ranked[0].name for name, finding in verdict.findings.items()}


def test_the_table_says_what_the_verdict_says(
    cli: Cli, examiner: redhanded.Examiner, bundle: Path, pngs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = cli("attribute", pngs[1], "--bundle", bundle)
    (judged,) = examiner.attribute_files(pngs[1:2])
    assert isinstance(judged, Judged)
    title, header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert title == f"{pngs[1]} (PNG, 8-bit, candidates)"
    assert header.split()[:3] == ["likeliest", "in", "words"]
    firsts = {row.split()[0]: row for row in rows if row.strip() and not row.startswith(" ")}
    for dimension, finding in judged.verdict.findings.items():
        assert finding.ranked[0].name in firsts[dimension]
        assert finding.ranked[0].words in firsts[dimension]
    assert "100%" not in out


def test_a_picture_of_each_verdict_is_written(
    cli: Cli, examiner: redhanded.Examiner, bundle: Path, pngs: list[Path], tmp_path: Path
) -> None:
    hard = pngs[0].with_name("$a^{$ %s\n日.png")  # no formula, and no glyph that is missing
    hard.write_bytes(pngs[0].read_bytes())
    np.savez(tmp_path / "many.npz", images=np.stack(examples(examiner)[:3]))
    code, _, err = cli(
        "attribute", *pngs[:2], hard, tmp_path / "many.npz", "--bundle", bundle, "--pictures", tmp_path / "p"
    )
    assert (code, err) == (0, "")
    pictures = sorted((tmp_path / "p").iterdir())
    assert len(pictures) == 6
    asked = [
        *examples(examiner)[:8:4],
        examples(examiner)[0],
        *examples(examiner)[:3],
    ]  # what stands in the files, in order
    for path, image in zip(pictures, asked, strict=True):
        assert read_panels(path.read_bytes())[0] == pytest.approx(image.squeeze() / 255, abs=2 / 255)
    digest = hashlib.sha256(pngs[1].read_bytes()).hexdigest()
    assert pictures[1].name == f"0001-1-{digest[:8]}.png"
    code, _, err = cli("attribute", pngs[0], "--bundle", bundle, "--json", "--pictures", pngs[0])
    assert (code, err.count("\n")) == (2, 1)
    assert "expected to write pictures to" in err


def test_a_bad_file_does_not_keep_the_others_from_their_answer(
    cli: Cli, bundle: Path, pngs: list[Path], tmp_path: Path
) -> None:
    good = pngs[0]
    (tmp_path / "torn.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "text.txt").write_text("no image")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "large.png")
    np.save(tmp_path / "outside.npy", np.full((16, 16), 1.5, np.float32))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    bad = [tmp_path / name for name in ("torn.png", "text.txt", "large.png", "outside.npy", "objects.npy", "gone.png")]
    code, out, err = cli("attribute", bad[0], good, *bad[1:], good, "--bundle", bundle, "--json")
    assert code == 2
    assert [json.loads(line)["name"] for line in out.splitlines()] == [str(good)] * 2
    lines = err.splitlines()
    assert [line.startswith(f"redhanded: {path}: expected ") for line, path in zip(lines, bad, strict=True)] == [
        True
    ] * 6
    assert "an image of 1 x 16 x 16, found 1 x 20 x 20" in lines[2]


def test_folders_patterns_and_what_is_hidden(
    examiner: redhanded.Examiner, pngs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pngs[0].parent
    (folder / "below").mkdir()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.png").write_bytes(b"")
    (folder / ".b.png").write_bytes(b"")
    (folder / "below" / "z[1].png").write_bytes(pngs[0].read_bytes())
    (folder / "below" / "loop").symlink_to(folder)
    names = [one.name for one in read_files([folder], examiner.shape)]
    assert names == [*sorted(map(str, pngs)), str(folder / "below" / "z[1].png")]
    monkeypatch.chdir(tmp_path)
    assert [one.name for one in read_files([Path("pngs/*.png")], examiner.shape)] == sorted(
        f"pngs/{path.name}" for path in pngs
    )
    assert [one.name for one in read_files([folder / "below" / "z[1].png"], examiner.shape)] == names[-1:]
    (tmp_path / "empty").mkdir()
    (empty,) = read_files([tmp_path / "empty"], examiner.shape)
    (nothing,) = read_files([Path("nothing*.png")], examiner.shape)
    assert isinstance(empty, Failure)
    assert isinstance(nothing, Failure)
    assert "found a folder without visible files" in empty.error


def test_prior_reference_and_together_from_the_command(cli: Cli, bundle: Path, pngs: list[Path]) -> None:
    code, out, _ = cli("attribute", *pngs[1:3], "--bundle", bundle, "--json", "--prior", "fgsm=0.5", "--together")
    verdict = Verdict.model_validate_json(out)
    assert (code, verdict.images) == (0, 2)
    assert verdict.prior == pytest.approx({"clean": 0.25, "deepfool": 0.25, "fgsm": 0.5})
    code, out, _ = cli("attribute", pngs[1], "--bundle", bundle, "--json", "--clean", pngs[0])
    assert Verdict.model_validate_json(out).knowledge == "oracle"
    code, out, _ = cli("attribute", pngs[1], "--bundle", bundle, "--json", "--blind")
    assert Verdict.model_validate_json(out).knowledge == "blind"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prior", "fgsm"], "--prior: expected FAMILY=SHARE"),
        (["--prior", "=0.5"], "--prior: expected FAMILY=SHARE"),
        (["--prior", "fgsm=much"], "--prior: expected FAMILY=SHARE"),
        (["--prior", "fgsm=0.1", "--prior", "fgsm=0.2"], "each family once"),
        (["--prior", "fgsm=nan"], "prior: expected shares of clean, deepfool, fgsm"),
        (["--prior", "elf=0.5"], "prior: expected shares of clean, deepfool, fgsm"),
        (["--clean", "nowhere.png"], "expected one clean reference image"),
    ],
)
def test_a_mistake_gives_one_line(cli: Cli, bundle: Path, pngs: list[Path], words: list[str], said: str) -> None:
    code, out, err = cli("attribute", pngs[0], "--bundle", bundle, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


# --- bundles


def test_the_card_is_true(bundle: Path, examiner: redhanded.Examiner, known: dict[str, KnownImages]) -> None:
    card = examiner.bundle.card
    assert card.sets.keys() == known.keys()
    for name, digest in card.files.items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    for part in card.parts:
        assert all(0 <= measured.accuracy <= 1 and measured.n > 0 for measured in part.measured.values())
    for verdict in examiner.attribute(examples(examiner)[:1], blind=True):
        measured = next(part for part in card.parts if (part.pixels, part.knowledge) == ("uint8", "blind")).measured
        assert {name: one.measured for name, one in verdict.findings.items()} == {
            name: one.accuracy for name, one in measured.items()
        }
    stored = load_file(bundle / "examples.safetensors")["images"]
    assert torch.equal(stored, examiner.bundle.examples)
    assert len(stored) == len(card.examples)


def test_an_image_that_the_bundle_has_no_attributor_for_is_one_failure_among_others(
    bundle: Path, pngs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    examiner = redhanded.Examiner.load(bundle)
    for knowledge in ("blind", "candidates"):
        monkeypatch.delitem(examiner.panels, ("float32", knowledge))
    np.save(pngs[0].parent / "0float.npy", np.random.default_rng(0).random((16, 16)).astype(np.float32))
    first, *others = examiner.attribute_files([pngs[0].parent], ExamineOptions())
    *judged, failure = sorted([first, *others], key=lambda one: isinstance(one, Failure))
    assert isinstance(failure, Failure)
    assert "0float.npy: expected a bundle for candidates images of float32" in failure.error
    assert len(judged) == len(pngs)


def test_answers_that_are_not_finite_are_never_a_verdict(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, examiner: redhanded.Examiner
) -> None:
    spoilt = redhanded.Examiner.load(bundle)
    attributor = spoilt.panels["uint8", "blind"].attributor

    def infinite(samples: Samples) -> Any:
        answer = type(attributor).answer(attributor, samples)
        return answer._replace(features=answer.features.div(Tensor([0.0])))

    monkeypatch.setattr(attributor, "answer", infinite)
    with pytest.raises(BundleError, match="expected finite answers"):
        spoilt.attribute(examples(examiner)[:1], blind=True)


def test_victims_are_prepared_once(examiner: redhanded.Examiner) -> None:
    images = torch.rand(3, *examiner.shape, generator=torch.Generator().manual_seed(0))
    for victim in examiner.bundle.victims.values():
        assert prepare(victim, images) is victim
        assert torch.isfinite(victim(images)).all()
