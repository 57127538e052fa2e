"""The body of an execute request, as the standard's execute.yaml has it; what it does not know is ignored."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

URI_PATTERN = r"^https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?(/[!-~]{0,2000})?$"

CallBackUri = Annotated[str, Field(pattern=URI_PATTERN, description="An http or https URL.")]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True)


class Format(_Model):
    """The format that an output is wanted in."""

    media_type: str | None = Field(None, max_length=200, description="A media type that the output is offered in.")
    encoding: str | None = Field(None, max_length=100)
    schema_: str | dict[str, object] | None = Field(None, alias="schema")


class OutputChoice(_Model):
    """How one output is wanted: its bytes in the response, or a link to them."""

    format: Format | None = None
    transmission_mode: Literal["value", "reference"] = "value"


class Subscriber(_Model):
    """URLs to call when the job starts, succeeds or fails."""

    success_uri: CallBackUri | None = None
    in_progress_uri: CallBackUri | None = None
    failed_uri: CallBackUri | None = None


class ExecuteRequest(_Model):
    """What to run, on which inputs, and how the result is wanted."""

    inputs: dict[str, object] = Field(default_factory=dict)
    outputs: dict[str, OutputChoice] | None = Field(
        None, description="The outputs wanted, by name; all of them when there are none here."
    )
    response: Literal["raw", "document"] = Field(
        "raw", description="raw: the outputs themselves; document: one JSON object of them."
    )
    subscriber: Subscriber | None = None

    def raw_outputs(self) -> dict[str, object] | None:
        """The outputs wanted, as they stand in the body; None for all of them."""
        if not self.outputs:
            return None
        return {name: choice.model_dump(by_alias=True, exclude_unset=True) for name, choice in self.outputs.items()}

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
