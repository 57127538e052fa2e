from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.datasets.options import ReadingLimits, ReadingOptions, version_id
from gristmill.errors import InvalidRequestError
from gristmill.settings import Settings

SHA = "0" * 64


@given(st.dictionaries(st.text(max_size=5), st.sampled_from(["BIGINT", "DATE"]), max_size=4), st.randoms())
def test_the_order_in_which_types_are_given_makes_no_other_version(types: dict[str, str], random: object) -> None:
    shuffled = list(types.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert version_id(SHA, ReadingOptions("csv", types=types)) == version_id(
        SHA, ReadingOptions("csv", types=dict(shuffled))
    )


def test_each_option_that_changes_the_table_makes_another_version() -> None:
    ways = [
        ReadingOptions("csv"),
        ReadingOptions("tsv"),
        ReadingOptions("csv", delimiter=";"),
        ReadingOptions("csv", quote="'"),
        ReadingOptions("csv", header=False),
        ReadingOptions("csv", nulls=("", "NA")),
        ReadingOptions("csv", decimal=","),
        ReadingOptions("csv", encoding="windows-1252"),
        ReadingOptions("csv", types={"a": "DATE"}),
        ReadingOptions("parquet"),
        ReadingOptions("ndjson"),
    ]
    ids = {version_id(SHA, one) for one in ways}
    assert len(ids) == len(ways)
    assert all(len(one) == 64 for one in ids)


@pytest.mark.parametrize(
    ("form", "more"),
    [
        ("tsv", {"delimiter": ","}),
        ("json", {"nulls": ("NA",)}),
        ("ndjson", {"decimal": ","}),
        ("json", {"header": False}),
        ("parquet", {"encoding": "latin-1"}),
        ("parquet", {"quote": "'"}),
        ("parquet", {"types": {"a": "DATE"}}),
    ],
)
def test_an_option_that_the_format_does_not_have_is_refused_and_not_ignored(form: Any, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=f"option {next(iter(more))} is wrong: .*the format is {form}"):
        ReadingOptions(form, **more)


@pytest.mark.parametrize("label", ["cp1252", "Windows-1252", "latin-1", "ISO-8859-1"])
def test_the_labels_of_an_encoding_make_one_version(label: str) -> None:
    told, meant = ReadingOptions("csv", encoding=label), ReadingOptions("csv", encoding="windows-1252")
    assert (told.encoding, version_id(SHA, told)) == ("windows-1252", version_id(SHA, meant))


def test_the_delimiter_of_tsv_may_be_said() -> None:
    assert version_id(SHA, ReadingOptions("tsv", delimiter="\t")) == version_id(SHA, ReadingOptions("tsv"))


@pytest.mark.parametrize(
    ("given_text", "means"),
    [("int", "INTEGER"), ("decimal( 18, 3 )", "DECIMAL(18,3)"), ("timestamptz", "TIMESTAMP WITH TIME ZONE")],
)
def test_a_type_may_be_written_in_the_usual_ways(given_text: str, means: str) -> None:
    assert ReadingOptions("csv", types={"a": given_text}).types == {"a": means}


@pytest.mark.parametrize(
    "wrong",
    [
        {"types": {"a": "VARCHAR); DROP"}},
        {"types": {"a": "DECIMAL(3,4)"}},
        {"types": {"a": "DECIMAL(39,0)"}},
        {"types": {"a": "HUGEINT"}},
        {"delimiter": ";;"},
        {"delimiter": "é"},
        {"delimiter": "\n"},
        {"quote": ",", "delimiter": ","},
        {"decimal": ";"},
        {"decimal": ",", "delimiter": ","},
        {"encoding": "utf-7"},
        {"nulls": ("a\nb",)},
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ReadingOptions("csv", **wrong)  # type: ignore[arg-type]
    assert caught.value.faults[0].pointer.partition("/")[0] in wrong


def test_the_limits_are_those_of_the_settings() -> None:
    limits = ReadingLimits.of(Settings(dataset_rows=5, dataset_reading_memory_mb=300))
    assert (limits.rows, limits.memory_bytes) == (5, 300 * 2**20)


def test_a_type_that_cannot_be_given_is_told_with_its_column() -> None:
    with pytest.raises(InvalidRequestError, match="Column 'a': 'INTEGR' cannot be given as a type"):
        ReadingOptions("csv", types={"a": "INTEGR"})
