"""What surrounds a run: tried in forked processes, as a workplace takes over standard output and the folder."""

import ctypes
import itertools
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill import limits
from gristmill.limits import MIB, OwnMemory, give_freed_memory_back
from gristmill.template import adopt_orphans
from gristmill.workplace import LOG_BYTES, Bounds, Workplace, log_tail, shorten


@pytest.fixture
def in_workplace(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that calls another one with a workplace, in a fork, and returns what that returns."""

    numbers = itertools.count(1)

    def run(function: Callable[[Workplace], Any], **options: Any) -> Any:
        answer = tmp_path / "answer"
        folder = tmp_path / str(next(numbers))
        pid = os.fork()
        if pid == 0:
            try:
                adopt_orphans()
                give_freed_memory_back()  # what tests have left; a workplace gives it back too, and has not grown then
                answer.write_bytes(pickle.dumps(function(Workplace(folder, tmp_path / "log", **options))))
            except BaseException as error:
                answer.write_bytes(pickle.dumps(error))
            os._exit(0)
        os.waitpid(pid, 0)
        result = pickle.loads(answer.read_bytes())
        if isinstance(result, BaseException):
            raise result
        return result

    return run


def test_a_run_that_touches_nothing_leaves_the_workplace_as_new(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[list[bytes], bool]:
        logs = []
        for _ in range(200):
            place.begin(Bounds(64 * MIB, MIB))
            logs.append(place.end())
        return logs, place.is_worn

    assert in_workplace(run) == ([b""] * 200, False)


def test_the_surroundings_of_a_run_cost_some_microseconds(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> float:
        best = float("inf")
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(100):
                place.begin(Bounds(64 * MIB, MIB))
                place.end()
            best = min(best, (time.perf_counter() - began) / 100)
        return best

    assert in_workplace(run) < 150e-6


def test_what_was_printed_comes_back_and_only_its_end(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[bytes, bytes]:
        place.begin(Bounds())
        print("first")
        os.write(2, b"second\n")
        first = place.end()
        place.begin(Bounds())
        print("x" * (2 * LOG_BYTES) + "end")
        return first, place.end()

    first, second = in_workplace(run)
    assert first == b"first\nsecond\n"
    assert len(second) == LOG_BYTES
    assert second.endswith(b"end\n")


@pytest.mark.skipif(not limits.IS_LINUX, reason="the limit is Linux's")
def test_memory_counts_from_what_the_idle_child_has(in_workplace: Callable[..., Any]) -> None:
    def take(much: int) -> mmap.mmap:
        # Straight from the system: what comes from the heap may fill a hole that the tests before have left there.
        return mmap.mmap(-1, much, flags=mmap.MAP_PRIVATE)

    def run(place: Workplace) -> list[str]:
        held = []
        outcomes = []
        for _ in range(3):
            place.begin(Bounds(640 * MIB, 0))
            try:
                held.append(take(400 * MIB))
                outcomes.append("kept")
                take(400 * MIB)
            except OSError:
                outcomes.append("refused")
            time.sleep(0.06)
            place.end()
            place.measure()
        place.lift_limits()
        held.append(take(500 * MIB))
        return outcomes

    assert in_workplace(run) == ["kept", "refused"] * 3


def test_what_goes_before_it_is_measured_wears_no_child(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[bool, bool]:
        place.begin(Bounds())
        held = mmap.mmap(-1, 20 * MIB, flags=mmap.MAP_PRIVATE)
        held.write(b"x" * (20 * MIB))
        time.sleep(0.06)
        place.end()
        has_grown = place.has_grown
        held.close()
        place.measure()
        return has_grown, place.is_worn

    assert in_workplace(run, growth_bytes=10 * MIB) == (True, False)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_memory_that_a_run_has_freed_goes_back_when_the_child_rests(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[int, int]:
        memory = OwnMemory()
        place.begin(Bounds())
        before = memory.resident_bytes()
        # More at once than the C library keeps by itself after the first was freed.
        for _ in range(2):
            held = [os.urandom(1) * (3 * MIB) for _ in range(10)]
            del held
        place.end()
        kept = memory.resident_bytes() - before
        place.rest()
        return kept, memory.resident_bytes() - before

    kept, rested = in_workplace(run)
    assert kept > 25 * MIB
    assert rested < 5 * MIB


def test_a_child_that_has_grown_or_left_a_thread_is_worn(in_workplace: Callable[..., Any]) -> None:
    def grow(place: Workplace) -> bool:
        place.begin(Bounds())
        # Straight from the system: what comes from the heap may fill a hole that the tests before have left there.
        sys.held = mmap.mmap(-1, 20 * MIB, flags=mmap.MAP_PRIVATE)  # type: ignore[attr-defined]
        sys.held.write(b"x" * (20 * MIB))  # type: ignore[attr-defined]
        time.sleep(0.06)
        place.end()
        has_grown = place.has_grown
        place.measure()
        assert place.is_worn is has_grown
        return has_grown

    def leave_thread(place: Workplace) -> bool:
        place.begin(Bounds())
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        place.end()
        return place.is_worn

    assert in_workplace(grow, growth_bytes=10 * MIB)
    assert not in_workplace(grow, growth_bytes=40 * MIB)
    assert in_workplace(leave_thread)


@pytest.mark.skipif(not limits.IS_LINUX, reason="needs /proc")
def test_processes_left_behind_are_ended_and_the_child_is_worn(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[bool, list[int]]:
        place.begin(Bounds())
        for new_session in (False, True):
            if os.fork() == 0:
                if new_session:
                    os.setsid()
                if os.fork() == 0:
                    time.sleep(600)
                time.sleep(600 if new_session else 0)
                os._exit(0)
        time.sleep(0.1)
        place.end()
        return place.is_worn, limits.descendants_of(os.getpid())

    assert in_workplace(run) == (True, [])


def test_signal_handlers_and_alarms_do_not_reach_the_next_run(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[bool, int]:
        before = signal.getsignal(signal.SIGTERM)
        place.begin(Bounds())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.alarm(600)
        place.end()
        return signal.getsignal(signal.SIGTERM) == before, signal.alarm(0)

    assert in_workplace(run) == (True, 0)


def test_files_put_into_the_folder_right_after_a_cleaning_go_too(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> list[list[str]]:
        left = []
        for number in range(50):
            place.begin(Bounds())
            Path(f"file{number}").touch()
            place.end()
            left.append([path.name for path in place.folder.iterdir()])
        return left

    assert in_workplace(run) == [[]] * 50


def test_what_a_run_makes_with_tempfile_lies_in_its_folder_and_goes_with_it(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> tuple[bool, list[str]]:
        place.begin(Bounds())
        handle, path = tempfile.mkstemp()
        os.close(handle)
        by_others = subprocess.run(["mktemp"], capture_output=True, text=True, check=True).stdout.strip()
        is_inside = {Path(path).parent, Path(by_others).parent} == {place.folder}
        place.end()
        return is_inside, [left.name for left in place.folder.iterdir()]

    tempfile.gettempdir()  # is remembered, and inherited
    assert in_workplace(run) == (True, [])


def test_a_child_whose_folder_was_deleted_is_worn(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> bool:
        place.begin(Bounds())
        place.folder.rmdir()
        place.end()
        return place.is_worn

    assert in_workplace(run)


def test_a_log_may_be_longer_than_the_run_may_write(in_workplace: Callable[..., Any]) -> None:
    def run(place: Workplace) -> int:
        place.begin(Bounds(0, 1))
        print("x" * 4 * MIB)
        return len(place.end())

    assert in_workplace(run) == LOG_BYTES


def test_a_log_is_shortened_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as log:
        log.write(b"a" * (2 * LOG_BYTES))
        shorten(path, LOG_BYTES)
        log.write(b"b")
        shorten(path, 4 * LOG_BYTES)
    assert path.read_bytes() == b"a" * LOG_BYTES + b"b"
    assert log_tail(path) == b"a" * (LOG_BYTES - 1) + b"b"
    assert path.read_bytes() == b""
    assert log_tail(tmp_path / "absent") == b""
