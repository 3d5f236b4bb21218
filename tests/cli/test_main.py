"""The command line as a user meets it: real processes, their output, their errors and their end."""

import csv
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from redhanded.cli.catalogue import CATALOGUE, rows_of
from redhanded.cli.main import main
from redhanded.core import read_record
from redhanded.engine import RunCard, RunFolder
from redhanded.sets import read_column
from redhanded.sets.adversarial_set import COLUMNS
from redhanded.studies.spec import BUILT_IN
from support.processes import PATIENCE, on_terminal, wait_for
from support.tiny_study import write_source, write_study

REDHANDED = Path(sys.executable).with_name("redhanded")
HINT = "redhanded: interrupted; run the same command to go on"


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_not_ignored() -> None:
    """A background job of a shell has SIGINT ignored, and so would every process that the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str

    def one_line(self) -> str:
        """The only line of the errors, of a command that ended with 2."""
        assert (self.code, self.err.count("\n"), self.err[:11]) == (2, 1, "redhanded: "), self
        return self.err


def redhanded(*words: object, program: Sequence[object] = (REDHANDED,)) -> Answer:
    command = [str(word) for word in (*program, *words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """The same in this process, which has torch already: for what does not need a process of its own."""

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["redhanded", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return Answer(int(end.value.code or 0), *capsys.readouterr())

    return call


@dataclass(frozen=True)
class Job:
    """The tiny study as a command, with an output of its own."""

    files: Path
    out: Path

    def words(self, *more: object) -> list[str]:
        source = f"bars={self.files / 'bars.npz'}"
        run = ["run", self.files / "tiny.toml", "--source", source, "--out", self.out, "--workers", 2]
        return [str(word) for word in (*run, *more)]

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.out)

    def marks(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (self.out / "steps").glob("*.json")}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_source(folder / "bars.npz")
    write_study(folder / "tiny.toml")
    return folder


@pytest.fixture(scope="session")
def whole(files: Path) -> tuple[Job, Answer]:
    """The one uninterrupted run of this file, and what it said."""
    job = Job(files, files / "whole")
    return job, redhanded(*job.words())


@pytest.fixture
def job(files: Path, tmp_path: Path) -> Job:
    return Job(files, tmp_path / "run")


@pytest.fixture
def copied(whole: tuple[Job, Answer], tmp_path: Path) -> RunFolder:
    """The records of the run and the images of its figure alone, to be spoilt."""
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(whole[0].folder.results, copy.results)
    shutil.copyfile(whole[0].folder.card, copy.card)
    shutil.copyfile(whole[0].folder.figure2, copy.figure2)
    return copy


def results(folder: RunFolder) -> dict[str, Any]:
    """Every record of the results without what the clock says."""
    paths = sorted(folder.results.rglob("*.json"))
    records = {str(path.relative_to(folder.results)): json.loads(path.read_text()) for path in paths}
    for record in records.values():
        del record["seconds"]
    return records


def children(parent: int) -> set[int]:
    """The living processes below a process."""
    found: set[int] = set()
    parents = {pid: status[1] for pid in _pids() if (status := _status(pid)) and status[0] != "Z"}
    above = {parent}
    while above:
        above = {pid for pid, its_parent in parents.items() if its_parent in above} - found
        found |= above
    return found


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _status(pid: int) -> tuple[str, int] | None:
    """State and parent of a process."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return state, int(parent)


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if (status := _status(pid)) and status[0] != "Z"}


def _deaf_to_ctrl_c(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return bool((int(fields["SigBlk"], 16) | int(fields["SigIgn"], 16)) & 1 << (signal.SIGINT - 1))


# --- run


def test_run_tells_each_step_in_json_and_ends_with_the_report(whole: tuple[Job, Answer]) -> None:
    job, answer = whole
    assert (answer.code, answer.err) == (0, "")
    lines = [line for line in answer.out.splitlines() if line.startswith("{")]
    told = [json.loads(line) for line in lines]
    assert answer.out.startswith(lines[0])
    assert answer.out.splitlines()[: len(lines)] == lines  # nothing in between
    assert [line["done"] for line in told] == list(range(1, len(job.marks()) + 1))
    assert {line["of"] for line in told} == {len(job.marks())}
    assert {line["stage"] for line in told} == {"victims", "adversarial sets", "attributors", "questions"}
    assert [line["seconds"] for line in told] == sorted(line["seconds"] for line in told)
    assert {"train alexnet", "train other", "joint, cnn6, uint8"} <= {line["step"] for line in told}
    assert f"report: {job.out}/report/report.html" in answer.out
    assert f"next:   redhanded bundle {job.out} --out {job.out}/bundle" in answer.out
    assert (job.out / "report" / "report.html").is_file()
    assert read_record(RunCard, job.folder.card).command.startswith("redhanded run ")


def test_a_killed_run_leaves_no_process_and_goes_on(whole: tuple[Job, Answer], job: Job) -> None:
    wanted = job.words("--only", "setting/carlini_wagner-l2", "--only", "setting/fgsm-l2/other")
    with subprocess.Popen([REDHANDED, *wanted], stdout=subprocess.DEVNULL) as running:
        wait_for(lambda: len(job.marks()) >= 8)
        workers = children(running.pid)
        running.kill()
    assert len(workers) >= 2
    wait_for(lambda: not alive(workers))
    before = job.marks()
    assert len(before) >= 8
    assert not list(job.folder.results.rglob("*.json"))  # in the middle: the records are gathered at the end
    answer = redhanded(*wanted)
    assert (answer.code, answer.err) == (0, "")
    told = [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    assert told[0]["done"] == len(before) + 1  # it goes on where it was
    assert {name: job.marks()[name] for name in before} == before
    expected = results(whole[0].folder)
    assert results(job.folder) == {name: expected[name] for name in results(job.folder)}
    found = {name for name in results(job.folder) if name.startswith("questions")}
    asked = ("questions/setting/carlini_wagner-l2/", "questions/setting/fgsm-l2/other/")
    assert found == {name for name in expected if name.startswith(asked)}


@pytest.mark.slow
def test_ctrl_c_while_the_workers_start(job: Job) -> None:
    """Sent to the whole group, as a terminal does: a worker that is still importing must not answer it."""
    running = subprocess.Popen(
        [REDHANDED, *job.words()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with running:
        wait_for(lambda: len(children(running.pid)) >= 3)  # the resource tracker and both workers
        workers = children(running.pid)
        assert [pid for pid in workers if not _deaf_to_ctrl_c(pid)] == []
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE)
    assert (running.returncode, errors) == (130, HINT + "\n")
    wait_for(lambda: not alive(workers))
    assert not read_record(RunCard, job.folder.card).finished


@pytest.mark.slow
def test_on_a_terminal_four_bars_reach_their_totals_and_ctrl_c_is_answered(job: Job) -> None:
    wanted = job.words("--only", "setting/fgsm-l2/other")
    code, screen = on_terminal([REDHANDED, *wanted], interrupt=lambda screen: len(job.marks()) >= 2)
    assert code == 130
    assert screen.rstrip().endswith(HINT)
    assert "Traceback" not in screen
    before = job.marks()
    assert 2 <= len(before) < 1 + 17 + 2 + 2
    code, screen = on_terminal([REDHANDED, *wanted])
    assert code == 0
    assert "Traceback" not in screen
    bars = re.findall(r"(victims|adversarial sets|attributors|questions) +[━╸╺ ]+ *(\d+)/(\d+)", screen)
    totals = {
        "victims": 1,
        "adversarial sets": 5 + 4 * 2 + 4,
        "attributors": 2,
        "questions": 2,
    }  # shards, success, cards
    assert {name: int(of) for name, _, of in bars} == totals
    assert {name: int(done) for name, done, _ in bars} == totals  # the last of each
    assert f"report: {job.out}/report/report.html" in screen.replace("\n", "")
    assert {name: job.marks()[name] for name in before} == before


# --- mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nope"], "expected a study's name ({studies}) or a TOML file, found nope"),
        (["run", "{files}/tiny.toml", "--source", "bars"], "expected --source NAME=PATH, found 'bars'"),
        (["run", "{files}/tiny.toml", "--source", "bars={files}/missing.npz"], "missing.npz"),
        (["run", "{files}/tiny.toml"], "unknown source 'bars'"),
        (["run", "quick", "--scale", "paper"], "expected scale to be one of quick, found 'paper'"),
        (
            ["run", "{files}/tiny.toml", "--source", "bars={files}/bars.npz", "--only", "table9"],
            "expected --only to name one of joint, norm, setting or a question, found 'table9'",
        ),
        (["report", "{files}"], "expected a RunCard at {files}/run.json, found no file"),
        (
            ["attribute", "{files}/grey.png", "--bundle", "{files}"],
            "expected a bundle, a folder with bundle.json, found",
        ),
        (["export", "{files}/nowhere.zarr", "--to", "npz"], "expected an adversarial set (a zarr group) at"),
        (["export", "{files}/nowhere.zarr", "--to", "png", "--out", "{tmp}/out"], "expected an adversarial set with"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    here: Callable[..., Answer], files: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(files / "grey.png")
    filled = [word.format(files=files, tmp=tmp_path / "sub") for word in words]
    out = ["--out", str(tmp_path / "out")] if words[0] == "run" else []
    assert said.format(files=files, studies=", ".join(BUILT_IN)) in here(*filled, *out).one_line()
    assert not (tmp_path / "sub").exists()


@pytest.mark.slow
def test_a_mistake_in_a_process_of_its_own() -> None:
    assert "expected verdicts in nowhere" in redhanded("campaigns", "nowhere").one_line()


def test_the_module_is_the_command() -> None:
    answer = redhanded("list", "victims", program=(sys.executable, "-m", "redhanded"))
    assert (answer.code, answer.err) == (0, "")
    assert "alexnet" in answer.out


def test_a_spawned_worker_does_not_start_the_command_again() -> None:
    runpy.run_module(
        "redhanded", run_name="__mp_main__"
    )  # what multiprocessing does with the main module of its parent


# --- list, --help


@pytest.mark.parametrize("topic", CATALOGUE)
def test_list_prints_the_name_of_every_row_and_cuts_nothing(
    here: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = here("list", topic)
    assert (answer.code, answer.err) == (0, "")
    rows = rows_of(topic)
    first = [line.split()[0] for line in answer.out.splitlines() if not line.startswith(" ")]
    assert first == [next(iter(rows[0])).split()[0], *(next(iter(row.values())) for row in rows)]
    assert "…" not in answer.out
    letters = re.sub(r"\s", "", answer.out)
    assert len(letters) == len(re.sub(r"\s", "", "".join(["".join(rows[0]), *("".join(r.values()) for r in rows)])))


def test_help_names_every_study(here: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    assert f"{', '.join(BUILT_IN)} or a TOML file" in here("run", "--help").out


# --- report


def test_several_trainings_of_an_attributor_stand_beside_each_other(
    here: Callable[..., Answer], whole: tuple[Job, Answer], job: Job
) -> None:
    shutil.copytree(whole[0].out, job.out)
    before = results(whole[0].folder)
    answer = here(*job.words("--seeds", 2, "--only", "norm/fgsm/alexnet"))
    assert answer.code == 0
    after = results(job.folder)
    places = [f"{kind}/norm/fgsm/alexnet/cnn6-{{}}-1.json" for kind in ("questions", "fits")]
    new = {place.format(pixels) for place in places for pixels in ("float32", "uint8")}
    assert after == before | {name: after[name] for name in new}
    assert all(after[name]["seed"] == 1 for name in new if name.startswith("questions"))


def test_report_needs_the_records_alone(
    here: Callable[..., Answer], whole: tuple[Job, Answer], copied: RunFolder
) -> None:
    answer = here("report", copied.root)
    assert (answer.code, answer.err) == (0, "")
    for name in ("results.csv", "report.md"):
        assert (copied.root / "report" / name).read_bytes() == (whole[0].out / "report" / name).read_bytes()
    with (copied.root / "report" / "results.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(list((copied.results / "questions").rglob("*.json")))


# --- export


@pytest.fixture
def adversarial_set(whole: tuple[Job, Answer]) -> Path:
    """FGSM at its smaller size: it has images that do not fool."""
    return next((whole[0].out / "sets" / "other").glob("fgsm-l2-eps=4.0-test-*.zarr"))


@pytest.mark.parametrize("name", ["deep/set.npz", "set"])
def test_an_exported_npz_holds_every_array(
    here: Callable[..., Answer], adversarial_set: Path, tmp_path: Path, name: str
) -> None:
    answer = here("export", adversarial_set, "--to", "npz", "--out", tmp_path / name)
    assert (answer.code, answer.err, answer.out) == (0, "", f"45 images: {tmp_path / name}\n")
    with np.load(tmp_path / name, allow_pickle=False) as arrays:
        assert arrays.keys() == {
            *COLUMNS,
            *(f"{what}_{pixels}" for what in ("prediction", "success") for pixels in ("float32", "uint8")),
        }
        for column in arrays:
            stored = read_column(adversarial_set, column)
            assert arrays[column].dtype == stored.dtype
            assert arrays[column].tobytes() == stored.tobytes()


def test_exported_png_files_are_what_fools_after_rounding(
    here: Callable[..., Answer], adversarial_set: Path, tmp_path: Path
) -> None:
    names = ("index", "label", "images", "prediction_uint8", "success_uint8")
    stored = {name: read_column(adversarial_set, name) for name in names}
    rows = np.flatnonzero(stored["success_uint8"])
    assert 0 < len(rows) < 45
    answer = here("export", adversarial_set, "--to", "png", "--out", tmp_path / "images")
    assert (answer.code, answer.err, answer.out) == (0, "", f"{len(rows)} images: {tmp_path / 'images'}\n")
    with (tmp_path / "images" / "images.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {path.name for path in (tmp_path / "images").glob("*.png")} == {line["file"] for line in table}
    assert len(table) == len(rows)
    for row, line in zip(rows, table, strict=True):
        assert line["file"] == f"{stored['index'][row]:06d}.png"
        assert (line["attack"], line["label"]) == ("fgsm(norm=l2, eps=4.0)", str(stored["label"][row]))
        assert line["prediction_uint8"] == str(stored["prediction_uint8"][row])
        image = np.asarray(Image.open(tmp_path / "images" / line["file"]))
        assert np.array_equal(image, np.rint(stored["images"][row, 0] * 255))


def test_an_export_to_a_place_that_cannot_be_written(
    here: Callable[..., Answer], adversarial_set: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for form in ("npz", "png"):
        said = here("export", adversarial_set, "--to", form, "--out", tmp_path / "file" / "x").one_line()
        assert f"expected to write {tmp_path / 'file' / 'x'}" in said
