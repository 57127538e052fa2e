"""What requests ask of their query: UTF-8, no unknown parameter, none twice, a ``limit``; how a wrong one is told."""

import re
from collections.abc import Collection, Mapping

from werkzeug.datastructures import MultiDict

from gristmill.errors import Fault, InvalidRequestError

_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+|%")
_HOW = "a % is written %25 in a URL, and letters beyond ASCII in UTF-8, such as ö as %C3%B6"
_SHOWN = 20  # letters beside what is wrong in a query
_LONGEST = 9  # digits: zeros before a number do not make it smaller, and very long ones take long to read


def check_encoding(query: str) -> None:
    """Let a query string pass whose percent-encoding is that of UTF-8. Raises InvalidRequestError.

    A % that stands for itself is the usual mistake, as in LIKE '%delta%': its next letters, if they are digits from 0
    to f, would be taken for a byte that nobody has meant.
    """
    if "%" not in query:
        return
    for part in query.split("&"):
        name, _, _ = part.partition("=")
        for run in _ENCODED.finditer(part):
            at = run.start() + _undecodable(run[0])
            if at < run.end():
                near = part[max(0, at - _SHOWN) : at + _SHOWN]
                detail = f"has a % that begins no percent-encoded letter in UTF-8, in {near!r}: {_HOW}"
                raise wrong_parameter(name[:50], detail)


def _undecodable(run: str) -> int:
    """Where in a run of percent-encoded bytes one stands that is none of UTF-8; the length of the run where none is."""
    if run == "%":
        return 0
    try:
        bytes.fromhex(run.replace("%", "")).decode()
    except UnicodeDecodeError as error:
        return error.start * 3
    return len(run)


def read_limit(query: MultiDict[str, str], *, default: int, most: int) -> int:
    """Most entries in one page, from 1 to ``most``. Raises InvalidRequestError."""
    text = query.get("limit", str(default))
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST and 1 <= int(text) <= most:
        return int(text)
    wanted = f"must be a whole number from 1 to {most}"
    raise InvalidRequestError(f"limit {wanted}, not {text[:50]!r}.", faults=[Fault("limit", wanted)])


def wrong_parameter(name: str, detail: str) -> InvalidRequestError:
    """The error for a parameter. detail: goes on from its name, such as "must be objects or arrays"."""
    return InvalidRequestError(f"The parameter {name} {detail}.", faults=[Fault(name, detail)])


def refuse_unknown(
    query: MultiDict[str, str], known: Collection[str], elsewhere: Mapping[str, str] | None = None
) -> None:
    """Let a query pass that has these parameters alone: whoever sends another expects something of it.

    elsewhere: of parameters that are none here, where to go for what they ask, such as "a job is at /jobs/ID".
    Raises InvalidRequestError, with every unknown parameter.
    """
    unknown = sorted(query.keys() - set(known))
    if not unknown:
        return
    only = ", ".join(known)
    hints = {name: f"; {where}" for name, where in (elsewhere or {}).items()}
    raise InvalidRequestError(
        f"There is no parameter {unknown[0][:50]!r} here, only {only}{hints.get(unknown[0], '')}.",
        faults=[Fault(name, f"is no parameter here, only {only}{hints.get(name, '')}") for name in unknown],
    )


def refuse_repeated(query: MultiDict[str, str], names: Collection[str]) -> None:
    """Let a query pass in which each of these parameters stands once at most: of two, one would be ignored.

    Raises InvalidRequestError.
    """
    if len(query) == sum(1 for _ in query.items(multi=True)):
        return
    if repeated := [name for name, texts in query.lists() if len(texts) > 1 and name in names]:
        raise InvalidRequestError(
            f"The parameter {repeated[0]} may stand here only once.",
            faults=[Fault(name, "may stand here only once") for name in repeated],
        )
