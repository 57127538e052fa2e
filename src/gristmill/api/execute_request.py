"""The body of an execute request, as the standard's execute.yaml has it; what that does not know is ignored."""

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from gristmill.near_names import near

_HOST = r"([A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
URI_PATTERN = rf"^[hH][tT][tT][pP][sS]?://{_HOST}(:{_PORT})?(/[!-~]{{0,2000}})?$"
_NEAR = 0.8  # as "input" and "inputs" are, and no two names of the standard
_LOOKED_AT = 100  # unknown members: comparing names takes time
_URI = re.compile(URI_PATTERN.removesuffix("$"))


def _http_url(text: str) -> str:
    if not _URI.fullmatch(text):
        raise PydanticCustomError("url", "must be an http or https URL, such as https://example.org/done")
    return text


CallBackUri = Annotated[
    str,
    AfterValidator(_http_url),
    Field(description="An http or https URL.", json_schema_extra={"pattern": URI_PATTERN}),
]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True)


def _must_be_object(such_as: str) -> BeforeValidator:
    """The check of a value that is to be an object, which says in our words what is right."""

    def check(value: object) -> object:
        if not isinstance(value, dict | BaseModel):
            raise PydanticCustomError("object", "must be an object, {such_as}", {"such_as": such_as})
        return value

    return BeforeValidator(check)


class Format(_Model):
    """The format that an output is wanted in."""

    media_type: str | None = Field(None, max_length=200, description="A media type that the output is offered in.")
    encoding: str | None = Field(None, max_length=100)
    schema_: str | dict[str, object] | None = Field(None, alias="schema")


class OutputChoice(_Model):
    """How one output is wanted: its bytes in the response, or a link to them."""

    format: Annotated[Format, _must_be_object('such as {"mediaType": "image/png"}')] | None = None
    transmission_mode: Literal["value", "reference"] = "value"


class Subscriber(_Model):
    """URLs to call when the job starts, succeeds or fails."""

    success_uri: CallBackUri | None = None
    in_progress_uri: CallBackUri | None = None
    failed_uri: CallBackUri | None = None


class ExecuteRequest(_Model):
    """What to run, on which inputs, and how the result is wanted."""

    inputs: Annotated[dict[str, object], _must_be_object("with the inputs by name")] = Field(default_factory=dict)
    outputs: (
        Annotated[
            dict[str, Annotated[OutputChoice, _must_be_object('such as {} or {"format": {"mediaType": "image/png"}}')]],
            _must_be_object('with the outputs by name, such as {"plot": {}}'),
        ]
        | None
    ) = Field(None, description="The outputs wanted, by name; all of them when there are none here.")
    response: Literal["raw", "document"] = Field(
        "raw", description="raw: the outputs themselves; document: one JSON object of them."
    )
    subscriber: Annotated[Subscriber, _must_be_object('such as {"successUri": "https://example.org/done"}')] | None = (
        None
    )

    def raw_outputs(self) -> dict[str, object] | None:
        """The outputs wanted, as they stand in the body; None for all of them."""
        if not self.outputs:
            return None
        return {
            name: choice.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
            for name, choice in self.outputs.items()
        }

    def result_text(self) -> str:
        """JSON text of what the result must know: ``outputs`` and ``response`` where they are not the default."""
        wanted: dict[str, object] = {}
        if outputs := self.raw_outputs():
            wanted["outputs"] = outputs
        if self.response != "raw":
            wanted["response"] = self.response
        return json.dumps(wanted, separators=(",", ":")) if wanted else ""

    def call_backs(self) -> dict[str, str]:
        """URLs to call back, by the state that they are called for."""
        if self.subscriber is None:
            return {}
        return self.subscriber.model_dump(by_alias=True, exclude_none=True)


def misspelt(body: Mapping[str, object]) -> dict[str, str]:
    """Unknown members that come near to one that is not there, each with that one.

    The standard lets there be members that it does not know, so that others are ignored.
    """
    known = ExecuteRequest.model_fields
    absent = [name for name in known if name not in body]
    unknown = islice((member for member in body if member not in known), _LOOKED_AT)
    found = {member: near(member, absent, 1, likeness=_NEAR) for member in unknown}
    return {member: names[0] for member, names in found.items() if names}
