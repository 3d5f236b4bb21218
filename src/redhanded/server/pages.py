"""The pages that people read, and the reports of runs; nothing else of a run is served."""

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, Response

from redhanded import __version__
from redhanded.core import read_record
from redhanded.engine import RunCard
from redhanded.errors import RedhandedError, RunError
from redhanded.report import THEMED
from redhanded.server.api import JSON, SiteHere
from redhanded.server.responses import RefusedError
from redhanded.server.state import Outcome, Site
from redhanded.server.submission import CLEAN, IMAGES, MOST_FILES, PRIOR, read_submission
from redhanded.studies import DIMENSIONS
from redhanded.verdicts import EXPORTS, KNOWING, Failure, Judgement

router = APIRouter(include_in_schema=False)
STATIC = Path(__file__).parent / "static"
PAGES = {"/": "Attribute", "/bundle": "Bundle", "/campaigns": "Campaigns", "/reports": "Reports", "/docs": "API"}
SHOWN = 3  # alternatives of a dimension before the others are folded away
REPORT_FILES = (".html", ".css", ".svg", ".png", ".csv", ".md")
# A report is a page of its own, with its style inside; it runs nothing and cannot act for the user.
REPORT_HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-downloads; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
TEMPLATES = Environment(
    loader=PackageLoader("redhanded.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["utc"] = lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@router.get("/")
def ask(request: Request, site: SiteHere) -> Response:
    """The form."""
    return _ask_page(request, site, [], "")


@router.post("/")
async def verdicts(request: Request, site: SiteHere) -> Response:
    """The form again, with verdicts on what was sent."""
    try:
        return _ask_page(request, site, await site.attribute(await read_submission(request)), "")
    except RefusedError as refused:
        page = _ask_page(request, site, [], refused.refusal.error)
        page.status_code = refused.status
        page.headers.update(refused.headers)
    except RedhandedError as mistake:
        page = _ask_page(request, site, [], str(mistake))
        page.status_code = 422
    return page


@router.get("/bundle")
def bundle(request: Request, site: SiteHere) -> Response:
    """The bundle's card."""
    card = site.examiner.bundle.card
    families: dict[tuple[str, str], dict[str, None]] = {}
    for entry in card.sets.values():
        families.setdefault((entry.family, "" if entry.control else entry.norm), {})[entry.label] = None
    return _page(request, "bundle.html", site, card=card, digest=site.examiner.bundle.digest, families=families)


@router.get("/campaigns")
def campaigns(request: Request, site: SiteHere) -> Response:
    """The campaigns that the monitor has seen."""
    try:
        return _page(request, "campaigns.html", site, campaigns=site.campaigns(), error="")
    except RedhandedError as error:
        return _page(request, "campaigns.html", site, campaigns=[], error=str(error))


@router.get("/reports")
def reports(request: Request, site: SiteHere) -> Response:
    """The runs directly below the folder of runs that have a report and a card, by name."""
    listed = []
    for run in sorted(site.reports.iterdir()) if site.reports and site.reports.is_dir() else ():
        if not run.is_symlink() and (run / "report" / "report.html").is_file():
            try:
                card = read_record(RunCard, run / "run.json")
            except RunError:
                continue
            listed.append({"name": run.name, "study": str(card.study.get("name", "")), "started": card.started})
    return _page(request, "reports.html", site, reports=listed)


@router.get("/reports/{run}/{file:path}")
def report(site: SiteHere, run: str, file: str) -> Response:
    """A file of a run's report; raises RefusedError (404) for all else, links that lead out of the report too."""
    if site.reports is None:
        raise RefusedError(404, "expected a server that was started with --reports, found one without")
    home = site.reports.resolve() / run / "report"
    try:
        path = (home / file).resolve()
        served = ".." not in (run, *PurePosixPath(file).parts) and path.suffix in REPORT_FILES and path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a zero in it
        served = False
    if not served or not path.is_relative_to(home):
        raise RefusedError(404, "expected a file of a run's report, found none; /reports lists the runs")
    return FileResponse(path, headers=REPORT_HEADERS)


@router.get("/docs")
def docs(request: Request, site: SiteHere) -> Response:
    """The API, from its OpenAPI description."""
    return _page(request, "docs.html", site, api=request.app.openapi(), base=str(request.base_url).rstrip("/"))


@router.get("/theme.css")
def theme() -> Response:
    """The colours of the reports, in light and dark."""
    light = "".join(f"--{name}:{light};" for name, light, _ in THEMED.values())
    dark = "".join(f"--{name}:{dark};" for name, _, dark in THEMED.values())
    css = f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return Response(css, media_type="text/css")


def _ask_page(request: Request, site: Site, outcomes: Sequence[Outcome], error: str) -> HTMLResponse:
    """The form with its answers: each outcome and, for a verdict, its statement and how the answer was found."""
    shown = []
    for outcome in outcomes:
        answer: dict[str, object] = {"failure": outcome.answer, "verdict": None}
        if not isinstance(outcome.answer, Failure):
            sentences = Judgement.of(outcome.answer, site.examiner.bundle).sentences()
            answer = {"verdict": outcome.answer, "sentences": sentences, "knowing": KNOWING[outcome.answer.knowledge]}
        shown.append({"outcome": outcome, **answer})
    return _page(
        request,
        "ask.html",
        site,
        outcomes=shown,
        error=error,
        field={"images": IMAGES, "clean": CLEAN, "prior": PRIOR},
        families=site.examiner.families,
        most=MOST_FILES,
        downloads={JSON: JSON.upper(), **{name: row.title for name, row in EXPORTS.items()}},
        dimensions=DIMENSIONS,
        top=SHOWN,
    )


def _page(request: Request, template: str, site: Site, **context: Any) -> HTMLResponse:
    shared = {"pages": PAGES.items(), "path": request.url.path, "site": site, "version": __version__}
    return HTMLResponse(TEMPLATES.get_template(f"{template}.j2").render({**shared, **context}))
