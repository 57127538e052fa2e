"""What the end of a child means, by its last report and by why it was killed."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.job import End, Lost
from gristmill.slots import Phase, Report
from gristmill.watch import Sentence, Watch, verdict

AT_WORK = Report(1, Phase.RUNNING, "job", "1.w.1", 30, 100.0, 0, 0, 1, 0, "")
TIMED_OUT = Sentence(AT_WORK, Lost(End.TIMED_OUT, "too long"), "timed-out")


def test_a_child_killed_for_its_job_ends_that_job_with_the_log() -> None:
    assert verdict(AT_WORK, TIMED_OUT, -9, b"log") == Lost(End.TIMED_OUT, "too long", b"log")


@pytest.mark.parametrize(
    "later",
    [replace(AT_WORK, job_id="next"), replace(AT_WORK, phase=Phase.FINISHING), replace(AT_WORK, phase=Phase.IDLE)],
)
def test_a_child_killed_after_it_had_gone_on_hands_back(later: Report) -> None:
    assert verdict(later, TIMED_OUT, -9, b"") is None


def test_a_dismissed_or_stopped_child_hands_back() -> None:
    assert verdict(AT_WORK, Sentence(AT_WORK, None, "dismissed"), -9, b"") is None


def test_a_child_that_dies_while_idle_hands_back_what_it_may_have_claimed() -> None:
    assert verdict(replace(AT_WORK, phase=Phase.IDLE), None, -signal.SIGSEGV, b"") is None


@pytest.mark.parametrize(
    ("code", "log", "end", "words"),
    [
        (3, b"", End.CRASHED, "exit code 3"),
        (0, b"", End.CRASHED, "exit code 0"),
        (-signal.SIGSEGV, b"", End.CRASHED, "SIGSEGV"),
        (-signal.SIGKILL, b"", End.CRASHED, "from outside"),
        (-signal.SIGABRT, b"", End.CRASHED, "SIGABRT"),
        (-signal.SIGABRT, b"memory allocation of 8 bytes failed", End.OUT_OF_MEMORY, "no more memory"),
        (-signal.SIGXFSZ, b"", End.OUT_OF_DISK, "too large"),
        (-60, b"", End.CRASHED, "signal 60"),
    ],
)
def test_a_death_of_its_own_is_named(code: int, log: bytes, end: End, words: str) -> None:
    for phase in (Phase.RUNNING, Phase.FINISHING):
        lost = verdict(replace(AT_WORK, phase=phase), None, code, log)
        assert lost is not None
        assert (lost.end, lost.log) == (end, log)
        assert words in lost.detail


def test_only_a_running_job_has_a_deadline(tmp_path: Path) -> None:
    watch = Watch(1, tmp_path, tmp_path / "log")
    assert watch.look(AT_WORK, 99.0) is None
    sentence = watch.look(AT_WORK, 101.0)
    assert sentence
    assert sentence.lost
    assert (sentence.lost.end, sentence.lost.detail) == (End.TIMED_OUT, "The process ran longer than its 30 s.")
    for phase in (Phase.FINISHING, Phase.IDLE):
        assert watch.look(replace(AT_WORK, phase=phase), 101.0) is None


def test_a_job_that_has_just_begun_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2**20)
    watch = Watch(1, tmp_path, tmp_path / "log")
    small = replace(AT_WORK, disk_bytes=2**10)
    assert watch.look(small, 1.0) is None
    assert watch.look(replace(small, job_id="other"), 1.1) is None
    sentence = watch.look(replace(small, job_id="other"), 1.2)
    assert sentence
    assert sentence.reason == "out-of-disk"
