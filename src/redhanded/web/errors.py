"""What cannot be served, and what is refused to a client."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from starlette.responses import Response

from redhanded.desk.records import Failure
from redhanded.errors import RedhandedError
from redhanded.web.records import Refusal

RETRY = MappingProxyType({"Retry-After": "1"})  # seconds; a full queue is empty in less


class ServeError(RedhandedError):
    """A server that cannot be started: an address that is not free, a package that is not installed."""


class RefusedError(Exception):
    """A request that is answered with an HTTP status and one line."""

    def __init__(
        self,
        status: int,
        error: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        failures: Sequence[Failure] = (),
    ) -> None:
        super().__init__(error)
        self.status, self.headers = status, headers
        self.refusal = Refusal(error=error, failures=list(failures))

    def response(self) -> Response:
        """The refusal as JSON."""
        body = self.refusal.model_dump_json() + "\n"
        return Response(body, self.status, dict(self.headers), "application/json")
