"""Verdicts for other tools: what `redhanded attribute` can write beside its answer."""

from collections.abc import Callable, Sequence
from pathlib import Path

from redhanded.bundle import Bundle
from redhanded.desk.records import Verdict
from redhanded.errors import DataError

EXPORTS: dict[str, Callable[[Sequence[Verdict], Bundle], str]] = {}


def export_verdicts(name: str, verdicts: Sequence[Verdict], bundle: Bundle, path: Path) -> None:
    """Write a file in one of the formats of `EXPORTS`; raises DataError where it cannot be written."""
    text = EXPORTS[name](verdicts, bundle)
    try:
        path.write_text(text)
    except OSError as error:
        raise DataError(f"expected to write {path}, found: {error.strerror or error}") from None
