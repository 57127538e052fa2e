"""LIKE against regular expressions, and its time."""

import re
from collections.abc import Sequence
from time import monotonic

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.datasets.columns import Column
from gristmill.datasets.filters import condition
from gristmill.errors import InvalidFilterError

COLUMNS = [Column("s", "VARCHAR", 0, None, None), Column("i", "BIGINT", 0, None, None)]
FOLDS = ["{}", "casei({})", "accenti({})", "upper(accenti({}))", "accenti(casei({}))"]
LETTERS = [*"aAb%_\\\n\0ÉéßİΣ𝄞\x7f\ue000\ue001\U0010ffff", "e\u0301"]
IN_PATTERNS = [*(letter for letter in LETTERS if letter != "\\"), "%", "%", r"\%", r"\_", r"\\", r"\a"]


def table(texts: Sequence[str | None]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE data AS SELECT unnest(?::VARCHAR[]) AS s, 1 AS i", [texts])
    return connection


def like(pattern: str, fold: str = "{}") -> str:
    quoted = "'" + pattern.replace("'", "''") + "'"
    return f"{fold.format('s')} LIKE {fold.format(quoted)}"


def found(connection: duckdb.DuckDBPyConnection, filter_: str) -> list[int]:
    chosen = condition(filter_, COLUMNS)
    rows = connection.execute(f"SELECT rowid FROM data WHERE {chosen.sql} ORDER BY 1", chosen.values).fetchall()
    return [number for (number,) in rows]


def refusal(filter_: str) -> str:
    with pytest.raises(InvalidFilterError) as caught:
        condition(filter_, COLUMNS)
    return caught.value.detail


def folded(connection: duckdb.DuckDBPyConnection, fold: str, text: str) -> str:
    sql = fold.replace("casei", "lower").replace("accenti", "strip_accents").format("?")
    parts = text.split("\0")  # strip_accents ends a text at NUL
    return "\0".join(str(connection.execute(f"SELECT {sql}", [part]).fetchall()[0][0]) for part in parts)


def expression(connection: duckdb.DuckDBPyConnection, fold: str, pattern: str) -> re.Pattern[str]:
    wildcards = {"%": ".*", "_": "."}
    characters = re.findall(r"(?s)\\?.", pattern)
    plain = (wildcards.get(one) or re.escape(folded(connection, fold, one[-1])) for one in characters)
    return re.compile("".join(plain), re.DOTALL)


@settings(max_examples=100)
@given(
    patterns=st.lists(st.lists(st.sampled_from(IN_PATTERNS), max_size=7).map("".join), min_size=1, max_size=5),
    texts=st.lists(st.lists(st.sampled_from(LETTERS), max_size=7).map("".join), min_size=1, max_size=6),
    fold=st.sampled_from(FOLDS),
)
@example(patterns=["%e", "a\0é"], texts=["a\0é"], fold="accenti({})")
@example(patterns=["%e", "a\0é"], texts=["A\0É"], fold="accenti(casei({}))")
def test_like_finds_what_a_regular_expression_finds(patterns: list[str], texts: list[str], fold: str) -> None:
    with table([*texts, None]) as connection:
        shown = [folded(connection, fold, text) for text in texts]
        for pattern in patterns:
            wanted = expression(connection, fold, pattern)
            hits = [n for n, text in enumerate(shown) if wanted.fullmatch(text)]
            assert found(connection, like(pattern, fold)) == hits, (pattern, texts)
            others = [n for n in range(len(texts)) if n not in hits]
            assert found(connection, f"NOT {like(pattern, fold)}") == others, (pattern, texts)


LONG = "a" * 3900


@pytest.mark.parametrize(
    "pattern",
    [
        f"%{LONG}b%",
        f"%{LONG}{LONG}b",
        f"%{LONG}%{LONG}b%",
        rf"%{LONG}\%%{LONG}",
        rf"%{LONG}\_{LONG}%",
        "%" + "a%" * 3000 + "b",
        f"{LONG}_{LONG}",
        f"{LONG}_%b",
        "%" + "a" * 18 + "_%b",
    ],
    ids=lambda pattern: re.sub("a{2,}", "aa", pattern)[:20],
)
@pytest.mark.parametrize("fold", FOLDS[:2])
def test_the_time_of_like_does_not_grow_with_its_pattern(pattern: str, fold: str) -> None:
    with table(["a" * 1_000_000]) as connection:
        started = monotonic()
        assert found(connection, like(pattern, fold)) == []
        assert monotonic() - started < 1  # letter by letter it takes ten times that, and more


def test_patterns_with_any_character_are_short_behind_their_first_wildcard() -> None:
    with table(["a" * 40, "a" * 39, "a" * 101, "a" * 99 + "_"]) as connection:
        assert found(connection, like("%b" + "a" * 22 + "_")) == []
        assert found(connection, f"{like('a' * 100 + '_%')} AND {like('a_%a')}") == [2]
        assert found(connection, like("%" + "a" * 99 + r"\_")) == [3]
    for filter_ in (like("%" + "a" * 29 + "_"), f"{like('%_' + 'a' * 15)} OR {like('%' + 'a' * 14 + '_')}"):
        assert r"2 more for each character behind the first % of a pattern with _ (\_ is" in refusal(filter_)


@pytest.mark.parametrize("pattern", ["s", "casei(s)", "text(i)", "trim('a%')", "text(1)"])
def test_a_pattern_is_a_written_text_or_that_without_regard_to_case_or_accents(pattern: str) -> None:
    assert "Behind LIKE stands a text in single quotes" in refusal(f"s LIKE {pattern}")


def test_a_pattern_may_not_end_in_a_backslash_that_makes_nothing_plain() -> None:
    assert "ends in a backslash" in refusal(like("a\\"))
    assert "ends in a backslash" in refusal(like("a\\", "casei({})"))
    with table(["a\\", "a"]) as connection:
        assert found(connection, like("a\\\\")) == [0]


@pytest.mark.parametrize("pattern", ["0000001%", "0000001", "00000%1", r"\0000001%"])
def test_the_start_of_a_pattern_is_looked_for_only_where_it_may_be(pattern: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE data AS SELECT format('{:07}', i) AS s FROM range(400000) AS r(i)")
        chosen = condition(like(pattern), COLUMNS)
        plan = connection.execute(f"EXPLAIN ANALYZE SELECT 1 FROM data WHERE {chosen.sql}", chosen.values).fetchall()
    assert "Row Groups Scanned: 1 / 4" in plan[0][1]
