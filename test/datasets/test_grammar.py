"""The grammar of filters, against the parser's own: what is let through, it takes, and in good time."""

import time

import cql2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.datasets import cql
from gristmill.datasets.cql import parse
from gristmill.datasets.grammar import MOST_LISTS, TooManyListsError, UnexpectedTokenError, check
from gristmill.errors import InvalidFilterError

PIECES = [
    "i", "'x'", "1", "+1", "-1", "+ 1", "not -1", '"a b"', "null", "true", "f(", "(", ")", ",", "not", "and", "or",
    "between", "in", "like", "is null", "is not null", "is", "div", "+", "-", "*", "^", "=", "<>", "<", "in (",
    "not in (", "= 1", "between 1 and i", "not between - i and (1)", "not like 'x'", ") and", "i = 1", "(1, 2)",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map(" ".join))
def test_what_is_let_through_is_what_the_parser_takes(text: str) -> None:
    shown, tokens, _ = cql._scan(text + ")" * max(0, text.count("(") - text.count(")")), ())
    try:
        check(tokens)
    except TooManyListsError:
        return
    except UnexpectedTokenError:
        return
    cql2.parse_text(shown).to_json()


@pytest.mark.parametrize(
    "text",
    [
        "i", "not not i = 1", "- - i = 1", "i = not j", "f() = 1", "f(i, -1, 'x') = 1", "i in (1)", "i not in (1, -j)",
        "i between -1 and j * 2 and j = 1 or i is null", "not i is not null", "i like 'x' and i not like 'y'",
        "i not between 1 and 2", "(1, 2)", "i = (1, (2, 3))", "i + j * -k ^ 2 div 3 % 4 <> 5", "i = -(1)", "i = j = k",
        "+1 = i", "i in (j in (1, 2), k in (3, 4))", "(i = 1) and (not (j = 2))",
        "not -1 < i", "i = 1 and not +5 <= j", "not -1 between i and j", "not -0.5 in (i, j)", "- not -1 < i",
    ],
)  # fmt: skip
def test_what_is_right_is_let_through(text: str) -> None:
    assert parse(text).tree


def test_a_keyword_is_no_name() -> None:
    for text in ("or = 1", "is() = 1", "i = like", "between"):
        with pytest.raises(InvalidFilterError, match="keyword"):
            parse(text, ["Or", "is", "like", "between"])


@pytest.mark.parametrize(
    ("start", "inner", "end"),
    [
        *(("(", inner, ")") for inner in ("i b", "i =", "()", "", "i in (1,)", "i like", "i between 1", "i = 1 and")),
        ("(", "i is 3", ")"), ("(", "i is null is null", ")"),
        *((start, "", "") for start in ("(", "(i = 1 or ", "(i and ", "(i + ", "not (", "f(", "f(1, ", "i in (")),
        ("- (", "", ""),
    ],
)  # fmt: skip
def test_wrong_text_is_refused_at_once_however_deep(start: str, inner: str, end: str) -> None:
    for levels in (20, 60, 98):  # 20 take the parser seconds, and those behind days
        started = time.process_time()
        with pytest.raises(InvalidFilterError):
            parse(start * levels + inner + end * levels)
        assert time.process_time() - started < 1


@pytest.mark.parametrize("place", ["i in ({}, 1)", "i in (1, {})", "i in (f(({})), 1)"])
def test_lists_within_lists_are_bounded(place: str) -> None:
    def nested(levels: int) -> str:
        text = "1"
        for _ in range(levels):
            text = place.format(text)
        return text

    started = time.process_time()

    assert parse(nested(MOST_LISTS)).tree
    for levels in (MOST_LISTS + 1, 20):
        with pytest.raises(InvalidFilterError, match="Lists stand in each other more than 4 deep"):
            parse(nested(levels))
    assert time.process_time() - started < 1
