"""The functions that a filter may call: what each takes, what it gives, and its SQL."""

from dataclasses import dataclass

from gristmill.datasets.terms import COPY_WEIGHT, INSTANT, NUMERIC

TEXT = frozenset(["text"])
_WHOLE = frozenset(["integer"])
KEEP_WHOLE = frozenset(["abs", "ceil", "floor", "round"])
KEEP_WILDCARDS = frozenset(["accenti", "casei", "lower", "upper"])  # letter by letter, and no letter becomes one
TAKE_STORED = frozenset(["is_finite", "is_nan", "text"])  # columns as they are: FLOATs, and with their nanoseconds
ACCENTI_WEIGHT = 10
_CLOCK = frozenset(["time", "timestamp", "timestamptz"])
_CASTABLE = NUMERIC | INSTANT | {"text", "boolean", "time", "uuid"}


# strip_accents ends a text at NUL: another letter, which no text is meant to have, stands for it meanwhile.
_AROUND_NUL = "replace(strip_accents(replace({0}, chr(0), chr(64976))), chr(64976), chr(0))"
_ACCENTI_OF_COLUMN = f"CASE WHEN contains({{0}}, chr(0)) THEN {_AROUND_NUL} ELSE strip_accents({{0}}) END"


@dataclass(frozen=True, slots=True)
class Function:
    """SQL with a `{}` for each argument, the kinds each may have (`cast` is done first), and the kind of the result.

    weight: what it adds to a term's where it is given a text. of_column: other SQL for the same of a column, which may
    name it several times.
    """

    sql: str
    takes: tuple[frozenset[str], ...]
    gives: str
    casts: tuple[str | None, ...] = ()
    weight: int = 1
    of_column: str = ""


def _made_text(sql: str, weight: int = COPY_WEIGHT, of_column: str = "") -> Function:
    return Function(sql, (TEXT,), "text", weight=weight, of_column=of_column)


def _of_texts(sql: str, count: int, gives: str) -> Function:
    return Function(sql, (TEXT,) * count, gives)


FUNCTIONS: dict[str, Function] = {
    "casei": _made_text("lower({})"),
    "accenti": _made_text(_AROUND_NUL, ACCENTI_WEIGHT, _ACCENTI_OF_COLUMN),
    "lower": _made_text("lower({})"),
    "upper": _made_text("upper({})"),
    "trim": _made_text("trim({})"),
    "length": _of_texts("length({})", 1, "integer"),
    "contains": _of_texts("contains({}, {})", 2, "boolean"),
    "starts_with": _of_texts("starts_with({}, {})", 2, "boolean"),
    "ends_with": _of_texts("ends_with({}, {})", 2, "boolean"),
    "abs": Function("abs({})", (NUMERIC,), "number", ("DOUBLE",)),
    "ceil": Function("ceil({})", (NUMERIC,), "number", ("DOUBLE",)),
    "floor": Function("floor({})", (NUMERIC,), "number", ("DOUBLE",)),
    "round": Function("round({})", (NUMERIC,), "number", ("DOUBLE",)),
    "is_nan": Function("isnan({})", (NUMERIC,), "boolean"),
    "is_finite": Function("isfinite({})", (NUMERIC,), "boolean"),
    "integer": Function("TRY_CAST({} AS BIGINT)", (NUMERIC | {"text", "boolean"},), "integer"),
    "number": Function("TRY_CAST({} AS DOUBLE)", (NUMERIC | {"text", "boolean"},), "number"),
    "text": Function("CAST({} AS VARCHAR)", (_CASTABLE,), "text"),
    "boolean": Function("TRY_CAST({} AS BOOLEAN)", (TEXT | _WHOLE,), "boolean"),
    "date": Function("TRY_CAST({} AS DATE)", (TEXT | INSTANT,), "date"),
    "timestamp": Function("TRY_CAST({} AS TIMESTAMP)", (TEXT | INSTANT,), "timestamp"),
    **{part: Function(f"{part}({{}})", (INSTANT,), "integer") for part in ("year", "quarter", "month", "day")},
    "week": Function("TRY(weekofyear({}))", (INSTANT,), "integer"),  # which fails in the first year that DuckDB has
    "weekday": Function("isodow({})", (INSTANT,), "integer"),
    "dayofyear": Function("dayofyear({})", (INSTANT,), "integer"),
    **{part: Function(f"{part}({{}})", (_CLOCK,), "integer") for part in ("hour", "minute", "second")},
}
