"""Turns: so many at once, so many waiting, the rest refused."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.leaving import client_that_leaves
from support.waiting import wait_until

from gristmill.datasets.turns import Turns
from gristmill.errors import BusyError, ClientGoneError


def test_no_more_than_so_many_run_at_once_and_all_get_their_turn() -> None:
    turns = Turns(at_once=2, waiting=20)
    most, lock, now = 0, threading.Lock(), 0
    both = threading.Barrier(2, timeout=30)

    def statement() -> None:
        nonlocal most, now
        with turns.take(30):
            with lock:
                now += 1
                most = max(most, now)
            both.wait()
            with lock:
                now -= 1

    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(statement) for _ in range(20)]:
            done.result()
    assert most == 2


def test_who_waits_too_long_is_told_to_come_again() -> None:
    turns = Turns(at_once=1, waiting=5)
    with turns.take(1), pytest.raises(BusyError, match="under way") as caught, turns.take(0.01):
        pass
    assert caught.value.retry_after_seconds == 1
    with turns.take(0.01):  # and nothing is left of it
        pass


def test_too_many_that_wait_are_refused_at_once() -> None:
    turns = Turns(at_once=1, waiting=1)
    has_waited = threading.Event()

    def wait() -> None:
        with turns.take(60):
            has_waited.set()

    with turns.take(1):
        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: turns._taken == 2)
        with pytest.raises(BusyError), turns.take(60):  # a minute would be longer than the test may take
            pass
        assert not has_waited.is_set()
    waiter.join(30)
    assert has_waited.is_set()


def test_who_has_gone_while_it_waited_leaves_its_place_to_others() -> None:
    turns = Turns(at_once=1, waiting=1)
    with turns.take(1):
        with client_that_leaves(0.1), pytest.raises(ClientGoneError), turns.take(60):
            pass
        assert turns._taken == 1


def test_an_error_within_gives_the_turn_back() -> None:
    turns = Turns(at_once=1, waiting=0)
    for _ in range(3):
        with pytest.raises(KeyError), turns.take(1), turns.run():
            raise KeyError
    assert turns.running == 0
    with turns.take(0), turns.run():
        assert turns.running == 1
