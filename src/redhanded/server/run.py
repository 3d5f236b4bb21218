"""The server process: sockets, patience with slow clients, and a stop that finishes what was accepted."""

import asyncio
import resource
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from redhanded.server.app import make_app
from redhanded.server.limits import Gate, is_loopback
from redhanded.server.responses import ServeError
from redhanded.server.state import Site
from redhanded.verdicts import Examiner

HEADER_SECONDS = 5.0  # until the head of a request must be whole
READER_SECONDS = 30  # until a client must have taken what it was sent
BACKLOG = 2048  # connections that are not taken up yet
MOST_SOCKETS = 4096  # with everything else that is open


def serve_bundle(
    bundle: Path,
    host: str,
    port: int,
    *,
    reports: Path | None = None,
    verdicts: Path | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Serve until SIGTERM or Ctrl-C; port 0 takes a free one. Raises BundleError or ServeError before it starts."""
    examiner = Examiner.load(bundle)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # often 1024; a thousand clients at once need more
    wanted = MOST_SOCKETS if hard == resource.RLIM_INFINITY else min(MOST_SOCKETS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    listener = _listen(host, port)
    address, port = listener.getsockname()[:2]
    token = None if is_loopback(address) else secrets.token_urlsafe(32)
    gate = Gate(make_app(Site(examiner, reports, verdicts)), token)
    config = uvicorn.Config(
        gate,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    shown = f"[{address}]" if ":" in address else address
    say(f"page:  http://{shown}:{port}/  (stop with Ctrl-C)")
    if token is not None:
        say(f"token: {token}  (in a browser: any name, the token as the password; without TLS it can be overheard)")
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "name another --host or --port"
        raise ServeError(f"expected to listen on {host}, port {port}, found: {reason}; {remedy}") from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a client that takes nothing is given up
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READER_SECONDS * 1000)
    return listener


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which by itself would wait without end for the head of a request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._close = transport.close
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the clock when a head is whole, start it with the first part of the next."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        # uvicorn does not promise that it keeps h11's connection under this name; without it, it waits as it used to.
        connection: h11.Connection | None = getattr(self, "conn", None)
        if connection is None or connection.their_state is not h11.IDLE:
            self._stop()
        elif self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._close)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
