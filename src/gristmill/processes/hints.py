"""Types as a process's signature has them: their validators, and what stands around them."""

from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticUserError

_JSON = ConfigDict(val_json_bytes="base64", ser_json_bytes="base64", arbitrary_types_allowed=False)


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
