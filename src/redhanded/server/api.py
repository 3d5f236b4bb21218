"""The paths that programs ask."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as PathParameter
from starlette.responses import Response

from redhanded.bundle import BundleCard
from redhanded.server.responses import Attribution, CampaignList, Health, Refusal, RefusedError
from redhanded.server.state import Site
from redhanded.server.submission import Submission, describe_body, read_submission
from redhanded.verdicts import EXPORTS, check_exports

router = APIRouter()
JSON = "json"  # the download of the API's own answer, beside those of `EXPORTS`
REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": Refusal, "description": "Not a well-formed form"},
    408: {"model": Refusal, "description": "The body came too slowly"},
    413: {"model": Refusal, "description": "Too many bytes, files or images"},
    415: {"model": Refusal, "description": "Another content type"},
    422: {"model": Refusal, "description": "No image could be used, or a field makes no sense"},
    503: {"model": Refusal, "description": "Busy; Retry-After says when to come again"},
}
BODY = {"requestBody": describe_body()}


async def site_of(request: Request) -> Site:
    """The site that serves a request."""
    site: Site = request.app.state.site
    return site


SiteHere = Annotated[Site, Depends(site_of)]
Sent = Annotated[Submission, Depends(read_submission)]


@router.post(
    "/api/attribute", response_model=Attribution, responses=REFUSALS, openapi_extra=BODY, summary="Verdicts on images"
)
async def attribute(site: SiteHere, sent: Sent) -> Response:
    """Which attack made each image; images that could not be used are listed as failures beside the verdicts."""
    return _json(site.attribution(await site.attribute(sent)).model_dump_json())


@router.post(
    "/api/picture/{image}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **REFUSALS},
    openapi_extra=BODY,
    summary="The evidence of one verdict as a picture",
)
async def picture(
    site: SiteHere, sent: Sent, image: Annotated[int, PathParameter(ge=0, description="Which image of those sent.")]
) -> Response:
    """Image, estimated or true perturbation, its spectrum, and the nearest known examples, as PNG."""
    outcomes = await site.attribute(sent)
    if image >= len(outcomes):
        raise RefusedError(422, f"expected image to be below {len(outcomes)}, the number of images, found {image}")
    return Response(await site.picture(outcomes[image]), media_type="image/png")


@router.post(
    "/api/export/{name}",
    response_class=Response,
    responses=REFUSALS,
    openapi_extra=BODY,
    summary="Verdicts as a file for other tools",
)
async def export(site: SiteHere, sent: Sent, name: str) -> Response:
    """The verdicts as JSON, STIX 2.1 or another export, as an attachment."""
    if name != JSON and name not in EXPORTS:
        raise RefusedError(404, f"expected one of {', '.join([JSON, *EXPORTS])}, found another export")
    outcomes = await site.attribute(sent)
    attribution = site.attribution(outcomes)
    if name == JSON:
        suffix, media_type, text = f".{JSON}", "application/json", attribution.model_dump_json(indent=1) + "\n"
    else:
        check_exports([name])
        row = EXPORTS[name]
        suffix, media_type = row.suffix, row.media_type
        text = row.text([one.answer for one in outcomes], site.examiner.bundle)
    disposition = {"Content-Disposition": f'attachment; filename="verdicts{suffix}"'}
    return Response(text, headers=disposition, media_type=media_type)


@router.get("/api/bundle", response_model=BundleCard, summary="The card of the bundle that answers")
def bundle(site: SiteHere) -> Response:
    """What the bundle knows, what was measured of it, its limits; the ETag is the SHA-256 of its card."""
    return _json(site.examiner.bundle.card.model_dump_json(), {"ETag": f'"{site.examiner.bundle.digest}"'})


@router.get("/api/campaigns", response_model=CampaignList, summary="Campaigns among the verdicts of a monitor")
def campaigns(site: SiteHere) -> Response:
    """Verdicts of the same family, norm, setting and victim over time; empty where no monitor's file is served."""
    return _json(CampaignList(campaigns=site.campaigns()).model_dump_json())


@router.get("/healthz", response_model=Health, summary="Whether the server works")
def healthz(site: SiteHere) -> Response:
    """503 where nobody works on the queue any more."""
    health = Health(status="ok" if site.worker.alive else "broken", waiting=site.worker.waiting)
    return _json(health.model_dump_json(), status=200 if site.worker.alive else 503)


def _json(text: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(text, status, headers, "application/json")
