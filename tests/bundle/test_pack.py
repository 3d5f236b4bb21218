"""From a run to a bundle: what holds of any run, however its training came out; and the kept bundle of the tests."""

import hashlib
from pathlib import Path

import pytest
from safetensors.torch import load_file

import redhanded
from redhanded.bundle import BundleCard, load_bundle, pack_bundle
from redhanded.errors import RunError
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
    card = pack_bundle(trained_run, tmp_path / "secret", without_victims=True)
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
