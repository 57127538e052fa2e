"""The process ``echo``: takes an input of every kind that the standard knows, and gives each back as it came."""

import time
from typing import Annotated, NotRequired, TypedDict

from pydantic import Field, JsonValue, WithJsonSchema

from gristmill.processes.authoring import Progress, process
from gristmill.processes.schema import BASE64
from gristmill.processes.types import BoundingBox

Base64Text = Annotated[str, WithJsonSchema(BASE64)]
Number = int | float
Mixed = Number | str | list[Number]
Pause = Annotated[int, Field(ge=0, le=86400, description="Seconds that the run lasts.")]

_STEP_SECONDS = 0.2


class Echo(TypedDict):
    """What came in; an input that was not given is left out."""

    string: str
    number: NotRequired[Number | None]
    integer: NotRequired[int | None]
    boolean: NotRequired[bool | None]
    array: NotRequired[list[int] | None]
    object: NotRequired[dict[str, JsonValue] | None]
    box: NotRequired[BoundingBox | None]
    binary: NotRequired[Base64Text | None]
    mixed: NotRequired[Mixed | None]
    pause: NotRequired[Pause | None]


@process(version="1", seconds=30, memory_mb=256, disk_mb=1, keywords=("test", "conformance"))
def echo(  # noqa: PLR0917  an input of every kind
    string: str,
    number: Number | None = None,
    integer: int | None = None,
    boolean: bool | None = None,
    array: list[int] | None = None,
    object: dict[str, JsonValue] | None = None,  # noqa: A002  inputs are named after the kinds of JSON
    box: BoundingBox | None = None,
    binary: Base64Text | None = None,
    mixed: Mixed | None = None,
    pause: Pause | None = None,
    *,
    progress: Progress,
) -> Echo:
    """Echo

    Gives every input back as the output of the same name. For conformance tests, and to try out a client.

    Args:
        string: Any text.
        number: A number.
        integer: A whole number.
        boolean: true or false.
        array: Whole numbers.
        object: Any object; {"value": ...} too.
        box: A bounding box, in any coordinate reference system.
        binary: Bytes in base64, which is not checked, or by reference.
        mixed: A number, text, or a list of numbers.
    """
    _wait(pause or 0, progress)
    return Echo(
        string=string,
        number=number,
        integer=integer,
        boolean=boolean,
        array=array,
        object=object,
        box=box,
        binary=binary,
        mixed=mixed,
        pause=pause,
    )


def _wait(seconds: int, progress: Progress) -> None:
    """Sleep, and report how much of it is over."""
    start = time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        progress(100 * (1 - left / seconds), f"{left:.0f} s left")
        time.sleep(min(left, _STEP_SECONDS))
