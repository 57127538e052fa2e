"""What is wrong with given inputs: each place once, by its JSON pointer, in words of ours."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import ValidationError

from gristmill.errors import Fault, InvalidInputsError, pointer_part
from gristmill.processes.schema import Schema

_SHOWN_VALUE = 60
_LISTED_FAULTS = 100
_COUNTED_FAULTS = 10_000


def faults_of(error: ValidationError, value: object, at: str) -> Iterator[Fault]:
    """Turn Pydantic's errors into faults, one for each place; the parts of a union are joined."""
    if error.error_count() > _COUNTED_FAULTS:
        yield Fault(at, f"has {error.error_count():,} faults, too many to list")
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
        ):
            message += f", not {json.dumps(given)}"
        by_pointer.setdefault(pointer, []).append(message)
    joined = (Fault(pointer, "; or ".join(dict.fromkeys(messages))) for pointer, messages in by_pointer.items())
    yield from _listed(joined, len(by_pointer), at)


def repetitions(schema: Schema, value: object, at: str) -> Iterator[Fault]:
    """Find the items that repeat an earlier one where the schema says ``uniqueItems``: Pydantic drops them from a set.

    value: one that Pydantic takes, as JSON.
    """
    found = list(_repeated(schema, value, at))
    yield from _listed(iter(found), len(found), at)


def says_unique(schema: object) -> bool:
    """Return whether a schema says ``uniqueItems`` anywhere."""
    if isinstance(schema, dict):
        return schema.get("uniqueItems") is True or any(map(says_unique, schema.values()))
    return isinstance(schema, list) and any(map(says_unique, schema))


def _listed(faults: Iterator[Fault], count: int, at: str) -> Iterator[Fault]:
    yield from islice(faults, _LISTED_FAULTS)
    if count > _LISTED_FAULTS:
        yield Fault(at, f"has {count - _LISTED_FAULTS:,} more faults")


def _repeated(schema: Schema, value: Any, at: str) -> Iterator[Fault]:
    if parts := schema.get("oneOf") or schema.get("anyOf"):
        # Of the parts of a union that the value may be, one without a fault is enough.
        yield from min(
            (list(_repeated(part, value, at)) for part in parts if _may_be(part, value)), key=len, default=[]
        )
    for part in schema.get("allOf", []):
        yield from _repeated(part, value, at)
    if isinstance(value, list):
        first: dict[object, int] = {}
        for index, item in enumerate(value):
            if schema.get("uniqueItems") and (earlier := first.setdefault(_comparable(item), index)) != index:
                yield Fault(f"{at}/{index}", f"repeats item {earlier}; each item may be there once")
            yield from _repeated(schema.get("items", {}), item, f"{at}/{index}")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _repeated(_property(schema, name), item, f"{at}/{pointer_part(name)}")


def _may_be(schema: Schema, value: Any) -> bool:
    """Whether a value that fits one part of a union may be of this part, by its types, names and enumerated values."""
    if parts := schema.get("oneOf") or schema.get("anyOf"):
        return any(_may_be(part, value) for part in parts)
    if value is None:
        return bool(schema.get("nullable", "type" not in schema))
    if schema.get("type", _type_of(value)) not in {_type_of(value), "integer" if isinstance(value, int) else ""}:
        return False
    if isinstance(value, list):
        return all(_may_be(schema.get("items", {}), item) for item in value)
    if isinstance(value, dict):
        return set(schema.get("required", ())) <= value.keys() and all(
            _may_be(_property(schema, name), item) for name, item in value.items()
        )
    return value in schema.get("enum", [value])


def _property(schema: Schema, name: str) -> Schema:
    other = schema.get("additionalProperties")
    found: Schema = schema.get("properties", {}).get(name, other if isinstance(other, dict) else {})
    return found


def _type_of(value: object) -> str:
    for kind, name in ((bool, "boolean"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "number"


def _comparable(value: object) -> object:
    """A hashable value that is equal for equal JSON: 1 is 1.0, and is not true."""
    if isinstance(value, list):
        return tuple(map(_comparable, value))
    if isinstance(value, dict):
        return frozenset((name, _comparable(item)) for name, item in value.items())
    return isinstance(value, bool), value


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
    return first if len(faults) == 1 else f"{first}; and {len(faults) - 1} more"


def invalid(pointer: str, detail: str) -> InvalidInputsError:
    """The error of one fault."""
    return InvalidInputsError(f"{pointer} {detail}", faults=[Fault(pointer, detail)])
