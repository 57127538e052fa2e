"""The schema of one process's execute requests: its inputs and outputs in the shape of the standard's execute.yaml."""

from typing import Any, cast

from gristmill.api.execute_request import URI_PATTERN
from gristmill.api.openapi_components import SCHEMAS, TEXT, Part, an_object
from gristmill.processes import Process
from gristmill.processes.encoders import BYTES

_UNKNOWN = frozenset({"contentEncoding", "contentMediaType", "contentSchema"})
_LITERAL = frozenset({"default", "enum", "example"})
_OBJECT_LIKE = ("object", None)


def execute_schema(process: Process) -> Part:
    """What ``POST /processes/{id}/execution`` takes for this process."""
    described = process.describe()
    inputs = cast("dict[str, dict[str, Any]]", described["inputs"])
    required = [name for name, one in inputs.items() if one.get("minOccurs", 1)]
    made: Part = SCHEMAS["execute"]
    properties = made["properties"] | {
        "inputs": an_object(required, **{name: _input(one) for name, one in inputs.items()})
        | {"additionalProperties": False},
        "outputs": _outputs(made["properties"]["outputs"], process.media_types),
    }
    shape = made | {"properties": properties, "title": f"Execute {process.id}"}
    return shape | {"required": ["inputs"]} if required else shape


def _input(described: dict[str, Any]) -> Part:
    """An input by value, by qualified value or by reference."""
    schema = _plain(described["schema"])
    shown = {name: described[name] for name in ("title", "description") if name in described}
    if schema.get("type") in _OBJECT_LIKE and "properties" not in schema and not schema.get("oneOf"):
        return shown | {"allOf": [schema]}
    media_type = described["schema"].get("contentMediaType")
    of_type = {"type": "string", "enum": [media_type]} if media_type not in {None, BYTES} else TEXT
    qualified = an_object(["value"], value=schema, mediaType=of_type) | {"additionalProperties": False}
    reference = an_object(["href"], href=TEXT | {"pattern": URI_PATTERN}, type=of_type) | {
        "additionalProperties": False
    }
    return shown | {"anyOf": [schema, qualified, reference]}


def _outputs(general: Part, media_types: dict[str, str]) -> Part:
    """The choice of outputs, by the names and media types that this process has."""
    choice: Part = SCHEMAS["output"]
    form: Part = choice["properties"]["format"]

    def one(media_type: str) -> Part:
        offered = form["properties"]["mediaType"] | {"enum": [media_type, None]}
        only = form | {"properties": form["properties"] | {"mediaType": offered}}
        return choice | {"properties": choice["properties"] | {"format": only}}

    named = {name: one(media_type) for name, media_type in media_types.items()}
    return general | {"properties": named, "additionalProperties": False}


def _plain(schema: Any) -> Any:
    """A schema without the keywords that process descriptions may have and OpenAPI 3.0 does not know."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in _UNKNOWN}
    return {
        key: {name: _plain(part) for name, part in value.items()}
        if key == "properties"
        else value
        if key in _LITERAL
        else _plain(value)
        for key, value in kept.items()
    }
