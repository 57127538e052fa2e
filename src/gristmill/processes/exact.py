"""Decimals and large whole numbers as results have them: as text where a number would round them."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import duckdb

from gristmill.processes.authoring import wrong_input
from gristmill.processes.column import PAST_INTEGERS, Kind
from gristmill.processes.dataset import DataSet
from gristmill.processes.doubles import is_said

_WIDE = frozenset(["HUGEINT", "UHUGEINT", "UBIGINT"])


def may_round(type_text: str) -> bool:
    """Whether values of a DuckDB type can be beyond what 64-bit integers and doubles say."""
    return type_text in _WIDE or type_text.startswith("DECIMAL(")


def exactly(data: DataSet, name: str, type_text: str, relation: str, *, rather: Kind = "integer") -> tuple[Kind, str]:
    """The kind that a column of such a type has in a table so that no value changes, and the SQL that gives them.

    name: the column's in ``relation``, which is what stands behind FROM. rather: integer or number, where both do.
    """
    written = f"CAST(CAST({name} AS DOUBLE) AS VARCHAR)"  # what a reader of the result sees of a double
    is_integer = f"TRY_CAST({name} AS BIGINT) IS NOT NULL" if _is_whole(type_text) else "false"
    is_double = f"coalesce(TRY_CAST({written} AS {type_text}) = {name}, false)"
    all_are = ", ".join(f"coalesce(bool_and({one}), true)" for one in (is_integer, is_double))
    ((integers, doubles),) = data.query(f"SELECT {all_are} FROM {relation} WHERE {name} IS NOT NULL").fetchall()
    if integers and not (doubles and rather == "number"):
        return "integer", f"CAST({name} AS BIGINT)"
    return ("number", f"CAST({name} AS DOUBLE)") if doubles else ("string", f"CAST({name} AS VARCHAR)")


@contextmanager
def within_digits(name: str) -> Iterator[None]:
    """A sum of more digits than decimals have is a fault of the input ``name``. Raises InvalidInputsError."""
    try:
        yield
    except duckdb.OutOfRangeException as error:
        said = str(error).partition("\n")[0]
        raise wrong_input(name, f"cannot be computed on this data: {said}") from error


def exact_cell(text: str) -> int | float | str:
    """A decimal or a whole number, written out, as a JSON value that no reader rounds."""
    value = Decimal(text)
    number = float(value)
    if not is_said(value, number):
        return text
    return int(value) if "." not in text and abs(value) < PAST_INTEGERS else number


def _is_whole(type_text: str) -> bool:
    return type_text == "BIGINT" or type_text in _WIDE or type_text.endswith(",0)")
