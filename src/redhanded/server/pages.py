"""The pages that people read."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import FileResponse, HTMLResponse, Response

from redhanded import __version__
from redhanded.errors import RedhandedError
from redhanded.report import THEMED
from redhanded.server.api import JSON, SiteHere
from redhanded.server.reports import HEADERS, list_reports, report_file
from redhanded.server.responses import RefusedError
from redhanded.server.state import Outcome, Site
from redhanded.server.submission import CLEAN, IMAGES, MOST_FILES, PRIOR, read_submission
from redhanded.studies import DIMENSIONS
from redhanded.verdicts import EXPORTS, KNOWING, Failure, Judgement

router = APIRouter(include_in_schema=False)
STATIC = Path(__file__).parent / "static"
PAGES = {"/": "Attribute", "/bundle": "Bundle", "/campaigns": "Campaigns", "/reports": "Reports", "/docs": "API"}
SHOWN = 3  # alternatives of a dimension before the others are folded away


@router.get("/")
def ask(request: Request, site: SiteHere) -> Response:
    """The form."""
    return _page(request, "ask.html", site, **_form(site), outcomes=[], error="")


@router.post("/")
async def verdicts(request: Request, site: SiteHere) -> Response:
    """The form again, and verdicts on what was sent."""
    outcomes: list[Outcome] = []
    error, status, headers = "", 200, {}
    try:
        outcomes = await site.attribute(await read_submission(request))
    except RefusedError as refused:
        error, status, headers = refused.refusal.error, refused.status, dict(refused.headers)
    except RedhandedError as mistake:
        error, status = str(mistake), 422
    shown = [_shown(one, site) for one in outcomes]
    page = _page(request, "ask.html", site, **_form(site), outcomes=shown, error=error)
    page.status_code = status
    page.headers.update(headers)
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
    """What the monitor has seen."""
    try:
        return _page(request, "campaigns.html", site, campaigns=site.campaigns(), error="")
    except RedhandedError as error:
        return _page(request, "campaigns.html", site, campaigns=[], error=str(error))


@router.get("/reports")
def reports(request: Request, site: SiteHere) -> Response:
    """The runs with a report."""
    found = list(list_reports(site.reports)) if site.reports else []
    return _page(request, "reports.html", site, reports=found)


@router.get("/reports/{run}/{file:path}")
def report(site: SiteHere, run: str, file: str) -> Response:
    """A file of a run's report."""
    if site.reports is None:
        raise RefusedError(404, "expected a server that was started with --reports, found one without")
    return FileResponse(report_file(site.reports, run, file), headers=HEADERS)


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


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("redhanded.server"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return environment


def _page(request: Request, template: str, site: Site, **context: Any) -> HTMLResponse:
    shared = {"pages": PAGES.items(), "path": request.url.path, "site": site, "version": __version__}
    return HTMLResponse(_environment().get_template(f"{template}.j2").render({**shared, **context}))


def _form(site: Site) -> Mapping[str, object]:
    """What the form and its answers need beside the outcomes."""
    return {
        "field": {"images": IMAGES, "clean": CLEAN, "prior": PRIOR},
        "families": site.examiner.families,
        "most": MOST_FILES,
        "downloads": {JSON: JSON.upper(), **{name: row.title for name, row in EXPORTS.items()}},
        "dimensions": DIMENSIONS,
        "top": SHOWN,
    }


def _shown(outcome: Outcome, site: Site) -> Mapping[str, object]:
    """An outcome and, for a verdict, its statement and how the answer was found."""
    found = outcome.found
    if isinstance(found, Failure):
        return {"outcome": outcome, "failure": found, "verdict": None}
    sentences: Sequence[str] = Judgement.of(found, site.examiner.bundle).sentences()
    knowing = KNOWING[found.knowledge]
    return {"outcome": outcome, "failure": None, "verdict": found, "sentences": sentences, "knowing": knowing}
