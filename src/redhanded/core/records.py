"""Records: frozen JSON documents, written whole and read strictly."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from redhanded.errors import RunError, first_problem

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """A frozen JSON record; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(Record):
    """What a step of a study records; whoever stores it says under what it was made."""

    seconds: float
    environment: dict[str, str] = {}  # versions of the libraries and the processor's instructions


def write_record(record: Record, path: Path) -> None:
    """Write a record whole: readers see the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_name(path.name + ".part")
    torn.write_text(record.model_dump_json(indent=1) + "\n")
    torn.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of `path` at the end: readers see no folder half written.

    Where filling it fails, `path` stays as it was.
    """
    torn = path.with_name(path.name + ".part")
    shutil.rmtree(torn, ignore_errors=True)
    torn.mkdir(parents=True)
    yield torn
    shutil.rmtree(path, ignore_errors=True)
    torn.replace(path)


def read_record(kind: type[R], path: Path) -> R:
    """Read a record; raises RunError where the file is missing or not such a record."""
    try:
        return validate_record(kind, path.read_bytes(), str(path))
    except FileNotFoundError:
        raise RunError(f"expected a {kind.__name__} at {path}, found no file; is this a run's directory?") from None


def validate_record(kind: type[R], content: Any, where: str) -> R:
    """Make a record of JSON, as bytes or parsed; raises RunError, which names `where`, unless it is such a record."""
    try:
        return kind.model_validate_json(content) if isinstance(content, bytes) else kind.model_validate(content)
    except ValidationError as error:
        whole = "" if error.errors()[0]["loc"] else "the file"
        raise RunError(f"expected a {kind.__name__} in {where}, found: {first_problem(error, whole)}") from None
