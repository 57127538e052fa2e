"""Names of data sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.datasets.dataset import check_name
from gristmill.errors import InvalidRequestError


@pytest.mark.parametrize("name", ["a", "0", "flights", "nyc-flights_2013.v2", "a" * 64, "a-", "a_"])
def test_names_that_may_be(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".a",
        "a.",
        "a..b",
        "a.-b",
        "-a",
        "_a",
        "A",
        "é",
        "a/b",
        "a\\b",
        "a b",
        "a\n",
        "a\0",
        "a" * 65,
        "٣",
    ],
)
def test_names_that_may_not_be(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be the name") as error:
        check_name(name)
    assert error.value.faults[0].pointer == "name"


@given(st.text(st.sampled_from("a0.-_/A "), max_size=6))
def test_a_name_stays_in_its_folder_and_is_no_option(name: str) -> None:
    try:
        check_name(name)
    except InvalidRequestError:
        return
    assert name[0] in "a0"
    assert not set("/A ") & set(name)
    assert ".." not in name
    assert not name.endswith(".")
