"""A small application served by the real server, to be started as a process of its own: ``python -m support.toy_api``.

The first argument holds settings, the second constants to change, as {"request_body.BODY_SECONDS": 1}; both as JSON.
"""

import importlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import flask

from gristmill import logs, presence
from gristmill.errors import ConfigurationError, GristmillError
from gristmill.server import serve
from gristmill.settings import Settings
from gristmill.streams import Sleep, SleepingStream, Steps

MAGIC_LIMIT = 1024 * 1024


def make_app(draining: threading.Event) -> flask.Flask:
    if "refuse" in sys.argv:
        raise ConfigurationError("processes/broken.py, line 3: no colon.")
    app = flask.Flask("toy", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAGIC_LIMIT
    open_streams: set[SleepingStream] = set()
    downloads: set[object] = set()
    at_work: set[object] = set()

    @contextmanager
    def working() -> Iterator[None]:
        me = object()
        at_work.add(me)
        try:
            yield
        finally:
            at_work.discard(me)

    @app.errorhandler(GristmillError)
    def refused(error: GristmillError) -> tuple[str, int]:
        return error.detail, error.status

    @app.get("/")
    def root() -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "threads": threading.active_count(),
            "streams": len(open_streams),
            "downloads": len(downloads),
        }

    @app.get("/healthz")
    def healthz() -> tuple[str, dict[str, str]]:
        return "ok", {"X-At-Work": str(len(at_work))}

    @app.get("/readyz")
    def readyz() -> tuple[str, int]:
        return ("draining", 503) if draining.is_set() else ("ready", 200)

    @app.get("/events")
    def events() -> flask.Response:
        keep_alive = flask.request.args.get("keep_alive", 15.0, float)

        def steps(stream: SleepingStream) -> Steps:
            open_streams.add(stream)
            try:
                yield b"data: hello\n\n"
                while not draining.is_set():
                    woken = yield Sleep(keep_alive)
                    if not woken:
                        yield b": keep-alive\n\n"
                yield b"retry: 2000\n\n"
            finally:
                open_streams.discard(stream)

        return flask.Response(SleepingStream(steps), mimetype="text/event-stream", direct_passthrough=True)

    @app.get("/fail")
    def fail() -> flask.Response:
        size = flask.request.args.get("size", 1000, int)

        def rows() -> Iterator[bytes]:
            for _ in range(0, size, 1000):
                yield b"1,2\n" * 250
            raise RuntimeError("the query broke")

        response = flask.Response(rows(), mimetype="text/csv")
        if "length" in flask.request.args:
            response.content_length = size + 1000
        return response

    @app.get("/wait")
    def wait() -> str:
        with working():
            return "early" if draining.wait(flask.request.args.get("seconds", 30.0, float)) else "late"

    @app.get("/long")
    def long() -> str:
        """Work until nobody waits for it."""
        with working():
            while True:
                presence.check()
                time.sleep(0.02)

    @app.get("/slow")
    def slow() -> str:
        with working():
            time.sleep(flask.request.args.get("seconds", 1.0, float))
            return "done".ljust(flask.request.args.get("bytes", 0, int))

    @app.get("/file")
    def file() -> flask.Response:
        megabytes = flask.request.args.get("mb", 16, int)
        pieces = (bytes(2**14) for _ in range(64 * megabytes))
        return flask.Response(pieces, headers={"Content-Length": str(megabytes * 2**20)})

    @app.get("/big")
    def big() -> flask.Response:
        megabytes = flask.request.args.get("mb", 200, int)

        def pieces() -> Iterator[bytes]:
            downloads.add(pieces)
            try:
                for _ in range(megabytes):
                    yield bytes(2**20)
            finally:
                downloads.discard(pieces)

        return flask.Response(pieces(), mimetype="application/octet-stream")

    @app.put("/streamed/<name>")
    def streamed(name: str) -> dict[str, object]:
        """Read the body piece by piece; "refused" reads none of it, "half" stops in the middle.

        "long" reads all of it and works until nobody waits for it.
        """
        flask.request.max_content_length = 2**40
        size, pieces = 0, 0
        if name == "first":  # as soon as a piece is there
            flask.request.stream.read(65536)
            return {"worked": long()}
        while name != "refused" and (piece := flask.request.stream.read(65536)):
            size, pieces = size + len(piece), pieces + 1
            downloads.add(size)
            if name == "half" and size >= 2**20:
                break
        downloads.clear()
        if name == "long":
            return {"worked": long()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"size": size, "pieces": pieces, "peak_kib": peak}

    @app.post("/length")
    def length() -> str:
        return str(len(flask.request.get_data()))

    @app.get("/crash")
    def crash() -> str:
        os._exit(3)

    return app


def main() -> int:
    settings = Settings(**json.loads(sys.argv[1]))
    for name, value in json.loads(sys.argv[2]).items():
        module, _, constant = name.partition(".")
        setattr(importlib.import_module(f"gristmill.{module}"), constant, value)
    logs.configure(settings)
    if "few-files" in sys.argv:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 700))
    if "small-files" in sys.argv:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))
    try:
        return serve(settings, make_app, lambda environ: environ["PATH_INFO"].startswith("/streamed/"))
    except ConfigurationError as error:
        print(f"refused: {error.detail}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
