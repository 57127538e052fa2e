"""The cap on requests that wait."""

import threading

import pytest

from gristmill.api.places import Places
from gristmill.errors import BusyError


def test_a_request_above_the_cap_is_refused_with_a_time_to_come_back():
    places = Places(2)
    places.take()
    places.take()
    with pytest.raises(BusyError) as refused:
        places.take()
    assert refused.value.retry_after_seconds


def test_a_place_is_given_back_when_its_request_fails():
    places = Places(1)
    with pytest.raises(ZeroDivisionError), places.take():
        raise ZeroDivisionError
    assert places.taken == 0


def test_a_place_released_twice_is_given_back_once():
    places = Places(2)
    place = places.take()
    places.take()
    place.release()
    place.release()
    assert places.taken == 1


def test_threads_never_hold_more_places_than_there_are():
    places = Places(8)
    most = 0

    def take_and_release() -> None:
        nonlocal most
        for _ in range(500):
            try:
                with places.take():
                    most = max(most, places.taken)
            except BusyError:
                pass

    threads = [threading.Thread(target=take_and_release) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < most <= 8
    assert places.taken == 0
