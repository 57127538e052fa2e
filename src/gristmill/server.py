"""Serves the WSGI application over HTTP: granian speaks HTTP, ``bridge`` connects, ``prefork`` runs the processes.

SIGTERM and SIGINT drain: for ``drain_seconds`` everything is still answered, with ``Connection: close``, so that
clients move on; then nothing more is accepted, and what is in flight is finished. A second signal ends at once.
"""

import asyncio
import gc
import resource
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
import uvloop
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from gristmill.bridge import Bridge, IsStreamed, no_request_is
from gristmill.errors import ConfigurationError
from gristmill.prefork import BEAT_SECONDS, Prefork
from gristmill.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MakeApp = Callable[[threading.Event], "WSGIApplication"]

BACKLOG = 2048
HEADER_BYTES = 64 * 1024
# Descriptors that are not clients' connections: to Redis, log files, bodies kept in files.
OTHER_FILES = 512
# Threads for views beside those that wait for jobs.
OTHER_THREADS = 64
# What connections get, after the drain, to send the request that they were opened for, and then to take the answers.
CLOSE_SECONDS = 1.0
# Beyond the longest wait, what requests in flight get after the drain.
FINISH_SECONDS = 5.0
# Clients that vanished, or take nothing, lose their connection after 30 to 60 s (some systems lack some options).
TCP_OPTIONS = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPALIVE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
    # Else a client that takes 20 kB/s looks like one that takes nothing, until a third of some MB has gone.
    "TCP_NOTSENT_LOWAT": 128 * 1024,
}

_log = structlog.get_logger(__name__)


def serve(settings: Settings, make_app: MakeApp, is_streamed: IsStreamed = no_request_is) -> int:
    """Serve until a signal says to stop; returns the exit code. Only in the main thread, and without others.

    make_app: called in each serving process, with the event that is set when the drain begins. is_streamed: whether the
    view of a request reads its body while it comes in (``Bridge``).
    Raises ConfigurationError when the address cannot be used, or when ``make_app`` raises a GristmillError.
    """
    listener = _listen(settings.host, settings.port)
    connections = _allow_connections(settings.connections)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    with listener:
        return Prefork(
            # Not uvloop.run, which would end requests that are cut off with a 500 instead of a broken connection.
            lambda ready, leaving: uvloop.new_event_loop().run_until_complete(
                _serve_here(settings, make_app, is_streamed, listener, connections, ready, leaving)
            ),
            settings.api_processes,
            on_ready=lambda: _log.info("The API answers", url=url, processes=settings.api_processes),
            on_stop=listener.close,
            stop_seconds=settings.drain_seconds + CLOSE_SECONDS + settings.wait_seconds + 2 * FINISH_SECONDS,
        ).run()


async def _serve_here(  # noqa: PLR0917  the one caller stands above
    settings: Settings,
    make_app: MakeApp,
    is_streamed: IsStreamed,
    listener: socket.socket,
    connections: int,
    ready: Callable[[], None],
    leaving: Callable[[], None],
) -> int:
    """Serve in this process until SIGTERM; returns its exit code."""
    draining = threading.Event()
    bridge = Bridge(
        make_app(draining),
        most_threads=settings.waiting_requests + OTHER_THREADS,
        body_bytes=settings.body_bytes,
        access_log=settings.access_log,
        is_streamed=is_streamed,
    )
    server = _GranianServer(bridge, listener, connections, settings.idle_seconds)
    # What is loaded now stays: the collector need not walk through it again and again.
    gc.collect()
    gc.freeze()
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    serving = loop.create_task(server.serve())
    waiting = loop.create_task(told.wait())
    beating = loop.create_task(_beat(ready))
    await asyncio.wait((serving, waiting, beating), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return 1
    leaving()
    draining.set()
    bridge.drain()
    await asyncio.sleep(settings.drain_seconds)
    server.stop()  # type: ignore[no-untyped-call]
    # It ends when all connections have; those whose request is still to come are not waited for any longer.
    await asyncio.wait((serving,), timeout=CLOSE_SECONDS)
    unanswered = await bridge.finish(settings.wait_seconds + FINISH_SECONDS)
    if unanswered:
        _log.warning("Requests were cut off at the end", requests=unanswered)
        return 1
    # Granian has what was answered, and may not have written all of it yet.
    await asyncio.wait((serving,), timeout=CLOSE_SECONDS)
    return 0


async def _beat(alive: Callable[[], None]) -> None:
    """Say that this process is ready, and then again and again that its event loop runs."""
    while True:
        alive()
        await asyncio.sleep(BEAT_SECONDS)


class _GranianServer(Server):
    """Granian, in this event loop, on a socket that is bound already."""

    def __init__(self, application: Bridge, listener: socket.socket, connections: int, idle_seconds: float) -> None:
        super().__init__(
            application,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections,
            http1_settings=HTTP1Settings(header_read_timeout=round(idle_seconds * 1000), max_buffer_size=HEADER_BYTES),
            log_enabled=False,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg, assignment]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(
            f"GRISTMILL_HOST={host} is no address ({error}); set it to one of this computer's, such as 127.0.0.1."
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_inherited_options(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"The API cannot listen on {host}, port {port}: {error.strerror}. "
            "Set GRISTMILL_HOST and GRISTMILL_PORT to what is free, or stop what uses it."
        ) from error
    return listener


def _set_inherited_options(listener: socket.socket) -> None:
    """Set what every accepted connection takes over from the listening socket."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        option: int | None = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def _allow_connections(connections: int) -> int:
    """Raise the limit on open files for so many connections; returns how many it allows."""
    wanted = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = min(connections, max(soft - OTHER_FILES, soft // 2))
    if allowed < connections:
        _log.warning("The limit on open files allows fewer connections", connections=allowed, open_files=soft)
    return allowed
