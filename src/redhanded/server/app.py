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

TOLD = (RefusedError, RedhandedError, RequestValidationError, HTTPException, ClientDisconnect, Exception)


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
        exception_handlers=dict.fromkeys(TOLD, tell),
    )
    app.state.site = site
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC))
    return app


async def tell(request: Request, error: Exception) -> Response:
    """The answer to a request that raised one of the exceptions `TOLD`, as JSON of one line."""
    match error:
        case RefusedError():
            refused = error
        case RedhandedError():
            refused = RefusedError(422, str(error))
        case RequestValidationError():
            problem = first_problem(error)
            refused = RefusedError(422, f"expected parameters that can be used, found {problem}; see /docs")
        case HTTPException():
            asked = f"{request.method} {request.url.path}"[:100]
            text = f"expected a path and method of /docs, found {asked!r}: {error.detail}"
            refused = RefusedError(error.status_code, text, error.headers)
        case ClientDisconnect():
            refused = RefusedError(400, "expected a whole request, found its client gone")  # which nobody reads
        case _:
            refused = RefusedError(500, "the server failed at this request, which is a bug; its log has the details")
    return refused.response()
