"""What can be drawn of a query's result: its first number columns, over its times, its names or its first numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.datasets.columns import Kind, kind_of
from gristmill.datasets.mapping import microseconds, quoted
from gristmill.processes.column import Array
from gristmill.processes.drawn_times import ARE_DRAWN, NOT_DRAWN
from gristmill.processes.selects import Result
from gristmill.words import counted

MOST_BARS = 30
MOST_POINTS = 5000
MOST_PANELS = 3
MOST_NAMES = 3
_LARGEST_DRAWN = 1e300  # beyond it, what Matplotlib reckons for margins and ticks may be no number any more
_NUMBERS = frozenset(["integer", "number", "decimal"])
_TIMES = frozenset(["date", "timestamp", "timestamptz"])
_NAMES = frozenset(["text", "boolean", "uuid", "time"])


@dataclass(frozen=True, slots=True)
class Axis:
    """What the numbers stand over.

    places: numbers or datetime64 in order, for lines; None for bars, which have names. note: which rows have no place.
    """

    name: str
    places: Array | None
    names: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Numbers over one axis.

    panels: name and values of each number column, NaN where there is nothing to draw. note: what is left out, or "".
    """

    axis: Axis
    panels: Sequence[tuple[str, Array]]
    note: str


def chart_of(result: Result) -> Chart | None:
    """The chart of a result; None where a picture would say nothing, or would not be readable."""
    if not 1 < result.rows <= MOST_POINTS:
        return None
    kinds = {name: _kind(type_text) for name, type_text in result.columns}
    numbers = [name for name, kind in kinds.items() if kind in _NUMBERS]
    times = [(name, type_text) for name, type_text in result.columns if kinds[name] in _TIMES]
    labels = [name for name, kind in kinds.items() if kind in _NAMES | _TIMES]
    if numbers and labels:
        if len(labels) == len(times):
            return _over_times(result, *times[0], numbers)
        return _bars(result, labels, numbers) if result.rows <= MOST_BARS else None
    if len(numbers) > 1:
        first, *rest = numbers
        if result.rows <= MOST_BARS and kinds[first] == "integer":
            return _bars(result, [first], rest)
        return _over_numbers(result, first, rest)
    return None


def _kind(type_text: str) -> Kind | None:
    if type_text.startswith("ENUM("):
        return "text"
    return "integer" if type_text in {"HUGEINT", "UHUGEINT"} else kind_of(type_text)


def _bars(result: Result, labels: list[str], numbers: list[str]) -> Chart | None:
    if len(labels) > MOST_NAMES:
        return None
    texts = ", ".join(f"coalesce(CAST({quoted(label)} AS VARCHAR), '(none)')" for label in labels)
    names = [", ".join(row) for row in result.data.query(f"SELECT {texts} FROM {result.sql}").fetchall()]
    return _chart(Axis(", ".join(labels), None, names), _values(result, numbers[:MOST_PANELS]), numbers)


def _over_times(result: Result, name: str, type_text: str, numbers: list[str]) -> Chart | None:
    zoned = type_text == "TIMESTAMP WITH TIME ZONE"
    time = (
        f"timezone('UTC', {quoted(name)})" if zoned else f"CAST({microseconds(quoted(name), type_text)} AS TIMESTAMP)"
    )
    drawn = f"CASE WHEN isfinite({quoted(name)}) AND {time} {ARE_DRAWN} THEN {time} END AS t"
    columns = result.data.query(f"SELECT {drawn}, {quoted(name)} IS NULL AS n FROM {result.sql}").fetchnumpy()
    there, missing = ~np.ma.getmaskarray(columns["t"]), int(np.ma.getdata(columns["n"]).sum())
    notes = [_rows(missing, f"without {name}"), _rows(int((~there).sum()) - missing, NOT_DRAWN)]
    places = np.ma.getdata(columns["t"]).astype("datetime64[us]")
    axis = Axis(f"{name} (UTC)" if zoned else name, places, note=", ".join(filter(None, notes)))
    return _lines(axis, there, _values(result, numbers[:MOST_PANELS]), numbers)


def _over_numbers(result: Result, first: str, numbers: list[str]) -> Chart | None:
    values = _values(result, [first, *numbers[:MOST_PANELS]])
    places = values.pop(first)
    there = np.isfinite(places)
    note = _rows(int((~there).sum()), f"with {first} missing, not finite or too large")
    return _lines(Axis(first, places, note=note), there, values, numbers)


def _rows(count: int, reason: str) -> str:
    return f"{counted(count, 'row')} {reason}" if count else ""


def _lines(axis: Axis, there: Array, values: dict[str, Array], numbers: list[str]) -> Chart | None:
    """Points in the order of the axis; None where several stand at one place, which a line does not show."""
    places = np.asarray(axis.places)
    order = np.argsort(places[there], kind="stable")
    kept = places[there][order]
    if len(kept) < 2 or len(np.unique(kept)) < len(kept):
        return None
    values = {name: one[there][order] for name, one in values.items()}
    return _chart(Axis(axis.name, kept, note=axis.note), values, numbers)


def _chart(axis: Axis, values: dict[str, Array], numbers: list[str]) -> Chart | None:
    panels = {name: one for name, one in values.items() if np.isfinite(one).any()}
    if not panels:
        return None
    missing = sum(int(np.isnan(one).sum()) for one in panels.values())
    more = [name for name in numbers if name not in panels]
    notes = [
        axis.note,
        f"{counted(missing, 'value')} missing, not finite or too large" if missing else "",
        f"columns {', '.join(more)}" if more else "",
    ]
    return Chart(axis, list(panels.items()), ", ".join(filter(None, notes)))


def _values(result: Result, numbers: list[str]) -> dict[str, Array]:
    """Number columns as floats, NaN where there is nothing to draw."""
    casts = ", ".join(f"TRY_CAST({quoted(name)} AS DOUBLE) AS c{place}" for place, name in enumerate(numbers))
    found = result.data.query(f"SELECT {casts} FROM {result.sql}").fetchnumpy().values()
    columns: list[Array] = [np.ma.filled(np.ma.asarray(column, dtype="f8"), np.nan) for column in found]
    values = [np.where(np.abs(one) < _LARGEST_DRAWN, one, np.nan) for one in columns]
    return dict(zip(numbers, values, strict=True))
