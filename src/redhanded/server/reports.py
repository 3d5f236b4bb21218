"""Reports of the runs in a folder, and their files; nothing else of a run is served."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from redhanded.core import read_record
from redhanded.engine import RunCard
from redhanded.errors import RunError
from redhanded.server.responses import RefusedError

KINDS = (".html", ".css", ".svg", ".png", ".csv", ".md")
# A report is a page of its own, with its style inside; it runs nothing and cannot act for the user.
HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-downloads; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}


class RunReport(NamedTuple):
    """A run with a report."""

    name: str  # of its folder
    study: str
    started: str


def list_reports(folder: Path) -> Iterator[RunReport]:
    """The runs directly below a folder that have a report and a card, by name."""
    for run in sorted(folder.iterdir() if folder.is_dir() else ()):
        if not run.is_symlink() and (run / "report" / "report.html").is_file():
            try:
                card = read_record(RunCard, run / "run.json")
            except RunError:
                continue
            yield RunReport(run.name, str(card.study.get("name", "")), card.started)


def report_file(folder: Path, run: str, file: str) -> Path:
    """The path of one file of one run's report; raises RefusedError (404) for all else, links that lead out too."""
    home = folder.resolve() / run / "report"
    try:
        path = (home / file).resolve()
        served = ".." not in (run, *PurePosixPath(file).parts) and path.suffix in KINDS and path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a zero in it
        served = False
    if not served or not path.is_relative_to(home):
        raise RefusedError(404, "expected a file of a run's report, found none; /reports lists the runs")
    return path
