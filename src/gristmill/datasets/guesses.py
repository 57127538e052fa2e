"""Guesses the types of a text file's columns: values rule out, one batch after the other, what they do not fit."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, islice

import duckdb

from gristmill.datasets.inference import ALWAYS, TEXT, JsonTexts, Rule, Texts

_COLUMNS_A_STATEMENT = 256  # whose values are in memory at a time, of some thousand rows


class Guess:
    """The types that a column can still have: those that fitted all values so far."""

    def __init__(self, column: Texts | JsonTexts) -> None:
        self.column = column
        self.has_values = False
        self.rules = column.rules()

    def narrow(self, answers: Sequence[object]) -> None:
        """Take in how many values there are, and for each rule whether it fits them all."""
        if answers[0]:
            self.has_values = True
            self.rules = [rule for rule, fits in zip(self.rules, answers[1:], strict=True) if fits]

    @property
    def is_open(self) -> bool:
        """Whether values can still rule out a type."""
        return not self.has_values or any(rule.fits != ALWAYS for rule in self.rules)

    @property
    def best(self) -> Rule | None:
        """The narrowest type; text where there was no value; None where nothing fits (mixed or nested JSON)."""
        if not self.has_values:
            return Rule(TEXT, "false", "CAST(NULL AS VARCHAR)")
        return self.rules[0] if self.rules else None


def narrow(guesses: Iterable[Guess], relation: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Rule out the types that values of the relation do not fit. Raises duckdb.Error.

    Columns with the same rules are asked together, their values below each other: to plan the tests of each column by
    itself takes DuckDB half a second for 64 columns.
    """
    ones = sorted((guess for guess in guesses if guess.is_open), key=_types_of)
    for first in range(0, len(ones), _COLUMNS_A_STATEMENT):
        alike = [list(group) for _, group in groupby(ones[first : first + _COLUMNS_A_STATEMENT], key=_types_of)]
        _narrow(alike, relation, connection)


def _types_of(guess: Guess) -> list[str]:
    return [rule.type for rule in guess.rules]


def _narrow(alike: Sequence[Sequence[Guess]], relation: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Narrow the columns of each group; those of a group have the same rules."""
    # In the row of a place, the value of this place in each group; NULL in a group that is shorter.
    below = [f"unnest(range({max(map(len, alike))})) AS place"]
    tests: list[list[str]] = []
    for number, group in enumerate(alike):
        value, types = f"v{number}", _types_of(group[0])
        below.append(f"unnest([{', '.join(guess.column.column for guess in group)}]) AS {value}")
        rules = [rule for rule in replace(group[0].column, column=value).rules() if rule.type in types]
        fits = (f"bool_and({value} IS NULL OR coalesce({rule.fits}, false))" for rule in rules)
        tests.append([f"count({value})", *fits])
    found = connection.execute(
        f"SELECT place, {', '.join(test for ones in tests for test in ones)} "
        f"FROM (SELECT {', '.join(below)} FROM {relation}) GROUP BY place"
    ).fetchall()
    for place, *answers in found:
        told = iter(answers)
        for group, ones in zip(alike, tests, strict=True):
            of_group = list(islice(told, len(ones)))
            if place < len(group):
                group[place].narrow(of_group)
