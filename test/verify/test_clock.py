"""The time of a run ends, and some of it is kept for cleaning up."""

import pytest

from gristmill.verify.clock import Clock, TimeUpError


@pytest.mark.parametrize(("seconds", "for_checks"), [(10, 7), (100, 90), (1000, 980)])
def test_some_of_the_time_is_kept_for_cleaning_up(seconds: float, for_checks: float) -> None:
    now = [50.0]
    clock = Clock(seconds, lambda: now[0])
    assert clock.left() == for_checks
    now[0] += for_checks
    assert clock.left() == 0
    clock.clean_up()
    assert clock.left() == seconds - for_checks


def test_cleaning_up_has_some_time_however_late_it_begins() -> None:
    now = [0.0]
    clock = Clock(10, lambda: now[0])
    now[0] = 60
    clock.clean_up()
    assert clock.left() == 3


def test_a_pause_that_the_time_does_not_allow_says_that_it_is_up() -> None:
    with pytest.raises(TimeUpError):
        Clock(3.01).pause(60)
