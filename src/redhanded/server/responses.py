"""The records that the server answers with, and the refusal of a request."""

from collections.abc import Mapping, Sequence

from pydantic import Field
from starlette.responses import Response

from redhanded.core import Record
from redhanded.errors import RedhandedError
from redhanded.verdicts import Campaign, Failure, Verdict


class Attribution(Record):
    """Verdicts on what was handed in, in its order, and what could not be used."""

    bundle: str  # SHA-256 of the card of the bundle that answered
    version: str  # of Redhanded
    verdicts: list[Verdict]
    failures: list[Failure]


class Refusal(Record):
    """The reason why nothing was done."""

    error: str  # one line: what was expected, what was found, what to do
    failures: list[Failure] = Field(default_factory=list)  # where files were at fault


class CampaignList(Record):
    """Campaigns in order of their first image."""

    campaigns: list[Campaign]


class Health(Record):
    """The state of the server, and how much it has to do."""

    status: str
    waiting: int  # images accepted and not yet judged


RETRY = {"Retry-After": "1"}  # seconds; a full queue is empty in less


class ServeError(RedhandedError):
    """A server that cannot be started: an address that is not free, a package that is not installed."""


class RefusedError(Exception):
    """A request that is answered with an HTTP status and one line."""

    def __init__(
        self, status: int, error: str, headers: Mapping[str, str] | None = None, failures: Sequence[Failure] = ()
    ) -> None:
        super().__init__(error)
        self.status, self.headers = status, dict(headers or {})
        self.refusal = Refusal(error=error, failures=list(failures))

    def response(self) -> Response:
        """The refusal as JSON."""
        body = self.refusal.model_dump_json() + "\n"
        return Response(body, self.status, self.headers, "application/json")
