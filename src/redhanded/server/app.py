"""The application: its paths, and how errors are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from redhanded import __version__
from redhanded.errors import RedhandedError, first_problem
from redhanded.server import api, pages
from redhanded.server.responses import RefusedError
from redhanded.server.state import Site


def make_app(site: Site) -> FastAPI:
    """An application with all paths of a site; its threads end, once they are done, with the application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(
        title="Redhanded",
        version=__version__,
        description="Which attack made this adversarial image?",
        docs_url=None,  # the usual page loads its script from another server
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.site = site
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC))
    for kind, tell in TELLING.items():
        app.add_exception_handler(kind, tell)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 (what the table below promises)
    return error.response()


def _mistake(request: Request, error: Exception) -> Response:
    return RefusedError(422, str(error)).response()


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return RefusedError(
        422, f"expected parameters that can be used, found {first_problem(error)}; see /docs"
    ).response()


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    found = f"{request.method} {request.url.path}"[:100]
    text = f"expected a path and method of /docs, found {found!r}: {error.detail}"
    return RefusedError(error.status_code, text, error.headers or {}).response()


def _gone(request: Request, error: Exception) -> Response:
    return RefusedError(400, "expected a whole request, found its client gone").response()  # which nobody reads


def _bug(request: Request, error: Exception) -> Response:
    return RefusedError(500, "the server failed at this request, which is a bug; its log has the details").response()


TELLING = {
    RefusedError: _refused,
    RedhandedError: _mistake,
    RequestValidationError: _invalid,
    HTTPException: _http,
    ClientDisconnect: _gone,
    Exception: _bug,
}
