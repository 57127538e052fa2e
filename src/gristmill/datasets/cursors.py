"""Cursors: the place after a row in a sorted table, as opaque text that a link can carry."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.errors import Fault, InvalidRequestError

LONGEST_TEXT = 200  # characters of a sort value
MOST_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was given.

    row: its number. values: its sort values, `=` and the text that DuckDB writes for each; None for a missing value,
    an empty text for one that is too long to carry, and is looked up by the row's number.
    """

    row: int
    values: tuple[str | None, ...] = ()


def check_of(version: str, order: Sequence[str]) -> str:
    """What ties a cursor to a version and a sort order."""
    return hashlib.sha256(json.dumps([version, *order]).encode()).hexdigest()[:12]


def encode(cursor: Cursor, check: str) -> str:
    """The text of a cursor."""
    content = json.dumps([check, cursor.row, *cursor.values], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode()


def decode(text: str, check: str, count: int) -> Cursor:
    """The cursor of a text, with `count` sort values. Raises InvalidRequestError."""
    try:
        if len(text) > MOST_CHARACTERS:
            raise _fault("It is too long.")
        content = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _fault("It is damaged. Take it from a link named next, as it stands.") from error
    match content:
        case [str(given), int(row), *values] if not isinstance(row, bool) and 0 <= row < 2**63:
            if given != check:
                raise _fault("It belongs to another version or sort order. Start again without a cursor.")
            if len(values) == count and all(value is None or _is_carried(value) for value in values):
                return Cursor(row, tuple(values))
    raise _fault("It is damaged. Take it from a link named next, as it stands.")


def _is_carried(value: object) -> bool:
    if not isinstance(value, str) or value[:1] not in {"", "="}:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _fault(detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"The cursor is not usable: {detail}", faults=[Fault("cursor", detail)])
