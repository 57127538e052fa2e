"""How many jobs run at once, and that none is forgotten."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from gristmill import threads
from gristmill.threads import Threads


def run(check: Callable[[Threads], Awaitable[None]], most: int = 100, busy: int = 3) -> None:
    async def main() -> None:
        await asyncio.wait_for(check(Threads(most, asyncio.get_running_loop().call_later, busy)), 30)

    asyncio.run(main())


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def test_quick_jobs_share_few_threads() -> None:
    seen: set[int] = set()
    done: list[int] = []

    async def check(pool: Threads) -> None:
        for number in range(300):
            pool.submit(lambda number=number: (seen.add(threading.get_ident()), done.append(number)))
        await until(lambda: len(done) == 300)

    run(check)
    assert len(seen) < 50


def test_jobs_start_in_their_order() -> None:
    done: list[int] = []

    async def check(pool: Threads) -> None:
        for number in range(50):
            pool.submit(lambda number=number: done.append(number))
        await until(lambda: len(done) == 50)

    run(check, busy=1, most=1)
    assert done == list(range(50))


def test_jobs_that_block_do_not_hold_up_the_next() -> None:
    release = threading.Event()
    done: list[int] = []

    async def check(pool: Threads) -> None:
        for _ in range(20):
            pool.submit(lambda: release.wait(20))
        pool.submit(lambda: done.append(1))
        await until(lambda: done == [1])
        release.set()

    run(check)


def test_no_more_jobs_run_than_there_may_be_threads() -> None:
    release = threading.Event()
    started: list[int] = []

    async def check(pool: Threads) -> None:
        for number in range(10):
            pool.submit(lambda number=number: (started.append(number), release.wait(20)))
        await asyncio.sleep(0.3)
        assert len(started) == 4
        assert pool.waiting == 6
        release.set()
        await until(lambda: len(started) == 10)
        assert pool.waiting == 0

    run(check, most=4)


def test_the_thread_that_was_idle_last_is_used_first() -> None:
    seen: list[int] = []

    async def check(pool: Threads) -> None:
        release = threading.Event()
        for _ in range(3):
            pool.submit(lambda: release.wait(20))
        await asyncio.sleep(0.05)
        release.set()
        await asyncio.sleep(0.2)
        for count in range(1, 20):
            pool.submit(lambda: seen.append(threading.get_ident()))
            await until(lambda count=count: len(seen) == count)
            await asyncio.sleep(0.002)

    run(check)
    assert len(set(seen)) <= 2


def test_threads_end_when_they_have_been_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.2)
    done: list[int] = []

    def alive() -> int:
        return sum(thread.name == "view" for thread in threading.enumerate())

    async def check(pool: Threads) -> None:
        before = alive()
        release = threading.Event()
        for _ in range(5):
            pool.submit(lambda: release.wait(20))
        await until(lambda: alive() == before + 5)
        release.set()
        await until(lambda: alive() <= before)
        pool.submit(lambda: done.append(1))
        await until(lambda: done == [1])

    run(check)
