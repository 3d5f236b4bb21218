"""Limits of the server: who is let in, how large a request may be and how slow."""

import asyncio
import base64
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redhanded.errors import printable
from redhanded.server.responses import RETRY, RefusedError

MOST_BODY = 1 << 24  # bytes of one request
MOST_HELD = 1 << 27  # bytes of all bodies that are held at once
GRACE = 4.0  # seconds that any body may take
SLOWEST = 1 << 17  # bytes a second that buy a body more time
MOST_DRAINED = 1 << 28  # bytes read and thrown away so that a client that is still sending can read why


class Budget:
    """Bytes of request bodies in memory, over all requests."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Raises RefusedError where there is no room."""
        if self.held + count > self.most:
            raise RefusedError(503, "the server holds as much as it can; try again in a second", RETRY)
        self.held += count


class Body:
    """ASGI `receive` of one request, with limits; raises RefusedError where one is passed."""

    def __init__(self, receive: Callable[[], Awaitable[Message]], headers: Headers, budget: Budget) -> None:
        self._receive, self._budget = receive, budget
        self.declared = headers.get("content-length", "0")
        self.ended = self.declared == "0" and "transfer-encoding" not in headers
        self.promised = "expect" in headers  # a body that the client keeps until it is asked for
        self.seen = self._taken = 0
        self._begun: float | None = None

    def check_declared(self) -> None:
        """Refuse by the length that the client declares, before anything is read."""
        if int(self.declared) > MOST_BODY:  # the protocol has refused what is not a number
            raise _too_large(int(self.declared))

    async def receive(self) -> Message:
        """The next message; counts, and waits no longer than the body's pace allows."""
        if self.ended:
            return await self._receive()
        message = await self._next()
        size = len(message.get("body", b""))
        self._budget.take(size)
        self._taken += size
        if self.seen > MOST_BODY:
            raise _too_large(self.seen)
        return message

    async def drain(self) -> None:
        """Throw away what the client still sends, within the limits."""
        try:
            while not self.ended and not self.promised and self.seen <= MOST_DRAINED:
                await self._next()
        except RefusedError:
            pass

    def release(self) -> None:
        """Give back what was taken from the budget."""
        self._budget.held -= self._taken
        self._taken = 0

    async def _next(self) -> Message:
        loop = asyncio.get_running_loop()
        self._begun = self._begun if self._begun is not None else loop.time()
        try:
            async with asyncio.timeout_at(self._begun + GRACE + self.seen / SLOWEST):
                message = await self._receive()
        except TimeoutError:
            self.promised = True  # nothing more is waited for
            raise RefusedError(408, f"expected a body at {SLOWEST:,} bytes a second, found a slower one") from None
        self.seen += len(message.get("body", b""))
        self.ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def _too_large(found: int) -> RefusedError:
    remedy = "send fewer images, or use redhanded attribute"
    return RefusedError(413, f"expected at most {MOST_BODY:,} bytes in a request, found {found:,} or more; {remedy}")


MOST_REQUESTS = 512  # at work at once
READING = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Other sites learn nothing; our own pages must keep their Origin, which `no-referrer` would make "null".
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OPEN_PATHS = ("/healthz",)  # asked by monitors, without a token, however busy the server is


@dataclass
class Gate:
    """ASGI application around the application; token None: on loopback, where the Host header is checked instead."""

    app: ASGIApp
    token: str | None = None
    budget: Budget = field(default_factory=Budget)
    inside: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass the server's start and stop on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = Body(receive, headers, self.budget)
        answer = _Answer(send, body)
        self.inside += 1
        try:
            self._check(scope, headers, body)
            await self.app(scope, body.receive, answer.send)
        except RefusedError as refused:
            await refused.response()(scope, body.receive, answer.send)
        finally:
            self.inside -= 1
            body.release()

    def _check(self, scope: Scope, headers: Headers, body: Body) -> None:
        if scope["path"] in OPEN_PATHS:
            return
        if self.inside > MOST_REQUESTS:
            raise RefusedError(503, f"the server is at work on {MOST_REQUESTS} requests; try again in a second", RETRY)
        _check_host(headers) if self.token is None else _check_token(headers, self.token)
        if scope["method"] not in READING:
            _check_site(headers)
        body.check_declared()


class _Answer:
    """ASGI `send` with our headers; waits with the end of an answer until the client has stopped sending."""

    def __init__(self, send: Send, body: Body) -> None:
        self._send, self._body = send, body

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self._body.ended:
                headers["Connection"] = "close"
        elif not message.get("more_body", False) and not self._body.ended:
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


def _check_host(headers: Headers) -> None:
    """A name that leads here by the attacker's DNS must not be served (DNS rebinding)."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise RefusedError(421, f"expected a Host header of this machine such as localhost, found {_shown(host)}")


def _check_token(headers: Headers, token: str) -> None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    given = {"bearer": value.strip(), "basic": _password(value)}.get(kind.lower(), "")
    if not secrets.compare_digest(given.encode(), token.encode()):
        # Basic alone makes a browser ask, and Chromium overlooks it behind another scheme in the same header.
        challenge = {"WWW-Authenticate": 'Basic realm="redhanded"'}
        remedy = "send Authorization: Bearer TOKEN, or the token as the password"
        raise RefusedError(401, f"expected the token that the server printed when it was started; {remedy}", challenge)


def _check_site(headers: Headers) -> None:
    """Another site's page must not make a browser ask in its user's name."""
    site, origin, host = (headers.get(name) for name in ("sec-fetch-site", "origin", "host"))
    own = site in ("same-origin", "none") if site else origin is None or origin.partition("://")[2] == host
    if not own:
        found = _shown(origin or site)
        raise RefusedError(403, f"expected a request from this server's own page, found one from {found}")


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:  # of the encoding, of the text in it
        return ""


def _shown(text: str | None) -> str:
    return printable(text or "none")[:100]
