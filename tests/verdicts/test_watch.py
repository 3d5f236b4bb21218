"""`redhanded watch`: everything in a folder once, whatever happens; `redhanded campaigns`: what belongs together."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import redhanded
from redhanded.cli.main import main
from redhanded.errors import DataError, RunError
from redhanded.sets import write_png
from redhanded.verdicts import Campaign, Entry, Failure, Verdict, read_campaigns, watch_folder
from redhanded.verdicts.evidence import MOST_BYTES
from redhanded.verdicts.examine import BATCH
from redhanded.verdicts.journal import open_journal, read_entries
from redhanded.verdicts.verdict import Alternative
from support.processes import PATIENCE

REDHANDED = Path(sys.executable).with_name("redhanded")
MORNING = datetime(2030, 5, 17, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def examiner(bundle: Path) -> redhanded.Examiner:
    return redhanded.Examiner.load(bundle)


@pytest.fixture(scope="module")
def examples(examiner: redhanded.Examiner) -> np.ndarray:
    """(n, c, h, w) float32 in [0, 1], 8-bit."""
    return examiner.bundle.examples.numpy() / np.float32(255)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "verdicts.jsonl"


def fill(inbox: Path, examples: np.ndarray, count: int) -> list[str]:
    """So many images, no two the same."""
    paths = [inbox / f"{place:05d}.png" for place in range(count)]
    for place, path in enumerate(paths):
        image = examples[place % len(examples)].copy()
        image[0, 0, :3] = [digit / 255 for digit in (place // 65536, place // 256 % 256, place % 256)]
        write_png(image, path)
    return list(map(str, paths))


def once(examiner: redhanded.Examiner, inbox: Path, out: Path) -> list[Entry]:
    return list(watch_folder(examiner, inbox, out, interval=0, once=True))


def marks(entries: list[Entry]) -> Counter[tuple[str, str, int]]:
    return Counter((entry.path, entry.sha256, entry.image) for entry in entries)


def looks(*between: Callable[[], object]) -> Callable[[float], bool]:
    """How to wait: after each look, which asks for a wait, the next of these is done; then it ends."""
    steps = iter(between)

    def wait(seconds: float) -> bool:
        step = next(steps, None) if seconds else len
        if seconds and step is not None:
            step()
        return step is None

    return wait


def nothing() -> None:
    """Between two looks nobody does anything."""


def test_every_file_has_its_line_once_and_a_restart_adds_none(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    paths = fill(inbox, examples, 3)
    (inbox / "below").mkdir()
    np.savez(inbox / "below" / "several.npz", images=examples[:4])
    (inbox / "notes.png").write_text("not an image")
    (inbox / ".hidden.png").write_text("being written")
    before = datetime.now(UTC)
    yielded = once(examiner, inbox, out)
    assert list(read_entries(out)) == yielded
    names = [entry.verdict.name for entry in yielded if entry.verdict]
    assert sorted(names) == sorted([*paths, *(f"{inbox}/below/several.npz[{place}]" for place in range(4))])
    (failure,) = [entry.failure for entry in yielded if entry.failure]
    assert failure.name == f"{inbox}/notes.png"
    assert "\n" not in failure.error
    for entry in yielded:
        assert before <= entry.time <= datetime.now(UTC)
        assert entry.sha256 == hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
    assert once(examiner, inbox, out) == []
    assert list(read_entries(out)) == yielded


def test_a_verdict_is_what_attribute_says(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    fill(inbox, examples, 2)
    assert [entry.verdict for entry in once(examiner, inbox, out)] == [
        one.verdict for one in examiner.attribute_files([inbox])
    ]
    blind = list(watch_folder(examiner, inbox, out.with_name("blind"), interval=0, once=True, blind=True))
    assert {entry.verdict.knowledge for entry in blind if entry.verdict} == {"blind"}


def test_the_folder_may_be_spelt_in_another_way(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(inbox, examples, 2)
    assert len(once(examiner, inbox, out)) == 2
    monkeypatch.chdir(inbox.parent)
    assert once(examiner, Path("inbox"), Path("verdicts.jsonl")) == []


def test_wherever_a_line_was_torn_nothing_is_lost_and_nothing_said_twice(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    fill(inbox, examples, 1)
    np.savez(inbox / "several.npz", images=examples[:3])
    (inbox / "zero.png").write_bytes(b"")
    whole = marks(once(examiner, inbox, out))
    assert set(whole.values()) == {1}
    assert len(whole) == 5
    written = out.read_bytes()
    ends = [place + 1 for place, byte in enumerate(written) if byte == ord("\n")]
    for cut in {0, 1, 8, *ends, *(end - 1 for end in ends), *range(20, len(written), len(written) // 9)}:
        for rest in (b"", b"\0" * 40):
            out.write_bytes(written[:cut] + rest)
            once(examiner, inbox, out)
            assert marks(list(read_entries(out))) == whole, cut


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0), (signal.SIGINT, 0)]
)
def test_a_watcher_that_is_ended_amid_its_work_is_gone_on_with(
    examiner: redhanded.Examiner,
    bundle: Path,
    examples: np.ndarray,
    inbox: Path,
    out: Path,
    number: signal.Signals,
    code: int,
) -> None:
    count = 2 * BATCH + 10
    paths = fill(inbox, examples, count)
    command = [REDHANDED, "watch", inbox, "--bundle", bundle, "--out", out, "--interval", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # the first batch is on the disk; nobody reads on, so the next waits
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (code, "")
    done = list(read_entries(out))
    assert len(done) >= BATCH
    if code == 0:
        assert out.read_bytes().endswith(b"}\n")
        assert len(done) in {BATCH, 2 * BATCH}  # after the batch that it was at
    once(examiner, inbox, out)
    assert Counter(entry.path for entry in read_entries(out)) == Counter(paths)


def test_a_file_that_is_being_written_is_waited_for(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    write_png(examples[0], out.with_suffix(".png"))
    data = out.with_suffix(".png").read_bytes()
    path = inbox / "slow.png"
    path.write_bytes(data[:50])
    wait = looks(*(lambda end=end: path.write_bytes(data[:end]) for end in (60, 70, len(data))), nothing, nothing)
    (entry,) = watch_folder(examiner, inbox, out, wait=wait)
    assert entry.verdict
    assert entry.sha256 == hashlib.sha256(data).hexdigest()


def test_once_waits_for_what_was_there_and_not_for_what_comes_later(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    (first,) = fill(inbox, examples, 1)

    def grows() -> None:
        with Path(first).open("ab") as file:
            file.write(b"tail")
        comes()

    def comes() -> None:
        (inbox / f"{len(list(inbox.iterdir()))}.txt").write_text("later")

    wait = looks(grows, comes, lambda: pytest.fail("it should have ended"))
    entries = list(watch_folder(examiner, inbox, out, once=True, wait=wait))
    assert first in {entry.path for entry in entries}


def test_new_bytes_are_a_new_image_and_so_is_another_path(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    def put(name: str, place: int) -> None:
        write_png(examples[place], inbox / name)

    wait = looks(
        lambda: put("a.png", 0),
        nothing,
        lambda: put("b.png", 0),
        nothing,
        lambda: put("a.png", 1),
        nothing,
        lambda: put("a.png", 0),
        nothing,
        lambda: (inbox / "b.png").unlink(),
        lambda: put("b.png", 0),
        nothing,
    )
    entries = list(watch_folder(examiner, inbox, out, wait=wait))
    assert [Path(entry.path).name for entry in entries] == ["a.png", "b.png", "a.png"]
    assert [entry.sha256 == entries[0].sha256 for entry in entries] == [True, True, False]


def test_what_changes_or_vanishes_between_the_look_and_its_turn(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    paths = fill(inbox, examples, BATCH + 2)
    changed, vanished = map(Path, paths[-2:])
    entries: list[Entry] = []
    for entry in watch_folder(examiner, inbox, out, wait=looks(nothing, nothing, nothing)):
        if not entries:
            vanished.unlink()
            write_png(examples[5], changed)
        entries.append(entry)
    assert Counter(entry.path for entry in entries) == Counter(paths[:-1])
    assert entries[-1].sha256 == hashlib.sha256(changed.read_bytes()).hexdigest()


def test_a_hostile_folder(examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path) -> None:
    (inbox / "loop").symlink_to(inbox)
    (inbox / "round.png").symlink_to(inbox / "round.png")
    (inbox / "nowhere.png").symlink_to(inbox / "gone.png")
    os.mkfifo(inbox / "pipe.png")
    (inbox / "empty.png").touch()
    with (inbox / "huge.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    for name in (b"no \xff utf-8.png", b"two\nlines.png"):
        write_png(examples[0], Path(os.fsdecode(os.fsencode(inbox) + b"/" + name)))
    Path(os.fsdecode(os.fsencode(inbox) + b"/bad \xfe.png")).write_text("x")
    entries = once(examiner, inbox, out)
    good = {Path(entry.path).name for entry in entries if entry.verdict}
    assert good == {"no \\xff utf-8.png", "two\nlines.png"}
    failures = [entry.failure for entry in entries if entry.failure]
    assert len(failures) == 6
    assert all(failure.error.isprintable() for failure in failures)
    assert once(examiner, inbox, out) == []
    assert marks(list(read_entries(out))) == marks(entries)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_judged_when_it_may(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    (path,) = fill(inbox, examples, 1)
    Path(path).chmod(0)
    wait = looks(nothing, nothing, lambda: Path(path).chmod(0o600), nothing)
    entries = list(watch_folder(examiner, inbox, out, wait=wait))
    assert [bool(entry.verdict) for entry in entries] == [False, True]


def test_its_own_files_are_not_judged(examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path) -> None:
    paths = fill(inbox, examples, 2)
    wait = looks(nothing, nothing, nothing, nothing)
    assert [entry.path for entry in watch_folder(examiner, inbox, inbox / "out.jsonl", wait=wait)] == paths
    assert once(examiner, inbox, inbox / "out.jsonl") == []


def test_a_folder_that_goes_away_and_comes_back(
    examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    paths = fill(inbox, examples, 2)
    away = inbox.with_name("away")

    def goes() -> None:
        inbox.rename(away)
        inbox.write_text("a file in its place is not what was to be watched")

    def comes() -> None:
        inbox.unlink()
        away.rename(inbox)

    wait = looks(nothing, goes, nothing, nothing, comes, nothing)
    assert [entry.path for entry in watch_folder(examiner, inbox, out, wait=wait)] == paths


@pytest.mark.slow
def test_thousands_at_once(examiner: redhanded.Examiner, examples: np.ndarray, inbox: Path, out: Path) -> None:
    paths = fill(inbox, examples, 2000)
    assert [entry.path for entry in once(examiner, inbox, out)] == paths


def test_an_image_that_the_bundle_cannot_be_asked_about_stops_no_other(
    bundle: Path, examples: np.ndarray, inbox: Path, out: Path
) -> None:
    examiner = redhanded.Examiner.load(bundle)
    examiner.panels = {place: panel for place, panel in examiner.panels.items() if place[0] == "uint8"}
    fill(inbox, examples, 3)
    np.save(inbox / "00001.npy", examples[0] * np.float32(0.999))
    entries = once(examiner, inbox, out)
    assert [entry.failure is None for entry in entries] == [True, False, True, True]
    assert "float32" in (entries[1].failure or Failure(name="", error="")).error


def test_two_watchers_do_not_share_a_file(examiner: redhanded.Examiner, inbox: Path, out: Path) -> None:
    link = out.with_name("link.jsonl")
    link.symlink_to(out)
    with open_journal(out), pytest.raises(RunError, match="found a watcher at work"):
        once(examiner, inbox, link)
    assert once(examiner, inbox, link) == []


@pytest.mark.parametrize("content", [b"mine", b"mine\n", b'{"time":"2030-01-01T00:00:00Z"}\n', b'{"a":1}', b"\xff\n"])
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    examiner: redhanded.Examiner, inbox: Path, out: Path, content: bytes
) -> None:
    out.write_bytes(content)
    with pytest.raises(RunError, match="expected what redhanded watch wrote in") as told:
        once(examiner, inbox, out)
    assert "\n" not in str(told.value)
    assert out.read_bytes() == content


def test_a_folder_and_a_file_that_are_not_there(examiner: redhanded.Examiner, inbox: Path, out: Path) -> None:
    with pytest.raises(DataError, match="expected a folder, found none"):
        once(examiner, inbox / "none", out)
    (inbox / "file").touch()
    for bad in (inbox, inbox / "file" / "out.jsonl"):
        with pytest.raises(RunError, match="expected"):
            once(examiner, inbox, bad)
    with pytest.raises(RunError, match="No such file"):
        read_campaigns(inbox / "none.jsonl")


# Campaigns


@pytest.fixture(scope="module")
def verdict(examiner: redhanded.Examiner) -> Verdict:
    """Of an image that the bundle is sure enough of."""
    found = examiner.attribute(examiner.bundle.examples)
    return next(one for one in found if not one.unknown and one.findings["adversarial"].ranked[0].name != "control")


def named(verdict: Verdict, dimension: str, name: str) -> Verdict:
    """The same, but that another name is the likeliest in one dimension."""
    finding = verdict.findings[dimension]
    others = [one for one in finding.ranked if one.name != name]
    ranked = [Alternative(name=name, probability=0.9, words="very likely"), *others]
    changed = finding.model_copy(update={"ranked": ranked})
    return verdict.model_copy(update={"findings": verdict.findings | {dimension: changed}})


def write(out: Path, *verdicts: tuple[float, Verdict]) -> Path:
    """A journal of verdicts and the hours at which they were given."""
    with open_journal(out) as journal:
        for place, (hours, verdict) in enumerate(verdicts):
            time = MORNING + timedelta(hours=hours)
            journal.add([Entry(time=time, path=str(place), sha256=f"{place:064x}", verdict=verdict)])
    return out


@pytest.mark.parametrize("dimension", ["family", "setting", "victim"])
def test_the_same_names_are_one_campaign_and_others_another(verdict: Verdict, out: Path, dimension: str) -> None:
    other = named(verdict, dimension, "another").model_copy(update={"name": "other.png"})
    one, two = read_campaigns(write(out, (0, verdict), (1, other), (2, verdict)))
    assert (one.count, one.names, one.first, one.last) == (2, [verdict.name] * 2, MORNING, MORNING + timedelta(hours=2))
    assert (two.count, two.names, two.first) == (1, ["other.png"], MORNING + timedelta(hours=1))
    assert getattr(two, dimension) == "another"
    assert one.family == verdict.findings["family"].ranked[0].name


def test_a_gap_ends_a_campaign(verdict: Verdict, out: Path) -> None:
    write(out, *((hours, verdict) for hours in (0, 24, 47, 72, 96.1)))
    assert [campaign.count for campaign in read_campaigns(out)] == [3, 1, 1]
    assert [campaign.count for campaign in read_campaigns(out, timedelta(hours=26))] == [5]


def test_controls_unknown_and_failures_are_in_none(verdict: Verdict, out: Path) -> None:
    unknown = verdict.as_unknown("its features are strange")
    write(out, (0, unknown), (1, named(verdict, "adversarial", "control")))
    with open_journal(out) as journal:
        journal.add([Entry(time=MORNING, path="x", sha256="", failure=Failure(name="x", error="expected"))])
    assert read_campaigns(out) == []


def test_what_they_say_together_is_what_attribute_says_of_them_together(
    examiner: redhanded.Examiner, out: Path
) -> None:
    best: dict[tuple[str, ...], list[tuple[Verdict, int]]] = {}
    for place, each in enumerate(examiner.attribute(examiner.bundle.examples)):
        names = tuple(finding.ranked[0].name for finding in each.findings.values())
        if not each.unknown and names[0] != "control":
            best.setdefault(names, []).append((each, place))
    group = max(best.values(), key=len)
    assert len(group) > 1
    (campaign,) = read_campaigns(write(out, *((0, each) for each, _ in group)))
    (together,) = examiner.attribute([examiner.bundle.examples[place] for _, place in group], together=True)
    for dimension, finding in together.findings.items():
        expected = {one.name: one.probability for one in finding.ranked}
        found = {one.name: one.probability for one in campaign.combined[dimension]}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-9)
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_campaigns_on_the_command_line(
    verdict: Verdict, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(out, (0, verdict), (1, verdict))
    with out.open("ab") as file:
        file.write(b'{"time":"2030-0')  # a watcher is at work
    monkeypatch.setattr(sys, "argv", ["redhanded", "campaigns", str(out), "--json", "--gap", "2"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert Campaign.model_validate_json(line) == read_campaigns(out)[0]
    assert json.loads(line)["count"] == 2
    monkeypatch.setattr(sys, "argv", ["redhanded", "campaigns", str(out)])
    with pytest.raises(SystemExit):
        main()
    assert verdict.findings["family"].ranked[0].name[:5] in capsys.readouterr().out
