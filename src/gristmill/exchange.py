"""One request's way through a WSGI application (PEP 3333), a step at a time and in any thread."""

import contextvars
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, TypeVar

from gristmill.errors import GristmillError
from gristmill.presence import CLIENT, Client
from gristmill.streams import SleepingStream

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Scope = Mapping[str, Any]
Headers = list[tuple[bytes, bytes]]
RequestBody = IO[bytes] | io.RawIOBase
T = TypeVar("T")

# A longer body begins with its first piece alone: the caller knows then how many are being sent.
_WHOLE_BYTES = 256 * 1024

_SERVER = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "gristmill",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def environ_of(scope: Scope) -> dict[str, Any]:
    """The WSGI environment of an ASGI scope; without the body. Repeated headers are joined by commas."""
    client, client_port = scope["client"]
    server, server_port = scope["server"]
    environ = _SERVER | {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server,
        "SERVER_PORT": str(server_port),
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
        "wsgi.url_scheme": scope["scheme"],
    }
    for name, value in scope["headers"]:
        if b"_" in name or name == b"proxy":
            continue  # passes for a name with hyphens, which proxies check; or for the variable HTTP_PROXY
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = "HTTP_" + key
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


class Exchange:
    """A request, and the response to it as far as it has come.

    All steps run in one context of their own, so that what the application binds to its context stays bound, and
    no two steps at a time. ``piece_bytes``: a body whose length is known is told in pieces of at least this size.
    """

    def __init__(self, application: "WSGIApplication", environ: dict[str, Any]) -> None:
        self.environ = environ
        self.status = 0
        self.headers: Headers = []
        self.stream: SleepingStream | None = None
        self.piece_bytes = _WHOLE_BYTES
        self._application = application
        self.request_body = io.BytesIO()
        self._body: Iterable[bytes] | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._length: int | None = None
        self.client = Client()
        self._context = contextvars.copy_context()
        self._context.run(CLIENT.set, self.client)

    @property
    def request_body(self) -> RequestBody:
        """The body of the request; empty until one is set. It is closed with the exchange."""
        return self._request_body

    @request_body.setter
    def request_body(self, body: RequestBody) -> None:
        self._request_body = self.environ["wsgi.input"] = body

    @property
    def has_response(self) -> bool:
        """Whether the application has begun a response that is not closed yet."""
        return self._body is not None

    def run(self, step: Callable[[], T]) -> T:
        """Run a step in the context of the request."""
        return self._context.run(step)

    def begin(self) -> tuple[bytes, bool]:
        """Call the application; returns the first piece of the body, and whether there is more."""
        return self.run(self._begin)

    def go_on(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether there is more."""
        return self.run(self._next)

    def close(self) -> None:
        """Let the application know that its response is over, however it ended. Safe to repeat."""
        self.run(self._close)

    def refuse(self, error: GristmillError) -> bytes:
        """Make the response problem details (RFC 9457) and return its body."""
        problem = {"type": error.type, "title": error.title, "status": error.status, "detail": error.detail}
        accept = self.environ.get("HTTP_ACCEPT", "")
        plain = "application/json" in accept and "*/*" not in accept and "problem+json" not in accept
        self.status = error.status
        self.headers = [(b"content-type", b"application/json" if plain else b"application/problem+json")]
        if error.retry_after_seconds is not None:
            self.headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
        return b"" if self.environ["REQUEST_METHOD"] == "HEAD" else json.dumps(problem).encode()

    def _begin(self) -> tuple[bytes, bool]:
        self._body = self._application(self.environ, self._start_response)
        if isinstance(self._body, SleepingStream):
            self.stream = self._body
            return b"", True
        self._pieces = iter(self._body)
        if self._length is not None and self._length > _WHOLE_BYTES:
            self.piece_bytes = 1
        return self._next()

    def _next(self) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        size = 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if self._length is None or size >= self.piece_bytes:
                return b"".join(pieces), True
        self._close()
        return b"".join(pieces), False

    def _close(self) -> None:
        body, self._body = self._body, None
        close = getattr(body, "close", None)
        if close is not None:
            close()
        self._request_body.close()

    def _start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        _exc_info: object = None,
    ) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
        return _no_write


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("The write callable of PEP 3333 is not offered; return the body.")
