"""Verdicts for other tools: what `redhanded attribute` can write beside its answer."""

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from redhanded.bundle import Bundle
from redhanded.errors import DataError, RedhandedError
from redhanded.verdicts.export.case import write_case
from redhanded.verdicts.export.manifest import write_manifest
from redhanded.verdicts.export.stix import write_stix
from redhanded.verdicts.verdict import Failure, Verdict

# What was found of the inputs, in their order, and the bundle that was asked -> the text of a file.
EXPORTS: dict[str, Callable[[Sequence[Verdict | Failure], Bundle], str]] = {
    "stix": write_stix,
    "case": write_case,
    "manifest": write_manifest,
}
NEEDED = {"stix": "stix2"}  # packages of the extra `intel`


class ExportError(RedhandedError):
    """An export that needs a package which is not installed."""


def check_exports(names: Iterable[str]) -> None:
    """Raises ExportError, with the command that installs it, where an export of `EXPORTS` lacks its package."""
    for name in names:
        if name in NEEDED and find_spec(NEEDED[name]) is None:
            remedy = "install it: pip install 'redhanded[intel]'"
            raise ExportError(f"expected the package {NEEDED[name]} for --{name}, found none; {remedy}")


def export_found(name: str, found: Sequence[Verdict | Failure], bundle: Bundle, path: Path) -> None:
    """Write a file in one of the formats of `EXPORTS`; raises DataError where it cannot be written."""
    check_exports([name])
    text = EXPORTS[name](found, bundle)
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise DataError(f"expected to write {path}, found: {error.strerror or error}") from None
