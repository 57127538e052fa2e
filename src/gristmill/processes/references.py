"""References in the inputs of an execute request: links, which are fetched, and data sets of this API.

A data set is ``{"dataset": "flights", "version": "..."}``, a link ``{"href": "https://..."}``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from gristmill.datasets.dataset import LONGEST_NAME, NAME_PATTERN
from gristmill.errors import Fault, InvalidInputsError
from gristmill.processes.schema import Schema

LINK = {"href", "type", "rel", "title", "hreflang", "length", "templated"}
FORMAT = {"mediaType", "encoding", "schema"}
MEMBERS = {"dataset", "version"}
_NAME = re.compile(NAME_PATTERN)
_VERSION_PATTERN = "[0-9a-f]{64}"
_VERSION = re.compile(_VERSION_PATTERN)

SCHEMA: Schema = {
    "title": "Data set",
    "description": "A data set of this API: its newest version, or the one that is named.",
    "type": "object",
    "properties": {
        "dataset": {"type": "string", "pattern": f"^{NAME_PATTERN}$", "maxLength": LONGEST_NAME},
        "version": {"type": "string", "pattern": f"^{_VERSION_PATTERN}$"},
    },
    "required": ["dataset"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A data set, and its version; "" for the newest, which an accepted job never has."""

    dataset: str
    version: str = ""

    def as_json(self) -> dict[str, str]:
        """As it stands in an execute request."""
        return {"dataset": self.dataset} | ({"version": self.version} if self.version else {})


def is_reference(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a given value is a link with an http or https URL, which is fetched."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("href"), str)
        and value["href"].lower().startswith(("http://", "https://"))
        and value.keys() <= LINK | {"format"}
    )


def is_data_set(value: object) -> bool:
    """Return whether a given value is a reference to a data set, right or wrong; column arrays are none."""
    return isinstance(value, dict) and "dataset" in value and not isinstance(value["dataset"], list)


def names_data_set(value: object) -> bool:
    """Whether a value is such a reference, and its name could be one."""
    return is_data_set(value) and isinstance(value, dict) and _is_name(value["dataset"])


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None and len(value) <= LONGEST_NAME


def reference_of(value: Mapping[str, object], at: str) -> Reference:
    """Read a reference that stands at a JSON pointer. Raises InvalidInputsError."""
    if extra := sorted(value.keys() - MEMBERS):
        raise _invalid(f"{at}/{extra[0]}", "is not part of a reference to a data set; it has dataset and version")
    name, version = value["dataset"], value.get("version", "")
    if not _is_name(name):
        raise _invalid(f"{at}/dataset", "must be the name of a data set, such as penguins")
    if "version" in value and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise _invalid(f"{at}/version", "must be the id of a version: 64 digits and letters from a to f")
    return Reference(str(name), str(version))


def references_in(inputs: object) -> Iterator[Reference]:
    """The references in the inputs of an accepted job, at any place where an input may have them."""
    values = inputs.values() if isinstance(inputs, dict) else ()
    for value in values:
        inner: list[Any] = list(value.values()) if isinstance(value, dict) and not is_data_set(value) else [value]
        for one in inner:
            if is_data_set(one) and one.keys() <= MEMBERS:
                try:
                    yield reference_of(one, "")
                except InvalidInputsError:
                    continue


def _invalid(pointer: str, detail: str) -> InvalidInputsError:
    return InvalidInputsError(f"{pointer} {detail}", faults=[Fault(pointer, detail)])
