"""Shared memory in which each child says what it is doing, and the supervisor reads it.

A child writes its slot with plain stores: no system call, no message. A slot starts with a counter that is odd
while the slot is being written, so a reader never takes half of one job and half of the next.
"""

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

MESSAGE_BYTES = 240

_SLOT_BYTES = 512
_COUNTER = struct.Struct("@Q")  # native, so that it is stored at once and not byte by byte
# child, phase, seconds, deadline, memory, disk, jobs, job, token
_STATE = struct.Struct("=IBxxxddQQQ64s96s")
_PROGRESS = struct.Struct("=HB")  # length of the message, percent
_PHASE_AT = _COUNTER.size + 4
_PROGRESS_COUNTER_AT = _COUNTER.size + _STATE.size
_PROGRESS_AT = _PROGRESS_COUNTER_AT + _COUNTER.size
_MESSAGE_AT = _PROGRESS_AT + _PROGRESS.size
_STOP_AT = _SLOT_BYTES - 1
_TRIES = 60
_TRIES_WITHOUT_PAUSE = 20


class Phase(IntEnum):
    """What a child is about. Only while RUNNING does the process's own code run, and do limits count."""

    IDLE = 0
    RUNNING = 1
    FINISHING = 2


@dataclass(frozen=True, slots=True)
class Report:
    """What one child last wrote.

    child: its number. seconds: the job's time limit. deadline: when that is over, by ``time.monotonic()``.
    memory_bytes, disk_bytes: the most that its process group and its folder may have; 0 for no limit.
    jobs: how many it has begun. percent, message: the job's progress.
    """

    child: int
    phase: Phase
    job_id: str
    token: str
    seconds: float
    deadline: float
    memory_bytes: int
    disk_bytes: int
    jobs: int
    percent: int
    message: str

    def is_same_work(self, other: "Report") -> bool:
        """Whether both tell of the same attempt. A token alone does not: a child's next job may have an equal one."""
        return (self.job_id, self.token, self.child) == (other.job_id, other.token, other.child)


class Slot:
    """One child's end: it alone writes here, except for the stop flag, which only the supervisor sets."""

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._at = number * _SLOT_BYTES
        self._count: int = _COUNTER.unpack_from(memory, self._at)[0] & ~1
        self._progress_count = 0
        self._jobs = 0
        self._child = 0

    def enter(self, child: int) -> None:
        """Take the slot for a new child, which is idle."""
        self._child = child
        self._jobs = 0
        self._write(Phase.IDLE, 0.0, 0.0, 0, 0, 0, b"", b"")

    def running(self, job_id: str, token: str, *, seconds: float, memory_bytes: int, disk_bytes: int) -> None:
        """Say that the process's code begins now."""
        self._jobs += 1
        self._write(
            Phase.RUNNING, seconds, time.monotonic() + seconds, memory_bytes, disk_bytes,
            self._jobs, job_id.encode(), token.encode(),
        )  # fmt: skip

    def finishing(self) -> None:
        """Say that the process's code has returned; the job stays named until the next one, or ``idle``."""
        self._memory[self._at + _PHASE_AT] = Phase.FINISHING

    def idle(self) -> None:
        """Say that there is no job."""
        self._memory[self._at + _PHASE_AT] = Phase.IDLE

    def progress(self, percent: int, message: str) -> None:
        """Say how far the job is; a later one replaces it. The message is cut to MESSAGE_BYTES of UTF-8."""
        text = message.encode("utf-8", "replace")[:MESSAGE_BYTES]
        memory, at = self._memory, self._at
        _COUNTER.pack_into(memory, at + _PROGRESS_COUNTER_AT, self._progress_count + 1)
        _PROGRESS.pack_into(memory, at + _PROGRESS_AT, len(text), percent)
        memory[at + _MESSAGE_AT : at + _MESSAGE_AT + len(text)] = text
        self._progress_count += 2
        _COUNTER.pack_into(memory, at + _PROGRESS_COUNTER_AT, self._progress_count)

    @property
    def is_idle(self) -> bool:
        """Whether there is no job, as this end last wrote."""
        return self._memory[self._at + _PHASE_AT] == Phase.IDLE

    @property
    def must_stop(self) -> bool:
        """Whether the supervisor wants this child to claim nothing any more."""
        return self._memory[self._at + _STOP_AT] != 0

    def _write(self, *state: object) -> None:
        at = self._at
        _COUNTER.pack_into(self._memory, at, self._count + 1)
        _STATE.pack_into(self._memory, at + _COUNTER.size, self._child, *state)
        _PROGRESS.pack_into(self._memory, at + _PROGRESS_AT, 0, 0)
        self._count += 2
        _COUNTER.pack_into(self._memory, at, self._count)


class Slots:
    """The supervisor's end: all slots in one file without a name, whose descriptor the children inherit."""

    def __init__(self, count: int, descriptor: int) -> None:
        self.count = count
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, count * _SLOT_BYTES)

    @classmethod
    def create(cls, count: int) -> Self:
        """Make slots that are all idle."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("gristmill-slots")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, count * _SLOT_BYTES)
        return cls(count, descriptor)

    def slot(self, number: int) -> Slot:
        """The writing end of one slot, for the child that has it."""
        return Slot(self.memory, number)

    def read(self, number: int) -> Report:
        """What the child of this slot last wrote, as a whole.

        A child that was killed while it wrote leaves an odd counter for ever: then that half-written state comes
        back, which may name no job.
        """
        at = number * _SLOT_BYTES
        before = after = b""
        for number_of_try in range(_TRIES):
            if number_of_try > _TRIES_WITHOUT_PAUSE:
                time.sleep(0.001)  # the writer may have lost its CPU in the middle
            before = self.memory[at : at + _SLOT_BYTES - 1]
            after = self.memory[at : at + _SLOT_BYTES - 1]
            if before == after and not _is_odd(before):
                break
        return _report(after)

    def clear(self, number: int) -> None:
        """Make a slot idle and nobody's; its child must be dead."""
        at = number * _SLOT_BYTES
        self.memory[at : at + _SLOT_BYTES] = bytes(_SLOT_BYTES)

    def ask_to_stop(self) -> None:
        """Let every child claim nothing any more."""
        for number in range(self.count):
            self.memory[number * _SLOT_BYTES + _STOP_AT] = 1

    def close(self) -> None:
        """Give the memory back."""
        self.memory.close()
        os.close(self.descriptor)


def _is_odd(raw: bytes) -> bool:
    return bool((_COUNTER.unpack_from(raw)[0] | _COUNTER.unpack_from(raw, _PROGRESS_COUNTER_AT)[0]) & 1)


def _report(raw: bytes) -> Report:
    child, phase, seconds, deadline, memory, disk, jobs, job, token = _STATE.unpack_from(raw, _COUNTER.size)
    length, percent = _PROGRESS.unpack_from(raw, _PROGRESS_AT)
    return Report(
        child=child,
        phase=Phase(phase),
        job_id=_text(job.rstrip(b"\0")),
        token=_text(token.rstrip(b"\0")),
        seconds=seconds,
        deadline=deadline,
        memory_bytes=memory,
        disk_bytes=disk,
        jobs=jobs,
        percent=percent,
        message=_text(raw[_MESSAGE_AT : _MESSAGE_AT + length]),
    )


def _text(raw: bytes) -> str:
    """What was cut in the middle of a letter ends before it."""
    return raw.decode("utf-8", "ignore")
