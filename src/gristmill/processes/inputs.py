"""Inputs of a process: read off its signature, described, and read from an execute request.

An input is given by value, by qualified value (``{"value": ..., "mediaType": ..., "encoding": ...}``) or by reference
(``{"href": ..., "type": ...}``), as OGC API - Processes 1.0 has it; a ``format`` member around mediaType, encoding and
schema, as drafts of the standard had it and its test suite still sends, is understood too. Where an input takes any
object, a qualified value that does not fit, and an ``href`` that is no http URL, are the object itself.
"""

import base64
import binascii
import contextlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeGuard, cast, get_args, get_origin

import pydantic_core
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from gristmill.errors import (
    ConfigurationError,
    Fault,
    InvalidInputsError,
    NoSuchDataSetError,
    NoSuchVersionError,
    pointer_part,
)
from gristmill.fetch import Fetched, FetchError, check_url
from gristmill.processes.authoring import Progress
from gristmill.processes.column import TableError
from gristmill.processes.dataset import DataSet
from gristmill.processes.docstring import Docstring
from gristmill.processes.references import SCHEMA, is_data_set, reference_of
from gristmill.processes.run_data import RunData
from gristmill.processes.schema import Schema, openapi_schema
from gristmill.processes.table import Table

_JSON = ConfigDict(val_json_bytes="base64", ser_json_bytes="base64", arbitrary_types_allowed=False)
_QUALIFIED = {"value", "mediaType", "encoding", "schema"}
_LINK = {"href", "type", "rel", "title", "hreflang", "length", "templated"}
_FORMAT = {"mediaType", "encoding", "schema"}
_ANYTHING = "application/octet-stream"
_TABLE_FORMS = {"table", "data set", "data sets"}
_TABLES = TypeAdapter(Table)
_SHOWN_VALUE = 60
_LISTED_FAULTS = 100
_COUNTED_FAULTS = 10_000
# What is larger is checked only where the process runs, in a child that can be killed: finding a million faults
# takes many seconds, in which a server could do nothing else.
CHECKED_VALUES = 20_000
_LETTERS_A_VALUE = 16
_USABLE = (
    "use int, float, str, bool, bytes, date, datetime, Literal, Enum, list, dict, a Pydantic model, "
    "BoundingBox, Table or DataSet"
)


class Fetch(Protocol):
    """Gets what an ``href`` points to."""

    def __call__(self, url: str, /) -> Fetched:
        """Fetch a URL; raises FetchError."""
        ...


ChangeDataSet = Callable[[str, object], object]
"""Gets the JSON pointer of a value that may be a reference to a data set, and the value; returns the new value."""


@dataclass(frozen=True)
class Input:
    """One input. ``form`` says how bytes become its value: table, data set, data sets (by name), binary, text, json."""

    name: str
    title: str
    description: str
    schema: Schema
    required: bool
    adapter: TypeAdapter[Any]
    form: str

    def describe(self) -> dict[str, object]:
        """Return the standard's inputDescription."""
        described: dict[str, object] = {"title": self.title}
        if self.description:
            described["description"] = self.description
        return described | {"schema": self.schema, "minOccurs": int(self.required), "maxOccurs": 1}

    @cached_property
    def takes_objects(self) -> bool:
        """Whether a JSON object can be a value of this input."""
        return _takes_objects(self.schema)

    @cached_property
    def media_type(self) -> str:
        """The media type that a value must have, or ``application/octet-stream`` for any."""
        return str(self.schema.get("contentMediaType", _ANYTHING))

    def read(self, raw: object, fetch: Fetch | None, data: RunData | None = None) -> Any:
        """Return the Python value of what the request gave.

        Without ``fetch`` it is a check ahead of the run: a reference is checked in form only, and what is large not at
        all. data: makes the run's data sets. Raises InvalidInputsError with every fault.
        """
        if fetch is None and is_large(raw):
            return None
        at = "/inputs/" + pointer_part(self.name)
        if self.form == "data sets":
            return self._read_data_sets(raw, at, fetch, data)
        if self.takes_data_sets:
            return self._read_data_set(self.name, raw, at, fetch, data)
        return self._read(raw, at, fetch)

    def with_data_sets(self, raw: object, change: ChangeDataSet) -> object:
        """Return a given value with what may be a reference to a data set changed."""
        at = "/inputs/" + pointer_part(self.name)
        if self.form == "data sets" and isinstance(raw, dict):
            return {name: change(f"{at}/{pointer_part(name)}", value) for name, value in raw.items()}
        return change(at, raw) if self.takes_data_sets else raw

    def _read_data_sets(self, raw: object, at: str, fetch: Fetch | None, data: RunData | None) -> dict[str, Any]:
        if not isinstance(raw, dict) or not raw:
            raise _invalid(at, 'must be an object with a data set for each name, such as {"a": {"dataset": "flights"}}')
        names = [name.casefold() for name in raw]
        if twice := [name for name in raw if names.count(name.casefold()) > 1]:
            raise _invalid(at, f"has the names {twice[0]!r} and {twice[1]!r}, which SQL does not tell apart")
        return {
            name: self._read_data_set(name, value, f"{at}/{pointer_part(name)}", fetch, data)
            for name, value in raw.items()
        }

    def _read_data_set(self, name: str, raw: object, at: str, fetch: Fetch | None, data: RunData | None) -> Any:
        """A Table or DataSet, as the signature says; of references to data sets only the form, where there are none."""
        try:
            if is_data_set(raw):
                reference = reference_of(cast("dict[str, object]", raw), at)
                if data is None:
                    return None
                stored = data.stored(name, reference)
                return stored.table() if self.form == "table" else stored
            table = self._read(raw, at, fetch)
            if self.form == "table" or data is None or table is None:
                return table
            return data.given(name, table)
        except (NoSuchDataSetError, NoSuchVersionError) as error:
            raise _invalid(f"{at}/dataset", error.detail) from error
        except TableError as error:
            raise _invalid(at, str(error)) from error

    def _read(self, raw: object, at: str, fetch: Fetch | None) -> Any:
        if isinstance(raw, dict):
            if is_reference(raw) or not self.takes_objects:
                raw = _without_format(raw)
            if is_reference(raw) or ("href" in raw and (self.takes_data_sets or not self.takes_objects)):
                return self._read_reference(raw, at, fetch)
            if "value" in raw and raw.keys() <= _QUALIFIED:
                return self._read_qualified(raw, at)
        return self._validate(raw, at)

    @property
    def takes_data_sets(self) -> bool:
        """Whether a data set of this API can be a value, or a part of one."""
        return self.form in _TABLE_FORMS

    def _read_reference(self, link: dict[str, Any], at: str, fetch: Fetch | None) -> Any:
        if extra := sorted(link.keys() - _LINK):
            raise _invalid(
                f"{at}/{pointer_part(extra[0])}", f"is not part of a link; a link has {', '.join(sorted(_LINK))}"
            )
        href, media_type = link["href"], link.get("type", "")
        if not isinstance(href, str):
            raise _invalid(f"{at}/href", "must be a URL, as a string")
        if not isinstance(media_type, str):
            raise _invalid(f"{at}/type", "must be a media type, as a string")
        self._check_media_type(media_type, f"{at}/type")
        try:
            check_url(href)
            if fetch is None:
                return None
            fetched = fetch(href)
        except FetchError as error:
            raise InvalidInputsError(error.detail, faults=[Fault(f"{at}/href", error.detail)]) from error
        return self._from_bytes(fetched.content, media_type or fetched.media_type, fetched.charset, href, f"{at}/href")

    def _read_qualified(self, given: dict[str, Any], at: str) -> Any:
        if not self.takes_objects:
            return self._qualified_value(given, at)
        try:
            if given["value"] is not None:
                return self._qualified_value(given, at)
        except InvalidInputsError as error:
            with contextlib.suppress(InvalidInputsError):
                return self._validate(given, at)
            raise error from None
        with contextlib.suppress(InvalidInputsError):
            return self._validate(given, at)
        return self._qualified_value(given, at)

    def _qualified_value(self, given: dict[str, Any], at: str) -> Any:
        value, media_type, encoding = given["value"], given.get("mediaType", ""), given.get("encoding", "")
        if not isinstance(media_type, str):
            raise _invalid(f"{at}/mediaType", "must be a media type, as a string")
        self._check_media_type(media_type, f"{at}/mediaType")
        if encoding == "base64" and isinstance(value, str) and self.form != "binary":
            try:
                content = base64.b64decode(value, validate=True)
            except binascii.Error as error:
                raise _invalid(f"{at}/value", "is not base64") from error
            return self._from_bytes(content, media_type, "", "", f"{at}/value")
        if not isinstance(encoding, str) or encoding.lower() not in {"", "base64", "binary", "utf-8", "utf8"}:
            raise _invalid(f"{at}/encoding", "must be base64 or utf-8")
        if self.takes_data_sets and isinstance(value, str):
            return self._from_bytes(value.encode(), media_type or "text/csv", "utf-8", "", f"{at}/value")
        return self._validate(value, f"{at}/value")

    def _check_media_type(self, given: str, at: str) -> None:
        bare = given.partition(";")[0].strip().lower()
        if bare and self.media_type != _ANYTHING and bare != self.media_type.partition(";")[0]:
            raise _invalid(at, f"must be {self.media_type}")

    def _from_bytes(self, content: bytes, media_type: str, charset: str, url: str, at: str) -> Any:
        if self.form == "binary":
            return self._validate(base64.b64encode(content).decode(), at)
        try:
            if self.takes_data_sets:
                return Table.from_bytes(content, media_type, charset=charset, name=url)
            text = content.decode(charset or "utf-8-sig")
            is_json = media_type.partition(";")[0].strip().endswith(("/json", "+json"))
            as_text = self.form == "text" or (not is_json and _takes_strings(self.schema))
            value = text if as_text else json.loads(text)
        except (TableError, UnicodeDecodeError, LookupError, json.JSONDecodeError, RecursionError) as error:
            raise _invalid(at, f"cannot be read: {error}") from error
        return self._validate(value, at)

    def _validate(self, value: object, at: str) -> Any:
        try:
            if self.takes_data_sets:
                adapter = _TABLES if self.form == "data sets" else self.adapter
                return adapter.validate_python(value)
            return self.adapter.validate_json(pydantic_core.to_json(value), strict=True)
        except ValidationError as error:
            faults = list(_faults(error, value, at))
            raise InvalidInputsError(_sentence(faults), faults=faults) from error
        except (pydantic_core.PydanticSerializationError, UnicodeEncodeError) as error:
            raise _invalid(at, "has text that is not valid Unicode") from error
        except (ValueError, RecursionError) as error:
            raise _invalid(at, "is nested too deep") from error


class Inputs:
    """All inputs of a process, and the parameters that the run fills in itself."""

    def __init__(self, inputs: tuple[Input, ...], progress: str = "", scratch: str = "") -> None:
        self.all = inputs
        self.progress = progress
        self.scratch = scratch
        self._by_name = {one.name: one for one in inputs}
        self._required = tuple(one.name for one in inputs if one.required)

    def read(self, given: Mapping[str, object], fetch: Fetch | None, data: RunData | None = None) -> dict[str, Any]:
        """Return the values that the function is called with; raises InvalidInputsError with every fault.

        data: makes the run's data sets.
        """
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, raw in given.items():
            one = self._by_name.get(name)
            if one is None:
                known = ", ".join(self._by_name) or "none"
                faults.append(
                    Fault(f"/inputs/{pointer_part(name)}", f"is not an input of this process; its inputs are: {known}")
                )
                continue
            try:
                values[name] = one.read(raw, fetch, data)
            except InvalidInputsError as error:
                faults.extend(error.faults)
        faults += [
            Fault(f"/inputs/{pointer_part(name)}", "is required") for name in self._required if name not in given
        ]
        if faults:
            raise InvalidInputsError(_sentence(faults), faults=faults)
        return values

    def with_data_sets(self, given: Mapping[str, object], change: ChangeDataSet) -> dict[str, object]:
        """Return given inputs with each value that may be a reference to a data set changed."""
        return {
            name: self._by_name[name].with_data_sets(raw, change) if name in self._by_name else raw
            for name, raw in given.items()
        }


def is_large(value: object) -> bool:
    """Return whether a given value holds more than ``CHECKED_VALUES`` values, or as much in long strings."""
    left = CHECKED_VALUES
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            left -= len(one) // _LETTERS_A_VALUE
        elif isinstance(one, dict | list):
            left -= len(one)
        if left < 0:
            return True
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return False


def is_reference(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a given value is a link with an http or https URL, which is fetched."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("href"), str)
        and value["href"].lower().startswith(("http://", "https://"))
        and value.keys() <= _LINK | {"format"}
    )


def _without_format(given: dict[str, Any]) -> dict[str, Any]:
    """Return a link or qualified value that has its format in a member of its own as the final standard writes it."""
    form = given.get("format")
    if not isinstance(form, dict) or not form.keys() <= _FORMAT or not given.keys() & {"href", "value"}:
        return given
    rest = {name: value for name, value in given.items() if name != "format"}
    if "href" in given:
        return ({"type": form["mediaType"]} if "mediaType" in form else {}) | rest
    return form | rest


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


def make_adapter(hint: Any) -> TypeAdapter[Any]:
    """Return the validator of a type; its JSON has bytes as base64."""
    try:
        return TypeAdapter(hint, config=_JSON)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(hint)


def hint_notes(hint: Any) -> tuple[Any, list[Any]]:
    """Return a type without None and Annotated around it, and what Annotated said."""
    notes: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            notes += more
        elif len(options := [one for one in get_args(hint) if one is not type(None)]) == 1 and type(None) in get_args(
            hint
        ):
            hint = options[0]
        else:
            return hint, notes


def readable(name: str) -> str:
    """Make a title of a parameter's name."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


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
    return Input(name, title, described, _with_references(schema, form), required, adapter, form)


def _is_data_sets(kind: Any) -> bool:
    return get_origin(kind) is dict and get_args(kind) == (str, DataSet)


def _with_references(schema: Schema, form: str) -> Schema:
    """A schema of tables that takes references to data sets too."""
    if form == "data sets":
        return schema | {
            "additionalProperties": _with_references(schema["additionalProperties"], "table"),
            "minProperties": 1,
        }
    return schema | {"anyOf": [SCHEMA, *schema["anyOf"]]} if form in _TABLE_FORMS else schema


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


def _parts(schema: Schema) -> list[Schema]:
    parts: list[Schema] = schema.get("oneOf") or schema.get("anyOf") or schema.get("allOf") or []
    return parts


def _takes_objects(schema: Schema) -> bool:
    return schema.get("type") == "object" or (
        "type" not in schema and (not _parts(schema) or any(map(_takes_objects, _parts(schema))))
    )


def _takes_strings(schema: Schema) -> bool:
    return schema.get("type") == "string" or (
        "type" not in schema and (not _parts(schema) or any(map(_takes_strings, _parts(schema))))
    )


def _faults(error: ValidationError, value: object, at: str) -> Iterator[Fault]:
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
    for pointer, messages in islice(by_pointer.items(), _LISTED_FAULTS):
        yield Fault(pointer, "; or ".join(dict.fromkeys(messages)))
    if len(by_pointer) > _LISTED_FAULTS:
        yield Fault(at, f"has {len(by_pointer) - _LISTED_FAULTS:,} more faults")


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


def _sentence(faults: list[Fault]) -> str:
    first = f"{faults[0].pointer} {faults[0].detail}"
    return first if len(faults) == 1 else f"{first}; and {len(faults) - 1} more"


def _invalid(pointer: str, detail: str) -> InvalidInputsError:
    return InvalidInputsError(f"{pointer} {detail}", faults=[Fault(pointer, detail)])
