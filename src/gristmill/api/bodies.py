"""Reading JSON bodies within limits, and nothing in them that two readers could understand differently."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from math import isinf
from typing import NoReturn

from flask import request
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, UnsupportedMediaType

from gristmill.errors import Fault, InvalidRequestError, pointer_part
from gristmill.settings import Settings

# A body of so many bytes is read straight from the server: Werkzeug's counting stream costs more than the parsing.
_SHORT_BYTES = 4096
# What may be a number beyond all floats; checking each number would double the time of parsing.
_HUGE = re.compile(r"[0-9][eE]\+?[0-9]{3}|(?<![0-9])[0-9]{309}")
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _RepeatedNameError(ValueError):
    """A name appears twice in one object."""


def read_json(settings: Settings) -> object:
    """The current request's body as a JSON value.

    Raises UnsupportedMediaType (415) for a wrong or missing Content-Type or a compressed body,
    RequestEntityTooLarge (413), and InvalidRequestError (400): with line and column for what is not JSON; and for
    repeated names, NaN, infinities, numbers beyond all floats, lone surrogates, and nesting deeper than
    ``settings.json_depth``.
    """
    environ = request.environ
    if environ.get("CONTENT_TYPE") != "application/json":
        _refuse_other_types(request.mimetype)
    if encoding := environ.get("HTTP_CONTENT_ENCODING", "").strip():
        _refuse_encodings(encoding)
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdecimal() or int(length) > min(_SHORT_BYTES, settings.body_bytes):
        return parse_json(request.get_data(cache=False), settings.json_depth)
    body = environ["wsgi.input"].read(int(length))
    if len(body) < int(length):
        raise ClientDisconnected
    return parse_json(body, settings.json_depth)


def _refuse_other_types(media_type: str) -> None:
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            f"The body must be JSON, with Content-Type: application/json; it came as {media_type or 'no type at all'}."
        )


def _refuse_encodings(encoding: str) -> None:
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(f"The body has Content-Encoding: {encoding[:40]}; send it uncompressed.")


def parse_json(body: bytes, max_depth: int) -> object:
    """Parse JSON text strictly; see ``read_json`` for what is refused."""
    if not body:
        raise InvalidRequestError("The body is empty; it must be JSON.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"The body is not UTF-8: byte {error.start} is not valid.") from error
    try:
        value: object = (_careful_decoder if _HUGE.search(text) else _decoder).decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequestError(f"The body is not JSON: {error.msg} at {where}.") from error
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    except ValueError as error:
        why = str(error)
        if "int_max_str_digits" in why:
            why = f"an integer has more than {sys.get_int_max_str_digits():,} digits"
        raise InvalidRequestError(f"The body is not acceptable JSON: {why}.") from error
    if text.count("[") + text.count("{") > max_depth and _is_deeper(value, max_depth):
        raise _too_deep(max_depth)
    if _LONE_SURROGATE.search(text):
        _refuse_lone_surrogates(value)
    return value


def canonical(value: object, sorted_levels: int) -> bytes:
    """The one JSON text of a value that ``parse_json`` has returned: no spaces, names sorted down to some level.

    Below it, their order counts: it is that of a table's columns, and of what a process finds in a dictionary.
    """
    return _canonical.encode(_sorted(value, sorted_levels)).encode()


def _sorted(value: object, levels: int) -> object:
    if levels and isinstance(value, Mapping):
        return {name: _sorted(value[name], levels - 1) for name in sorted(value)}
    return value


def faults_of(error: ValidationError) -> list[Fault]:
    """What Pydantic found, each with its JSON pointer into the body."""
    return [
        Fault(pointer(fault["loc"]), fault["msg"]) for fault in error.errors(include_url=False, include_context=False)
    ]


def pointer(path: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901) from the steps of a path."""
    return "".join(f"/{pointer_part(str(step))}" for step in path)


def _too_deep(max_depth: int) -> InvalidRequestError:
    return InvalidRequestError(f"The body is nested deeper than {max_depth} levels.")


def _is_deeper(value: object, max_depth: int) -> bool:
    """Whether arrays and objects are nested more than ``max_depth`` deep; without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(max_depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _refuse_lone_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError("The body has half of a surrogate pair, which is no character.") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedNameError(f"the name {name[:80]!r} appears twice in one object")
            seen.add(name)
    return made


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"the number {text[:30]} is too large for a double-precision float")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_careful_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_canonical = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
