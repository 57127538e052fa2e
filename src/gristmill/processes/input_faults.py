"""What is wrong with given inputs: each place once, by its JSON pointer, in words of ours."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from gristmill.errors import Fault, InvalidInputsError, first_faults, pointer_part

_SHOWN_VALUE = 60
_COUNTED_FAULTS = 10_000


def faults_of(error: ValidationError, value: object, at: str) -> Iterator[Fault]:
    """Turn Pydantic's errors into faults, one for each place; the parts of a union are joined."""
    if error.error_count() > _COUNTED_FAULTS:
        yield Fault(at, f"has {error.error_count():,} faults, too many to list", error.error_count())
        return
    by_pointer: dict[str, list[str]] = {}
    for one in error.errors(include_url=False):
        pointer = at + _pointer(one["loc"], value, missing=one["type"] == "missing")
        pointer += str(one.get("ctx", {}).get("pointer", ""))
        message = (
            one["msg"]
            .removeprefix("Value error, ")
            .replace("Input should", "should")
            .replace("Field required", "is required")
        )
        given = one["input"]
        if (
            isinstance(given, str | int | float | bool)
            and len(repr(given)) <= _SHOWN_VALUE
            and one["type"] != "missing"
            and not (isinstance(given, str) and repr(given) in message)
        ):
            message += f", not {as_json(given)}"
        by_pointer.setdefault(pointer, []).append(message)
    joined = (Fault(pointer, "; or ".join(dict.fromkeys(messages))) for pointer, messages in by_pointer.items())
    yield from first_faults(joined, at)


def as_json(value: object) -> str:
    """A value in JSON, for a message; half of a surrogate pair, which no answer can hold, as its escape."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _pointer(location: tuple[int | str, ...], value: Any, *, missing: bool) -> str:
    """Turn Pydantic's location, which also names parts of unions, into the rest of a JSON pointer."""
    pointer = ""
    for index, part in enumerate(location):
        is_there = (isinstance(value, list) and isinstance(part, int) and part < len(value)) or (
            isinstance(value, dict) and part in value
        )
        if is_there:
            value = value[part]
        if is_there or (missing and index == len(location) - 1):
            pointer += "/" + pointer_part(str(part))
    return pointer


def sentence(faults: list[Fault]) -> str:
    """The first fault, and how many more there are."""
    first = f"{faults[0].pointer} {faults[0].detail}"
    more = sum(fault.count for fault in faults) - 1
    return f"{first}; and {more} more" if more else first


def invalid(pointer: str, detail: str) -> InvalidInputsError:
    """The error of one fault."""
    return InvalidInputsError(f"{pointer} {detail}", faults=[Fault(pointer, detail)])
