"""The benchmark of a bundle measures what it says, and leaves a record; how fast it is no test asks."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.attribute import CLIENTS, MEASURES, PAGE, RECORD, REQUESTS, Job, Measure, bench_attribute
from benchmarks.records import AttributeBench
from redhanded.core import read_record
from redhanded.errors import RedhandedError
from redhanded.verdicts import ExamineOptions, Examiner


@pytest.fixture(scope="module")
def asked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AttributeBench, list[tuple[str, object]]]:
    """A short benchmark, and every call of the examiner."""
    calls: list[tuple[str, object]] = []
    with pytest.MonkeyPatch.context() as patch:
        call, files = Examiner.attribute, Examiner.attribute_files

        def attribute(examiner: Examiner, images: np.ndarray, *, blind: bool = False) -> object:
            calls.append(("blind" if blind else "candidates", np.shape(images)))
            return call(examiner, images, blind=blind)

        def attribute_files(examiner: Examiner, paths: list[Path], options: ExamineOptions) -> object:
            calls.append(("folder", options.blind))
            return files(examiner, paths, options)

        patch.setattr(Examiner, "attribute", attribute)
        patch.setattr(Examiner, "attribute_files", attribute_files)
        out = tmp_path_factory.mktemp("bench")
        bench = bench_attribute(bundle, out, images=4, rounds=2, seconds=0, thread_count=1)
        assert read_record(AttributeBench, out / RECORD) == bench
    return bench, calls


def test_every_row_is_measured_as_often_as_it_says(asked: tuple[AttributeBench, list[tuple[str, object]]]) -> None:
    bench, calls = asked
    assert {timing.name: len(timing.values) for timing in bench.timings} == {
        "load": 2,
        "blind": 4,
        "candidates": 4,
        "folder": 2,
    }
    assert [name for name, _ in calls] == ["blind"] * 7 + ["candidates"] * 7 + ["folder"] * 3
    assert {shape for name, shape in calls if name != "folder"} == {(1, 1, 16, 16)}
    assert {blind for name, blind in calls if name == "folder"} == {True}


def test_the_record_says_on_what_and_how(asked: tuple[AttributeBench, list[tuple[str, object]]], bundle: Path) -> None:
    bench, _ = asked
    assert bench.bundle == Examiner.load(bundle).bundle.digest
    assert (bench.threads, bench.images, bench.source) == (1, 4, "bars")
    assert bench.machine.cores >= 1
    for timing in bench.timings:
        row, values = MEASURES[timing.name], timing.values
        assert min(values) > 0
        assert timing.median == pytest.approx(np.median(values))
        assert timing.worst <= timing.median if row.more else timing.worst >= timing.median
        assert timing.met == (timing.median >= row.target if row.more else timing.median <= row.target)


def test_a_slow_bundle_does_not_meet_its_target(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: Job) -> list[float]:
        return [1.0, 2.0, 9.0]

    for name, more in {"less": False, "more": True}.items():
        monkeypatch.setitem(MEASURES, name, Measure(run, "s", "of the test", 1.5, more=more))
    monkeypatch.setitem(MEASURES, "absent", Measure(run, "s", "of nothing", 1.5, knowledge="nothing"))
    for name in ("load", "blind", "candidates", "folder"):
        monkeypatch.delitem(MEASURES, name)
    bench = bench_attribute(bundle, tmp_path, images=1, rounds=1, seconds=0, thread_count=1)
    assert {timing.name: timing.met for timing in bench.timings} == {"less": False, "more": True}
    assert [round(timing.worst, 2) for timing in bench.timings] == [8.86, 1.02]


@pytest.mark.parametrize("seconds", [0, pytest.param(1, marks=pytest.mark.slow)])  # a server for each kind of request
def test_the_command_writes_a_row_for_each_timing(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    words = ["attribute", "--bundle", bundle, "--images", 2, "--rounds", 1, "--threads", 1]
    words += ["--seconds", seconds, "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    out = capsys.readouterr().out
    assert end.value.code in (0, None)
    assert out == f"page: {tmp_path / PAGE}\n"
    assert all(row.title in (tmp_path / PAGE).read_text() for row in MEASURES.values())
    served = read_record(AttributeBench, tmp_path / RECORD).served
    assert [one.images for one in served] == (list(REQUESTS) if seconds else [])
    for one in served:
        assert one.errors == []
        assert one.requests >= one.clients == CLIENTS
        assert one.rate == pytest.approx(one.requests * min(one.images, 2) / one.seconds)  # two images make a request
        assert one.worst_ms >= one.median_ms > 0
        assert one.peak_mib >= one.idle_mib > 100


def test_what_cannot_be_read_or_written_is_one_line(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RedhandedError, match="expected a bundle"):
        bench_attribute(tmp_path, tmp_path)
    with pytest.raises(RedhandedError, match="expected to write"):
        bench_attribute(bundle, tmp_path / "file", images=1, rounds=1, seconds=0, thread_count=1)
