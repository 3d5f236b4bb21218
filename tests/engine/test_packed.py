"""A kept run: the same records in one file give the same pages, and a damaged file is refused in one line."""

import gzip
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from redhanded.cli.main import app
from redhanded.core import write_record
from redhanded.engine import PACKED, pack_records, read_run_records
from redhanded.engine.packed import LARGEST, LONGEST
from redhanded.errors import RunError
from redhanded.report import keep_run, write_report
from redhanded.sets import GALLERY_FILE
from redhanded.studies import Unknown
from support.report_run import make_run

UNKNOWN = Unknown(
    study="first",
    source="mnist5k",
    family="fgsm",
    attributor="forensic",
    knowledge="blind",
    pixels="float32",
    seed=0,
    n_known=10,
    n_unknown=20,
    closed_accuracy=1 / 3,
    detectors={},
    seconds=1e-7,
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of record and its report, not to be changed."""
    run = make_run(tmp_path_factory.mktemp("live") / "run", names=["alexnet", "vgg16"], kinds=["norm"])
    unknown, fit = run / "results" / "unknown", run / "results" / "fits" / "all" / "forensic-float32-0.json"
    write_record(UNKNOWN, unknown / "fgsm" / "forensic-float32-0.json")
    write_record(UNKNOWN, unknown / "fgsm-late" / "a.json")  # as text before the other, as a path after it
    fit.parent.mkdir(parents=True)
    fit.write_text('{"seconds": 0.1}')
    write_report(run)
    return run


@pytest.fixture(scope="module")
def archive(live: Path) -> bytes:
    """The packed records of that run."""
    return pack_records(live)


@pytest.fixture
def packed(archive: bytes, tmp_path: Path) -> Path:
    """A run of these records alone."""
    run = tmp_path / "packed"
    run.mkdir()
    (run / PACKED).write_bytes(archive)
    return run


@pytest.fixture(scope="module")
def kept(live: Path) -> Path:
    """All that is kept of that run, not to be changed."""
    keep_run(live, live.with_name("kept"))
    return live.with_name("kept")


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def repack(run: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = lzma.decompress((run / PACKED).read_bytes()).splitlines(keepends=True)
    (run / PACKED).write_bytes(lzma.compress(b"".join(edit(lines))))


def test_every_record_is_kept_as_it_was(live: Path, packed: Path) -> None:
    lines = lzma.decompress((packed / PACKED).read_bytes()).splitlines()
    found = {line["path"]: line["record"] for line in map(json.loads, lines)}
    loose = {path.relative_to(live / "results"): path for path in sorted((live / "results").rglob("*.json"))}
    assert list(found) == [path.as_posix() for path in loose]
    assert found == {path.as_posix(): json.loads(file.read_bytes()) for path, file in loose.items()}
    records = read_run_records(packed)
    assert records == read_run_records(live)
    assert [len(kind) for kind in records] == [2, 2 * 2 * 21, 8, 2, 0]


@pytest.mark.slow
def test_a_report_from_packed_records_is_that_from_loose_ones(live: Path, kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "again", ignore=shutil.ignore_patterns("report"))
    write_report(tmp_path / "again")
    loose = tree(live / "report")
    assert tree(tmp_path / "again" / "report") == loose
    assert len(loose) == 9


def test_what_is_kept_is_the_card_the_records_figure_2_and_a_small_report(live: Path, kept: Path) -> None:
    loose, found = tree(live), tree(kept)
    figures = [name for name in loose if name.startswith("report/figures/") and name.endswith(".png")]
    numbers, page = found.pop("report/results.csv.gz"), found.pop("report/report.md")
    assert found == {PACKED: pack_records(live), **{name: loose[name] for name in ("run.json", GALLERY_FILE, *figures)}}
    assert gzip.decompress(numbers) == loose["report/results.csv"]
    assert page == loose["report/report.md"].replace(b"results.csv", b"results.csv.gz")


def test_a_kept_run_is_kept_again_in_its_place(kept: Path, tmp_path: Path) -> None:
    again = shutil.copytree(kept, tmp_path / "again")
    (again / "report" / "report.md").write_text("an older page")
    (again / "report" / "report.html").write_text("too large")
    keep_run(again, again)
    assert tree(again) == tree(kept)
    assert not again.with_name("again.part").exists()


@pytest.mark.usefixtures("undrawn")
def test_the_command_keeps_a_run(small: Path) -> None:
    out = small.parent / "of" / "some" / "name"
    done = CliRunner().invoke(app, ["keep", str(small), "--out", str(out)])
    assert (done.exit_code, "".join(done.stdout.split())) == (0, f"report:{out / 'report' / 'report.md'}")
    assert read_run_records(out) == read_run_records(small)


@pytest.mark.parametrize("name", ["run", "notes"])
def test_a_folder_of_something_else_is_not_replaced(small: Path, name: str) -> None:
    out = small.with_name(name)  # the live run itself, or anything
    out.mkdir(exist_ok=True)
    before = tree(out)
    with pytest.raises(RunError, match="expected a new folder or a kept run at") as caught:
        keep_run(small, out)
    assert "\n" not in str(caught.value)
    assert tree(out) == before


def line(path: object, record: object = None) -> bytes:
    return json.dumps({"path": path, "record": record}).encode() + b"\n"


def bomb(size: int) -> bytes:
    packer, zeros = lzma.LZMACompressor(), bytes(2**20)
    return b"".join([*(packer.compress(zeros) for _ in range(size // len(zeros) + 1)), packer.flush()])


HARM: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "one whole xz stream"),
    "not xz": (lambda data: gzip.compress(b"{}"), "JSON lines compressed by xz"),
    "old lzma": (lambda data: lzma.compress(b"{}", lzma.FORMAT_ALONE), "JSON lines compressed by xz"),
    "cut short": (lambda data: data[:-20], "found a part of one"),
    "a bit turned": (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "JSON lines compressed by xz"),
    "more after it": (lambda data: data + b"more", "found something after it"),
    "a bomb": (lambda data: bomb(LARGEST), "at most .* bytes of records"),
    "a greedy header": (
        lambda data: lzma.compress(b"{}", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**29}]),
        "compressed by xz in .*, found Memory",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_a_file_that_is_no_archive_is_one_line(packed: Path, name: str) -> None:
    harm, message = HARM[name]
    (packed / PACKED).write_bytes(harm((packed / PACKED).read_bytes()))
    told_in_one_line(packed, message)


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{path\n", r"expected a record in JSON in .*records\.jsonl\.xz, line 1, found"),
    "no UTF-8": (b'{"path": "\xff"}\n', "expected a record in JSON"),
    "an empty line": (b"\n", "expected a record in JSON"),
    "a deep nest": (b"[" * 100_000 + b"\n", "expected a record in JSON"),
    "no object": (b"[]\n", "expected an object"),
    "one key more": (line("victims/a.json")[:-2] + b', "more": 1}\n', "expected an object"),
    "a line too long": (line("fits/a.json", "x" * LONGEST), "expected a line of at most"),
    "no text": (line(7), "expected the path of a record"),
    "an unknown path": (line("weights/a.json"), "expected the path of a record"),
    "a path upwards": (line("victims/../a.json"), "expected the path of a record"),
    "a path from the root": (line("/victims/a.json"), "expected the path of a record"),
    "a path of two lines": (line("victims/a\nb.json"), "expected the path of a record"),
    "a path twice": (line("fits/a.json") * 2, "expected each path once"),
    "no record": (
        line("victims/a.json", {"name": 1}),
        r"expected a VictimCard in .*records\.jsonl\.xz/victims/a\.json",
    ),
    "a key of two lines": (line("unknown/a.json", UNKNOWN.model_dump() | {"a\nb": 1}), r"found: a\?b: "),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_told_in_one(packed: Path, name: str) -> None:
    bad, message = BAD_LINES[name]
    repack(packed, lambda lines: [bad, *lines])
    told_in_one_line(packed, message)


def test_lines_may_stand_in_any_order(packed: Path) -> None:
    before = read_run_records(packed)
    repack(packed, lambda lines: lines[::-1])
    assert read_run_records(packed) == before


def test_a_run_in_both_forms_is_refused(live: Path, packed: Path) -> None:
    shutil.copytree(live / "results", packed / "results")
    told_in_one_line(packed, "found both; delete the one that is out of date")


def told_in_one_line(run: Path, message: str) -> None:
    with pytest.raises(RunError, match=message) as caught:
        read_run_records(run)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
