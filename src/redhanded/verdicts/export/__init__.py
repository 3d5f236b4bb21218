"""Verdicts for other tools: each format is a module here and a row of `EXPORTS`.

The command line makes an option of each row, the server a download. The rows name their functions and import none, so
that `redhanded --help` does not wait for PyTorch.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

from redhanded.errors import DataError, RedhandedError, writing

if TYPE_CHECKING:
    from redhanded.bundle import Bundle
    from redhanded.verdicts.verdict import Failure, Verdict


class Export(NamedTuple):
    """A row of `EXPORTS`."""

    title: str  # on a button
    summary: str  # the help of the option
    suffix: str  # of a file's name
    media_type: str
    function: str  # MODULE:NAME below this package: (verdicts and failures in their order, bundle) -> text
    package: str | None = None  # that it needs beside our own, of the extra `intel`

    def text(self, answers: Sequence["Verdict | Failure"], bundle: "Bundle") -> str:
        """The content of a file about inputs that a bundle was asked about."""
        content: str = resolve_name(f"{__name__}.{self.function}")(answers, bundle)
        return content


EXPORTS: dict[str, Export] = {
    "stix": Export(
        title="STIX",
        summary="Write a STIX 2.1 bundle.",
        suffix=".stix.json",
        media_type="application/stix+json;version=2.1",
        function="stix:write_stix",
        package="stix2",
    ),
    "case": Export(
        title="CASE",
        summary="Write CASE/UCO JSON-LD.",
        suffix=".case.jsonld",
        media_type="application/ld+json",
        function="case:write_case",
    ),
    "manifest": Export(
        title="manifest",
        summary="Write the SHA-256 of all files.",
        suffix=".sha256",
        media_type="text/plain",
        function="manifest:write_manifest",
    ),
}


class ExportError(RedhandedError):
    """An export that needs a package which is not installed."""


def check_exports(names: Iterable[str]) -> None:
    """Raises ExportError, with the command that installs it, where an export of `EXPORTS` lacks its package."""
    for name in names:
        package = EXPORTS[name].package
        if package is not None and find_spec(package) is None:
            remedy = "install it: pip install 'redhanded[intel]'"
            raise ExportError(f"expected the package {package} for --{name}, found none; {remedy}")


def export_found(name: str, answers: Sequence["Verdict | Failure"], bundle: "Bundle", path: Path) -> None:
    """Write a file in one of the formats of `EXPORTS`; raises DataError where it cannot be written."""
    check_exports([name])
    text = EXPORTS[name].text(answers, bundle)
    with writing(path, DataError):
        path.write_text(text, encoding="utf-8", newline="")
