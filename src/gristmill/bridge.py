"""From HTTP requests, as ASGI tells them, to the WSGI application, which runs in threads.

The event loop reads bodies and sends responses, so that a slow client holds no thread, unless a view asked to read the
body itself; it also holds the streams that sleep.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gristmill.errors import UNEXPECTED, BusyError, ClientGoneError, GristmillError
from gristmill.exchange import Exchange, Scope, environ_of
from gristmill.presence import LOOK_SECONDS, Client
from gristmill.request_body import Incoming, Receive, Spool, StreamedBody
from gristmill.streams import SleepingStream
from gristmill.threads import Threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
IsStreamed = Callable[[Mapping[str, Any]], bool]
T = TypeVar("T")

# A client that takes nothing for this long is cut off.
SEND_SECONDS = 30.0
# A body of known length goes out in pieces. Granian and HTTP's queue hold some seven of them for a client that takes
# nothing, so they are smaller where many are on their way: few go as fast as can be, thousands cost some 400 kB each.
_PIECE_BYTES = 256 * 1024
_LEAST_PIECE_BYTES = 32 * 1024
_PIECES_BYTES = 2 * 1024 * 1024  # one of each
# What is read and thrown away of a refused body, so that a client that is still sending gets to see the answer.
_LINGER_BYTES = 32 * 1024 * 1024
_LINGER_SECONDS = 2.0
# Streamed requests, however slow, have one in so many of the threads.
_THREADS_PER_STREAMED = 8
# Bodies above 1 MB wait on the disk, and those of requests that wait for a job stay there meanwhile.
BODIES_AT_ONCE = 64

_log = structlog.get_logger(__name__)
_access_log = structlog.get_logger("gristmill.access")


def no_request_is(_environ: Mapping[str, Any]) -> bool:
    """No request streams its body."""
    return False


class BrokenResponseError(Exception):
    """A response that has begun cannot go on. Raised to the server, it breaks the connection: the client must know."""


class Bridge:
    """The ASGI application around a WSGI application; made in the event loop that will call it.

    most_threads: how many views run at a time at most. body_bytes: the largest body that is read; of a larger one
    nothing is, and the application finds a Content-Length above its own limit. is_streamed: whether a request's view
    reads the body while it comes in, however large, by its WSGI environment.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        *,
        most_threads: int,
        body_bytes: int,
        access_log: bool = False,
        is_streamed: IsStreamed = no_request_is,
    ) -> None:
        self._application = application
        self._body_bytes = body_bytes
        self._spool = Spool(BODIES_AT_ONCE)
        self._is_streamed = is_streamed
        self._logs_access = access_log
        self._loop = asyncio.get_running_loop()
        self._threads = Threads(most_threads, self._loop.call_later)
        self._health_threads = Threads(1, self._loop.call_later)
        self._most_waiting = 4 * most_threads
        self._most_streamed = max(1, most_threads // _THREADS_PER_STREAMED)
        self._streamed = 0
        self._streams: set[SleepingStream] = set()
        self._draining = False
        self._requests = 0
        self._downloads = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    def drain(self) -> None:
        """From now on close each connection with its next response, and let streams end."""
        self._draining = True
        for stream in list(self._streams):
            stream.wake()

    async def finish(self, seconds: float) -> int:
        """Wait, at most so long, until every request is answered; returns how many are not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._requests:
                    await self._all_answered.wait()
        return self._requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        exchange = Exchange(self._application, environ_of(scope))
        gone = _Departure(self._loop, receive, exchange.client)
        self._requests += 1
        self._all_answered.clear()
        try:
            await self._answer(exchange, receive, gone, send)
        finally:
            gone.stop()
            if exchange.has_response:
                await self._run(exchange.close, self._threads)
            exchange.close()
            self._requests -= 1
            if not self._requests:
                self._all_answered.set()
            if self._logs_access:
                _log_access(exchange, time.perf_counter() - started)

    async def _answer(self, exchange: Exchange, receive: Receive, gone: "_Departure", send: Send) -> None:
        incoming: Incoming | None = None
        try:
            incoming = Incoming(exchange.environ, receive, self._loop)
            await self._take_body(exchange, incoming)
            if incoming.ended:
                gone.watch_later()
            else:
                incoming.at_end = gone.watch_later  # the view reads on
            with self._place(exchange):
                data, more = await self._run(exchange.begin, self._threads_for(exchange))
        except GristmillError as error:
            data, more = exchange.refuse(error), False
        except Exception:  # noqa: BLE001  answered with 500
            number = secrets.token_hex(8)
            _log.exception("The application failed", error_id=number, path=exchange.environ["PATH_INFO"])
            data, more = exchange.refuse(GristmillError(UNEXPECTED.format(number))), False
        if exchange.client.is_gone:
            raise BrokenResponseError
        headers = exchange.headers
        whole = incoming is not None and incoming.ended
        if self._draining or not whole:
            headers = [header for header in headers if header[0].lower() != b"connection"]
            headers.append((b"connection", b"close"))
        try:
            await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
            if more:
                await self._send_rest(exchange, data, gone, send)
            else:
                await send({"type": "http.response.body", "body": data, "more_body": False})
        except ClientGoneError:
            raise BrokenResponseError from None
        except Exception:  # noqa: BLE001  the connection is broken
            _log.exception("A response failed midway; its connection is broken", path=exchange.environ["PATH_INFO"])
            raise BrokenResponseError from None
        if not whole:
            await _discard_body(receive)

    @contextlib.contextmanager
    def _place(self, exchange: Exchange) -> Iterator[None]:
        """The place of a request whose view reads the body. BusyError when too many are at it."""
        if not isinstance(exchange.request_body, StreamedBody):
            yield
            return
        if self._streamed >= self._most_streamed:
            raise BusyError(
                f"{self._streamed} uploads are under way here, the most at a time; try again.", retry_after_seconds=5
            )
        self._streamed += 1
        try:
            yield
        finally:
            self._streamed -= 1

    def _threads_for(self, exchange: Exchange) -> Threads:
        """The threads for a view. BusyError when too many requests wait for one."""
        if exchange.environ["PATH_INFO"] == "/healthz":
            return self._health_threads
        if self._threads.waiting >= self._most_waiting:
            raise BusyError("More requests wait than can be answered soon; try again.", retry_after_seconds=2)
        return self._threads

    async def _take_body(self, exchange: Exchange, incoming: Incoming) -> None:
        """Give the application the body of the request, as far as it is wanted."""
        if incoming.ended:
            return
        if self._is_streamed(exchange.environ):
            exchange.request_body = StreamedBody(incoming, self._loop)
            return
        exchange.request_body = await incoming.whole(self._body_bytes, self._spool)
        exchange.environ["CONTENT_LENGTH"] = str(max(incoming.size, incoming.length or 0))

    async def _send_rest(self, exchange: Exchange, data: bytes, gone: "_Departure", send: Send) -> None:
        """Send ``data``, and pieces of the body until it ends. ClientGoneError when the client has gone before."""
        changed = asyncio.Event()
        gone.watch(changed.set)
        self._downloads += exchange.stream is None
        try:
            if exchange.stream is not None:
                data = await self._send_stream(exchange, exchange.stream, changed, send)
            else:
                more = True
                while more:
                    await _send_piece(send, data, exchange.client)
                    exchange.piece_bytes = max(_LEAST_PIECE_BYTES, min(_PIECE_BYTES, _PIECES_BYTES // self._downloads))
                    data, more = await self._run(exchange.go_on, self._threads)
            await send({"type": "http.response.body", "body": data, "more_body": False})
        finally:
            self._downloads -= exchange.stream is None
            gone.stop()

    async def _send_stream(
        self, exchange: Exchange, stream: SleepingStream, changed: asyncio.Event, send: Send
    ) -> bytes:
        """Send what the stream yields, and sleep when it does; returns its last bytes."""
        stream.on_wake(lambda: self._loop.call_soon_threadsafe(changed.set))
        self._streams.add(stream)
        if self._draining:
            stream.wake()
        try:
            while True:
                changed.clear()
                data, sleep = await self._run(lambda: exchange.run(stream.advance), self._threads)
                if sleep is None:
                    return data
                await _send_piece(send, data, exchange.client)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(sleep.seconds):
                        await changed.wait()
        finally:
            self._streams.discard(stream)

    async def _run(self, step: Callable[[], T], threads: Threads) -> T:
        """Run a step in a thread and return its result."""
        loop = self._loop
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = step()
            except Exception as error:  # noqa: BLE001  raised again in the event loop
                loop.call_soon_threadsafe(_fail, future, error)
            else:
                loop.call_soon_threadsafe(_resolve, future, result)

        threads.submit(work)
        return await future


def _nothing() -> None:
    pass


def _resolve(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


async def _send_piece(send: Send, data: bytes, client: Client) -> None:
    """Send a piece that is not the last. ClientGoneError when the client has gone, or takes nothing."""
    client.check()
    if data:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise ClientGoneError("The client takes nothing of the response.") from None


class _Departure:
    """Notices when the client of a request goes, as long as somebody watches: the body must have come before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, client: Client) -> None:
        self._loop = loop
        self._receive = receive
        self._client = client
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._tell: Callable[[], object] = _nothing

    def watch_later(self) -> None:
        """Watch from soon on: most requests are answered before."""
        self._timer = self._loop.call_later(LOOK_SECONDS, self._watch)

    def watch(self, tell: Callable[[], object]) -> None:
        """Watch from now on; ``tell``: called when the client goes."""
        self._tell = tell
        self._watch()

    def _watch(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._until_gone())

    def stop(self) -> None:
        """Watch no longer: the server closes a connection only when nobody can receive from it any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._client.is_gone = True
        self._tell()


async def _discard_body(receive: Receive) -> None:
    left = _LINGER_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
                left -= len(message["body"])


def _log_access(exchange: Exchange, seconds: float) -> None:
    request_id = next((value for name, value in exchange.headers if name == b"X-Request-Id"), b"")
    _access_log.info(
        "Request",
        method=exchange.environ["REQUEST_METHOD"],
        path=exchange.environ["PATH_INFO"],
        status=exchange.status,
        milliseconds=round(seconds * 1000, 1),
        request_id=request_id.decode("latin-1"),
    )
