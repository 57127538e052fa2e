"""One input of a process: described, and read from an execute request.

It is given by value, by qualified value (``{"value": ..., "mediaType": ..., "encoding": ...}``) or by reference
(``{"href": ..., "type": ...}``), as OGC API - Processes 1.0 has it; a ``format`` member around mediaType, encoding and
schema, as drafts of the standard had it and its test suite still sends, is understood too. Where an input takes any
object, a qualified value that does not fit, and an ``href`` that is no http URL, are the object itself.
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from typing import Any, Protocol, cast

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from gristmill.errors import Fault, InvalidInputsError, NoSuchDataSetError, NoSuchVersionError, pointer_part
from gristmill.fetch import Fetched, FetchError, check_url
from gristmill.processes.column import TableError
from gristmill.processes.input_faults import as_json, faults_of, invalid, sentence
from gristmill.processes.references import FORMAT, LINK, is_data_set, is_reference, names_data_set, reference_of
from gristmill.processes.repetitions import repetitions, says_unique
from gristmill.processes.run_data import RunData
from gristmill.processes.schema import Schema
from gristmill.processes.table import Table

TABLE_FORMS = {"table", "data set", "data sets"}
"""The forms of inputs that a data set can be given for."""
MOST_TABLES = 100
"""In one input: the API asks Redis for each data set while the request waits."""
_QUALIFIED = {"value", "mediaType", "encoding", "schema"}
_ANYTHING = "application/octet-stream"
_TABLES = TypeAdapter(Table)
# What is larger is checked only where the process runs, in a child that can be killed: finding a million faults
# takes many seconds, in which a server could do nothing else.
CHECKED_VALUES = 20_000
_LETTERS_A_VALUE = 16


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
    def _says_unique(self) -> bool:
        return says_unique(self.schema)

    @cached_property
    def media_type(self) -> str:
        """The media type that a value must have, or ``application/octet-stream`` for any."""
        return str(self.schema.get("contentMediaType", _ANYTHING))

    def read(self, raw: object, fetch: Fetch | None, data: RunData | None = None) -> Any:
        """Return the Python value of what the request gave.

        Without ``fetch`` it is a check ahead of the run: a reference is checked in form only, and what is large not at
        all. data: makes the run's data sets. Raises InvalidInputsError with every fault.
        """
        at = "/inputs/" + pointer_part(self.name)
        if self.form == "data sets" and isinstance(raw, dict) and len(raw) > MOST_TABLES:
            raise invalid(at, f"has {len(raw):,} tables; at most {MOST_TABLES} are allowed")
        if fetch is None and is_large(raw):
            return None
        if self.form == "data sets":
            return self._read_data_sets(raw, at, fetch, data)
        if self.takes_data_sets:
            return self._read_data_set(self.name, raw, at, fetch, data)
        return self._read(raw, at, fetch)

    def with_data_sets(self, raw: object, change: ChangeDataSet) -> object:
        """Return a given value with what may be a reference to a data set changed."""
        if not self.takes_data_sets:
            return raw
        changed = {name: change(at, value) for name, at, value in self._parts(raw)}
        return changed if self.form == "data sets" and isinstance(raw, dict) else changed[""]

    def references(self, raw: object) -> Iterator[tuple[str, str]]:
        """The JSON pointers of the links in a given value that are fetched, each with its URL."""
        return ((at, value["href"]) for _, at, value in self._parts(raw) if is_reference(value))

    def _parts(self, raw: object) -> Iterator[tuple[str, str, object]]:
        """What in a given value may be a reference: its name within it, or "" for all of it; its JSON pointer; it."""
        at = "/inputs/" + pointer_part(self.name)
        if self.form == "data sets" and isinstance(raw, dict):
            return ((name, f"{at}/{pointer_part(name)}", value) for name, value in raw.items())
        return iter([("", at, raw)])

    def _read_data_sets(self, raw: object, at: str, fetch: Fetch | None, data: RunData | None) -> dict[str, Any]:
        if not isinstance(raw, dict) or not raw:
            raise invalid(at, 'must be an object with a data set for each name, such as {"a": {"dataset": "flights"}}')
        if names_data_set(raw):
            named = as_json({raw["dataset"]: raw})
            raise invalid(at, f"is a data set, where an object with a name for each is expected: {named}")
        for name in raw:
            if not name or "\0" in name:
                raise invalid(f"{at}/{pointer_part(name)}", "is no name in SQL; give one of one letter or more")
        names = [name.casefold() for name in raw]
        if twice := [name for name in raw if names.count(name.casefold()) > 1]:
            raise invalid(at, f"has the names {twice[0]!r} and {twice[1]!r}, which SQL does not tell apart")
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
            raise invalid(f"{at}/dataset", error.detail) from error
        except TableError as error:
            raise invalid(at, str(error)) from error

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
        return self.form in TABLE_FORMS

    def _read_reference(self, link: dict[str, Any], at: str, fetch: Fetch | None) -> Any:
        if extra := sorted(link.keys() - LINK):
            raise invalid(
                f"{at}/{pointer_part(extra[0])}", f"is not part of a link; a link has {', '.join(sorted(LINK))}"
            )
        href, media_type = link["href"], link.get("type", "")
        if not isinstance(href, str):
            raise invalid(f"{at}/href", "must be a URL, as a string")
        if not isinstance(media_type, str):
            raise invalid(f"{at}/type", "must be a media type, as a string")
        self._check_media_type(media_type, f"{at}/type")
        try:
            check_url(href)
            if fetch is None:
                return None
            fetched = fetch(href)
        except FetchError as error:
            raise InvalidInputsError(error.detail, faults=[Fault(f"{at}/href", error.detail)]) from error
        charset = _charset(media_type) or fetched.charset
        return self._from_bytes(fetched.content, media_type or fetched.media_type, charset, href, f"{at}/href")

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
            raise invalid(f"{at}/mediaType", "must be a media type, as a string")
        self._check_media_type(media_type, f"{at}/mediaType")
        if encoding == "base64" and isinstance(value, str) and self.form != "binary":
            try:
                content = base64.b64decode(value, validate=True)
            except binascii.Error as error:
                raise invalid(f"{at}/value", "is not base64") from error
            return self._from_bytes(content, media_type, _charset(media_type), "", f"{at}/value")
        if not isinstance(encoding, str) or encoding.lower() not in {"", "base64", "binary", "utf-8", "utf8"}:
            raise invalid(f"{at}/encoding", "must be base64 or utf-8")
        if self.takes_data_sets and isinstance(value, str):
            return self._from_bytes(value.encode(), media_type or "text/csv", "utf-8", "", f"{at}/value")
        return self._validate(value, f"{at}/value")

    def _check_media_type(self, given: str, at: str) -> None:
        bare = given.partition(";")[0].strip().lower()
        if bare and self.media_type != _ANYTHING and bare != self.media_type.partition(";")[0]:
            raise invalid(at, f"must be {self.media_type}")

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
            raise invalid(at, f"cannot be read: {error}") from error
        return self._validate(value, at)

    def _validate(self, value: object, at: str) -> Any:
        try:
            if self.takes_data_sets:
                adapter = _TABLES if self.form == "data sets" else self.adapter
                return adapter.validate_python(value)
            validated = self.adapter.validate_json(pydantic_core.to_json(value), strict=True)
            faults = repetitions(self.schema, value, at) if self._says_unique else []
        except ValidationError as error:
            faults = list(faults_of(error, value, at))
            raise InvalidInputsError(sentence(faults), faults=faults) from error
        except (pydantic_core.PydanticSerializationError, UnicodeEncodeError) as error:
            raise invalid(at, "has text that is not valid Unicode") from error
        except (ValueError, RecursionError) as error:
            raise invalid(at, "is nested too deep") from error
        if faults:
            raise InvalidInputsError(sentence(faults), faults=faults)
        return validated


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


def _charset(media_type: str) -> str:
    message = Message()
    message["Content-Type"] = media_type
    return message.get_content_charset("")


def _without_format(given: dict[str, Any]) -> dict[str, Any]:
    """Return a link or qualified value that has its format in a member of its own as the final standard writes it."""
    form = given.get("format")
    if not isinstance(form, dict) or not form.keys() <= FORMAT or not given.keys() & {"href", "value"}:
        return given
    rest = {name: value for name, value in given.items() if name != "format"}
    if "href" in given:
        return ({"type": form["mediaType"]} if "mediaType" in form else {}) | rest
    return form | rest


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
