"""The watcher of a folder: every file that appears in it is judged exactly once."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from redhanded.data import bad_data
from redhanded.errors import DataError
from redhanded.verdicts.evidence import Evidence, Read, bytes_of, digest_of, find_files
from redhanded.verdicts.examine import BATCH, ExamineOptions, FileExaminer
from redhanded.verdicts.journal import Entry, Journal, open_journal
from redhanded.verdicts.verdict import Failure, Verdict

Wait = Callable[[float], bool]  # waits for so many seconds; whether to end


# The state of a file: device, inode, size, times (ns) of its last modification and last change. It differs once the
# file was written to, or its permissions were changed.
Look = tuple[int, int, int, int, int]


class Taken(NamedTuple):
    """An image of a file, or why there is none."""

    path: str
    sha256: str
    image: int  # its place in the file
    images: int
    content: Evidence | Failure


def never(seconds: float) -> bool:
    """Sleep for so many seconds, and never ask to end."""
    time.sleep(seconds)
    return False


def watch_folder(
    examiner: FileExaminer,
    folder: Path,
    out: Path,
    *,
    interval: float = 1.0,
    once: bool = False,
    blind: bool = False,
    wait: Wait = never,
) -> Iterator[Entry]:
    """Judge every file of a folder and what appears in it, and yield each line once it is on the disk.

    A file is taken when two looks, `interval` seconds apart, find it unchanged. It is judged once: what `out` has of
    the same path and bytes, written now or by an earlier watcher, is not judged again. A file that cannot be used has
    its line too. once: end when the files that the first look found are done; wait: how to sleep, and whether to end
    after the current batch.

    Raises DataError where there is no such folder, RunError where `out` cannot be written, is something else or is
    written by another watcher; all in one line.
    """
    if not folder.is_dir():
        raise bad_data(folder, "a folder", "none", "make it, or check the path")
    with open_journal(out) as journal:
        for ready in _settled(folder.resolve(), journal, interval, once, wait):
            taken = (one for path, look in ready for one in _take(path, look, examiner.read, journal))
            while batch := list(islice(taken, BATCH)):
                evidence = [content for *_, content in batch if isinstance(content, Evidence)]
                verdicts = iter(_judge(examiner, evidence, ExamineOptions(blind=blind)))
                now = datetime.now(UTC)
                entries = []
                for path, sha256, image, images, content in batch:
                    answer = content if isinstance(content, Failure) else next(verdicts)
                    outcome = {"failure": answer} if isinstance(answer, Failure) else {"verdict": answer}
                    entries.append(Entry(time=now, path=path, sha256=sha256, image=image, images=images, **outcome))
                journal.add(entries)
                yield from entries
                if wait(0):
                    return


def _settled(
    folder: Path, journal: Journal, interval: float, once: bool, wait: Wait
) -> Iterator[Iterable[tuple[Path, Look]]]:
    """For each look at the folder, the files that are as they were at the look before and were not given so yet."""
    before: dict[Path, Look] = {}
    given: dict[Path, Look] = {}
    left: set[Path] | None = None
    while True:
        own = journal.own_files()
        paths = find_files([folder]) if folder.is_dir() else ()  # none while the folder is away
        looks = {path: _look_at(path) for path in paths}
        now = {path: look for path, look in looks.items() if look is not None and look[:2] not in own}
        ready = {path: look for path, look in now.items() if before.get(path) == look != given.get(path)}
        yield ready.items()
        given = {path: look for path, look in (given | ready).items() if path in now}
        waiting = {path for path, look in now.items() if given.get(path) != look}
        left = waiting if left is None else left & waiting
        before = now
        if (once and not left) or wait(interval):
            return


def _look_at(path: Path) -> Look | None:
    """The state of a file, or of a link that leads nowhere; None where it has vanished."""
    for follow in (True, False):
        with suppress(OSError):
            stat = path.stat(follow_symlinks=follow)
            return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    return None


def _take(path: Path, look: Look, read: Read, journal: Journal) -> list[Taken]:
    """The images of a file that have no line yet; none where it changes meanwhile: then a later look takes it."""
    name, digest = os.fsencode(path).decode(errors="backslashreplace"), ""
    contents: Sequence[Evidence | Failure]
    try:
        data = bytes_of(path)
        digest = digest_of(data) or ""
        lines, images = journal.progress(name, digest)
        contents = read(name, data) if lines < images else ()
    except DataError as error:
        contents = [Failure(name=name, error=str(error), sha256=digest or None)]
    if _look_at(path) != look:
        return []
    lines, _ = journal.progress(name, digest)
    return [Taken(name, digest, place, len(contents), one) for place, one in enumerate(contents)][lines:]


def _judge(examiner: FileExaminer, evidence: Sequence[Evidence], options: ExamineOptions) -> list[Verdict | Failure]:
    """Verdicts, or Failures for images that the bundle cannot be asked about: these do not stop the others."""
    try:
        return list(examiner.judge(evidence, options))
    except DataError as error:
        if len(evidence) == 1:
            return [Failure(name=evidence[0].name, error=str(error), sha256=evidence[0].sha256)]
        return [answer for one in evidence for answer in _judge(examiner, [one], options)]
