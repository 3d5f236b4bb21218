"""Every record of a run, from `results/` of a live run or from the one compressed file of a kept run.

The compressed file holds JSON lines, `{"path": "victims/alexnet.json", "record": {...}}`, sorted by path.
"""

import json
import lzma
import re
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from redhanded.core import R, validate_record
from redhanded.errors import RunError
from redhanded.models import VictimCard
from redhanded.sets import SetCard
from redhanded.studies import AxisResult, Result, Unknown

PACKED = "records.jsonl.xz"  # in the folder of a kept run
LOOSE = "results"  # in the folder of a live run
LARGEST = 64 * 2**20  # bytes of all lines; the largest run so far has a tenth of it
LONGEST = 2**20  # bytes of a line; the longest so far has a fiftieth of it
_MEMORY = 64 * 2**20  # bytes that decompression may take: the dictionary that a hostile header asks for counts
_PATH = re.compile(r"(victims|sets|fits|questions|unknown|axes)(/(?!\.)[^/\\]+)+\.json")


class RunRecords(NamedTuple):
    """The records of a run that a report is made of, each kind in the order of its paths."""

    victims: list[VictimCard]
    sets: list[SetCard]
    results: list[Result]
    unknown: list[Unknown]
    axes: list[AxisResult]


def read_run_records(run: Path) -> RunRecords:
    """Read the records of a run in either form; raises RunError where one is damaged or the run has both forms."""
    raw = _raw_records(run)
    where = run / (PACKED if (run / PACKED).exists() else LOOSE)

    def read(kind: type[R], folder: str) -> list[R]:
        paths = [path for path in raw if path.startswith(f"{folder}/")]
        return [validate_record(kind, raw[path], f"{where}/{path}") for path in paths]

    return RunRecords(
        read(VictimCard, "victims"),
        read(SetCard, "sets"),
        read(Result, "questions"),
        read(Unknown, "unknown"),
        read(AxisResult, "axes"),
    )


def pack_records(run: Path) -> bytes:
    """Compress the records of a run, of either form, into what PACKED holds; the same records give the same bytes."""
    lines = (
        json.dumps({"path": path, "record": record}, ensure_ascii=False, separators=(",", ":"))
        for path, record in _raw_records(run).items()
    )
    return lzma.compress("".join(f"{line}\n" for line in lines).encode())


def _raw_records(run: Path) -> dict[str, Any]:
    """The records as JSON gives them, by their paths below `results/`, in the order of these."""
    packed, loose = run / PACKED, run / LOOSE
    if packed.exists() and loose.exists():
        raise RunError(f"expected {loose} or {packed}, found both; delete the one that is out of date")
    if packed.exists():
        records = _unpack(packed)
    else:
        files = {path.relative_to(loose).as_posix(): path for path in loose.rglob("*.json")}
        records = {name: _parse(path.read_bytes(), str(path)) for name, path in files.items()}
    return {path: records[path] for path in sorted(records, key=lambda path: path.split("/"))}


def _unpack(file: Path) -> dict[str, Any]:
    """The records of a packed file, of at most LARGEST bytes, in bounded memory."""
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        with file.open("rb") as stream:
            lines = reader.decompress(stream.read(LARGEST), max_length=LARGEST + 1)
    except (OSError, lzma.LZMAError) as error:
        raise _damaged(str(file), "JSON lines compressed by xz", str(error)) from None
    if len(lines) > LARGEST:
        raise _damaged(str(file), f"at most {LARGEST} bytes of records", "more")
    if not reader.eof or reader.unused_data:
        raise _damaged(str(file), "one whole xz stream", "a part of one" if not reader.eof else "something after it")
    records: dict[str, Any] = {}
    for number, text in enumerate(lines.splitlines(), start=1):
        where = f"{file}, line {number}"
        if len(text) > LONGEST:
            raise _damaged(where, f"a line of at most {LONGEST} bytes", f"{len(text)} bytes")
        line = _parse(text, where)
        if not isinstance(line, dict) or line.keys() != {"path", "record"}:
            raise _damaged(where, 'an object {"path": ..., "record": ...}', "another")
        path = line["path"]
        if not isinstance(path, str) or not path.isprintable() or not _PATH.fullmatch(path):
            raise _damaged(where, "the path of a record, e.g. victims/alexnet.json", ascii(path)[:80])
        if path in records:
            raise _damaged(where, "each path once", f"{path} again")
        records[path] = line["record"]
    return records


def _parse(text: bytes, where: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise RunError(f"expected a record in JSON in {where}, found: {error}") from None


def _damaged(where: str, expected: str, found: str) -> RunError:
    return RunError(f"expected {expected} in {where}, found {found}; take the file from its source again")
