"""The journal of a watcher: a `.jsonl` file with one line for each image, the only state that a watcher keeps."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from redhanded.core import Record
from redhanded.errors import RunError, first_problem, writing
from redhanded.verdicts.verdict import Failure, Verdict

_START = b'{"time":"'  # of every line


class Entry(Record):
    """A line of a journal: an image and its verdict, or a file that could not be used and why."""

    time: AwareDatetime  # when it was judged; ISO 8601, UTC
    path: str
    sha256: str  # of the file as received; empty where it could not be read, or was too large to be
    image: int = Field(0, ge=0)  # its place in the file
    images: int = Field(1, ge=1)  # in the file
    verdict: Verdict | None = None
    failure: Failure | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.verdict is None) == (self.failure is None):
            raise ValueError("either a verdict or a failure")
        return self


def read_entries(path: Path) -> Iterator[Entry]:
    """Read the whole lines of a journal, in order; raises RunError in one line where it cannot be read or is none.

    A last line that is not whole, as a writer leaves it that is at work or was killed, is passed over.
    """
    fault = ""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield Entry.model_validate_json(line)
                elif not _START.startswith(line.strip(b"\0")[: len(_START)]):  # a power cut may leave zeros
                    fault = f"line {number}: something else"
    except ValidationError as error:
        fault = f"line {number}: {first_problem(error)}"
    except OSError as error:
        raise RunError(f"expected verdicts in {path}, found: {error.strerror or error}; check the path") from None
    if fault:
        raise RunError(f"expected what redhanded watch wrote in {path}, found in {fault}; name another file")


class Journal:
    """An open journal, made by `open_journal`: it knows its entries' files, and appends to them."""

    def __init__(self, path: Path, lock: Path, entries: Iterable[Entry]) -> None:
        self.path = path
        self._lock = lock
        self._progress: dict[tuple[str, str], tuple[int, int]] = {}
        self._count(entries)

    def progress(self, path: str, sha256: str) -> tuple[int, int]:
        """The number of a file's images that have their lines (its first ones), of how many; (0, 1) where none has."""
        return self._progress.get((path, sha256), (0, 1))

    def own_files(self) -> set[tuple[int, int]]:
        """Device and inode of the journal's own files, which are not to be judged."""
        stats = (file.stat() for file in (self.path, self._lock) if file.exists())
        return {(stat.st_dev, stat.st_ino) for stat in stats}

    def add(self, entries: Sequence[Entry]) -> None:
        """Append lines; they are on the disk when this returns. Raises RunError where they cannot be written."""
        lines = "".join(entry.model_dump_json() + "\n" for entry in entries).encode()
        with writing(self.path, RunError), self.path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self._count(entries)

    def _count(self, entries: Iterable[Entry]) -> None:
        self._progress.update({(each.path, each.sha256): (each.image + 1, each.images) for each in entries})


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal to write to: it is made where there is none, a torn last line is cut off, nobody else may write.

    Raises RunError where another process writes to it, or where the file is something else, which is left as it is.
    """
    path = Path(os.path.realpath(path))  # by whatever name, one file has one lock
    lock = Path(f"{path}.lock")
    with writing(path, RunError):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, timeout=0)
        try:
            held.acquire()
        except Timeout:
            remedy = "found a watcher at work; name another file"
            raise RunError(f"expected nobody else to write {path}, {remedy}") from None
    try:
        with writing(path, RunError):
            path.open("ab").close()
        journal = Journal(path, lock, read_entries(path))
        with writing(path, RunError), path.open("rb+") as file:
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
            os.fsync(file.fileno())
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # so that a new file's name is on the disk as well
            finally:
                os.close(folder)
        yield journal
    finally:
        held.release()
