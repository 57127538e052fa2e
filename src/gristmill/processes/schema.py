"""The one generator of JSON Schema: Pydantic's, turned into the dialect of OpenAPI 3.0, references written out.

The dialect has no ``const``, no null type, no numeric ``exclusiveMinimum``, no ``prefixItems`` and no ``$defs``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from gristmill.errors import ConfigurationError

Schema = dict[str, Any]

BASE64: Schema = {
    "type": "string",
    "format": "byte",
    "contentEncoding": "base64",
    "contentMediaType": "application/octet-stream",
}
_KINDS = ("string", "number", "integer", "boolean", "array", "object")
_CLOSEST = {"patternProperties": "additionalProperties", "prefixItems": "items"}
_UNKNOWN_TO_OPENAPI = {"propertyNames", "$schema", "$defs", "$id", "unevaluatedProperties", "$comment", "discriminator"}


class OpenApiSchemaGenerator(GenerateJsonSchema):
    """Writes schemas that OpenAPI 3.0 and the OGC standard's ``schema.yaml`` accept."""

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """Generate the schema and translate it; ConfigurationError where a type refers to itself."""
        generated = super().generate(schema, mode)
        return to_openapi(generated, generated.get("$defs", {}))

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave out titles made of field names: they say nothing new."""
        del schema
        return False

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Describe bytes as base64 where that is how they are read."""
        as_base64 = (
            self._config.val_json_bytes if self.mode == "validation" else self._config.ser_json_bytes
        ) == "base64"
        return dict(BASE64) if as_base64 else super().bytes_schema(schema)

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        """Refuse complex numbers: JSON has none."""
        return self.handle_invalid_for_json_schema(schema, "complex numbers")


def openapi_schema(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"] = "validation") -> Schema:
    """Return the schema of a type, self-contained.

    Raises ConfigurationError where the type cannot be described: it refers to itself, or has no JSON form.
    """
    try:
        return adapter.json_schema(schema_generator=OpenApiSchemaGenerator, mode=mode)
    except PydanticInvalidForJsonSchema as error:
        raise ConfigurationError(f"the type has no JSON Schema: {error.message}") from error


def to_openapi(schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Schema:
    """Translate one schema, with its references written out.

    inside: names of the definitions that are being written out; meeting one again is a ConfigurationError.
    """
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        if name in inside:
            raise ConfigurationError(f"the type {name} refers to itself, which a process description cannot express")
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return to_openapi(definitions[name], definitions, (*inside, name)) | to_openapi(rest, definitions, inside)

    def translate(part: object) -> Any:
        return to_openapi(part, definitions, inside) if isinstance(part, Mapping) else part

    result: Schema = {}
    for key, value in schema.items():
        match key:
            case "properties":
                result[key] = {name: translate(part) for name, part in value.items()}
            case "patternProperties" | "prefixItems":
                parts = value.values() if isinstance(value, Mapping) else value
                result[_CLOSEST[key]] = _any_of([translate(part) for part in parts])
            case "items" | "additionalProperties" | "not":
                result[key] = translate(value)
            case "allOf":
                result[key] = [translate(part) for part in value]
            case "anyOf" | "oneOf":
                result |= _union(key, [translate(part) for part in value if part != {"type": "null"}])
                if {"type": "null"} in value:
                    _allow_null(result)
            case _:
                result |= _plain_keyword(key, value)
    return _completed(result)


def _completed(schema: Schema) -> Schema:
    """Add ``items``, which OpenAPI wants for an array, and drop a default of null, which says nothing."""
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    return schema


def _plain_keyword(key: str, value: Any) -> Schema:
    """Translate a keyword whose value holds no schemas."""
    match key:
        case "const":
            return {"enum": [value]}
        case "examples":
            return {"example": value[0]} if isinstance(value, list) and value else {}
        case "exclusiveMinimum" | "exclusiveMaximum":
            return {key.removeprefix("exclusive").lower(): value, key: True}
        case "type" if value == "null":
            return {"nullable": True, "enum": [None]}
        case _:
            return {} if key in _UNKNOWN_TO_OPENAPI else {key: value}


def _any_of(parts: list[Schema]) -> Schema:
    distinct = [part for index, part in enumerate(parts) if part not in parts[:index]]
    return distinct[0] if len(distinct) == 1 else _union("anyOf", distinct)


def _union(key: str, parts: list[Schema]) -> Schema:
    """Write a union as ``oneOf`` where no value can match two parts, else as it was."""
    if {"type": "number"} in parts:
        parts = [part for part in parts if part != {"type": "integer"}]
    if len(parts) == 1:
        return parts[0]
    kinds = ["number" if part.get("type") == "integer" else part.get("type") for part in parts]
    disjoint = all(kind in _KINDS for kind in kinds) and len(set(kinds)) == len(kinds)
    return {"oneOf" if disjoint else key: parts}


def _allow_null(schema: Schema) -> None:
    """Let null match: OpenAPI 3.0.3 heeds ``nullable`` only beside ``type``, so in a union one part says it too."""
    schema["nullable"] = True
    parts: list[Schema] = schema.get("oneOf") or schema.get("anyOf") or []
    for part in parts:
        if "type" in part:
            part["nullable"] = True
            break
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
