"""The parameter ``limit`` of every list that comes in pages."""

from werkzeug.datastructures import MultiDict

from gristmill.errors import Fault, InvalidRequestError

_LONGEST = 9  # digits: zeros before a number do not make it smaller, and very long ones take long to read


def read_limit(query: MultiDict[str, str], *, default: int, most: int) -> int:
    """Most entries in one page, from 1 to ``most``. Raises InvalidRequestError."""
    text = query.get("limit", str(default))
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST and 1 <= int(text) <= most:
        return int(text)
    wanted = f"must be a whole number from 1 to {most}"
    raise InvalidRequestError(f"limit {wanted}, not {text[:50]!r}.", faults=[Fault("limit", wanted)])
