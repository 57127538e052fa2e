"""The inputs of a process, read off its signature."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pydantic_core
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from gristmill.errors import ConfigurationError
from gristmill.processes.authoring import Progress
from gristmill.processes.dataset import DataSet
from gristmill.processes.docstring import Docstring
from gristmill.processes.hints import hint_notes, make_adapter, readable
from gristmill.processes.input import MOST_TABLES, TABLE_FORMS, Input
from gristmill.processes.inputs import Inputs
from gristmill.processes.references import SCHEMA
from gristmill.processes.schema import Schema, openapi_schema
from gristmill.processes.table import Table, read_table

_USABLE = (
    "use int, float, str, bool, bytes, date, datetime, Literal, Enum, list, dict, a Pydantic model, "
    "BoundingBox, Table or DataSet"
)


def declare_inputs(function: Callable[..., object], hints: Mapping[str, Any], doc: Docstring) -> Inputs:
    """Read the inputs off a function's signature.

    Raises ConfigurationError that names the parameter and what would be right.
    """
    declared: list[Input] = []
    context = {"progress": "", "scratch": ""}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise ParameterError(name, "inputs go by name; write ordinary parameters, without *, ** or /")
        if name not in hints:
            raise ParameterError(name, f"has no type hint; write one, such as `{name}: float`")
        hint = hints[name]
        kind, _ = hint_notes(hint)
        if kind is Progress:
            context["progress"] = name
        elif kind is Path:
            if name != "scratch":
                raise ParameterError(
                    name, "a path cannot be an input; use bytes or Table, or name it `scratch` for the scratch folder"
                )
            context["scratch"] = name
        else:
            declared.append(_declare(name, hint, parameter.default, doc.items.get(name, "")))
    return Inputs(tuple(declared), **context)


class ParameterError(ConfigurationError):
    """A parameter of a process's signature is not usable."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"parameter {parameter!r}: {detail}")
        self.parameter = parameter


def _declare(name: str, hint: Any, default: object, described: str) -> Input:
    kind, notes = hint_notes(hint)
    try:
        adapter = make_adapter(hint)
        schema = openapi_schema(adapter)
    except ConfigurationError as error:
        raise ParameterError(name, f"{error.detail}; {_USABLE}") from error
    except (PydanticUserError, pydantic_core.SchemaError, TypeError) as error:
        raise ParameterError(name, f"the type {hint!r} cannot be read from JSON; {_USABLE}") from error
    for note in notes:
        if isinstance(note, FieldInfo):
            described = note.description or described
            if note.description and schema.get("description") == note.description:
                del schema["description"]
    title = next((str(note.title) for note in notes if isinstance(note, FieldInfo) and note.title), readable(name))
    if schema.get("title") == title:
        del schema["title"]
    required = default is inspect.Parameter.empty
    if not required and default is not None:
        schema = schema | {"default": _default(name, adapter, default)}
    elif default is None and not schema.get("nullable") and schema:
        raise ParameterError(name, "its default is None, which its type does not allow; write `| None`")
    form = _form(kind, schema)
    if form not in TABLE_FORMS and _has_table(adapter.core_schema):
        raise ParameterError(
            name,
            f"a Table or DataSet within another type cannot be given as a stored data set; write `{name}: dict[str, "
            "DataSet]` for any number of them, or a parameter for each",
        )
    return Input(name, title, described, _with_references(schema, form), required, adapter, form)


def _is_data_sets(kind: Any) -> bool:
    return get_origin(kind) is dict and get_args(kind) == (str, DataSet)


def _has_table(core_schema: object) -> bool:
    """Whether Pydantic would read a table somewhere within a value."""
    if isinstance(core_schema, Mapping):
        return any(map(_has_table, core_schema.values()))
    if isinstance(core_schema, list | tuple):
        return any(map(_has_table, core_schema))
    return core_schema is read_table


def _with_references(schema: Schema, form: str) -> Schema:
    """A schema of tables that takes references to data sets too."""
    if form == "data sets":
        return schema | {
            "additionalProperties": _with_references(schema["additionalProperties"], "table"),
            "minProperties": 1,
            "maxProperties": MOST_TABLES,
        }
    return schema | {"anyOf": [SCHEMA, *schema["anyOf"]]} if form in TABLE_FORMS else schema


def _default(name: str, adapter: TypeAdapter[Any], default: object) -> object:
    try:
        return adapter.dump_python(adapter.validate_python(default), mode="json")
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise ParameterError(name, f"its default {default!r} does not fit its type: {reason}") from error


def _form(kind: Any, schema: Schema) -> str:
    if kind is Table:
        return "table"
    if kind is DataSet:
        return "data set"
    if _is_data_sets(kind):
        return "data sets"
    if schema.get("format") == "byte":
        return "binary"
    return "text" if schema.get("type") == "string" else "json"
