"""Outputs of a process: read off its return type, described, and written from what it returned.

A returned dataclass, named tuple, TypedDict or Pydantic model gives one output for each field; anything else gives one
output, ``result``. The media type follows from the type, or from ``MediaType(...)`` in ``Annotated``.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gristmill.errors import ConfigurationError, Fault, first_faults, pointer_part
from gristmill.processes.authoring import MediaType, Output
from gristmill.processes.docstring import Docstring, parse_docstring
from gristmill.processes.hints import hint_notes, readable
from gristmill.processes.output_writers import shown, writer_of
from gristmill.processes.schema import Schema

TRANSMISSIONS = ("value", "reference")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class ProducedOutput:
    """One output of a run. data: JSON text where the media type is ``application/json``, else the file itself."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class DeclaredOutput:
    """One output as declared.

    optional: None, or a missing field, leaves it out of the result. on_demand: what is returned is a function, which
    makes the value.
    """

    name: str
    title: str
    description: str
    schema: Schema
    media_type: str
    optional: bool
    on_demand: bool
    encode: Callable[[Any], bytes]

    def describe(self) -> dict[str, object]:
        """Return the standard's outputDescription."""
        described: dict[str, object] = {"title": self.title}
        if self.description:
            described["description"] = self.description
        return described | {"schema": self.schema}


class Outputs:
    """All outputs of a process."""

    def __init__(self, outputs: tuple[DeclaredOutput, ...], kind: type | None) -> None:
        self.all = outputs
        self._kind = kind
        self._is_dictionary = is_typeddict(kind)
        self._names = {one.name for one in outputs}

    def check(self, requested: Mapping[str, object]) -> list[Fault]:
        """Return what is wrong with the ``outputs`` of an execute request."""
        return first_faults(self._faults(requested), "/outputs")

    def _faults(self, requested: Mapping[str, object]) -> Iterator[Fault]:
        by_name = {one.name: one for one in self.all}
        unknown = f"is not an output of this process; its outputs are: {', '.join(by_name)}"
        for name, wish in requested.items():
            at = "/outputs/" + pointer_part(name)
            if name not in by_name:
                yield Fault(at, unknown)
            elif not isinstance(wish, dict):
                yield Fault(at, 'must be an object, such as {"transmissionMode": "value"}')
            else:
                yield from _wish_faults(wish, by_name[name], at)

    def left_out(self, wanted: Collection[str]) -> frozenset[str]:
        """The outputs that are not made where these are wanted; without any, all are."""
        return frozenset(one.name for one in self.all if one.on_demand and wanted and one.name not in wanted)

    def encode(self, returned: Any, wanted: Collection[str] = ()) -> list[ProducedOutput]:
        """Write what the function returned, but for what is made on demand and not wanted; () wants everything.

        Raises TypeError where it is not what was declared, and what making an output on demand raises.
        """
        left_out = self.left_out(wanted)
        values = {self.all[0].name: returned} if self._kind is None else self._fields(self._kind, returned)
        produced = []
        for one in self.all:
            value = values.get(one.name, _MISSING)
            if one.name in left_out:
                continue
            if one.on_demand and value is not _MISSING and not (one.optional and value is None):
                value = _made(one.name, value)
            if one.optional and (value is _MISSING or value is None):
                continue
            if value is _MISSING:
                raise TypeError(f"the process returned no value for its output {one.name!r}")
            produced.append(ProducedOutput(one.name, one.media_type, one.encode(value)))
        return produced

    def _fields(self, kind: type, returned: Any) -> dict[str, Any]:
        if not isinstance(returned, dict if self._is_dictionary else kind):
            raise TypeError(f"the process returned {shown(returned)}, where it declares {kind.__name__}")
        if not isinstance(returned, dict):
            return {name: getattr(returned, name) for name in self._names}
        if unknown := sorted(map(str, returned.keys() - self._names)):
            raise TypeError(f"the process returned {', '.join(unknown)}, which {kind.__name__} does not declare")
        return returned


def declare_outputs(hint: Any) -> Outputs:
    """Read the outputs off a return type. Raises ConfigurationError that says what would be right."""
    bare, notes = hint_notes(hint)
    named = next((note for note in notes if isinstance(note, Output)), None)
    fields = None if named else _fields_of(bare)
    if fields is None:
        return Outputs((_declare(named.name if named else "result", hint, Docstring()),), None)
    if not fields:
        raise ConfigurationError(f"the return type {bare.__name__} has no fields, so the process has no outputs")
    doc = parse_docstring(bare.__doc__)
    return Outputs(tuple(_declare(name, one, doc) for name, one in fields.items()), bare)


def _fields_of(kind: Any) -> dict[str, Any] | None:
    """Return the fields of a type whose fields are outputs, or None."""
    if not isinstance(kind, type):
        return None
    if issubclass(kind, BaseModel):
        return {name: _annotated(field) for name, field in kind.model_fields.items()}
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    if dataclasses.is_dataclass(kind) or is_typeddict(kind) or is_named_tuple:
        hints = get_type_hints(kind, include_extras=True)
        if is_typeddict(kind):
            required: frozenset[str] = vars(kind)["__required_keys__"]
            return {name: one if name in required else NotRequired[one] for name, one in hints.items()}
        return hints
    return None


def _annotated(field: FieldInfo) -> Any:
    return Annotated[field.annotation, field, *field.metadata]


def _declare(name: str, hint: Any, doc: Docstring) -> DeclaredOutput:
    optional = get_origin(hint) is NotRequired
    while get_origin(hint) in {NotRequired, Required}:
        (hint,) = get_args(hint)
    kind, notes = hint_notes(hint)
    optional = optional or type(None) in get_args(hint)
    if on_demand := get_origin(kind) is Callable:
        parameters, hint = get_args(kind)
        if parameters:
            raise ConfigurationError(f"output {name!r}: a function that makes it on demand takes no arguments")
        optional = optional or type(None) in get_args(hint)
        for note in notes:
            hint = Annotated[hint, note]
        kind, notes = hint_notes(hint)
    field = next((note for note in notes if isinstance(note, FieldInfo)), None)
    description = (field.description if field else None) or doc.items.get(name, "")
    title = (field.title if field else None) or readable(name)
    wanted = next((note.name for note in notes if isinstance(note, MediaType)), "")
    try:
        schema, media_type, encode = writer_of(name, hint, kind, wanted)
    except ConfigurationError as error:
        raise ConfigurationError(f"output {name!r}: {error.detail}") from error
    said = {"description": description, "title": title}
    schema = {key: value for key, value in schema.items() if key != "default" and said.get(key) != value}
    return DeclaredOutput(name, title, description, schema, media_type, optional, on_demand, encode)


def _made(name: str, make: Any) -> Any:
    if not callable(make):
        raise TypeError(f"output {name!r} is {shown(make)}, where the process declares a function that makes it")
    return make()


def _wish_faults(wish: dict[str, Any], output: DeclaredOutput, at: str) -> list[Fault]:
    faults = []
    mode: object = wish.get("transmissionMode", "value")
    if mode not in TRANSMISSIONS:
        faults.append(Fault(f"{at}/transmissionMode", f"must be {' or '.join(TRANSMISSIONS)}"))
    wanted = wish.get("format")
    if wanted is None:
        return faults
    if not isinstance(wanted, dict):
        return [*faults, Fault(f"{at}/format", 'must be an object, such as {"mediaType": "image/png"}')]
    media_type = wanted.get("mediaType")
    if media_type is None:
        return faults
    if not isinstance(media_type, str) or _bare(media_type) != _bare(output.media_type):
        faults.append(Fault(f"{at}/format/mediaType", f"must be {output.media_type}, the only one this output has"))
    return faults


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()
