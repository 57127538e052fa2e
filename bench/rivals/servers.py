"""One small application behind each HTTP server considered: ``python -m bench.rivals.servers NAME PORT``.

Each may hold 1,100 requests that wait, which for the WSGI servers means as many threads.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import flask
import redis

from gristmill import server
from gristmill.bridge import Bridge
from gristmill.settings import Settings
from gristmill.streams import Sleep, SleepingStream, Steps

WAITING = 1100
CONNECTIONS = 4096
KEEP_ALIVE_SECONDS = 15


def make_app(draining: threading.Event | None = None) -> flask.Flask:
    """A bare route with one Redis call, and event streams that say nothing."""
    over = draining or threading.Event()
    app = flask.Flask("bench", static_folder=None)
    client = redis.Redis.from_url(os.environ["BENCH_REDIS"])

    @app.get("/get")
    def get() -> flask.Response:
        return flask.Response(client.get("bench:key") or b"nothing", mimetype="text/plain")

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.get("/events")
    def events() -> flask.Response:
        def steps(_stream: SleepingStream) -> Steps:
            yield b"data: hello\n\n"
            while not over.is_set():
                yield Sleep(KEEP_ALIVE_SECONDS)
                yield b": keep-alive\n\n"

        return flask.Response(SleepingStream(steps), mimetype="text/event-stream", direct_passthrough=True)

    return app


def gristmill(port: int, **changes: Any) -> None:
    """Our server; granian's ASGI side and the bridge."""
    server.serve(Settings(port=port, waiting_requests=WAITING, connections=CONNECTIONS, **changes), make_app)


def gristmill_asyncio(port: int) -> None:
    """Our server on the standard library's event loop."""
    server.uvloop = asyncio  # type: ignore[assignment]
    gristmill(port)


def granian_wsgi(port: int) -> None:
    """Granian's WSGI side, a thread for every request."""
    from granian import Granian  # noqa: PLC0415

    Granian(
        "bench.rivals.servers:make_app", port=port, interface="wsgi", factory=True, blocking_threads=WAITING,
        backpressure=CONNECTIONS, backlog=2048, http="1", log_enabled=False,
    ).serve()  # fmt: skip


def gunicorn(port: int, *options: str) -> None:
    """Gunicorn, configured on its command line."""
    os.execvp(
        sys.executable,
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "--log-level", "error",
         "--keep-alive", "75", "--worker-connections", str(CONNECTIONS), *options],
    )  # fmt: skip


_bridge: Bridge | None = None


async def bridged(scope: Any, receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[None]]) -> None:
    """The bridge for a foreign ASGI server."""
    global _bridge  # noqa: PLW0603
    _bridge = _bridge or Bridge(make_app(), most_threads=WAITING, body_bytes=2**23)
    await _bridge(scope, receive, send)


SERVERS: dict[str, Callable[[int], None]] = {
    "gristmill": gristmill,
    "gristmill, 2 processes": lambda port: gristmill(port, api_processes=2),
    "gristmill, access log": lambda port: gristmill(port, access_log=True),
    "gristmill, asyncio's loop": gristmill_asyncio,
    "granian WSGI": granian_wsgi,
    "gunicorn gthread": lambda port: gunicorn(
        port, "--worker-class", "gthread", "--threads", str(WAITING), "bench.rivals.servers:make_app()"
    ),
    "gunicorn ASGI + bridge": lambda port: gunicorn(port, "--worker-class", "asgi", "bench.rivals.servers:bridged"),
}


if __name__ == "__main__":
    from gristmill import logs

    logs.configure(Settings())
    SERVERS[sys.argv[1]](int(sys.argv[2]))
