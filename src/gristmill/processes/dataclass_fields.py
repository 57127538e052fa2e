"""Checks the fields of dataclasses: Pydantic takes an instance of one as it is, though nothing has looked into it."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import core_schema

from gristmill.processes.encoders import plain

_UNION = "tagged-union["  # with which Pydantic's own name of one begins
_INSTANCE, _OTHER = f"{_UNION}instance]", f"{_UNION}other]"


def with_checked_fields(schema: Any) -> Any:
    """A core schema whose dataclasses, but Pydantic's own, have each instance's fields validated.

    What is valid is a copy, as the fields' types have it. ``__init__`` and ``__post_init__`` are not run again.
    """
    if type(schema) in {list, tuple}:
        return type(schema)(map(with_checked_fields, schema))
    if type(schema) is not dict:
        return schema
    made = {key: with_checked_fields(one) for key, one in schema.items()}
    is_plain = made.get("type") == "dataclass" and not is_pydantic_dataclass(made["cls"])
    return _by_instance(made) if is_plain else made


def place(location: Sequence[int | str]) -> str:
    """Where in a value an error is, such as ``['a'][0]``, without what is no place but stands for the instances."""
    return "".join(f"[{part!r}]" for part in location if not str(part).startswith(_UNION))


def _by_instance(schema: dict[str, Any]) -> Any:
    kind, ref = schema["cls"], schema.pop("ref", None)
    arguments = schema["schema"]
    while arguments["type"] != "dataclass-args":  # validators of the whole stand around it
        arguments = arguments["schema"]
    fields = {one["name"]: one["schema"] for one in arguments["fields"] if not one.get("init_only")}
    raw = {name for name, one in fields.items() if _is_written_by_its_own(one)}
    typed = core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(one, required=False) for name, one in fields.items()}
    )

    def checked(value: Any, validate: Callable[[Any], dict[str, Any]]) -> Any:
        given = {name: getattr(value, name) for name in fields if hasattr(value, name)}
        found = validate({name: one if name in raw else plain(one) for name, one in given.items()})
        changed = {name: one for name, one in found.items() if one is not given[name]}
        made = copy.copy(value) if changed else value
        for name, one in changed.items():
            object.__setattr__(made, name, one)  # it may be frozen
        return made

    return core_schema.tagged_union_schema(
        {_INSTANCE: core_schema.no_info_wrap_validator_function(checked, typed), _OTHER: schema},
        discriminator=lambda value: _INSTANCE if isinstance(value, kind) else _OTHER,
        ref=ref,
    )


def _is_written_by_its_own(schema: Any) -> bool:
    """Whether a field has a serializer, which may take what NumPy alone has."""
    return schema is not None and ("serialization" in schema or _is_written_by_its_own(schema.get("schema")))
