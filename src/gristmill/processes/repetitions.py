"""Items that stand in an array twice where its schema says ``uniqueItems``: Pydantic drops them from a set."""

from collections.abc import Iterator
from typing import Any

from gristmill.errors import Fault, first_faults, pointer_part
from gristmill.processes.schema import Schema


def repetitions(schema: Schema, value: object, at: str) -> list[Fault]:
    """Find the items that repeat an earlier one where they may not. value: one that Pydantic takes, as JSON."""
    return first_faults(_repeated(schema, value, at), at)


def says_unique(schema: object) -> bool:
    """Return whether a schema says ``uniqueItems`` anywhere."""
    if isinstance(schema, dict):
        return schema.get("uniqueItems") is True or any(map(says_unique, schema.values()))
    return isinstance(schema, list) and any(map(says_unique, schema))


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
