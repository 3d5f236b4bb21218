"""What a stranger reads before the code: the site, the schema of a verdict, and the files at the repository's root."""

import hashlib
import json
import re
import runpy
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jsonschema
import pytest

import redhanded
from redhanded.bundle import verify
from redhanded.data import arrays, decode
from redhanded.data.folders import EVIDENCE_LIMITS
from redhanded.server import batching, limits, run, submission
from redhanded.verdicts import evidence
from redhanded.verdicts.verdict import VERDICT_VERSION

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCHEMA = DOCS / "reference" / "verdict.schema.json"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# SHA-256 of the names and types of each version, so that none is changed under its old number.
VERSIONS = {
    1: "c5590ae71592df77b1f95efb3297ba5bc1eee8f20b0a9cff470be287e6d6709f",
    2: "d2e34dbdb6159ae58c3739c4f4a47c2f3dc7e7a1d780525dce5436916a5dd370",
    3: "7581703a890005222d7d100b0a275e151f836e6264dac2c58d059b58b8a0d781",
    4: "571f1df97905ee6e40388f69e6fc335a798664eaeb0d0bab11439ff06ed52c4a",
}
LIMITS: list[tuple[object, str, str]] = [
    (evidence, "MOST_BYTES", "{mib} MiB of a file are read at most"),
    (EVIDENCE_LIMITS, "file_bytes", "of an image file {mib} MiB"),
    (EVIDENCE_LIMITS, "pixels", "{n} pixels"),
    (decode, "MOST_CHUNKS", "{n} PNG chunks"),
    (decode, "MOST_SCANS", "{n} JPEG scans"),
    (arrays, "MOST_MEMBERS", "{n} members"),
    (arrays, "MOST_IMAGES", "{n} images and"),
    (EVIDENCE_LIMITS, "array_bytes", "{mib} MiB unpacked"),
    (verify, "MOST_FILES", "{n} files, 256 MiB each"),
    (verify, "MOST_BYTES", "{mib} MiB each"),
    (verify, "MOST_TOGETHER", "{mib} MiB together"),
    (verify, "MOST_JSON", "{mib} MiB for a card"),
    (limits, "MOST_BODY", "{mib} MiB, 64 files"),
    (submission, "MOST_FILES", "{n} files and 256 images a request"),
    (submission, "MOST_IMAGES", "{n} images a request"),
    (limits, "MOST_HELD", "{mib} MiB of bodies at once"),
    (batching, "MOST_WAITING", "{n} images in the queue"),
    (limits, "MOST_REQUESTS", "{n} requests at work"),
    (run, "HEADER_SECONDS", "{n:g} seconds for a request's head"),
    (limits, "SLOWEST", "{kib} KiB a second for its body"),
]


@cache
def written() -> str:
    """The schema of today's code."""
    schema: Callable[[], str] = runpy.run_path(str(DOCS / "generate.py"))["verdict_schema"]
    return schema()


def one_line(path: Path) -> str:
    return " ".join(path.read_text().split())


@pytest.mark.parametrize(("where", "name", "text"), LIMITS, ids=lambda value: value if isinstance(value, str) else "")
def test_security_names_the_limits_of_the_code(where: object, name: str, text: str) -> None:
    limit = getattr(where, name)
    said = text.replace("{n}", "{n:,}").format(n=limit, mib=int(limit) >> 20, kib=int(limit) >> 10)
    assert said in one_line(ROOT / "SECURITY.md")


def test_the_schema_is_that_of_the_model() -> None:
    assert SCHEMA.read_text() == written(), "run `python docs/generate.py`"


def test_a_changed_verdict_has_another_version() -> None:
    shape = re.sub(r'"(description|title)": "([^"\\]|\\.)*",?', "", written())
    digest = hashlib.sha256("".join(shape.split()).encode()).hexdigest()
    remedy = f"raise VERDICT_VERSION and add {digest!r} to VERSIONS"
    assert VERSIONS.get(VERDICT_VERSION) == digest, remedy
    assert list(VERSIONS) == list(range(1, VERDICT_VERSION + 1))


def test_a_verdict_is_as_the_schema_says(bundle: Path) -> None:
    examiner = redhanded.Examiner.load(bundle)
    (verdict,) = examiner.attribute(list(examiner.bundle.examples[:1].numpy()))
    schema = json.loads(SCHEMA.read_text())
    said = json.loads(verdict.model_dump_json())
    assert said["schema_version"] == VERDICT_VERSION
    jsonschema.Draft202012Validator(schema).validate(said)
    with pytest.raises(jsonschema.ValidationError, match="findings"):
        jsonschema.Draft202012Validator(schema).validate({**said, "findings": []})


def test_every_room_has_a_page_of_reference() -> None:
    rooms = {path.parent.name for path in (ROOT / "src" / "redhanded").glob("*/__init__.py")}
    alone = {path.stem for path in (ROOT / "src" / "redhanded").glob("*.py") if not path.stem.startswith("__")}
    pages = {path.stem for path in (DOCS / "reference").glob("*.md")}
    assert rooms | alone | {"redhanded", "verdict"} == pages | {"cli"}  # that of the command line is made by typer


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {redhanded.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_classifiers_are_the_versions_that_the_workflow_tests() -> None:
    tested = re.search(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "checks.yml").read_text())
    named = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text]
    assert tested is not None
    assert re.findall(r"[\d.]+", tested[1]) == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_hook_is_the_linter_of_the_checks() -> None:
    (wanted,) = [text for text in PROJECT["optional-dependencies"]["dev"] if text.startswith("ruff")]
    hooked = re.search(r"ruff-pre-commit\n +rev: v(\d+\.\d+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert hooked is not None
    assert f">={hooked[1]}," in wanted


def test_targets_that_contributing_names_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"test", "test-fast", "check", "coverage", "docs"} <= named <= targets
