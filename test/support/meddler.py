"""A real HTTP server in front of an API, that passes requests on and changes what a test wants changed."""

import http.client
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Asked:
    """A request on its way; ``path`` with its query. What a test changes here is what the API gets."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def set(self, name: str, value: str) -> None:
        """Put a header in the place of those of this name; "" takes it out."""
        del self.headers[name]
        if value:
            self.headers[name] = value


@dataclass
class Reply:
    """An answer on its way back."""

    status: int
    headers: Message = field(default_factory=Message)
    body: bytes = b""

    def set(self, name: str, value: str) -> None:
        """Put a header in the place of those of this name; "" takes it out."""
        del self.headers[name]
        if value:
            self.headers[name] = value

    def replace(self, old: str, new: str) -> None:
        """Change the body. Fails where there is nothing to change, for then the test would test nothing."""
        assert old.encode() in self.body, f"{old!r} is not in {self.body[:500]!r}"
        self.body = self.body.replace(old.encode(), new.encode())


def nothing(*_: object) -> None:
    """Change nothing."""


class Meddler:
    """Listens on 127.0.0.1 and passes everything on to ``upstream`` (a URL), where there is one.

    ask: may change a request, or answer it itself by returning a Reply. answer: may change the answer of the API.
    streams: whether event streams are passed on as they come, or held back until they have ended.
    prefix: a path that requests must begin with; the API is told of it by forwarding headers.
    """

    def __init__(
        self,
        upstream: str = "",
        *,
        ask: Callable[[Asked], Reply | None] = nothing,
        answer: Callable[[Asked, Reply], None] = nothing,
        streams: bool = True,
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.ask, self.answer, self.streams, self.prefix = ask, answer, streams, prefix
        self.errors: list[BaseException] = []
        self.ended = threading.Event()
        self._upstream = urlsplit(upstream)
        handler = type("Handler", (_Handler,), {"meddler": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = nothing  # clients go away in the middle, on purpose
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}{self.prefix}"

    def pass_on(self, asked: Asked, sent: Callable[[http.client.HTTPResponse], bool]) -> Reply | None:
        """Ask the API; None where ``sent`` has passed the answer on by itself."""
        connection = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=60)
        try:
            if self.prefix:
                asked.set("X-Forwarded-Host", asked.headers["Host"])
                asked.set("X-Forwarded-Proto", self._scheme)
                asked.set("X-Forwarded-Prefix", self.prefix)
                asked.set("X-Forwarded-For", "127.0.0.1")
            headers = {name: value for name, value in asked.headers.items() if name.lower() not in _HOP_BY_HOP}
            path = asked.path.removeprefix(self.prefix)
            connection.request(asked.method, path, body=asked.body or None, headers=headers)
            response = connection.getresponse()
            if sent(response):
                return None
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        if error is None and self.errors:
            raise self.errors[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    meddler: Meddler

    def handle_one_request(self) -> None:
        with suppress(OSError):
            super().handle_one_request()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._do
        raise AttributeError(name)

    def _do(self) -> None:
        asked = Asked(self.command, self.path, self.headers, self._received())
        try:
            reply = self.meddler.ask(asked) or self.meddler.pass_on(asked, self._stream)
            if reply is None:
                return
            self.meddler.answer(asked, reply)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        except BaseException as error:
            self.meddler.errors.append(error)
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in _HOP_BY_HOP or (asked.method == "HEAD" and name.lower() == "content-length"):
                self.send_header(name, value)
        if asked.method != "HEAD" and reply.status not in {204, 304}:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _received(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _stream(self, response: http.client.HTTPResponse) -> bool:
        """Pass an event stream on as it comes."""
        if not (self.meddler.streams and response.headers.get("Content-Type", "").startswith("text/event-stream")):
            return False
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := response.read1(65536):
            self.wfile.write(piece)
        self.close_connection = True
        return True

    def log_message(self, *_: object) -> None:
        pass
