"""The cap on requests that wait."""

import threading

import pytest

from gristmill.api.places import Places
from gristmill.errors import BusyError, RateLimitedError


def test_a_request_above_the_cap_is_refused_with_a_time_to_come_back():
    places = Places(2, 2)
    places.take("a")
    places.take("a")
    with pytest.raises(BusyError) as refused:
        places.take("a")
    assert refused.value.retry_after_seconds


def test_one_owner_never_takes_all_places():
    places = Places(3, 2)
    held = [places.take("a"), places.take("a")]
    with pytest.raises(RateLimitedError, match="GRISTMILL_WAITING_REQUESTS_PER_OWNER") as refused:
        places.take("a")
    assert refused.value.retry_after_seconds
    places.take("b")
    held[0].release()
    places.take("a")
    assert places.taken == 3


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"waiting_requests": 10}, 5),
        ({"waiting_requests": 1}, 1),
        ({"waiting_requests": 10, "waiting_requests_per_owner": 9}, 9),
    ],
)
def test_one_owner_gets_half_of_the_places_unless_told_otherwise(make_api, changes, most):
    assert make_api(**changes).services.places.limit_per_owner == most


def test_a_place_is_given_back_when_its_request_fails():
    places = Places(1, 1)
    with pytest.raises(ZeroDivisionError), places.take("a"):
        raise ZeroDivisionError
    assert places.taken == 0


def test_a_place_released_twice_is_given_back_once():
    places = Places(2, 2)
    place = places.take("a")
    places.take("a")
    place.release()
    place.release()
    assert places.taken == 1


def test_threads_never_hold_more_places_than_there_are():
    places = Places(8, 8)
    most = 0

    def take_and_release() -> None:
        nonlocal most
        for _ in range(500):
            try:
                with places.take("a"):
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
