"""The query of the job list, as the standard's class job-list defines it."""

import re
from datetime import UTC, datetime, timedelta
from math import isfinite

from werkzeug.datastructures import MultiDict

from gristmill.api import parameters
from gristmill.errors import Fault, InvalidRequestError
from gristmill.job import JobFilter, Status

DEFAULT_JOBS = 100
MOST_JOBS = 1000

PARAMETERS = ("type", "processID", "status", "datetime", "minDuration", "maxDuration", "limit", "cursor", "f")

_ONCE = ("datetime", "minDuration", "maxDuration", "limit", "cursor")
_OF_NEXT_PAGE = PARAMETERS[:-2]
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:(?:[0-5]\d|60))(\.\d+)?(Z|z|[+-]\d\d:\d\d))?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_filter(query: MultiDict[str, str], owner: str) -> JobFilter | None:
    """The filter that a query asks for; None when nothing can match. ``owner``: only this owner's jobs, "" for all.

    Raises InvalidRequestError with every parameter that is wrong.
    """
    parameters.refuse_unknown(query, PARAMETERS)
    parameters.refuse_repeated(query, _ONCE)
    faults: list[Fault] = []
    created = _interval(query, faults)
    wanted = JobFilter(
        owner=owner,
        processes=tuple(dict.fromkeys(_listed(query, "processID"))),
        statuses=_statuses(query, faults),
        created_from=created[0],
        created_to=created[1],
        min_duration=_seconds(query, "minDuration", faults),
        max_duration=_seconds(query, "maxDuration", faults),
    )
    if faults:
        raise InvalidRequestError("; ".join(f"{fault.pointer} {fault.detail}" for fault in faults), faults=faults)
    types = _listed(query, "type")
    return None if types and "process" not in types else wanted


def read_limit(query: MultiDict[str, str]) -> int:
    """Most jobs in one page. InvalidRequestError."""
    return parameters.read_limit(query, default=DEFAULT_JOBS, most=MOST_JOBS)


def next_query(query: MultiDict[str, str], cursor: str) -> list[tuple[str, str]]:
    """The parameters of the next page."""
    return [(name, value) for name in _OF_NEXT_PAGE for value in query.getlist(name)] + [("cursor", cursor)]


def read_interval(text: str) -> tuple[int | None, int | None]:
    """An RFC 3339 interval, ``a/b``, open with ``..`` or nothing, or one instant; a date alone is the whole day.

    Returns the first and the last microsecond, None where open; one that begins after its end holds no time.
    ValueError.
    """
    begin, slash, end = text.partition("/")
    if not slash:
        return _instant(begin, last=False), _instant(begin, last=True)
    first = None if begin in {"", ".."} else _instant(begin, last=False)
    last = None if end in {"", ".."} else _instant(end, last=True)
    return first, last


def _instant(text: str, *, last: bool) -> int:
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError("is not RFC 3339")
    day, clock, fraction, zone = match.groups()
    if clock is None:
        moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
        width = timedelta(days=1)
    else:
        leap = clock.endswith(":60")
        moment = datetime.fromisoformat(f"{day}T{clock[:-2]}{'59' if leap else clock[-2:]}{zone.upper()}")
        moment += timedelta(seconds=leap)
        digits = (fraction or "")[1:7]
        moment += timedelta(microseconds=int(digits.ljust(6, "0")))
        width = timedelta(microseconds=10 ** (6 - len(digits)))
    if last:
        moment += width - timedelta(microseconds=1)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _interval(query: MultiDict[str, str], faults: list[Fault]) -> tuple[int | None, int | None]:
    text = query.get("datetime", "")
    if not text:
        return None, None
    try:
        # A "+" that was not percent-encoded arrives as a space.
        return read_interval(re.sub(r" (?=\d\d:\d\d(?:/|$))", "+", text))
    except (ValueError, OverflowError):
        faults.append(
            Fault(
                "datetime",
                "must be an RFC 3339 time such as 2026-11-23T10:00:00Z, or an interval of two with a slash, "
                "open with '..'",
            )
        )
        return None, None


def _statuses(query: MultiDict[str, str], faults: list[Fault]) -> tuple[Status, ...]:
    known = {status.value: status for status in Status}
    named = _listed(query, "status")
    if not all(name in known for name in named):
        faults.append(Fault("status", f"must be one of: {', '.join(known)}"))
        return ()
    return tuple(dict.fromkeys(known[name] for name in named))


def _seconds(query: MultiDict[str, str], name: str, faults: list[Fault]) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds < 0:
        faults.append(Fault(name, "must be a number of seconds, 0 or more"))
        return None
    return seconds


def _listed(query: MultiDict[str, str], name: str) -> list[str]:
    return [part.strip() for value in query.getlist(name) for part in value.split(",") if part.strip()]
