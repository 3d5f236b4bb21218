"""A request's body: never more of it than allowed, never slower than allowed, and the rest thrown away."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import Message

from redhanded.web.errors import RETRY, RefusedError

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
