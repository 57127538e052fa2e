"""Slots: a reader never takes half of one state and half of another."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from support.waiting import wait_until

from gristmill.slots import MESSAGE_BYTES, Phase, Report, Slots


def test_a_child_reads_as_it_wrote_and_others_are_not_touched() -> None:
    slots = Slots.create(3)
    slot = slots.slot(1)
    slot.enter(7)
    slot.running("j" * 26, "1.worker.7", seconds=30, memory_bytes=5, disk_bytes=6)
    slot.progress(40, "hälfte")
    report = slots.read(1)
    assert (report.child, report.phase, report.job_id, report.token) == (7, Phase.RUNNING, "j" * 26, "1.worker.7")
    assert (report.seconds, report.memory_bytes, report.disk_bytes, report.jobs) == (30, 5, 6, 1)
    assert (report.percent, report.message) == (40, "hälfte")
    assert 29 < report.deadline - time.monotonic() <= 30
    assert slots.read(0).child == slots.read(2).child == 0
    slots.close()


def test_a_finishing_child_still_names_its_job_and_the_next_job_has_no_progress_yet() -> None:
    slots = Slots.create(1)
    slot = slots.slot(0)
    slot.enter(1)
    slot.running("a", "1.w.1", seconds=1, memory_bytes=0, disk_bytes=0)
    slot.progress(99, "nearly")
    slot.finishing()
    assert (slots.read(0).phase, slots.read(0).job_id) == (Phase.FINISHING, "a")
    slot.running("b", "1.w.1", seconds=1, memory_bytes=0, disk_bytes=0)
    second = slots.read(0)
    assert (second.phase, second.job_id, second.percent, second.message) == (Phase.RUNNING, "b", 0, "")
    slots.close()


def test_two_jobs_of_a_child_with_equal_tokens_are_not_the_same_work() -> None:
    slots = Slots.create(1)
    slot = slots.slot(0)
    slot.enter(1)
    reports = []
    for job in ("a", "b"):
        slot.running(job, "1.w.1", seconds=1, memory_bytes=0, disk_bytes=0)
        reports.append(slots.read(0))
    assert not reports[0].is_same_work(reports[1])
    assert reports[1].is_same_work(slots.read(0))
    slots.close()


def test_a_long_message_is_cut_between_letters() -> None:
    slots = Slots.create(1)
    slots.slot(0).progress(1, "x" + "ä" * MESSAGE_BYTES)
    message = slots.read(0).message
    assert message == "x" + "ä" * ((MESSAGE_BYTES - 1) // 2)
    slots.close()


def test_the_stop_flag_reaches_every_child() -> None:
    slots = Slots.create(2)
    writers = [slots.slot(number) for number in range(2)]
    assert not any(slot.must_stop for slot in writers)
    slots.ask_to_stop()
    writers[0].enter(1)
    assert all(slot.must_stop for slot in writers)
    slots.close()


@pytest.fixture
def busy() -> Iterator[tuple[Slots, int]]:
    """Slots, and the process that writes the first one all the time."""
    slots = Slots.create(1)
    pid = os.fork()
    if pid == 0:
        slot = slots.slot(0)
        slot.enter(1)
        number = 0
        while True:
            number += 1
            slot.running(f"job{number % 7}" * 8, f"token{number % 7}", seconds=1, memory_bytes=number % 7, disk_bytes=0)
            slot.progress(number % 7, f"message{number % 7}" * 10)
    yield slots, pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    slots.close()


def check(report: Report) -> int:
    """Whether a report is of one job; returns which."""
    number = report.memory_bytes
    assert report.job_id == f"job{number}" * 8
    assert report.token == f"token{number}"
    assert (report.percent, report.message) in {(0, ""), (number, f"message{number}" * 10)}
    return number


def test_a_reader_never_sees_a_mixture(busy: tuple[Slots, int]) -> None:
    slots, _ = busy
    until = time.monotonic() + 2
    seen = set()
    while time.monotonic() < until:
        report = slots.read(0)
        if report.phase is Phase.RUNNING:
            seen.add(check(report))
    assert len(seen) == 7


def test_a_child_that_is_stopped_at_any_moment_is_read_as_a_whole(busy: tuple[Slots, int]) -> None:
    slots, pid = busy
    wait_until(lambda: slots.read(0).phase is Phase.RUNNING)
    for number in range(300):
        time.sleep(number % 10 / 10_000)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        check(slots.read(0))
        os.kill(pid, signal.SIGCONT)


def test_what_an_earlier_child_of_the_slot_said_is_not_the_next_ones() -> None:
    slots = Slots.create(1)
    for child in (1, 2):
        slot = slots.slot(0)
        slot.enter(child)
        slot.running("a", "1.w.1", seconds=1, memory_bytes=0, disk_bytes=0)
        assert (slots.read(0).child, slots.read(0).message) == (child, "")
        slot.progress(5, "half")
        assert slots.read(0).message == "half"
    slots.clear(0)
    assert (slots.read(0).phase, slots.read(0).job_id, slots.read(0).message) == (Phase.IDLE, "", "")
    slots.close()
