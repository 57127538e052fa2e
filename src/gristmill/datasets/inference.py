"""Which type the texts of a column have, and the SQL that converts them without losing anything. Pure.

DuckDB's own CSV and JSON readers round 1.5 to 2 and drop the zeros of 007 once a sample has told them that a column
holds integers. Here a text is a number only if the number can say it; else the whole file decides again.
"""

import re
from dataclasses import dataclass, replace

from gristmill.datasets.columns import MOST_DECIMAL_DIGITS
from gristmill.datasets.mapping import double_of

TEXT = "VARCHAR"
ALWAYS = "true"
"""The SQL of a rule that fits every value."""
MISFIT = "gristmill-misfit:"

WRITTEN_AS = {
    "DATE": "2024-02-29",
    "TIMESTAMP": "2024-02-29T10:00:00",
    "TIMESTAMP WITH TIME ZONE": "2024-02-29T10:00:00Z",
    "TIME": "10:00:00",
}
"""How texts say what no two people write alike."""

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY_ALONE = r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([T ]00:00(:00(\.0{1,6})?)?)?"  # DuckDB drops any time of day
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_ZONE = r"(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)"  # DuckDB takes +99:99, and moves the day
# What TRY_CAST takes for a DOUBLE, and is none to a person: leading zeros, separators, more digits than any type has,
# a telephone number, whose plus would be lost, and two signs.
_NO_NUMBER = r"[_\s]|^[+-]?0[0-9]|^[+-]?[0-9]{39}|^\+[0-9]+$|^[+-]{2}"
_WHOLE = r"[+-]?[0-9]+"
_EXACT_LETTERS = {"DOUBLE": 15, "FLOAT": 7}  # a whole number of so many is exact in the type
_NO_FRACTIONS = 2**24  # from here on, no FLOAT has one


def name(text: str) -> str:
    """An SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Rule:
    """A type, when a value fits it, and the value; both are SQL."""

    type: str
    fits: str
    value: str


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of unquoted texts, as CSV has them. column: an SQL identifier."""

    column: str
    decimal: str = "."

    def rules(self) -> list[Rule]:
        """The types that may be found, the first that fits all values is taken."""
        number = _number(self.column, self.decimal)
        return [
            Rule("BOOLEAN", f"lower({self.column}) IN ('true', 'false')", f"TRY_CAST({self.column} AS BOOLEAN)"),
            *_numbers(number),
            *_times(self.column),
            Rule(TEXT, ALWAYS, self.column),
        ]

    def given(self, type_text: str) -> Rule:
        """The rule for a type that the person has named: wider than what is guessed, but never lossy."""
        return _given(self.column, _number(self.column, self.decimal), type_text)


@dataclass(frozen=True, slots=True)
class JsonTexts:
    """A column of JSON texts, where strings have quotes; nested values are not its business."""

    column: str

    def rules(self) -> list[Rule]:
        """The types that may be found, the first that fits all values is taken."""
        text = f"({self.column} ->> '$')"
        is_string = f"starts_with({self.column}, '\"')"
        special = "'\"NaN\"', '\"Infinity\"', '\"-Infinity\"'"
        raw = f"CASE WHEN {self.column} IN ({special}) THEN {text} ELSE {self.column} END"
        *integers, double = _numbers(f"({raw})")
        return [
            Rule("BOOLEAN", f"{self.column} IN ('true', 'false')", f"TRY_CAST({self.column} AS BOOLEAN)"),
            *integers,
            *(Rule(rule.type, f"{is_string} AND {rule.fits}", rule.value) for rule in _times(text)),
            Rule(TEXT, is_string, text),
            double,  # after strings: "NaN" is a number among numbers alone
        ]

    def given(self, type_text: str) -> Rule:
        """The rule for a type that the person has named; numbers may be written as strings."""
        text = f"({self.column} ->> '$')"
        return _given(text, text, type_text)


def _number(column: str, decimal: str) -> str:
    if decimal == ".":
        return column
    return f"(CASE WHEN contains({column}, '.') THEN 'x' ELSE replace({column}, {literal(decimal)}, '.') END)"


def _numbers(text: str) -> list[Rule]:
    integers = [
        Rule(type_text, f"CAST({value} AS VARCHAR) = {text}", value)
        for type_text in ("BIGINT", "DECIMAL(38,0)")
        for value in [f"TRY_CAST({text} AS {type_text})"]
    ]
    double = _floating(text, "DOUBLE")
    is_number = f"NOT regexp_matches({text}, {literal(_NO_NUMBER)})"
    return [*integers, replace(double, fits=f"{double.fits} AND {is_number}")]


def _floating(text: str, type_text: str) -> Rule:
    """What a DOUBLE or FLOAT can say: no number that would become infinity, and no whole one that it would round."""
    value = f"TRY_CAST({text} AS {type_text})"
    named = f"regexp_full_match({text}, '(?i)[+-]?(nan|inf|infinity)')"
    is_long_whole = f"length({text}) > {_EXACT_LETTERS[type_text]} AND regexp_full_match({text}, {literal(_WHOLE)})"
    is_exact = f"coalesce(TRY_CAST({text} AS HUGEINT) = TRY_CAST({value} AS HUGEINT), false)"
    return Rule(
        type_text,
        f"({value} IS NOT NULL AND (isfinite({value}) OR {named}) "
        f"AND CASE WHEN {is_long_whole} THEN {is_exact} ELSE true END)",
        value,
    )


def _is_kept(text: str, rule: Rule) -> str:
    """Whether a number becomes neither 0 nor, beyond the fractions that a FLOAT has, another one."""
    kept = f"({rule.value} <> 0 OR NOT regexp_matches({text}, '^[^eE]*[1-9]'))"
    if rule.type == "FLOAT":
        shown = f"{double_of(rule.value, rule.type)} = TRY_CAST({text} AS DOUBLE)"
        kept += f" AND (abs({rule.value}) < {_NO_FRACTIONS} OR {shown})"
    return kept


def _times(text: str) -> list[Rule]:
    day = f"TRY_CAST({text} AS DATE)"
    rules = [Rule("DATE", _if(f"length({text}) = 10", f"CAST({day} AS VARCHAR) = {text}"), day)]
    for type_text, pattern in (
        ("TIMESTAMP", f"{_DAY}[T ]{_CLOCK}"),
        ("TIMESTAMP WITH TIME ZONE", f"{_DAY}[T ]{_CLOCK}{_ZONE}"),
        ("TIME", _CLOCK),
    ):
        value = f"TRY_CAST({text} AS {type_text})"
        fits = _if(f"regexp_full_match({text}, {literal(pattern)})", f"{value} IS NOT NULL")
        rules.append(Rule(type_text, fits, value))
    return rules


def _if(cheap: str, dear: str) -> str:
    """Both, the dear one only where the cheap one is true: a cast that fails takes microseconds."""
    return f"CASE WHEN {cheap} THEN {dear} ELSE false END"


def _given(text: str, number: str, type_text: str) -> Rule:
    if type_text == TEXT:
        return Rule(TEXT, ALWAYS, text)
    if type_text.startswith("DECIMAL"):
        scale = int(type_text.rstrip(")").partition(",")[2])
        text, pattern = number, rf"[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?|\.[0-9]{{1,{max(scale, 1)}}}0*)"
    elif "INT" in type_text:
        text, pattern = number, r"[+-]?[0-9]+"
    elif type_text in {"DOUBLE", "FLOAT"}:
        rule = _floating(number, type_text)
        return replace(rule, fits=f"{rule.fits} AND NOT contains({number}, '_') AND {_is_kept(number, rule)}")
    elif type_text.startswith("TIMESTAMP"):
        zone = f"{_ZONE}?" if type_text.endswith("ZONE") else ""
        pattern = f"{_DAY}([T ]{_CLOCK}{zone})?"
    elif type_text == "TIME":
        pattern = _CLOCK
    elif type_text == "DATE":
        pattern = _DAY_ALONE
    else:
        pattern = r"[\s\S]*"
    value = f"TRY_CAST({text} AS {type_text})"
    return Rule(type_text, f"{value} IS NOT NULL AND regexp_full_match({text}, {literal(pattern)})", value)


def with_room(type_text: str, text: str, decimal: str) -> str:
    """Which DECIMAL has room for all digits of a number that the given one would change; empty where none does."""
    given = re.fullmatch(r"DECIMAL\(([0-9]+),([0-9]+)\)", type_text)
    number = re.fullmatch(rf"[+-]?([0-9]*)(?:{re.escape(decimal)}([0-9]*))?", text.strip('"'))
    if not given or not number:
        return ""
    scale = max(int(given[2]), len((number[2] or "").rstrip("0")))
    width = max(int(given[1]), len(number[1].lstrip("0")) + scale)
    has_room = width <= MOST_DECIMAL_DIGITS and f"DECIMAL({width},{scale})" != type_text
    return f"DECIMAL({width},{scale}) has room for all digits" if has_room else ""


def converted(rule: Rule, column: str, position: int) -> str:
    """The value of a column by its rule; one that does not fit ends the statement, and the error names the column."""
    if rule.fits == ALWAYS:
        return rule.value
    fits = f"{column} IS NULL OR coalesce({rule.fits}, false)"
    return f"CASE WHEN {fits} THEN {rule.value} ELSE error({literal(f'{MISFIT}{position}')}) END"
