"""From a run to a bundle: what holds of any run, however its training came out; and the kept bundle of the tests."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import redhanded
from redhanded.attributors import Joined
from redhanded.bundle import BundleCard, PackOptions, load_bundle, pack_bundle
from redhanded.errors import RunError
from redhanded.verdicts import evidence_picture
from redhanded.verdicts.evidence import from_array
from support import tiny_bundle


def form(card: BundleCard) -> object:
    """What a bundle of the tiny run holds, whatever its networks have learned."""
    parts = {(part.folder, part.pixels, part.knowledge): part.measured.keys() for part in card.parts}
    return parts, card.sets, [victim.name for victim in card.victims], card.shape, {one.name for one in card.examples}


def test_the_kept_bundle_is_of_the_format_of_today() -> None:
    tiny_bundle.check_format()
    card = load_bundle(tiny_bundle.BUNDLE).card
    assert {(part.pixels, part.knowledge) for part in card.parts} == {
        (pixels, knowledge) for pixels in ("float32", "uint8") for knowledge in ("blind", "candidates", "oracle")
    }
    assert card.sets.keys() == tiny_bundle.read_test_sets().keys()
    assert sum(path.stat().st_size for path in tiny_bundle.KEPT.rglob("*") if path.is_file()) < 1e6


def test_a_kept_bundle_of_another_format_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_bundle, "FORMAT", tiny_bundle.FORMAT + 1)
    with pytest.raises(ValueError, match=r"expected format \d+, found \d+; make it anew: make tiny-bundle$"):
        tiny_bundle.check_format()


def test_a_bundle_is_packed_once_from_a_run(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a new folder for the bundle"):
        pack_bundle(tmp_path, bundle)
    with pytest.raises(RunError, match="expected a RunCard"):
        pack_bundle(tmp_path, tmp_path / "b")


def test_a_bundle_of_a_trained_run_is_whole_and_answers(trained_run: Path, tmp_path: Path) -> None:
    card = pack_bundle(trained_run, tmp_path / "bundle")
    assert form(card) == form(load_bundle(tiny_bundle.BUNDLE).card)
    for name, digest in card.files.items():
        assert hashlib.sha256((tmp_path / "bundle" / name).read_bytes()).hexdigest() == digest
    for part in card.parts:
        assert all(0 <= measured.accuracy <= 1 and measured.n > 0 for measured in part.measured.values())
    examples = load_file(tmp_path / "bundle" / "examples.safetensors")["images"].numpy()
    assert len(examples) == len(card.examples)
    for blind in (True, False):
        for verdict in redhanded.Examiner.load(tmp_path / "bundle").attribute(examples, blind=blind):
            for finding in verdict.findings.values():
                assert sum(one.probability for one in finding.ranked) == pytest.approx(1)


def test_a_bundle_without_victims_answers_blind_as_the_whole_one(trained_run: Path, tmp_path: Path) -> None:
    pack_bundle(trained_run, tmp_path / "whole")
    card = pack_bundle(trained_run, tmp_path / "secret", PackOptions(without_victims=True))
    assert not (tmp_path / "secret" / "victims").exists()
    assert {part.knowledge for part in card.parts} == {"blind", "oracle"}
    whole, secret = (redhanded.Examiner.load(tmp_path / name) for name in ("whole", "secret"))
    images = whole.bundle.examples[:3]
    assert [one.findings for one in secret.attribute(images)] == [
        one.findings for one in whole.attribute(images, blind=True)
    ]


def test_packing_twice_gives_the_same_bytes(trained_run: Path, tmp_path: Path) -> None:
    pack_bundle(trained_run, tmp_path / "once")
    pack_bundle(trained_run, tmp_path / "again")
    assert load_bundle(tmp_path / "again").digest == load_bundle(tmp_path / "once").digest


def test_where_a_bundle_cannot_be_written_is_one_line(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"expected to read .* and to write"):
        pack_bundle(trained_run, tmp_path / "file" / "b")


# --- smaller


@pytest.fixture(scope="module")
def whole(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as a bundle with all that it may hold; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    pack_bundle(trained_run, folder)
    return folder


@pytest.fixture(scope="module")
def small(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without images, in 16 bits; not to be changed."""
    folder = tmp_path_factory.mktemp("small") / "bundle"
    pack_bundle(trained_run, folder, PackOptions(without_examples=True, half=True))
    return folder


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def test_a_small_bundle_says_what_is_left_out(small: Path, whole: Path) -> None:
    card = load_bundle(small).card
    assert (card.half, card.half_victims, card.examples) == (True, False, [])
    assert any("holds no images" in limit for limit in card.limits)
    assert any("16 bits" in limit for limit in card.limits)
    assert {path.name for path in small.rglob("*.safetensors")} == {
        *("weights.safetensors", "held_out.safetensors", "gaussians.safetensors")
    }
    assert stored(small / "attributors") < 0.8 * stored(whole / "attributors")


def test_a_small_bundle_says_what_the_whole_one_says(small: Path, whole: Path) -> None:
    examiners = [redhanded.Examiner.load(folder) for folder in (small, whole)]
    images = examiners[1].bundle.examples
    for blind in (True, False):
        answers = [examiner.attribute(images, blind=blind) for examiner in examiners]
        for less, full in zip(*answers, strict=True):
            for dimension in full.findings:
                shares = [{a.name: a.probability for a in one.findings[dimension].ranked} for one in (less, full)]
                assert shares[0] == pytest.approx(shares[1], abs=0.01)
            assert less.ood_quantile == pytest.approx(full.ood_quantile, abs=0.02)


def test_what_was_stored_in_16_bits_is_used_in_32(small: Path) -> None:
    for attributor in load_bundle(small).attributors.values():
        assert attributor.held_out_.features.dtype == attributor.held_out_.log_proba.dtype == torch.float32
    weights = load_file(small / "attributors" / "blind-uint8" / "weights.safetensors")
    dtypes = {name: tensor.dtype for name, tensor in weights.items() if tensor.is_floating_point()}
    assert {dtypes[name] for name in dtypes if name.endswith(("mean", "deviation", "var"))} == {torch.float32}
    assert torch.float16 in dtypes.values()


def test_rounded_victims_are_victims_of_their_own(trained_run: Path, whole: Path, tmp_path: Path) -> None:
    card = pack_bundle(trained_run, tmp_path / "rounded", PackOptions(half_victims=True))
    assert any("rounded" in limit for limit in card.limits)
    before = {victim.name: victim.weights_digest for victim in load_bundle(whole).card.victims}
    assert all(victim.weights_digest != before[victim.name] for victim in card.victims)
    assert stored(tmp_path / "rounded" / "victims") < 0.7 * stored(whole / "victims")


def test_without_examples_the_nearest_are_attacks_that_were_held_out(small: Path) -> None:
    examiner = redhanded.Examiner.load(small)
    images = np.random.default_rng(0).integers(0, 256, (3, *examiner.shape), np.uint8)
    attributor = examiner.bundle.attributors["uint8", "blind"]
    for verdict in examiner.attribute(images, blind=True):
        distances = [one.distance for one in verdict.nearest]
        assert len(distances) == 3
        assert distances == sorted(distances)
        for one in verdict.nearest:
            assert one.name == attributor.classes_[attributor.held_out_.labels[one.example]]
            assert not examiner.bundle.card.sets[one.name].control


def test_a_picture_does_without_examples(small: Path) -> None:
    examiner = redhanded.Examiner.load(small)
    evidence = from_array("grey", np.full(examiner.shape, 128, np.uint8), examiner.shape)
    (verdict,) = examiner.judge([evidence])
    width, _ = Image.open(io.BytesIO(evidence_picture(examiner.bundle, verdict, evidence))).size
    assert 600 < width < 800  # image, perturbation, spectrum


def test_held_out_answers_are_thinned_evenly(trained_run: Path, whole: Path, tmp_path: Path) -> None:
    pack_bundle(trained_run, tmp_path / "few", PackOptions(held_out=20))
    few, all_of_them = load_bundle(tmp_path / "few"), load_bundle(whole)
    for place, attributor in few.attributors.items():
        counts, before = (one.held_out_.labels.bincount() for one in (attributor, all_of_them.attributors[place]))
        assert 0 < counts.sum() <= 20
        assert torch.equal(counts, before.clamp(max=int(counts.max())))
    joined = [bundle.attributors["uint8", "candidates"] for bundle in (few, all_of_them)]
    assert [one.powers_ for one in joined if isinstance(one, Joined)] == [joined[0].powers_] * 2  # not fitted again


def test_some_victims_are_packed_where_the_others_are_not_asked(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a victim of the run to be one of alexnet, other, found 'others'"):
        pack_bundle(trained_run, tmp_path / "none", PackOptions(victims=["others"]))
    with pytest.raises(RunError, match="expected the victims that joined asks, found other; pack all victims"):
        pack_bundle(trained_run, tmp_path / "one", PackOptions(victims=["other"]))
    assert not (tmp_path / "one").exists()
