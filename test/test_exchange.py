"""What a WSGI application sees of a request, and how its response is taken."""

import contextvars
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from gristmill.errors import BusyError
from gristmill.exchange import Exchange, environ_of

SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/jobs/ü",
    "query_string": b"a=%C3%BC",
    "headers": [(b"host", b"x:8000")],
    "client": ("127.0.0.2", 1234),
    "server": ("127.0.0.1", 8000),
}


def scope(**changes: Any) -> dict[str, Any]:
    return SCOPE | changes


def exchange_with(application: Callable[..., Iterable[bytes]], **changes: Any) -> Exchange:
    return Exchange(application, environ_of(scope(**changes)))


def test_paths_are_latin_1_as_pep_3333_asks() -> None:
    assert environ_of(SCOPE)["PATH_INFO"] == "/jobs/ü".encode().decode("latin-1")


def test_the_client_is_known_with_its_port() -> None:
    environ = environ_of(SCOPE)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.2", "1234")


def test_repeated_headers_are_joined() -> None:
    headers = [(b"accept", b"text/html"), (b"accept", b"application/json")]
    assert environ_of(scope(headers=headers))["HTTP_ACCEPT"] == "text/html,application/json"


def test_a_header_with_underscores_does_not_pass_for_one_with_hyphens() -> None:
    headers = [(b"x_forwarded_for", b"10.0.0.1")]
    assert "HTTP_X_FORWARDED_FOR" not in environ_of(scope(headers=headers))


def test_a_proxy_header_does_not_reach_the_variable_of_programs() -> None:
    assert "HTTP_PROXY" not in environ_of(scope(headers=[(b"proxy", b"http://evil")]))


def test_the_validator_of_pep_3333_has_no_complaint() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a", b"b"]

    exchange = exchange_with(validator(application))
    assert exchange.begin() == (b"a", True)
    assert exchange.go_on() == (b"b", True)
    assert exchange.go_on() == (b"", False)
    assert not exchange.has_response


def test_a_body_of_known_length_comes_in_one_piece() -> None:
    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("201 Created", [("Content-Length", "2"), ("X-A", "b")])
        return [b"a", b"b"]

    exchange = exchange_with(application)
    assert exchange.begin() == (b"ab", False)
    assert exchange.status == 201
    assert exchange.headers == [(b"Content-Length", b"2"), (b"X-A", b"b")]


def test_a_long_body_begins_with_one_piece_and_goes_on_in_larger_ones_where_they_are_wanted() -> None:
    def application(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "1000000")])
        return (bytes(10_000) for _ in range(100))

    exchange = exchange_with(application)
    assert exchange.begin() == (bytes(10_000), True)
    exchange.piece_bytes = 25_000
    assert exchange.go_on() == (bytes(30_000), True)
    exchange.piece_bytes = 2_000_000
    assert exchange.go_on() == (bytes(960_000), False)


def test_the_response_is_closed_once_however_it_ends() -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

        def close(self) -> None:
            closed.append(True)

    def application(_environ: Any, start_response: Any) -> Body:
        start_response("200 OK", [])
        return Body()

    exchange = exchange_with(application)
    exchange.begin()
    exchange.go_on()
    exchange.close()
    assert closed == [True]


def test_all_steps_run_in_one_context_of_their_own() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    def application(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        variable.set("inside")
        yield b"a"
        seen.append(variable.get())

    exchange = exchange_with(application)
    exchange.begin()
    exchange.go_on()
    assert seen == ["inside"]
    assert variable.get() == "outside"


def test_the_body_of_the_request_is_closed_with_the_exchange() -> None:
    exchange = exchange_with(lambda _environ, _start: [])
    body = exchange.request_body = io.BytesIO(b"x")
    assert exchange.environ["wsgi.input"] is body
    exchange.close()
    assert body.closed


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"application/json", b"application/json"),
        (b"*/*", b"application/problem+json"),
        (b"application/json, application/problem+json", b"application/problem+json"),
    ],
)
def test_a_refusal_is_problem_details_in_a_type_that_the_client_takes(accept: bytes, expected: bytes) -> None:
    exchange = exchange_with(lambda _environ, _start: [], headers=[(b"accept", accept)])
    body = exchange.refuse(BusyError("Later.", retry_after_seconds=2))
    assert exchange.status == 503
    assert (b"content-type", expected) in exchange.headers
    assert (b"retry-after", b"2") in exchange.headers
    assert b'"urn:gristmill:problem:busy"' in body
