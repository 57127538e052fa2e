"""Names that come near: which, and how long it takes to find them."""

import random
import time

import pytest

from gristmill.near_names import Hints, near


def test_the_most_alike_come_first() -> None:
    assert near("hieght", ["weight", "height", "colour"]) == ["height", "weight"]
    assert near("hieght", ["weight", "height", "colour"], 1) == ["height"]
    assert near("x", ["weight", "height", "colour"]) == []
    assert near("weigh", ["weight", "width"], likeness=0.95) == []


def test_a_name_in_other_case_is_found_before_all_others() -> None:
    assert near("HEIGHT", ["height_", "Height", "weight"]) == ["Height"]
    assert near("HIEGHT", ["weight", "height"], 1) == ["height"]


def test_a_slip_anywhere_in_a_long_name_is_found() -> None:
    names = [f"{'concentration ' * 10}{number:04}" for number in range(2000)]
    for slip in [names[1500][:-4] + "1500 ", "x" + names[1500][1:], names[1500][:70] + "x" + names[1500][71:]]:
        assert near(slip, names)


def test_of_many_names_those_of_about_the_same_length_are_compared() -> None:
    assert near("temprature", [*(f"t{number}" for number in range(5000)), "temperature"]) == ["temperature"]


@pytest.mark.parametrize("letters", ["a", "ab", "abc"])
def test_it_is_quick_for_any_names(letters: str) -> None:
    chance = random.Random(0)
    names = ["".join(chance.choices(letters, k=256)) for _ in range(2000)]
    started = time.process_time()
    near((letters * 128)[:255], names)
    near(letters * 1_000_000, names)
    assert time.process_time() - started < 0.5  # some 40 ms where nothing else runs; unbounded, some seconds


def test_the_first_few_names_get_a_hint() -> None:
    hints = Hints()
    assert [hints.hint("hieght", ["height"]) for _ in range(100)] == ["; did you mean 'height'?"] * 5 + [""] * 95
    assert Hints().hint("x", ["height"]) == ""
