"""Limits of the server: who is let in, how large a request may be and how slow."""

import asyncio
import base64
import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redhanded.errors import printable
from redhanded.server.responses import RETRY, RefusedError

MOST_REQUESTS = 512  # at work at once
MOST_BODY = 1 << 24  # bytes of one request
MOST_HELD = 1 << 27  # bytes of all bodies that are held at once
GRACE = 4.0  # seconds that any body may take
SLOWEST = 1 << 17  # bytes a second that buy a body more time
MOST_DRAINED = 1 << 28  # bytes read and thrown away so that a client that is still sending can read why
READING = ("GET", "HEAD", "OPTIONS")
OPEN_PATHS = ("/healthz",)  # asked by monitors, without a token, however busy the server is
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


class Budget:
    """Bytes of request bodies in memory, over all requests."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Count bytes in; raises RefusedError where there is no room."""
        if self.held + count > self.most:
            raise RefusedError(503, "the server holds as much as it can; try again in a second", RETRY)
        self.held += count


class Exchange:
    """ASGI `receive` and `send` of one request, within the limits of its body."""

    def __init__(self, headers: Headers, receive: Receive, send: Send, budget: Budget) -> None:
        self._receive, self._send, self._budget = receive, send, budget
        declared = headers.get("content-length", "0")
        self.declared = int(declared)  # the protocol has refused what is not a number
        self._ended = declared == "0" and "transfer-encoding" not in headers
        self._promised = "expect" in headers  # a body that the client keeps until it is asked for
        self._seen = self.taken = 0  # bytes that came, bytes that are held
        self._begun: float | None = None

    async def receive(self) -> Message:
        """The next message; raises RefusedError where the body is too large, too slow, or one too many."""
        if self._ended:
            return await self._receive()
        message = await self._next()
        size = len(message.get("body", b""))
        self._budget.take(size)
        self.taken += size
        check_size(self._seen)
        return message

    async def send(self, message: Message) -> None:
        """Send with our headers; the end of an answer waits until the client has stopped sending, within the limits."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self._ended:
                headers["Connection"] = "close"
        elif not message.get("more_body", False) and not self._ended:
            await self._send({**message, "more_body": True})
            try:
                while not self._ended and not self._promised and self._seen <= MOST_DRAINED:
                    await self._next()
            except RefusedError:
                pass
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _next(self) -> Message:
        loop = asyncio.get_running_loop()
        self._begun = self._begun if self._begun is not None else loop.time()
        try:
            async with asyncio.timeout_at(self._begun + GRACE + self._seen / SLOWEST):
                message = await self._receive()
        except TimeoutError:
            self._promised = True  # nothing more is waited for
            raise RefusedError(408, f"expected a body at {SLOWEST:,} bytes a second, found a slower one") from None
        self._seen += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


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
        exchange = Exchange(headers, receive, send, self.budget)
        self.inside += 1
        try:
            if scope["path"] not in OPEN_PATHS:
                self._check(scope["method"], headers)
                check_size(exchange.declared)
            await self.app(scope, exchange.receive, exchange.send)
        except RefusedError as refused:
            await refused.response()(scope, exchange.receive, exchange.send)
        finally:
            self.inside -= 1
            self.budget.held -= exchange.taken

    def _check(self, method: str, headers: Headers) -> None:
        """Let a request in; raises RefusedError for one from whoever must not ask."""
        if self.inside > MOST_REQUESTS:
            raise RefusedError(503, f"the server is at work on {MOST_REQUESTS} requests; try again in a second", RETRY)
        host, origin, site = (headers.get(name) for name in ("host", "origin", "sec-fetch-site"))
        if self.token is None:
            try:
                name = urlsplit(f"//{host or ''}").hostname or ""
            except ValueError:
                name = ""
            if not is_loopback(name):  # a name that leads here by the attacker's DNS (DNS rebinding)
                found = printable(host or "none")[:100]
                raise RefusedError(421, f"expected a Host header of this machine such as localhost, found {found}")
        elif not secrets.compare_digest(_credential(headers).encode(), self.token.encode()):
            # Basic alone makes a browser ask, and Chromium overlooks it behind another scheme in the same header.
            challenge = {"WWW-Authenticate": 'Basic realm="redhanded"'}
            remedy = "send Authorization: Bearer TOKEN, or the token as the password"
            expected = "expected the token that the server printed when it was started"
            raise RefusedError(401, f"{expected}; {remedy}", challenge)
        own = site in ("same-origin", "none") if site else origin is None or origin.partition("://")[2] == host
        if method not in READING and not own:  # another site's page that makes a browser ask in its user's name
            found = printable(origin or site or "none")[:100]
            raise RefusedError(403, f"expected a request from this server's own page, found one from {found}")


def check_size(size: int) -> None:
    """Check the bytes of a body, declared or read; raises RefusedError where they are too many."""
    if size > MOST_BODY:
        remedy = "send fewer images, or use redhanded attribute"
        expected = f"expected at most {MOST_BODY:,} bytes in a request"
        raise RefusedError(413, f"{expected}, found {size:,} or more; {remedy}")


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _credential(headers: Headers) -> str:
    """The token that a request gives as a bearer or as the password of any name; empty where it gives none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # of the encoding, of the text in it
            return ""
    return value.strip() if scheme.lower() == "bearer" else ""
