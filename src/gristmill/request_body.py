"""The body of a request: received whole ahead of the view, or as the view reads it."""

import asyncio
import contextlib
import io
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError
from typing import IO, TYPE_CHECKING, Any

from gristmill.errors import OURS, BusyError, GristmillError, InvalidRequestError, StorageFullError, TooLargeError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# A body may take this long, and a second more for each so many bytes that have come.
BODY_SECONDS = 20.0
BODY_BYTES_PER_SECOND = 32 * 1024
# Larger bodies wait in a temporary file.
_MEMORY_BYTES = 1024 * 1024
_RETRY_SECONDS = 5


class BodyTooSlowError(GristmillError):
    """The body of the request did not come in time."""

    status = 408
    type = OURS + "body-too-slow"
    title = "Request timeout"


class Spool:
    """The temporary files that large bodies wait in: at most so many at a time, because the disk is limited too."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._places = threading.BoundedSemaphore(most)

    def take(self) -> None:
        """Take a place. BusyError where none is free."""
        if not self._places.acquire(blocking=False):
            raise BusyError(
                f"{self.most} requests with large bodies are at work, the most at a time; try again.",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def give_back(self) -> None:
        """Give a place back."""
        self._places.release()


class _Waiting(tempfile.SpooledTemporaryFile[bytes]):
    """A body that waits: in memory as long as it is small, then in a file that has a place of the spool."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(_MEMORY_BYTES)
        self._spool = spool
        self._has_place = False

    def rollover(self) -> None:
        """Go to the disk. BusyError."""
        if not self._has_place:
            self._spool.take()
            self._has_place = True
        super().rollover()

    def close(self) -> None:
        """Delete it."""
        try:
            super().close()
        finally:
            if self._has_place:
                self._has_place = False
                self._spool.give_back()


class Incoming:
    """The body of one request as it comes in. Used in the event loop alone.

    ``size``: bytes so far. ``ended``: whether all of it has come. ``at_end``: called when all of it has.
    """

    def __init__(self, environ: dict[str, Any], receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the headers. Raises InvalidRequestError for a framing that is not understood."""
        self._receive = receive
        self._loop = loop
        self._start = loop.time()
        self.size = 0
        coding = environ.pop("HTTP_TRANSFER_ENCODING", "").lower()
        if coding not in {"", "chunked"}:
            raise InvalidRequestError(f"Transfer-Encoding: {coding} is not understood; send chunked, or none.")
        # None: in chunks, of a length that their end tells.
        self.length: int | None = None if coding else int(environ.get("CONTENT_LENGTH", "0"))
        self.ended = self.length == 0
        self.at_end: Callable[[], object] = _no_more

    async def next(self) -> bytes:
        """The next piece. Raises BodyTooSlowError, and InvalidRequestError where the body breaks off."""
        try:
            async with asyncio.timeout_at(self._start + BODY_SECONDS + self.size / BODY_BYTES_PER_SECOND):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlowError(f"Only {self.size} bytes of the body came in time; send it faster.") from None
        if message["type"] == "http.disconnect":
            raise InvalidRequestError(f"The body broke off, or is malformed, after {self.size} bytes.")
        piece: bytes = message["body"]
        self.size += len(piece)
        self.ended = not message["more_body"] or self.size == self.length  # the server tells the end by itself later
        if self.ended:
            self.at_end()
        return piece

    def let_go(self) -> None:
        """Nothing more is wanted: the server closes a connection only when nobody can receive from it any more."""
        self._receive = _nothing
        self.at_end = _no_more  # which can receive, too

    async def whole(self, most: int, spool: Spool) -> IO[bytes] | io.RawIOBase:
        """All of it, as a file; or, with the rest unread, one that refuses to be read when it is larger than that.

        Raises what ``next`` does, BusyError when ``spool`` has no place for it, and StorageFullError.
        """
        if self.length is not None and self.length > most:
            return _RefusedBody(most)
        body: IO[bytes] = io.BytesIO()
        if self.length is None or self.length > _MEMORY_BYTES:
            body = _Waiting(spool)  # the exchange closes it
        try:
            while not self.ended and self.size <= most:
                body.write(await self.next())
            body.seek(0)  # what is buffered goes to the disk now
        except OSError as error:
            _give_up(body)
            raise StorageFullError(
                f"The server has no room for the body: {error.strerror or error} in its temporary folder; try again "
                "later."
            ) from error
        except BaseException:
            _give_up(body)
            raise
        if self.size > most:
            _give_up(body)
            return _RefusedBody(most)
        return body


def _give_up(body: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # of the buffer that the disk does not take
        body.close()


def _no_more() -> None:
    pass


async def _nothing() -> Mapping[str, Any]:
    return {"type": "http.disconnect"}


class _RefusedBody(io.RawIOBase):
    """A body larger than the limit, for an application that reads it without looking at its Content-Length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise TooLargeError(f"The body is larger than {self._limit} bytes.")


class StreamedBody(io.RawIOBase):
    """A body that a view reads while it comes in, in a thread of its own; it is never held whole.

    Reading raises what ``Incoming.next`` does.
    """

    def __init__(self, incoming: Incoming, loop: asyncio.AbstractEventLoop) -> None:
        self._incoming = incoming
        self._loop = loop
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer with what has come, waiting for it; 0 at the end."""
        while not self._rest and not self._incoming.ended:
            self._rest = memoryview(self._next())
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Let go of the connection, which the request's environment may outlive in a cycle."""
        self._incoming.let_go()
        super().close()

    def _next(self) -> bytes:
        try:
            return asyncio.run_coroutine_threadsafe(self._incoming.next(), self._loop).result()
        except CancelledError:
            raise InvalidRequestError(f"The server ended after {self._incoming.size} bytes of the body.") from None
