"""Time limits with one thread for all: each is called back at its time, and never after its end."""

import math
import threading
import time
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.datasets.watchdog import Watchdog


def test_who_takes_too_long_is_called_until_the_end() -> None:
    watchdog, late = Watchdog(), threading.Event()
    times: list[float] = []
    often = threading.Semaphore(0)

    with watchdog.limit(0.05, lambda: (times.append(time.monotonic()), often.release())):
        assert all(often.acquire(timeout=10) for _ in range(3))
    calls = len(times)
    with watchdog.limit(0.2, late.set):
        assert late.wait(10)
    assert len(times) == calls


def test_who_ends_in_time_is_not_called() -> None:
    watchdog, late = Watchdog(), threading.Event()
    calls: list[str] = []

    with watchdog.limit(0.02, lambda: calls.append("early")):
        pass
    with watchdog.limit(0.1, late.set):
        assert late.wait(10)

    assert calls == []


def test_a_shorter_limit_that_comes_later_is_not_kept_waiting() -> None:
    watchdog, called = Watchdog(), threading.Event()

    with watchdog.limit(600, lambda: None), watchdog.limit(0.05, called.set):
        assert called.wait(10)


@pytest.mark.parametrize("seconds", [1e11, math.inf])
def test_a_limit_beyond_all_clocks_leaves_the_others(seconds: float) -> None:
    watchdog, called = Watchdog(), threading.Event()

    with watchdog.limit(seconds, lambda: None):
        thread = watchdog._thread
        assert thread
        thread.join(0.2)
        assert thread.is_alive()
        with watchdog.limit(0.05, called.set):
            assert called.wait(10)
        assert watchdog._thread is thread


def test_what_has_ended_is_kept_alive_no_longer() -> None:
    class Owner:
        def call(self) -> None: ...

    watchdog, owner = Watchdog(), Owner()
    gone = weakref.ref(owner)
    with watchdog.limit(600, owner.call):
        pass
    del owner

    assert gone() is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.05), st.booleans()), min_size=1, max_size=20))
def test_of_many_at_once_those_are_called_that_wait_for_it(limits: list[tuple[float, bool]]) -> None:
    watchdog = Watchdog()
    calls: list[int] = []
    lock = threading.Lock()

    def use(number: int, seconds: float, waits: bool) -> None:
        called = threading.Event()

        def call() -> None:
            with lock:
                calls.append(number)
            called.set()

        with watchdog.limit(seconds if waits else 600, call):
            assert not waits or called.wait(10)

    threads = [threading.Thread(target=use, args=(number, *limit)) for number, limit in enumerate(limits)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(set(calls)) == [number for number, (_, waits) in enumerate(limits) if waits]
