"""Streams that sleep, under a server that blocks and step by step."""

import threading
import time

import pytest

from gristmill.streams import Sleep, SleepingStream, Steps


def test_a_server_without_our_bridge_gets_all_bytes_in_order() -> None:
    def steps(_stream: SleepingStream) -> Steps:
        yield b"a"
        yield Sleep(0.01)
        yield b"b"

    assert b"".join(SleepingStream(steps)) == b"ab"


def test_a_sleep_that_ends_by_itself_was_not_woken() -> None:
    found = []

    def steps(_stream: SleepingStream) -> Steps:
        found.append((yield Sleep(0.01)))

    list(SleepingStream(steps))
    assert found == [False]


def test_a_wake_from_another_thread_ends_the_sleep() -> None:
    found = []

    def steps(_stream: SleepingStream) -> Steps:
        found.append((yield Sleep(60)))

    stream = SleepingStream(steps)
    timer = threading.Timer(0.1, stream.wake)
    timer.start()
    started = time.monotonic()
    list(stream)
    timer.join()
    assert found == [True]
    assert time.monotonic() - started < 30


def test_a_wake_before_the_sleep_is_not_lost() -> None:
    found = []

    def steps(stream: SleepingStream) -> Steps:
        stream.wake()
        yield b"a"
        found.append((yield Sleep(60)))

    list(SleepingStream(steps))
    assert found == [True]


def test_one_wake_ends_one_sleep() -> None:
    found = []

    def steps(stream: SleepingStream) -> Steps:
        stream.wake()
        stream.wake()
        found.append((yield Sleep(60)))
        found.append((yield Sleep(0.01)))

    list(SleepingStream(steps))
    assert found == [True, False]


def test_a_step_ends_where_the_stream_sleeps_or_ends() -> None:
    def steps(_stream: SleepingStream) -> Steps:
        yield b"a"
        yield b"b"
        yield Sleep(15)
        yield b"c"

    stream = SleepingStream(steps)
    assert stream.advance() == (b"ab", Sleep(15))
    assert stream.advance() == (b"c", None)


def test_a_stream_with_much_to_say_is_sent_in_pieces() -> None:
    def steps(_stream: SleepingStream) -> Steps:
        for _ in range(3):
            yield bytes(64 * 1024)

    stream = SleepingStream(steps)
    assert stream.advance() == (bytes(64 * 1024), Sleep(0))
    assert len(b"".join(stream)) == 2 * 64 * 1024


def test_whoever_listens_late_hears_of_the_wake_that_came_before() -> None:
    stream = SleepingStream(lambda _stream: (yield Sleep(1)))
    stream.wake()
    heard = []
    stream.on_wake(lambda: heard.append(True))
    assert heard == [True]


@pytest.mark.parametrize("started", [True, False])
def test_closing_runs_what_the_generator_has_to_clean_up(started: bool) -> None:
    cleaned = []

    def steps(_stream: SleepingStream) -> Steps:
        try:
            yield Sleep(15)
        finally:
            cleaned.append(True)

    stream = SleepingStream(steps)
    if started:
        stream.advance()
    stream.close()
    assert cleaned == ([True] if started else [])
