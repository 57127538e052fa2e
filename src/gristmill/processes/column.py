"""One column of a table, of one type, on NumPy arrays: made of JSON values, or of Python's and NumPy's."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from gristmill.datasets.floats import shown
from gristmill.processes.doubles import as_doubles, number_text, widened
from gristmill.processes.durations import duration_of
from gristmill.processes.nested import base64_text, is_nested, json_text, plain_text, without_zeros
from gristmill.words import not_finite, without_formulas

Kind = Literal["boolean", "integer", "number", "datetime", "string"]
Array = npt.NDArray[Any]

KINDS: tuple[Kind, ...] = ("boolean", "integer", "number", "datetime", "string")
_DTYPES: dict[Kind, str] = {"boolean": "?", "integer": "i8", "number": "f8", "datetime": "M8[us]", "string": "O"}
_FILLERS: dict[Kind, object] = {
    "boolean": False,
    "integer": 0,
    "number": math.nan,
    "datetime": np.datetime64("NaT", "us"),
    "string": "",
}
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Of more digits than microseconds have, zeros alone.
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,6}0{0,3})?)?(Z|[+-]\d\d:?\d\d)?)?")
_ISO_UTC = re.compile(r"(?!0000)\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?")
PAST_INTEGERS = 2**63
"""The first whole number that no column of integers holds."""


class TableError(ValueError):
    """The data is no table; ``pointer`` is where, as the end of a JSON pointer."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    values: array of dtype bool, int64, float64, datetime64[us] (UTC) or object (str).
    valid: False where null; there, ``values`` holds False, 0, NaN, NaT or "".
    """

    name: str
    kind: Kind
    values: Array
    valid: npt.NDArray[np.bool_]

    @property
    def array(self) -> Array:
        """The values; in the place of null what NumPy and pandas take for missing: NaN, NaT, None.

        So integers with nulls are float64 (beyond 2^53 not exact), booleans and strings with nulls object.
        """
        if self.valid.all() or self.kind in {"number", "datetime"}:
            return self.values
        if self.kind == "integer":
            return np.where(self.valid, self.values, math.nan)
        objects = self.values.astype(object)
        objects[~self.valid] = None
        return objects

    @property
    def present(self) -> Array:
        """The values that are not null."""
        return self.values if self.valid.all() else self.values[self.valid]

    @property
    def axis_label(self) -> str:
        """The name as Matplotlib is to be given it, which takes what stands between two `$` for a formula."""
        return without_formulas(self.name)

    @property
    def is_numeric(self) -> bool:
        """Whether the column is integer or number."""
        return self.kind in {"integer", "number"}

    def __len__(self) -> int:
        return len(self.values)

    def cells(self) -> list[object]:
        """Return the values as JSON has them: null, ISO 8601 for times, a string for NaN and the infinities."""
        if self.kind == "datetime":
            shown: list[object] = [f"{one}Z" for one in np.datetime_as_string(self.values)]
        elif self.kind == "number":
            shown = [one if math.isfinite(one) else not_finite(one) for one in self.values.tolist()]
        else:
            shown = self.values.tolist()
        if self.valid.all():
            return shown
        return [one if valid else None for one, valid in zip(shown, self.valid.tolist(), strict=True)]

    @classmethod
    def of(cls, name: str, cells: Sequence[Any], kind: Kind | None = None) -> Self:
        """Make a column of JSON values, or of decimals; without ``kind`` it is found out, so that no value is rounded.

        Raises TableError where they do not agree, or are not of ``kind``.
        """
        valid = np.fromiter((one is not None for one in cells), "?", len(cells))
        present = [one for one in cells if one is not None]
        found = kind or _kind_of(name, cells, present)
        convert = {"datetime": _datetimes, "number": _numbers}.get(found)
        try:
            return cls.filled(name, found, convert(present) if convert else _checked(present, found), valid)
        except (ValueError, TypeError, OverflowError) as error:
            if kind is None and found in {"datetime", "number"}:
                texts = [one if isinstance(one, str) else number_text(one) for one in present]
                return cls.filled(name, "string", texts, valid)
            raise TableError(f"column {name!r} does not hold values of type {found}: {error}") from error

    @classmethod
    def filled(cls, name: str, kind: Kind, present: Sequence[Any] | Array, valid: npt.NDArray[np.bool_]) -> Self:
        """Make a column of the values that are not null, in their order."""
        values = np.full(len(valid), _FILLERS[kind], _DTYPES[kind])
        values[valid] = present
        return cls(name, kind, values, valid)

    @classmethod
    def of_arrays(cls, name: str, kind: Kind, values: Array, valid: npt.NDArray[np.bool_]) -> Self:
        """Make a column of values of about the right dtype, whatever they are where null."""
        filled = np.full(len(values), _FILLERS[kind], _DTYPES[kind])
        filled[valid] = values[valid]
        return cls(name, kind, filled, valid)


def _kind_of(name: str, cells: Sequence[Any], present: list[Any]) -> Kind:
    types = {type(one) for one in present}
    if types <= {bool}:
        return "boolean" if types else "string"
    if types == {int} and -PAST_INTEGERS <= min(present) <= max(present) < PAST_INTEGERS:
        return "integer"
    if types == {str}:
        return "datetime" if all(_ISO.fullmatch(one) for one in present) else "string"
    if types <= {int, float, Decimal, str} and all(one in _SPECIAL for one in present if isinstance(one, str)):
        return "number"
    first = _word(present[0])
    row = next(index for index, one in enumerate(cells) if one is not None and _word(one) != first)
    raise TableError(f"column {name!r} mixes {first} with {_word(cells[row])}, first in row {row + 1}")


def _word(value: object) -> str:
    words = {bool: "booleans", int: "numbers", float: "numbers", Decimal: "numbers", str: "strings"}
    return words.get(type(value), type(value).__name__)


def _checked(values: list[Any], kind: Kind) -> list[Any]:
    wanted = {"boolean": bool, "integer": int, "string": str}[kind]
    if kind == "string":
        "".join(map(str, values)).encode()  # a lone surrogate could never be written again
    for one in values:
        if type(one) is not wanted:
            raise ValueError(f"{one!r} is none")
    return values


def _numbers(values: list[Any]) -> list[float]:
    types = set(map(type, values))
    if bool in types:
        raise ValueError("a boolean is none")
    if str in types:
        values = [_special(one) if isinstance(one, str) else one for one in values]
    return as_doubles(values)


def _special(text: str) -> float:
    if text not in _SPECIAL:
        raise ValueError(f"{text!r} is none")
    return _SPECIAL[text]


def _datetimes(values: list[Any]) -> Sequence[np.datetime64] | Array:
    try:
        if all(type(one) is str and _ISO_UTC.fullmatch(one) for one in values):
            return np.array([one.removesuffix("Z") for one in values], "M8[us]")  # many times faster
    except ValueError:
        pass
    return [_datetime(one) for one in values]


def _datetime(value: Any) -> np.datetime64:
    if isinstance(value, str):
        if not _ISO.fullmatch(value):
            raise ValueError(f"{value!r} is no ISO 8601 date or time in microseconds")
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def column_of_values(name: str, values: Sequence[Any] | Array, kind_of_none: Kind = "string") -> Column:
    """Make a column of an array or list of Python values, none of which is rounded; null where an array is masked.

    kind_of_none: that of a list without any value. Raises TableError, and TypeError for values that are no data.
    """
    if not isinstance(values, np.ndarray):
        cells = _plains(name, values)
        return Column.of(name, cells, None if any(one is not None for one in cells) else kind_of_none)
    if values.ndim != 1:
        raise TableError(f"column {name!r} has {values.ndim} dimensions, where it must have one")
    if isinstance(values, np.ma.MaskedArray) and values.dtype != object:
        return _of_masked(name, values)
    return _of_array(name, values)


def _of_array(name: str, values: Array) -> Column:
    everywhere = np.ones(len(values), "?")
    match values.dtype.kind:
        case "b":
            return Column(name, "boolean", values, everywhere)
        case "i":
            return Column(name, "integer", values.astype("i8"), everywhere)
        case "f" if values.dtype.itemsize <= np.dtype("f8").itemsize:
            return Column(name, "number", widened(values), everywhere)
        case "M":
            return _of_times(name, values)
        case "m":
            return Column.of(name, [duration_of(one) for one in values], "string")
        case kind:
            return column_of_values(name, values.tolist(), "integer" if kind == "u" else "string")


def _of_masked(name: str, values: np.ma.MaskedArray[Any, Any]) -> Column:
    valid = ~np.ma.getmaskarray(values)
    found = column_of_values(name, values.compressed())
    valid[valid] = found.valid
    return Column.filled(name, found.kind, found.present, valid)


def _of_times(name: str, values: Array) -> Column:
    """A column of NumPy's times; those that are no whole microseconds are text."""
    valid, micros = ~np.isnat(values), values.astype("M8[us]")
    if (micros.astype(values.dtype) == values)[valid].all():
        return Column(name, "datetime", micros, valid)
    return Column.filled(name, "string", [f"{one}Z" for one in np.datetime_as_string(values[valid])], valid)


def _plains(name: str, values: Sequence[Any]) -> list[Any]:
    try:
        return [_plain(one) for one in values]
    except TypeError as error:
        raise TypeError(f"column {name!r} has {error}") from error


def _plain(value: Any) -> Any:  # noqa: PLR0911  one return a type
    """Turn NumPy scalars, dates, binary and nested values into what JSON has; decimals stay."""
    if isinstance(value, np.generic):
        value = _of_scalar(value)
    if value is None or isinstance(value, str | bool | int | float | Decimal):
        return value
    if is_nested(value):
        return json_text(value)
    if isinstance(value, bytes | bytearray):
        return base64_text(value)
    if isinstance(value, timedelta):
        return duration_of(value)
    if isinstance(value, time):
        return without_zeros(value.isoformat())
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()  # noqa: PLR0124  NaT is not equal to itself
    try:
        return float(value)
    except (TypeError, ValueError):
        return plain_text(value)


def _of_scalar(value: np.generic) -> Any:
    if isinstance(value, np.float16 | np.float32):
        return shown(float(value))
    if isinstance(value, np.longdouble):
        return Decimal(str(value))  # with the digits that are written of it
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.timedelta64):
        return duration_of(value)
    return value.item()
