"""Comparisons of two typed pieces of SQL, as exact as their types and what was written."""

import math
import re
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from gristmill.datasets import floats
from gristmill.datasets.advice import to_compare
from gristmill.datasets.columns import MOST_DECIMAL_DIGITS
from gristmill.datasets.cql import fault
from gristmill.datasets.local_forms import has_another_order, local_form
from gristmill.datasets.terms import (
    EXACT,
    HOW,
    INSTANT,
    NUMERIC,
    Term,
    as_whole,
    cast,
    decimal_digits,
    in_microseconds,
    in_utc,
    is_whole,
    joined,
)

MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}
_NANOSECONDS_REACH = range(1678, 2262)  # the years that 64 bits of them hold from end to end
_END_OF_DAY = re.compile(r"24:00(:00(\.0+)?)?")  # which Python's times lack
_COMPARABLE = (NUMERIC, INSTANT, {"text"}, {"boolean"}, {"time"}, {"uuid"}, {"interval"})


def compared(op: str, left: Term, right: Term) -> Term:
    """A comparison of two terms. Raises InvalidFilterError where their kinds cannot be compared."""
    left, right = _read_as(left, right), _read_as(right, left)
    if not any(left.kind in group and right.kind in group for group in _COMPARABLE):
        raise fault(to_compare(op, left, right, MIRRORED[op]))
    if left.kind == "boolean" and op not in {"=", "<>"}:
        raise fault(f"{left.called()} has no order: only = and <> are possible.")
    if left.kind == "text" and op not in {"=", "<>"}:
        _refuse_order_of_letters(left, right)
    if left.kind in NUMERIC:
        return _numbers(op, left, right)
    if left.kind in INSTANT:
        return _instants(op, left, right)
    return joined(f"({{}} {op} {{}})", "boolean", [left, right])


def _refuse_order_of_letters(left: Term, right: Term) -> None:
    """Of texts that are numbers or dates in the form of a country: not what anybody means."""
    for column, text in ((left.column, right.literal), (right.column, left.literal)):
        if column is not None and isinstance(text, str) and has_another_order(column, text):
            raise fault(f"Column {column.name!r} is text, whose order is alphabetical{local_form(column)}.")


def _instants(op: str, left: Term, right: Term) -> Term:
    if _is_finer(left, right):
        return _beside_nanoseconds(MIRRORED[op], right, left)
    if _is_finer(right, left):
        return _beside_nanoseconds(op, left, right)
    if left.kind != right.kind:
        if left.kind == "timestamptz" and right.kind == "timestamp" and right.literal is not None:
            right = _zoned(right)
        elif right.kind == "timestamptz" and left.kind == "timestamp" and left.literal is not None:
            left = _zoned(left)
        else:
            left, right = in_utc(left), in_utc(right)
    return joined(f"({{}} {op} {{}})", "boolean", [left, right])


def _is_finer(term: Term, other: Term) -> bool:
    """Whether it is in nanoseconds, and the other may lie beyond all of them, at which DuckDB would fail."""
    if isinstance(other.literal, date):
        return _is_in_nanoseconds(term) and other.literal.year not in _NANOSECONDS_REACH
    return _is_in_nanoseconds(term) and not _is_in_nanoseconds(other)


def _is_in_nanoseconds(term: Term) -> bool:
    return term.column is not None and term.column.type == "TIMESTAMP_NS"


def _beside_nanoseconds(op: str, moment: Term, finer: Term) -> Term:
    """A time is exactly compared with the whole microseconds on both sides of one in nanoseconds."""
    return _between(op, in_utc(moment), in_microseconds(finer, up=True), in_microseconds(finer))


def _zoned(literal: Term) -> Term:
    return Term("CAST(? AS TIMESTAMPTZ)", "timestamptz", (f"{literal.values[0]}+00",), literal.literal)


def _read_as(term: Term, other: Term) -> Term:
    """A text that was written beside a time or an identifier is read as one."""
    if not isinstance(term.literal, str) or other.kind not in {"time", "uuid"}:
        return term
    try:
        if other.kind == "uuid":
            return Term("CAST(? AS UUID)", "uuid", (str(UUID(term.literal)),), term.literal)
        if _END_OF_DAY.fullmatch(term.literal):
            return Term("CAST(? AS TIME)", "time", ("24:00:00",), term.literal)
        moment = time.fromisoformat(term.literal)
    except ValueError as error:
        raise fault(f"{term.literal[:60]!r} is no {other.kind}; write {HOW[other.kind]}.") from error
    if moment.utcoffset():  # the column's times have no zone to reckon from
        raise fault(f"{term.literal[:60]!r} is no {other.kind}; write {HOW[other.kind]}.")
    return Term("CAST(? AS TIME)", "time", (moment.replace(tzinfo=None).isoformat(),), term.literal)


def _numbers(op: str, left: Term, right: Term) -> Term:
    if isinstance(left.literal, Decimal) or (left.kind == "decimal" and is_whole(right)):
        op, left, right = MIRRORED[op], right, left
    if isinstance(right.literal, Decimal) and left.literal is None:
        if left.kind in EXACT:
            return _exactly(op, left, right.literal)
        if left.column is not None and left.column.type == "FLOAT":
            return _as_shown(op, left, right.literal)
    if is_whole(left) and right.kind == "decimal":
        return _beside_decimal(op, left, right)
    same_type = left.column and right.column and left.column.type == right.column.type
    if not same_type and not left.kind == right.kind == "integer":
        left, right = cast(left, "DOUBLE"), cast(right, "DOUBLE")
    return joined(f"({{}} {op} {{}})", "boolean", [left, right])


def _beside_decimal(op: str, whole: Term, decimal: Term) -> Term:
    """A whole number is exactly compared with the whole numbers on both sides of a decimal."""
    above, below = (joined(f"CAST({side}({{}}) AS HUGEINT)", "integer", [decimal]) for side in ("ceil", "floor"))
    return _between(op, as_whole(whole), above, below)


def _between(op: str, whole: Term, above: Term, below: Term) -> Term:
    """A comparison with what has no whole value but itself from the one above it to the one below it."""
    if op in {"=", "<>"}:
        between = "BETWEEN" if op == "=" else "NOT BETWEEN"
        return joined(f"({{}} {between} {{}} AND {{}})", "boolean", [whole, above, below])
    return joined(f"({{}} {op} {{}})", "boolean", [whole, below if op in {"<=", ">"} else above])


def _as_shown(op: str, term: Term, number: Decimal) -> Term:
    """A comparison of FLOATs as rows show them: 0.1 is the one that is written so, though its double is another."""
    near = floats.nearest(float(number))
    written = Decimal(repr(floats.shown(near)))
    if written != number:
        if op in {"=", "<>"}:
            return _always("true" if op == "<>" else "false", term)
        after = "<" if written > number else "<="
        op = after if op in {"<", "<="} else {"<": ">=", "<=": ">"}[after]
    return joined(f"({{}} {op} {{}})", "boolean", [term, Term("CAST(? AS FLOAT)", "number", (near,))])


def _always(outcome: str, term: Term) -> Term:
    """What is so of every value, and of a missing one unknown."""
    return joined(f"(CASE WHEN {{}} IS NOT NULL THEN {outcome} END)", "boolean", [term])


def _exactly(op: str, term: Term, number: Decimal) -> Term:
    """A comparison with the nearest number that the column's type holds, or what is always so beyond its range."""
    digits, scale = MOST_DECIMAL_DIGITS, 0
    if term.kind == "decimal" and term.column is not None:
        digits, scale = decimal_digits(term.column)
    scaled = Fraction(number) * 10**scale if scale else number
    floor = math.floor(scaled)
    fits = floor == scaled
    if abs(floor) >= 10**digits or (not fits and op in {"=", "<>"}):
        always = op == "<>" or (op in {"<", "<="} if number > 0 else op in {">", ">="})
        return _always("true" if always and op != "=" else "false", term)
    if not fits:
        op = {"<": "<=", ">=": ">"}.get(op, op)
    bound = Decimal(f"{floor}E-{scale}") if scale else floor
    return joined(f"({{}} {op} {{}})", "boolean", [term, Term("?", term.kind, (bound,))])
