"""A filter in CQL2 text as a SQL condition for DuckDB, with every value bound.

What a filter means:

- Three-valued logic, as in SQL: a comparison with a missing value is neither true nor false, and its row is not given.
- NaN equals NaN and is above every other number, infinity too; 0.0 equals -0.0.
- Whole numbers and decimals are compared exactly with the number that was written, and with each other where one of
  them is whole; a FLOAT as rows show it with the number that was written; columns of different kinds of number, and the
  results of `/`, `^` and functions, as doubles. Decimals without digits after the point are whole numbers.
  `+ - * % div abs round floor ceil` of whole numbers give whole numbers of up to 38 digits; other arithmetic is done in
  doubles. Division by zero gives a missing value.
- A timestamp without a zone is taken as UTC, and parts of times with a zone are those in UTC. Nanoseconds are compared,
  and cut off before any function but `text`.
- Text is compared by code points. In `like`, `%` is any text and `_` any character; a backslash makes them plain.
- Casts (`integer`, `number`, `text`, `boolean`, `date`, `timestamp`) of a value that does not fit give a missing value;
  `integer` rounds as `round` does, halves away from zero.

`FUNCTIONS` lists every function.
"""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Protocol
from uuid import UUID

from gristmill.datasets.cql import MOST_LEVELS, Parsed, fault, parse
from gristmill.datasets.mapping import microseconds, quoted

EXACT = frozenset(["integer", "decimal"])
NUMERIC = frozenset(["integer", "number", "decimal"])
INSTANT = frozenset(["date", "timestamp", "timestamptz"])
_NANOSECONDS_REACH = range(1678, 2262)  # the years that 64 bits of them hold from end to end
_MOST_SQL = 100_000  # characters; BETWEEN and IN repeat their first term, and may be nested
_COMPARABLE = (NUMERIC, INSTANT, {"text"}, {"boolean"}, {"time"}, {"uuid"}, {"interval"})
_LARGEST_FLOAT = (2 - 2**-23) * 2.0**127
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}
_COUNTS = {"not": 1, "isnull": 1, "between": 3, "in": 2, "like": 2, **dict.fromkeys(_MIRRORED, 2)}
_HOW = {
    "date": "DATE('2024-12-31')",
    "timestamp": "TIMESTAMP('2024-12-31T23:59:59Z')",
    "timestamptz": "TIMESTAMP('2024-12-31T23:59:59Z')",
    "text": "a text in single quotes",
    "boolean": "TRUE or FALSE",
    "time": "a text such as '23:59:59'",
    "uuid": "a text such as '123e4567-e89b-12d3-a456-426614174000'",
}


class FilterColumn(Protocol):
    """What a filter needs to know of a column."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL text with a `?` for each of the values, in their order."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """A typed piece of SQL. `literal`: what was written, where the piece is nothing else."""

    sql: str
    kind: str
    values: tuple[Any, ...] = ()
    literal: Decimal | str | date | None = None
    column: FilterColumn | None = None

    def called(self) -> str:
        """The piece in the words of an error."""
        if self.column is not None:
            return f"column {self.column.name!r} ({self.kind})"
        if self.literal is not None:
            return f"{str(self.literal)[:40]!r} ({self.kind})"
        return f"an expression ({self.kind})"


@dataclass(frozen=True, slots=True)
class Function:
    """SQL with a `{}` for each argument, the kinds each may have (`cast` is done first), and the kind of the result."""

    sql: str
    takes: tuple[frozenset[str], ...]
    gives: str
    casts: tuple[str | None, ...] = ()


_TEXT = frozenset(["text"])
_WHOLE = frozenset(["integer"])
_KEEP_WHOLE = frozenset(["abs", "ceil", "floor", "round"])
_CLOCK = frozenset(["time", "timestamp", "timestamptz"])
_CASTABLE = NUMERIC | INSTANT | {"text", "boolean", "time", "uuid"}


def _of_texts(sql: str, count: int = 1, gives: str = "text") -> Function:
    return Function(sql, (_TEXT,) * count, gives)


FUNCTIONS: dict[str, Function] = {
    "casei": _of_texts("lower({})"),
    "accenti": _of_texts("strip_accents({})"),
    "lower": _of_texts("lower({})"),
    "upper": _of_texts("upper({})"),
    "trim": _of_texts("trim({})"),
    "length": _of_texts("length({})", gives="integer"),
    "contains": _of_texts("contains({}, {})", 2, "boolean"),
    "starts_with": _of_texts("starts_with({}, {})", 2, "boolean"),
    "ends_with": _of_texts("ends_with({}, {})", 2, "boolean"),
    "abs": Function("abs({})", (NUMERIC,), "number", ("DOUBLE",)),
    "ceil": Function("ceil({})", (NUMERIC,), "number", ("DOUBLE",)),
    "floor": Function("floor({})", (NUMERIC,), "number", ("DOUBLE",)),
    "round": Function("round({})", (NUMERIC,), "number", ("DOUBLE",)),
    "is_nan": Function("isnan({})", (NUMERIC,), "boolean", ("DOUBLE",)),
    "is_finite": Function("isfinite({})", (NUMERIC,), "boolean", ("DOUBLE",)),
    "integer": Function("TRY_CAST({} AS BIGINT)", (NUMERIC | {"text", "boolean"},), "integer"),
    "number": Function("TRY_CAST({} AS DOUBLE)", (NUMERIC | {"text", "boolean"},), "number"),
    "text": Function("CAST({} AS VARCHAR)", (_CASTABLE,), "text"),
    "boolean": Function("TRY_CAST({} AS BOOLEAN)", (_TEXT | _WHOLE,), "boolean"),
    "date": Function("TRY_CAST({} AS DATE)", (_TEXT | INSTANT,), "date"),
    "timestamp": Function("TRY_CAST({} AS TIMESTAMP)", (_TEXT | INSTANT,), "timestamp"),
    **{part: Function(f"{part}({{}})", (INSTANT,), "integer") for part in ("year", "quarter", "month", "day")},
    "week": Function("weekofyear({})", (INSTANT,), "integer"),
    "weekday": Function("isodow({})", (INSTANT,), "integer"),
    "dayofyear": Function("dayofyear({})", (INSTANT,), "integer"),
    **{part: Function(f"{part}({{}})", (_CLOCK,), "integer") for part in ("hour", "minute", "second")},
}


def column_called(name: str, columns: Iterable[FilterColumn]) -> FilterColumn | None:
    """The column of exactly this name."""
    return next((column for column in columns if column.name == name), None)


def unknown_column(name: str, columns: Iterable[FilterColumn]) -> str:
    """A sentence about a column that is not there, with the names that come near."""
    return f"There is no column {name[:60]!r}. {_known(name, [column.name for column in columns], 8)}"


def _known(name: str, names: Sequence[str], most: int) -> str:
    near = get_close_matches(name, names, cutoff=0.5) or [n for n in names if n.lower() == name.lower()]
    if near:
        return f"Near: {', '.join(map(repr, near))}."
    return f"There are: {', '.join(map(repr, names[:most]))}{', ...' if len(names) > most else ''}."


def condition(text: str, columns: Sequence[FilterColumn]) -> Condition:
    """The SQL condition of a filter. Raises InvalidFilterError."""
    parsed = parse(text)
    term = _Walker(parsed, columns).boolean(parsed.tree)
    return Condition(term.sql, term.values)


def _joined(template: str, kind: str, terms: Sequence[Term]) -> Term:
    if sum(len(term.sql) for term in terms) > _MOST_SQL:
        raise fault("It repeats long terms too often: shorten it.")
    values = tuple(value for term in terms for value in term.values)
    return Term(template.format(*(term.sql for term in terms)), kind, values)


def _cast(term: Term, type_text: str) -> Term:
    if type_text == "DOUBLE" and isinstance(term.literal, Decimal):
        return Term("CAST(? AS DOUBLE)", "number", (float(term.literal),))
    if type_text == "DOUBLE" and term.kind == "number":
        return term
    return _joined(f"CAST({{}} AS {type_text})", term.kind, [term])


def _in_utc(term: Term) -> Term:
    return _joined("timezone('UTC', {})", "timestamp", [term]) if term.kind == "timestamptz" else term


def _in_microseconds(term: Term) -> Term:
    if term.column is None:
        return term
    return Term(microseconds(term.sql, term.column.type), term.kind, column=term.column)


class _Walker:
    def __init__(self, parsed: Parsed, columns: Sequence[FilterColumn]) -> None:
        self.parsed = parsed
        self.columns = columns
        self.level = 0

    def boolean(self, node: Any) -> Term:
        term = self.term(node)
        if term.kind != "boolean":
            raise fault(f"{term.called()} stands where a condition is expected: compare it with something.")
        return term

    def term(self, node: Any) -> Term:
        self.level += 1
        if self.level > MOST_LEVELS:
            raise fault(f"It is nested more than {MOST_LEVELS} levels deep, or is a chain of more terms than that.")
        try:
            return self._term(node)
        finally:
            self.level -= 1

    def _term(self, node: Any) -> Term:
        match node:
            case None:
                raise fault("NULL is neither equal nor unequal to anything: write IS NULL or IS NOT NULL.")
            case bool():
                return Term("true" if node else "false", "boolean")
            case int() | float():
                return _number(self.parsed.number(node))
            case str():
                written = self.parsed.text(node)
                return Term("?", "text", (written,), written)
            case {"property": str(index)}:
                return self._column(self.parsed.name(index))
            case {"date": argument} | {"timestamp": argument}:
                return self._moment("date" if "date" in node else "timestamp", argument)
            case {"op": str(op), "args": list(args)}:
                return self._operation(op, args)
        raise fault("Geometries, intervals and lists are not supported here.")

    def _column(self, name: str) -> Term:
        column = column_called(name, self.columns)
        if column is None:
            raise fault(f"{unknown_column(name, self.columns)} A text stands in single quotes: '...'.")
        return Term(quoted(name), column.kind, column=column)

    def _moment(self, kind: str, argument: Any) -> Term:
        if not isinstance(argument, str):
            return self._call(kind, [argument])
        written = self.parsed.text(argument)
        try:
            if kind == "date":
                day = date.fromisoformat(written)
                return Term("CAST(? AS DATE)", kind, (day.isoformat(),), day)
            moment = datetime.fromisoformat(written)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError) as error:
            raise fault(f"{written[:60]!r} is not a {kind}; write {_HOW[kind]}.") from error
        return Term("CAST(? AS TIMESTAMP)", kind, (moment.isoformat(sep=" "),), moment)

    def _operation(self, op: str, args: list[Any]) -> Term:  # noqa: PLR0911  one return an operator
        name = op.lower()
        if len(args) != _COUNTS.get(name, len(args)):
            raise fault(f"{op} takes {_COUNTS[name]} term(s), and was given {len(args)}.")
        if name in {"and", "or"}:
            terms = [self.boolean(arg) for arg in args]
            return _joined("(" + f" {name.upper()} ".join(["{}"] * len(terms)) + ")", "boolean", terms)
        if name == "not":
            return _joined("(NOT {})", "boolean", [self.boolean(args[0])])
        if name == "isnull":
            return _joined("({} IS NULL)", "boolean", [self.term(args[0])])
        if name in _MIRRORED:
            return compared(name, self.term(args[0]), self.term(args[1]))
        if name == "between":
            value, low, high = (self.term(arg) for arg in args)
            return _joined("({} AND {})", "boolean", [compared(">=", value, low), compared("<=", value, high)])
        if name == "in":
            value, choices = self.term(args[0]), args[1] if isinstance(args[1], list) else [args[1]]
            return _among(value, [compared("=", value, self.term(choice)) for choice in choices])
        if name == "like":
            text, pattern = self._expected(args[0], _TEXT, "LIKE"), self._expected(args[1], _TEXT, "LIKE")
            if isinstance(pattern.literal, str) and (len(pattern.literal) - len(pattern.literal.rstrip("\\"))) % 2:
                raise fault("A LIKE pattern ends in a backslash that makes nothing plain; write two of them.")
            return _joined(r"({} LIKE {} ESCAPE '\')", "boolean", [text, pattern])
        if name in _ARITHMETIC:
            terms = [self._expected(arg, NUMERIC, name) for arg in args]
            if len(terms) != 2:
                raise fault(f"{op} takes 2 terms, and was given {len(terms)}.")
            return _ARITHMETIC[name](*terms)
        return self._call(name, args)

    def _expected(self, node: Any, kinds: frozenset[str], user: str) -> Term:
        term = self.term(node)
        if term.kind not in kinds:
            raise fault(f"{user} takes {' or '.join(sorted(kinds))}, and {term.called()} is none.")
        return term

    def _call(self, name: str, args: list[Any]) -> Term:
        function = FUNCTIONS.get(name)
        if function is None:
            raise fault(f"There is no function {name[:60]!r} here. {_known(name, sorted(FUNCTIONS), len(FUNCTIONS))}")
        if len(args) != len(function.takes):
            raise fault(f"{name} takes {len(function.takes)} argument(s), and was given {len(args)}.")
        terms = [_in_utc(self._expected(*each, name)) for each in zip(args, function.takes, strict=True)]
        if name != "text":
            terms = [_in_microseconds(term) for term in terms]
        if name in _KEEP_WHOLE and _is_whole(terms[0]):
            return _joined("abs({})" if name == "abs" else "{}", "integer", [_whole(terms[0])])
        if name == "integer" and terms[0].kind == "number":
            terms = [_joined("round({})", "number", terms)]
        casts = function.casts or (None,) * len(terms)
        terms = [_cast(term, kind) if kind else term for term, kind in zip(terms, casts, strict=True)]
        return _joined(function.sql, function.gives, terms)


def _among(value: Term, equalities: Sequence[Term]) -> Term:
    """IN where each comparison leaves the value as it is, which is faster and shorter than OR."""
    start = f"({value.sql} = "
    if not all(term.sql.startswith(start) for term in equalities):
        return _joined("(" + " OR ".join(["{}"] * len(equalities)) + ")", "boolean", equalities)
    skipped = len(value.values)
    choices = [Term(term.sql[len(start) : -1], "", term.values[skipped:]) for term in equalities]
    return _joined("({} IN (" + ", ".join(["{}"] * len(choices)) + "))", "boolean", [value, *choices])


def _number(value: Decimal) -> Term:
    whole = value == value.to_integral_value() if value.adjusted() < 27 else False
    if whole:
        return Term("?", "integer", (int(value),), value)
    return Term("CAST(? AS DOUBLE)", "number", (float(value),), value)


def _digits(column: FilterColumn) -> tuple[int, int]:
    """How many digits a decimal has, and how many of them after its point."""
    digits, scale = column.type[len("DECIMAL(") : -1].split(",")
    return int(digits), int(scale)


def _is_whole(term: Term) -> bool:
    return term.kind == "integer" or (
        term.kind == "decimal" and term.column is not None and not _digits(term.column)[1]
    )


def _whole(term: Term) -> Term:
    return _joined("CAST({} AS HUGEINT)", "integer", [term])


def _arithmetic(whole_sql: str, double_sql: str) -> Callable[[Term, Term], Term]:
    def build(left: Term, right: Term) -> Term:
        if whole_sql and _is_whole(left) and _is_whole(right):
            return _joined(f"({whole_sql})", "integer", [_whole(left), _whole(right)])
        return _joined(f"({double_sql})", "number", [_cast(left, "DOUBLE"), _cast(right, "DOUBLE")])

    return build


_ARITHMETIC = {
    "+": _arithmetic("{} + {}", "{} + {}"),
    "-": _arithmetic("{} - {}", "{} - {}"),
    "*": _arithmetic("{} * {}", "{} * {}"),
    "/": _arithmetic("", "{} / NULLIF({}, 0)"),
    "%": _arithmetic("{} % NULLIF({}, 0)", "{} % NULLIF({}, 0)"),
    "div": _arithmetic("{} // NULLIF({}, 0)", "trunc({} / NULLIF({}, 0))"),
    "^": _arithmetic("", "pow({}, {})"),
}


def compared(op: str, left: Term, right: Term) -> Term:
    """A comparison of two terms. Raises InvalidFilterError where their kinds cannot be compared."""
    left, right = _read_as(left, right), _read_as(right, left)
    if not any(left.kind in group and right.kind in group for group in _COMPARABLE):
        known, other = (left, right) if left.column is not None else (right, left)
        how = "Only IS NULL is possible with it" if known.kind in {"nested", "binary"} else "Compare it with "
        if known.kind not in {"nested", "binary"}:
            how += _HOW.get(known.kind, "a number" if known.kind in NUMERIC else f"another {known.kind}")
        raise fault(f"{known.called()} cannot be compared with {other.called()}. {how}.")
    if left.kind == "boolean" and op not in {"=", "<>"}:
        raise fault(f"{left.called()} has no order: only = and <> are possible.")
    if left.kind in NUMERIC:
        return _numbers(op, left, right)
    if left.kind in INSTANT:
        left, right = _within_nanoseconds(left, right), _within_nanoseconds(right, left)
    if left.kind in INSTANT and left.kind != right.kind:
        if left.kind == "timestamptz" and right.kind == "timestamp" and right.literal is not None:
            right = _zoned(right)
        elif right.kind == "timestamptz" and left.kind == "timestamp" and left.literal is not None:
            left = _zoned(left)
        else:
            left, right = _in_utc(left), _in_utc(right)
    return _joined(f"({{}} {op} {{}})", "boolean", [left, right])


def _within_nanoseconds(term: Term, other: Term) -> Term:
    """The term in microseconds where the other lies beyond all nanoseconds, at which DuckDB would fail."""
    reaches = not isinstance(other.literal, date) or other.literal.year in _NANOSECONDS_REACH
    return term if reaches else _in_microseconds(term)


def _zoned(literal: Term) -> Term:
    return Term("CAST(? AS TIMESTAMPTZ)", "timestamptz", (f"{literal.values[0]}+00",), literal.literal)


def _read_as(term: Term, other: Term) -> Term:
    """A text that was written beside a time or an identifier is read as one."""
    if not isinstance(term.literal, str) or other.kind not in {"time", "uuid"}:
        return term
    try:
        if other.kind == "uuid":
            return Term("CAST(? AS UUID)", "uuid", (str(UUID(term.literal)),), term.literal)
        moment = time.fromisoformat(term.literal)
    except ValueError as error:
        raise fault(f"{term.literal[:60]!r} is no {other.kind}; write {_HOW[other.kind]}.") from error
    if moment.utcoffset():  # the column's times have no zone to reckon from
        raise fault(f"{term.literal[:60]!r} is no {other.kind}; write {_HOW[other.kind]}.")
    return Term("CAST(? AS TIME)", "time", (moment.replace(tzinfo=None).isoformat(),), term.literal)


def _numbers(op: str, left: Term, right: Term) -> Term:
    if isinstance(left.literal, Decimal) or (left.kind == "decimal" and _is_whole(right)):
        op, left, right = _MIRRORED[op], right, left
    if isinstance(right.literal, Decimal) and left.literal is None:
        if left.kind in EXACT:
            return _exactly(op, left, right.literal)
        if left.column is not None and left.column.type == "FLOAT":
            return _as_shown(op, left, right.literal)
    if _is_whole(left) and right.kind == "decimal":
        return _beside_decimal(op, left, right)
    same_type = left.column and right.column and left.column.type == right.column.type
    if not same_type and not left.kind == right.kind == "integer":
        left, right = _cast(left, "DOUBLE"), _cast(right, "DOUBLE")
    return _joined(f"({{}} {op} {{}})", "boolean", [left, right])


def _beside_decimal(op: str, whole: Term, decimal: Term) -> Term:
    """A whole number is exactly compared with the whole numbers on both sides of a decimal."""
    above, below = (_joined(f"CAST({side}({{}}) AS HUGEINT)", "integer", [decimal]) for side in ("ceil", "floor"))
    if op in {"=", "<>"}:
        between = "BETWEEN" if op == "=" else "NOT BETWEEN"
        return _joined(f"({{}} {between} {{}} AND {{}})", "boolean", [_whole(whole), above, below])
    return _joined(f"({{}} {op} {{}})", "boolean", [_whole(whole), below if op in {"<=", ">"} else above])


def _as_shown(op: str, term: Term, number: Decimal) -> Term:
    """A comparison of FLOATs as rows show them: 0.1 is the one that is written so, though its double is another."""
    near, shown = _float_near(number)
    if shown != number:
        if op in {"=", "<>"}:
            return _always("true" if op == "<>" else "false", term)
        after = "<" if shown > number else "<="
        op = after if op in {"<", "<="} else {"<": ">=", "<=": ">"}[after]
    return Term(f"({term.sql} {op} CAST(? AS FLOAT))", "boolean", (*term.values, near))


def _float_near(number: Decimal) -> tuple[float, Decimal]:
    """A FLOAT with no other one between it and the number, and how it is written: with the fewest digits."""
    near = _as_float(float(number))
    if not math.isfinite(near):
        return near, Decimal(near)
    texts = (f"{near:.{digits}g}" for digits in range(1, 10))
    return near, Decimal(next(text for text in texts if _as_float(float(text)) == near))


def _as_float(number: float) -> float:
    try:
        (found,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        found = math.copysign(_LARGEST_FLOAT, number)
    return float(found)


def _always(outcome: str, term: Term) -> Term:
    """What is so of every value, and of a missing one unknown."""
    return _joined(f"(CASE WHEN {{}} IS NOT NULL THEN {outcome} END)", "boolean", [term])


def _exactly(op: str, term: Term, number: Decimal) -> Term:
    """A comparison with the nearest number that the column's type holds, or what is always so beyond its range."""
    digits, scale = 38, 0
    if term.kind == "decimal" and term.column is not None:
        digits, scale = _digits(term.column)
    scaled = Fraction(number) * 10**scale if scale else number
    floor = math.floor(scaled)
    fits = floor == scaled
    if abs(floor) >= 10**digits or (not fits and op in {"=", "<>"}):
        always = op == "<>" or (op in {"<", "<="} if number > 0 else op in {">", ">="})
        return _always("true" if always and op != "=" else "false", term)
    if not fits:
        op = {"<": "<=", ">=": ">"}.get(op, op)
    bound = Decimal(f"{floor}E-{scale}") if scale else floor
    return Term(f"({term.sql} {op} ?)", "boolean", (*term.values, bound))
