"""Verdicts of a real bundle as STIX, CASE and a manifest, each read by the programs that it is for."""

import json
import re
import runpy
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rdflib
import stix2
import torch
import typer
from case_utils import case_validate
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from stix2validator import ValidationOptions, validate_string
from typer.testing import CliRunner

import redhanded
from redhanded.attacks import ATTACKS
from redhanded.cli import analyst
from redhanded.errors import DataError
from redhanded.sets import write_png
from redhanded.verdicts import EXPORTS, Export, Failure, Judgement, Verdict, check_exports, export_found
from redhanded.verdicts.atlas import ATLAS_VERSION, BLACK_BOX, CRAFTED, IMPLEMENTATION, TECHNIQUES, technique_of
from redhanded.verdicts.evidence import read_files
from redhanded.verdicts.export import ExportError
from redhanded.verdicts.export.case import UNKNOWN, write_case
from redhanded.verdicts.export.manifest import write_manifest
from redhanded.verdicts.export.stix import Extension, write_stix
from redhanded.verdicts.statement import ICD_203, words_for
from redhanded.verdicts.verdict import Alternative, Finding

TIME = datetime(2026, 5, 4, 3, 2, 1, 987_654, UTC)
LATER = TIME + timedelta(days=40)
PAGE = Path(__file__).parents[2] / "docs" / "exports.md"
WISHES = ("{103}", "{302}")  # of the validator, not met: random ids; a hash of every page that is linked to
ATTACKED = ("candidates", "together", "black box", "toolchain")
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # rdflib's own JSON-LD reader
NOT_ATTACKED = ("control", "unknown", "without controls")

Object = dict[str, Any]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def examiner(bundle: Path) -> redhanded.Examiner:
    return redhanded.Examiner.load(bundle)


@pytest.fixture(scope="module")
def verdicts(examiner: redhanded.Examiner) -> dict[str, Verdict]:
    """One of each kind; what the tiny bundle cannot give is a real verdict with a finding replaced or left out."""
    images = examiner.bundle.examples
    place = next(place for place, verdict in enumerate(examiner.attribute(images)) if is_attacked(verdict))
    first = images[place : place + 1]
    candidates = examiner.attribute(first)[0]
    without = {name: finding for name, finding in candidates.findings.items() if name != "adversarial"}
    return {
        "blind": next(verdict for verdict in examiner.attribute(images, blind=True) if not verdict.unknown),
        "candidates": candidates,
        "clean reference": examiner.attribute(first, clean=images[-1])[0],
        "together": examiner.attribute(torch.cat([first] * 4), together=True)[0],
        "prior": examiner.attribute(first, prior={"fgsm": 0.5})[0],
        "control": examiner.attribute(first, prior={"clean": 1 - 1e-7})[0],
        "unknown": unknown_verdict(examiner),
        "black box": with_finding(candidates, "family", {"square": 0.9, "fgsm": 0.1}, ["square"]),
        "toolchain": with_finding(candidates, "toolchain", {"foolbox": 0.7, "art": 0.3}, ["foolbox", "art"]),
        "without controls": candidates.model_copy(update={"findings": without}),
    }


def is_attacked(verdict: Verdict) -> bool:
    return not verdict.unknown and verdict.findings["adversarial"].ranked[0].name == "adversarial"


def unknown_verdict(examiner: redhanded.Examiner) -> Verdict:
    """Of an image of one grey level, as far from everything known as images get, asked about in each way."""
    white = np.full((16, 16), 255, np.uint8)
    ways = [examiner.attribute([255 - white, white], **way) for way in ({}, {"blind": True}, {"clean": white // 2})]
    return next(verdict for verdicts in ways for verdict in verdicts if verdict.unknown)


def with_finding(verdict: Verdict, dimension: str, shares: dict[str, float], left: list[str]) -> Verdict:
    ranked = [Alternative(name=name, probability=share, words=words_for(share)) for name, share in shares.items()]
    finding = Finding(ranked=ranked, prediction_set=left, coverage=0.9, likelihood_ratio=9.0, measured=0.8)
    return verdict.model_copy(update={"findings": verdict.findings | {dimension: finding}})


def read_stix(verdicts: list[Verdict], examiner: redhanded.Examiner, kind: str | None = None) -> list[Object]:
    found = json.loads(write_stix(verdicts, examiner.bundle, TIME))["objects"]
    return [one for one in found if kind in (None, one["type"])]


def by_id(objects: list[Object]) -> dict[str, Object]:
    return {one["id"]: one for one in objects}


# STIX


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the validator wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def stix_errors(text: str) -> list[str]:
    """What stix2-validator has against it: errors, and wishes but those of `WISHES`."""
    result = validate_string(text, ValidationOptions(version="2.1"))
    assert result.is_valid is not bool(result.errors)
    wishes = [str(warning) for warning in result.warnings if not any(code in str(warning) for code in WISHES)]
    return [*map(str, result.errors), *wishes]


@pytest.mark.usefixtures("_offline")
def test_stix_is_valid_for_verdicts_of_every_kind(verdicts: dict[str, Verdict], examiner: redhanded.Examiner) -> None:
    assert stix_errors(write_stix(list(verdicts.values()), examiner.bundle)) == []
    assert stix_errors(write_stix([], examiner.bundle)) == []
    for verdict in verdicts.values():
        assert stix_errors(write_stix([verdict], examiner.bundle, TIME)) == []


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("extension-definition", "schema", None),
        ("sighting", "confidence", 101),
        ("sighting", "sighting_of_ref", None),
        ("note", "object_refs", []),
        ("tool", "tool_types", ["Not A Word"]),
        ("observed-data", "first_observed", "2030-01-01T00:00:00Z"),
    ],
)
def test_the_validator_would_have_seen_it(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, kind: str, name: str, value: Any
) -> None:
    whole = json.loads(write_stix([verdicts["candidates"]], examiner.bundle, TIME))
    broken = next(one for one in whole["objects"] if one["type"] == kind)
    broken[name] = value
    if value is None:
        del broken[name]
    assert stix_errors(json.dumps(whole)) != []


def test_a_bundle_holds_all_that_it_refers_to(verdicts: dict[str, Verdict], examiner: redhanded.Examiner) -> None:
    objects = read_stix(list(verdicts.values()), examiner)
    ids = [one["id"] for one in objects]
    assert len(ids) == len(set(ids))
    assert set(references(objects)) <= set(ids)
    assert objects[-1]["type"] == "report"
    assert objects[-1]["object_refs"] == ids[:-1]
    assert {one["type"] for one in objects} == {
        *("identity", "extension-definition", "file", "observed-data", "attack-pattern"),
        *("tool", "sighting", "note", "report"),
    }


def references(value: Any) -> Iterator[str]:
    """Every id that is named, extensions' keys too."""
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from [inner] if name.endswith("_ref") else inner if name.endswith("_refs") else references(inner)
        yield from inner if name == "extensions" else ()


@pytest.mark.parametrize("kind", ["blind", "candidates", "clean reference", "together", "prior", *NOT_ATTACKED])
def test_the_whole_verdict_is_in_the_extension(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, kind: str
) -> None:
    objects = read_stix([verdicts[kind]], examiner)
    (definition,) = (one["id"] for one in objects if one["type"] == "extension-definition")
    (carrier,) = (one for one in objects if "extensions" in one)
    said = carrier["extensions"][definition]
    assert said.pop("extension_type") == "property-extension"
    extension = Extension.model_validate(said)
    assert extension.verdict == verdicts[kind]
    assert extension.bundle_sha256 == examiner.bundle.digest
    sighted = Judgement.of(verdicts[kind], examiner.bundle).attacked
    assert carrier["type"] == ("sighting" if sighted else "note")


def test_files_are_those_that_were_received(verdicts: dict[str, Verdict], examiner: redhanded.Examiner) -> None:
    objects = read_stix([verdicts["together"]], examiner)
    files = [one for one in objects if one["type"] == "file"]
    assert [one["hashes"]["SHA-256"] for one in files] == verdicts["together"].sha256
    assert [one["name"] for one in files] == [f"image {place}" for place in range(4)]
    assert all(stix2.File(name=one["name"], hashes=one["hashes"]).id == one["id"] for one in files)
    (observed,) = (one for one in objects if one["type"] == "observed-data")
    assert observed["number_observed"] == 4
    assert observed["object_refs"] == [one["id"] for one in files]


@pytest.mark.parametrize("kind", ATTACKED)
def test_an_attack_is_sighted_with_its_likelihood(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, kind: str
) -> None:
    objects = by_id(read_stix([verdicts[kind]], examiner))
    sightings = {
        objects[one["sighting_of_ref"]]["name"]: one["confidence"]
        for one in objects.values()
        if one["type"] == "sighting"
    }
    findings = verdicts[kind].findings
    adversarial, family = findings["adversarial"].ranked[0], findings["family"].ranked[0]
    title = {"deepfool": "DeepFool", "square": "Square", "fgsm": "FGSM"}[family.name]
    expected = {"Craft Adversarial Data": adversarial.probability, title: family.probability}
    if kind == "black box":
        expected = {"Black-Box Optimization": 0.9, "Square": 0.9}
    if kind == "toolchain":
        expected |= {"Adversarial AI Attack Implementations": 0.7, "foolbox": 0.7}
    assert sightings == {name: min(99, round(100 * share)) for name, share in expected.items()}


@pytest.mark.parametrize("kind", NOT_ATTACKED)
def test_no_attack_is_sighted_where_none_was_seen(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, kind: str
) -> None:
    objects = read_stix([verdicts[kind]], examiner)
    assert {one["type"] for one in objects}.isdisjoint({"sighting", "attack-pattern", "tool"})
    (note,) = (one for one in objects if one["type"] == "note")
    opening = {
        "control": "There is almost no chance (1 %) that the image is adversarial.",
        "unknown": f"No attack is named: {verdicts['unknown'].unknown}.",
        "without controls": (
            "Whether the image is adversarial was not asked, since the bundle knows no controls; supposing it is:"
        ),
    }
    assert note["abstract"] == opening[kind]


def test_techniques_are_as_mitre_has_them(verdicts: dict[str, Verdict], examiner: redhanded.Examiner) -> None:
    assert (CRAFTED, BLACK_BOX, IMPLEMENTATION) == ("AML.T0043", "AML.T0043.001", "AML.T0016.000")
    patterns = read_stix(list(verdicts.values()), examiner, "attack-pattern")
    assert {one["external_references"][0]["external_id"] for one in patterns} == set(TECHNIQUES)
    for one in patterns:
        (reference,) = one["external_references"]
        row = TECHNIQUES[reference["external_id"]]
        assert reference["source_name"] == "mitre-atlas"
        assert (one["id"], one["name"], one["modified"]) == (row.stix, row.name, row.modified)
        assert "created_by_ref" not in one  # it is MITRE's
    assert re.fullmatch(r"\d+\.\d+\.\d+", ATLAS_VERSION)


@pytest.mark.parametrize(
    ("families", "technique"),
    [
        (["square"], BLACK_BOX),
        (["square", "fgsm"], CRAFTED),
        (["from nowhere"], CRAFTED),
        (["square", "from nowhere"], CRAFTED),
        ([], CRAFTED),
        *(([name], CRAFTED) for name, kind in ATTACKS.items() if kind.uses_gradient),
    ],
)
def test_no_technique_says_more_than_the_families_do(families: list[str], technique: str) -> None:
    assert technique_of(families) == technique


# The statement


def judgement_of(probability: float, **changed: Any) -> Judgement:
    """Adversarial with a probability, and FGSM with the same."""
    other = 1 - probability
    shares = {"adversarial": probability, "control": other}, {"fgsm": probability, "clean": other}
    empty = Verdict.model_construct(findings={}, unknown="", images=1, knowledge="blind", prior={}, estimates=[])
    condition = {"file_format": "PNG", "form": "8-bit", "pixels": "uint8", "remarks": []}
    given = {"condition": condition, "sha256": ["0"], "files": ["a"], "name": "a", "ood_quantile": 0.5, "bundle": "b"}
    verdict = Verdict.model_validate({**empty.model_dump(), **given, "fingerprints": [], "nearest": [], **changed})
    for dimension, share in zip(("adversarial", "family"), shares, strict=True):
        verdict = with_finding(verdict, dimension, share, list(share))
    return Judgement(verdict, frozenset({"clean"}))


@given(st.floats(0, 1))
def test_likelihoods_are_told_in_the_words_of_icd_203(probability: float) -> None:
    first, *others = judgement_of(probability).sentences()
    said = {words for _, words in ICD_203 if re.search(rf"(is|is a) {words}\b", first)}
    assert said == {words_for(probability)}
    assert any(one.endswith("that the attack was FGSM.") for one in others) is (probability > 0.5)


LIKELIHOOD = "|".join(words for _, words in ICD_203) + r"|probab|chance|\d %"


def test_no_sentence_mixes_likelihood_and_confidence(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner
) -> None:
    for verdict in verdicts.values():
        sentences = Judgement.of(verdict, examiner.bundle).sentences()
        told = [bool(re.search(LIKELIHOOD, one)) for one in sentences]
        sure = [one.startswith("Confidence in this judgement is ") for one in sentences]
        assert sum(sure) == 1
        assert not any(likely and "onfidence" in one for likely, one in zip(told, sentences, strict=True))
        assert any(told) or verdict.unknown
        assert all(re.fullmatch(r"[A-Z].*[.:]", one) for one in sentences)


@pytest.mark.parametrize(
    ("measured", "form", "unknown", "confidence"),
    [
        (0.95, "8-bit", "", "high"),
        (0.9, "float", "", "high"),
        (0.89, "8-bit", "", "moderate"),
        (0.7, "8-bit", "", "moderate"),
        (0.69, "8-bit", "", "low"),
        (0.95, "lossy", "", "low"),
        (0.95, "8-bit", "strange", "low"),
        (None, "8-bit", "", "low"),
    ],
)
def test_confidence_is_what_the_method_earned(measured: float, form: str, unknown: str, confidence: str) -> None:
    condition = {"file_format": "PNG", "form": form, "pixels": "uint8", "remarks": []}
    judgement = judgement_of(0.9, condition=condition, unknown=unknown)
    family = judgement.verdict.findings["family"].model_copy(update={"measured": measured})
    verdict = judgement.verdict.model_copy(update={"findings": judgement.verdict.findings | {"family": family}})
    assert Judgement(verdict).confidence == confidence


def test_a_prior_and_what_was_found_about_the_file_are_told(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner
) -> None:
    assert "FGSM 0.5" in Judgement.of(verdicts["prior"], examiner.bundle).sentences()[-1]
    condition = verdicts["candidates"].condition.model_copy(update={"remarks": ["the first frame of several"]})
    changed = verdicts["candidates"].model_copy(update={"condition": condition})
    assert (
        "Condition of the evidence: the first frame of several." in Judgement.of(changed, examiner.bundle).sentences()
    )


# CASE


def case_graph(verdicts: list[Verdict], examiner: redhanded.Examiner) -> rdflib.Graph:
    return rdflib.Graph().parse(data=write_case(verdicts, examiner.bundle, TIME), format="json-ld")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "conforms"),
    [
        ("", "", True),
        ('"types:hashValue"', '"types:hashvalue"', False),  # a word that is not in the ontology
        ('"xsd:decimal"', '"xsd:double"', False),
    ],
)
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore")
def test_case_conforms_to_its_ontology(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, tmp_path: Path, old: str, new: str, conforms: bool
) -> None:
    chosen = [verdicts[kind] for kind in ("candidates", "together", "unknown", "control")]
    text = write_case(chosen if conforms else chosen[:1], examiner.bundle, TIME)
    assert old in text
    path = tmp_path / "case.jsonld"
    path.write_text(text.replace(old, new))
    result = case_validate.validate(str(path), case_version="case-1.5.0", inference="none")
    assert result.conforms is conforms, result.text


def test_case_leads_from_a_hash_to_what_was_found(verdicts: dict[str, Verdict], examiner: redhanded.Examiner) -> None:
    question = """
        SELECT ?tool ?class ?confidence WHERE {
            ?file core:hasFacet/observable:hash/types:hashValue ?hash .
            ?action a investigation:InvestigativeAction ;
                action:object ?file ; action:instrument/core:name ?tool ; action:result ?result .
            ?result core:hasFacet/analysis:classification ?found .
            ?found analysis:class ?class .
            OPTIONAL { ?found analysis:classificationConfidence ?confidence }
        }"""
    graph = case_graph([verdicts["candidates"], verdicts["unknown"]], examiner)
    for kind in ("candidates", "unknown"):
        digest = rdflib.Literal(verdicts[kind].sha256[0], datatype=rdflib.XSD.hexBinary)
        rows = [tuple(row) for row in graph.query(question, initBindings={"hash": digest})]
        assert {str(tool) for tool, _, _ in rows} == {"Redhanded"}
        found = {str(name): confidence and float(confidence) for _, name, confidence in rows}
        expected = {
            f"{dimension}: {one.name}": pytest.approx(one.probability, abs=1e-6)
            for dimension, finding in verdicts[kind].findings.items()
            for place, one in enumerate(finding.ranked)
            if place == 0 or one.name in finding.prediction_set
        }
        assert found == ({UNKNOWN: None} if kind == "unknown" else expected)


# Both


@pytest.mark.parametrize("write", [write_stix, write_case])
def test_the_same_verdicts_give_the_same_bytes_but_for_the_time(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, write: Any
) -> None:
    chosen = list(verdicts.values())
    first, again, later = (write(chosen, examiner.bundle, time) for time in (TIME, TIME, LATER))
    assert first == again
    assert first != later
    assert first == later.replace("2026-06-13T03:02:01.987", "2026-05-04T03:02:01.987")
    assert write(chosen[:1], examiner.bundle, TIME) != write(chosen[1:2], examiner.bundle, TIME)
    now = write(chosen, examiner.bundle)
    assert str(datetime.now(UTC).year) in now


@pytest.mark.parametrize("write", [write_stix, write_case])
def test_ids_are_made_of_content(verdicts: dict[str, Verdict], examiner: redhanded.Examiner, write: Any) -> None:
    text = write(list(verdicts.values()), examiner.bundle, TIME)
    ids = set(re.findall(r"(?:--|urn:uuid:)([0-9a-f-]{36})", text))
    assert len(ids) > 30
    assert {uuid.UUID(one).version for one in ids} == {5}


def test_images_of_one_file_are_told_apart(examiner: redhanded.Examiner, tmp_path: Path) -> None:
    np.savez(tmp_path / "several.npz", images=examiner.bundle.examples[:2].numpy())
    found = [one.verdict for one in examiner.attribute_files([tmp_path / "several.npz"])]
    objects = read_stix(found, examiner)
    kinds = [one["type"] for one in objects]
    assert (kinds.count("file"), kinds.count("observed-data"), kinds.count("note")) == (1, 2, 2)
    assert next(one for one in objects if one["type"] == "file")["name"] == "several.npz"
    assert len(set(case_graph(found, examiner).subjects(rdflib.RDF.type, rdflib.URIRef(ACTION)))) == 2
    assert write_manifest(found, examiner.bundle).count("\n") == 1


ACTION = "https://ontology.caseontology.org/case/investigation/InvestigativeAction"


# The manifest


NAMES = (
    "a.png",
    "two words.png",
    "new\nline.png",
    r"back\slash.png",
    "\rreturn\r",
    "-",
    "--check",
    "ä€",
    "*",
    "a\\\nb",
)


def test_sha256sum_accepts_the_manifest(
    examiner: redhanded.Examiner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(NAMES):
        Image.fromarray(examiner.bundle.examples[place, 0].numpy()).save(name, format="PNG")
    Path("broken.png").write_bytes(b"no image")
    names = [*NAMES, "a.png", "broken.png", "missing.png"]
    found = [one if isinstance(one, Failure) else one.verdict for one in examiner.attribute_files(map(Path, names))]
    text = write_manifest(found, examiner.bundle)
    Path("manifest").write_text(text, newline="")
    ours = ["./-" if name == "-" else name for name in (*NAMES, "broken.png")]
    theirs = subprocess.run(["sha256sum", "--", *ours], capture_output=True, check=True).stdout
    assert Path("manifest").read_bytes() == theirs
    checked = subprocess.run(["sha256sum", "--strict", "-c", "manifest"], capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK\n") == len(ours)
    Path(NAMES[2]).write_bytes(b"changed")
    assert subprocess.run(["sha256sum", "-c", "manifest"], capture_output=True).returncode == 1


def test_images_from_memory_have_no_line(verdicts: dict[str, Verdict], examiner: redhanded.Examiner) -> None:
    assert write_manifest(list(verdicts.values()), examiner.bundle) == ""


# The command


def test_attribute_writes_every_export(
    cli: Cli, bundle: Path, examiner: redhanded.Examiner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("suspicious")
    folder.mkdir()
    for place in (0, 20):
        write_png(examiner.bundle.examples[place].numpy() / np.float32(255), folder / f"{place}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    wanted = [word for name in EXPORTS for word in (f"--{name}", name)]
    code, _, errors = cli("attribute", folder, "--bundle", bundle, "--csv", *wanted)
    assert code == 2, errors
    assert len(errors.splitlines()) == 1
    count = len(list(folder.iterdir())) - 1
    assert stix_errors(Path("stix").read_text()) == []
    kinds = [one["type"] for one in json.loads(Path("stix").read_text())["objects"]]
    assert kinds.count("note") == count
    assert (
        len(set(rdflib.Graph().parse("case", format="json-ld").subjects(rdflib.RDF.type, rdflib.URIRef(ACTION))))
        == count
    )
    checked = subprocess.run(["sha256sum", "--strict", "-c", "manifest"], capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK") == count + 1  # the broken one was received too


def test_a_row_is_an_option(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Export("Toy", "Write a toy.", ".toy", "text/plain", "manifest:write_manifest")
    monkeypatch.setitem(EXPORTS, "toy", row)
    app = typer.Typer()
    app.command()(runpy.run_path(analyst.__file__)["attribute"])  # the command takes the rows when it is imported
    (tmp_path / "bad.png").write_bytes(b"no picture")
    toy, manifest = tmp_path / "toy", tmp_path / "manifest"
    words = [tmp_path / "bad.png", "--bundle", bundle, "--toy", toy, "--manifest", manifest]
    assert CliRunner().invoke(app, list(map(str, words))).exit_code == 2
    assert toy.read_text() == manifest.read_text() != ""


def test_stix_without_its_package_is_refused_before_anything_is_done(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stix2", None)
    code, out, errors = cli("attribute", "none.png", "--bundle", "nowhere", "--stix", tmp_path / "out.json")
    assert (code, out) == (2, "")
    (line,) = errors.splitlines()
    assert "pip install 'redhanded[intel]'" in line


def test_only_stix_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stix2", None)
    check_exports(["case", "manifest"])
    with pytest.raises(ExportError, match="stix2"):
        check_exports(EXPORTS)


def test_an_export_that_cannot_be_written_says_so(
    verdicts: dict[str, Verdict], examiner: redhanded.Examiner, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"expected to write .*: No such file or directory"):
        export_found("manifest", list(verdicts.values()), examiner.bundle, tmp_path / "none" / "file")


# The page


def shape(value: Any) -> Any:
    """The keys of JSON, without the values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def test_the_examples_of_the_page_are_what_is_written_today(examiner: redhanded.Examiner, tmp_path: Path) -> None:
    sighting, note, found, action = map(json.loads, re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for place in (0, 20):
        write_png(examiner.bundle.examples[place].numpy() / np.float32(255), tmp_path / f"{place}.png")
    images = [one for one in read_files([tmp_path], examiner.shape) if not isinstance(one, Failure)]
    made = examiner.judge(images)
    objects = {one["type"]: shape(one) for one in reversed(read_stix(made, examiner)) if "extensions" not in one}
    assert shape(sighting) == objects["sighting"]
    assert shape(note).keys() == objects["note"].keys()
    graph = json.loads(write_case(made, examiner.bundle))["@graph"]
    nodes = {node["@type"]: shape(node) for node in graph}
    assert shape(found) == nodes["analysis:AnalyticResult"]["core:hasFacet"]["analysis:classification"][0]
    assert shape(action) == nodes["investigation:InvestigativeAction"]
