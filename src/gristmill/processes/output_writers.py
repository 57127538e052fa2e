"""How a value becomes the bytes of an output, by its declared type: schema, media type and writing function."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pydantic_core
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from gristmill.errors import ConfigurationError
from gristmill.processes import encoders
from gristmill.processes.hints import make_adapter
from gristmill.processes.schema import BASE64, Schema, openapi_schema


def writer_of(name: str, hint: Any, kind: Any, wanted: str) -> tuple[Schema, str, Callable[[Any], bytes]]:
    """Return schema, media type and writing function of the output ``name``, declared as ``hint``.

    kind: the bare type in it. wanted: the media type that it asks for, or "". Raises ConfigurationError.
    """
    if known := encoders.known_type(kind):
        possible = encoders.media_types(known)
        media_type = wanted or possible[0]
        if media_type not in possible:
            raise ConfigurationError(f"{known} cannot be written as {media_type}; it can be {', '.join(possible)}")
        write = encoders.encoder(known, media_type)

        def encode_known(value: Any) -> bytes:
            if not isinstance(value, kind):
                raise TypeError(f"output {name!r} is {shown(value)}, where the process declares {kind.__name__}")
            try:
                return write(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"output {name!r}: {error}") from error

        return encoders.schema_of(known, media_type), media_type, encode_known
    if kind is bytes:
        return BASE64 | {"contentMediaType": wanted or encoders.BYTES}, wanted or encoders.BYTES, _Bytes(name)
    if wanted and wanted != encoders.JSON:
        if kind is not str:
            raise ConfigurationError(f"MediaType({wanted!r}) needs bytes, str, a table or a figure, not {hint!r}")
        return {"type": "string", "contentMediaType": wanted}, wanted, _Text(name)
    try:
        adapter = make_adapter(hint)
        schema = openapi_schema(adapter, "serialization")
    except (PydanticUserError, pydantic_core.SchemaError, TypeError) as error:
        raise ConfigurationError(
            f"the type {hint!r} cannot be written; use a number, str, bool, date, list, dict, a Pydantic model, bytes "
            "with MediaType, Table, a DataFrame, an Arrow table, a NumPy array or a Matplotlib Figure"
        ) from error
    if schema.get("type") == "string" and not schema.keys() & {"format", "contentEncoding", "contentMediaType"}:
        return schema, encoders.TEXT, _PlainText(name, adapter)
    return schema, encoders.JSON, _Json(name, adapter)


# Else NaN and the infinities would be null wherever no type is declared: where the declared one has Any, dict or list.
_UNTYPED = pydantic_core.core_schema.CoreConfig(ser_json_inf_nan="strings", ser_json_bytes="base64")


class _Json:
    """Checks a value against its declared type and writes it as JSON."""

    def __init__(self, name: str, adapter: TypeAdapter[Any]) -> None:
        self._name = name
        self._adapter = adapter
        self._serializer = pydantic_core.SchemaSerializer(adapter.core_schema, _UNTYPED)

    def __call__(self, value: Any) -> bytes:
        try:
            plain = encoders.plain(value)  # else Pydantic would make of a float of 32 bits a double with other digits
            return self._write(plain)
        except RecursionError as error:
            raise TypeError(f"output {self._name!r} is nested too deep, or in itself") from error
        except ValidationError as error:
            # The deepest: of a union, that of the type which took most of the value.
            told = max(error.errors(include_url=False), key=lambda one: len(one["loc"]))
            where = "".join(f"[{part!r}]" for part in told["loc"])
            raise TypeError(
                f"output {self._name!r}{where} does not match its declared type: {told['msg']}, "
                f"not {shown(told['input'])}"
            ) from error
        except (ValueError, TypeError) as error:  # Pydantic's of what cannot be written, and of what is in itself
            raise TypeError(
                f"output {self._name!r}{_unwritable_at(value)} cannot be written as JSON: {error}"
            ) from error

    def _write(self, value: Any) -> bytes:
        return encoders.to_json(self._dumped(value))

    def _dumped(self, value: Any) -> Any:
        valid = self._adapter.validate_python(value)
        # Instances of dataclasses and models are valid whatever stands in their fields: NumPy's values, too.
        return self._serializer.to_python(valid, mode="json", fallback=encoders.plain_only, warnings=False)


class _PlainText(_Json):
    """Checks a value against its declared type, which JSON has as a string, and writes the text itself."""

    def _write(self, value: Any) -> bytes:
        return str(self._dumped(value)).encode()


class _Bytes:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"output {self._name!r} is {shown(value)}, where the process declares bytes")
        return bytes(value)


class _Text:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"output {self._name!r} is {shown(value)}, where the process declares text")
        return value.encode()


def _unwritable_at(value: Any) -> str:
    try:
        return _unwritable(value) or ""
    except RecursionError:  # it is in itself
        return ""


def _unwritable(value: Any) -> str | None:
    """Where in a value that which JSON cannot have stands, such as `['a'][0]`; None where there is no such thing."""
    try:
        pydantic_core.to_json(value, bytes_mode="base64", fallback=encoders.plain_only)
    except (ValueError, TypeError):
        for key, one in _parts(value):
            if (at := _unwritable(one)) is not None:
                return f"[{key!r}]{at}"
        return ""
    return None


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if dataclasses.is_dataclass(value):
        return [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]
    return value if isinstance(value, BaseModel) else ()


def shown(value: object) -> str:
    """A value and its type, cut short, for a message."""
    text = repr(value)
    return f"{text[:60]}{'...' if len(text) > 60 else ''} ({type(value).__name__})"
