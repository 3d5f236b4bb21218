"""The benchmark of starting measures what it says, and leaves a record; how fast it is no test asks."""

import sys
from pathlib import Path

import pytest

from benchmarks import start
from benchmarks.__main__ import main
from benchmarks.records import StartBench
from benchmarks.start import COMMANDS, FOLDER, ONE, PAGE, RECORD, YARDSTICK, Command, bench_start
from redhanded.core import read_record
from redhanded.errors import RedhandedError


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["stand-ins", "whole"])
def test_the_command_measures_every_row_once_a_round(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    if not whole:
        brief = {name: row._replace(words=(sys.executable, "-c", "pass")) for name, row in COMMANDS.items()}
        monkeypatch.setattr(start, "COMMANDS", brief)
    words = ["start", "--bundle", bundle, "--images", 2, "--rounds", 1, "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    assert capsys.readouterr().out == f"page: {tmp_path / PAGE}\n"
    rows = {row.name: row for row in read_record(StartBench, tmp_path / RECORD).rows}
    assert list(rows) == list(COMMANDS)
    assert all(len(row.seconds) == 1 and row.seconds[0] > 0 for row in rows.values())
    page = (tmp_path / PAGE).read_text()
    assert all(row.title in page and row.command in page for row in rows.values())
    assert [row.title for row in rows.values()] == [row.title for row in COMMANDS.values()]


def test_ratios_and_differences_are_of_one_round(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [{"torch": 1.0, "one": 2.0, "folder": 3.0}, {"torch": 10.0, "one": 15.0, "folder": 20.0}]
    rounds.append({"torch": 2.0, "one": 3.0, "folder": 7.5})
    told = iter([seconds for taken in rounds for seconds in taken.values()])
    kept = {name: COMMANDS[name] for name in (YARDSTICK, ONE, FOLDER)}
    monkeypatch.setattr(start, "COMMANDS", kept)
    monkeypatch.setattr(start, "_cpu_seconds", lambda words: next(told))
    torch, one, folder = bench_start(bundle, tmp_path, images=1, rounds=3).rows
    assert (torch.ratio, torch.met) == (1, None)
    assert (one.seconds, one.ratio, one.met) == ([2.0, 15.0, 3.0], 1.5, True)
    assert (folder.beyond_one, folder.met) == (4.5, False)


def test_what_fails_or_cannot_be_written_is_one_line(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    python = Command((sys.executable, "-c", "pass"), "nothing")
    monkeypatch.setattr(start, "COMMANDS", dict.fromkeys((YARDSTICK, ONE), python))
    with pytest.raises(RedhandedError, match="expected to write"):
        bench_start(bundle, tmp_path / "file", images=1, rounds=1)
    monkeypatch.setattr(start, "COMMANDS", {YARDSTICK: Command((sys.executable, "-c", "exit(3)"), "it fails")})
    with pytest.raises(RedhandedError, match="to end well"):
        bench_start(bundle, tmp_path, images=1, rounds=1)
