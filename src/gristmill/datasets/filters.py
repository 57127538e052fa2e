"""A filter in CQL2 text as a SQL condition for DuckDB, with every value bound.

What a filter means:

- Three-valued logic, as in SQL: a comparison with a missing value is neither true nor false, and its row is not given.
- NaN equals NaN and is above every other number, infinity too; 0.0 equals -0.0.
- Whole numbers and decimals are compared exactly with the number that was written, and with each other where one of
  them is whole; columns of different kinds of number, and the results of `/`, `^` and functions, as doubles. A FLOAT is
  the number that rows show of it. Decimals without digits after the point are whole numbers.
  `+ - * % div abs round floor ceil` of whole numbers give whole numbers of up to 38 digits; other arithmetic is done in
  doubles. Division by zero gives a missing value.
- A timestamp without a zone is taken as UTC, and parts of times with a zone are those in UTC. Nanoseconds are compared,
  and cut off before any function but `text`.
- Text is compared by code points. In `like`, `%` is any text and `_` any character; a backslash makes them plain.
- Casts (`integer`, `number`, `text`, `boolean`, `date`, `timestamp`) of a value that does not fit give a missing value;
  `integer` rounds as `round` does, halves away from zero.

`filter_functions` lists every function.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from gristmill.datasets.advice import to_take
from gristmill.datasets.columns import ROWS_AT_ONCE, Column
from gristmill.datasets.comparisons import MIRRORED, compared
from gristmill.datasets.cql import MOST_LEVELS, Parsed, fault, parse
from gristmill.datasets.filter_functions import (
    ACCENTI_WEIGHT,
    FUNCTIONS,
    KEEP_WHOLE,
    KEEP_WILDCARDS,
    TAKE_STORED,
    TEXT,
)
from gristmill.datasets.likes import SWAP_WEIGHT, TRIED_WEIGHT, like
from gristmill.datasets.mapping import quoted
from gristmill.datasets.spellings import column_spelling, function_spelling
from gristmill.datasets.terms import (
    COPY_WEIGHT,
    HOW,
    NUMERIC,
    Condition,
    FilterColumn,
    Term,
    as_whole,
    cast,
    in_microseconds,
    in_utc,
    is_whole,
    joined,
    written_number,
)
from gristmill.near_names import near

# DuckDB stops within a filter only after some thousand rows, whose texts may be long.
MOST_WEIGHT = 60

_TOO_HEAVY = (
    f"Its functions of texts and LIKE weigh {{}} together, and may weigh {MOST_WEIGHT}: accenti {ACCENTI_WEIGHT}, "
    f"casei, lower, upper and trim {COPY_WEIGHT}, others 1, and LIKE {TRIED_WEIGHT} more for each character behind the "
    rf"first % of a pattern with _ (\_ is a plain one), or {SWAP_WEIGHT} more for plain \% and \_ between several %; "
    "what BETWEEN compares weighs twice. Ask in parts, or in a job of the process sql."
)
_TOO_LONG = (
    f"Its functions make up to {{:,}} bytes of new texts of {ROWS_AT_ONCE:,} rows, which are done at a time, and there "
    "is memory for {:,} (setting GRISTMILL_DATASET_QUERY_MEMORY_MB). Ask without casei, accenti, lower, upper, trim, "
    "or with fewer of them; or in a job of the process sql, where regexp_matches(x, '(?i)this|that') makes none."
)

_MOMENTS = frozenset(["date", "timestamp"])
_COUNTS = {"not": 1, "isnull": 1, "between": 3, "in": 2, "like": 2, **dict.fromkeys(MIRRORED, 2)}


def column_called(name: str, columns: Iterable[FilterColumn]) -> FilterColumn | None:
    """The column of exactly this name."""
    return next((column for column in columns if column.name == name), None)


def unknown_column(name: str, columns: Iterable[FilterColumn]) -> str:
    """A sentence about a column that is not there, with the names that come near."""
    return f"There is no column {name[:60]!r}. {_known(name, [column.name for column in columns], 8)}"


def _known(name: str, names: Sequence[str], most: int, *, likeness: float = 0.6) -> str:
    if found := near(name, names, likeness=likeness):
        return f"Near: {', '.join(map(repr, found))}."
    return f"There are: {', '.join(map(repr, names[:most]))}{', ...' if len(names) > most else ''}."


def condition(text: str, columns: Sequence[FilterColumn], most_copied_bytes: int | None = None) -> Condition:
    """The SQL condition of a filter. Raises InvalidFilterError.

    most_copied_bytes: what may be made of the texts of ``ROWS_AT_ONCE`` rows; None for any.
    """
    parsed = parse(text, [column.name for column in columns])
    term = _Walker(parsed, columns).boolean(parsed.tree)
    if term.weight > MOST_WEIGHT:
        raise fault(_TOO_HEAVY.format(term.weight))
    if most_copied_bytes is not None and term.copied_bytes > most_copied_bytes:
        raise fault(_TOO_LONG.format(term.copied_bytes, most_copied_bytes))
    return Condition(term.sql, term.values)


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
                return written_number(self.parsed.number(node))
            case str():
                written = self.parsed.text(node)
                return Term("?", "text", (written,), written, made_of=written)
            case {"property": str(index)}:
                return self._column(self.parsed.name(index))
            case {"op": str(op), "args": list(args)}:
                return self._operation(op, args)
            case list():
                raise fault("A list stands behind IN alone: column IN ('a', 'b').")
        raise fault("Geometries, intervals and lists are not supported here.")

    def _column(self, name: str) -> Term:
        column = column_called(name, self.columns)
        if column is None:
            how = column_spelling(name) or " A text stands in single quotes: '...'."
            raise fault(f"{unknown_column(name, self.columns)}{how}")
        text_bytes = column.text_bytes if isinstance(column, Column) else 0
        return Term(quoted(name), column.kind, column=column, is_of_rows=True, text_bytes=text_bytes)

    def _moment(self, kind: str, written: str) -> Term:
        try:
            if kind == "date":
                day = date.fromisoformat(written)
                return Term("CAST(? AS DATE)", kind, (day.isoformat(),), day)
            moment = datetime.fromisoformat(written)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError) as error:
            raise fault(f"{written[:60]!r} is not a {kind}; write {HOW[kind]}.") from error
        return Term("CAST(? AS TIMESTAMP)", kind, (moment.isoformat(sep=" "),), moment)

    def _operation(self, op: str, args: list[Any]) -> Term:  # noqa: PLR0911  one return an operator
        if called := self.parsed.function(op):
            return self._call(called.lower(), args)
        name = op.lower()
        if len(args) != _COUNTS.get(name, len(args)):
            raise fault(f"{op} takes {_COUNTS[name]} term(s), and was given {len(args)}.")
        if name in {"and", "or"}:
            terms = [self.boolean(arg) for arg in args]
            return joined("(" + f" {name.upper()} ".join(["{}"] * len(terms)) + ")", "boolean", terms)
        if name == "not":
            return joined("(NOT {})", "boolean", [self.boolean(args[0])])
        if name == "isnull":
            return self._is_null(self.term(args[0]))
        if name in MIRRORED:
            left, right = self._sides(*args)
            return compared(name, left, right)
        if name == "between":
            value, low, high = self._sides(*args)
            return joined("({} AND {})", "boolean", [compared(">=", value, low), compared("<=", value, high)])
        if name == "in":
            value, *choices = self._sides(args[0], *(args[1] if isinstance(args[1], list) else [args[1]]))
            return _among(value, [compared("=", value, choice) for choice in choices])
        if name == "like":
            text, pattern = self._expected(args[0], TEXT, "LIKE"), self._expected(args[1], TEXT, "LIKE")
            self._refuse_names([text, pattern])
            return like(text, pattern)
        if name in _ARITHMETIC:
            terms = [self._expected(arg, NUMERIC, name) for arg in args]
            if len(terms) != 2:
                raise fault(f"{op} takes 2 terms, and was given {len(terms)}.")
            return _ARITHMETIC[name](*terms)
        raise fault(f"There is no operator {op!r} here.")

    def _expected(self, node: Any, kinds: frozenset[str], user: str) -> Term:
        term = self.term(node)
        if term.kind not in kinds:
            taken = " or ".join(sorted(kinds))
            raise fault(f"{user} takes {taken}, and {term.called()} is none{to_take(term, kinds)}.")
        return term

    def _is_null(self, term: Term) -> Term:
        if term.literal is not None:
            self._refuse_names([term])
        return joined("({} IS NULL)", "boolean", [term])

    def _sides(self, *nodes: Any) -> list[Term]:
        """What is compared with each other."""
        terms = [self.term(node) for node in nodes]
        self._refuse_names(terms)
        return terms

    def _refuse_names(self, terms: Sequence[Term]) -> None:
        """A column's name in single quotes, where no column stands: it is a text, and the same for every row."""
        if any(term.is_of_rows for term in terms):
            return
        texts = (value for term in terms for value in term.values if isinstance(value, str))
        found = next((text for text in texts if column_called(text, self.columns)), None)
        if found is not None:
            raise fault(
                f"{found[:60]!r} in single quotes is a text, and not the column: a column stands in double quotes or "
                f"none: {quoted(found)}."
            )

    def _call(self, name: str, args: list[Any]) -> Term:
        if name in _MOMENTS and len(args) == 1 and isinstance(args[0], str):
            return self._moment(name, self.parsed.text(args[0]))
        function = FUNCTIONS.get(name)
        if function is None:
            known = function_spelling(name) or _known(name, sorted(FUNCTIONS), len(FUNCTIONS), likeness=0.7)
            raise fault(f"There is no function {name[:60]!r} here. {known}")
        if len(args) != len(function.takes):
            raise fault(f"{name} takes {len(function.takes)} argument(s), and was given {len(args)}.")
        terms = [in_utc(self._expected(*each, name)) for each in zip(args, function.takes, strict=True)]
        weight = function.weight if any(term.is_of_rows and term.kind == "text" for term in terms) else 0
        if name not in TAKE_STORED:
            terms = [cast(term, "DOUBLE") if term.kind == "number" else in_microseconds(term) for term in terms]
        if name in KEEP_WHOLE and is_whole(terms[0]):
            return joined("abs({})" if name == "abs" else "{}", "integer", [as_whole(terms[0])])
        if name == "integer" and terms[0].kind == "number":
            terms = [joined("round({})", "number", terms)]
        casts = function.casts or (None,) * len(terms)
        terms = [cast(term, kind) if kind else term for term, kind in zip(terms, casts, strict=True)]
        made_of = terms[0].made_of if name in KEEP_WILDCARDS else None
        sql = function.of_column if function.of_column and terms[0].column is not None else function.sql
        return replace(joined(sql, function.gives, terms, weight), made_of=made_of)


def _among(value: Term, equalities: Sequence[Term]) -> Term:
    """IN where each comparison leaves the value as it is, which is faster and shorter than OR."""
    start, skipped = f"({value.sql} = ", len(value.values)
    if not all(term.sql.startswith(start) and term.values[:skipped] == value.values for term in equalities):
        return joined("(" + " OR ".join(["{}"] * len(equalities)) + ")", "boolean", equalities)
    choices = [
        replace(
            term,
            sql=term.sql[len(start) : -1],
            values=term.values[skipped:],
            weight=term.weight - value.weight,
            copied_bytes=term.copied_bytes - value.copied_bytes,
        )
        for term in equalities
    ]
    return joined("({} IN (" + ", ".join(["{}"] * len(choices)) + "))", "boolean", [value, *choices])


def _arithmetic(whole_sql: str, double_sql: str) -> Callable[[Term, Term], Term]:
    def build(left: Term, right: Term) -> Term:
        if whole_sql and is_whole(left) and is_whole(right):
            return joined(f"({whole_sql})", "integer", [as_whole(left), as_whole(right)])
        return joined(f"({double_sql})", "number", [cast(left, "DOUBLE"), cast(right, "DOUBLE")])

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
