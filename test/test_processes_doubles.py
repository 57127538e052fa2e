"""What a double says, and what it would round."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.processes.column import Column
from gristmill.processes.doubles import as_doubles, number_text, widened

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)


@given(st.sets(st.integers(-(2**70), 2**70), min_size=2) | st.sets(DECIMALS, min_size=2))
def test_different_numbers_never_become_equal_doubles(numbers: set[int] | set[Decimal]) -> None:
    try:
        doubles = as_doubles(list(numbers))
    except (ValueError, OverflowError):
        return
    assert len(set(doubles)) == len(numbers)


@pytest.mark.parametrize(
    "number", [2**53 + 1, 1700000000123456789, 2**64 - 1, Decimal("0.12345678901234567890"), Decimal(2**60)]
)
def test_what_a_double_would_round_is_refused(number: int | Decimal) -> None:
    with pytest.raises(ValueError, match=f"{number} would be rounded to"):
        as_doubles([0.5, number])


def test_what_a_double_says_is_one() -> None:
    numbers = [2**53, 10**20, Decimal("0.1"), Decimal("0.10"), 1e300, math.inf, Decimal("-Infinity")]

    assert as_doubles(numbers) == [float(one) for one in numbers]
    assert math.isnan(as_doubles([Decimal("NaN")])[0])
    assert as_doubles([2**60, 0.5]) == [2.0**60, 0.5]


@pytest.mark.parametrize("number", [333333333333333300, 10**23, -3333333333333333500000])
def test_a_whole_number_as_javascript_writes_a_double_is_one(number: int) -> None:
    assert number != float(number)
    assert as_doubles([number, 0.5]) == [float(number), 0.5]
    assert Column.of("x", [number, 0.5], "number").kind == "number"


@pytest.mark.parametrize("rows", [6, 6_000])
def test_floats_are_the_doubles_that_rows_show(rows: int) -> None:
    floats = np.array([0.1, 105005856.0, 484674.125, -math.inf, math.nan, 2.0**-96], "f4").repeat(rows // 6)
    shown = np.array([0.1, 105005856.0, 484674.125, -math.inf, math.nan, 1.2621775e-29]).repeat(rows // 6)

    assert np.array_equal(widened(floats), shown, equal_nan=True)
    assert widened(np.array([0.1], "f2")) == [0.099975586]  # rows have it in 32 bits


@pytest.mark.parametrize(
    ("number", "text"),
    [(Decimal("1E+3"), "1000"), (Decimal("1E+400"), "1E+400"), (-(10**20), "-1" + 20 * "0"), (0.5, "0.5")],
)
def test_a_number_is_written_in_all_its_digits(number: float | Decimal, text: str) -> None:
    assert number_text(number) == text
