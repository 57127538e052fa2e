"""Shared memory in which each child says what it is doing, and the supervisor reads it.

A child writes its slot with plain stores: no system call, no message. Each of its two records stands there twice, and
the last bit of a counter says which of the two counts: the next one is written into the other. So a reader never takes
half of one job and half of the next, even of a child that was stopped or killed while it wrote.
"""

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

MESSAGE_BYTES = 240

_COUNTER = struct.Struct("@Q")  # native, so that it is stored at once and not byte by byte
# child, phase, seconds, deadline, memory, disk, jobs, job, token
_STATE = struct.Struct("=IBxxxddQQQ64s96s")
_PHASE_AT = 4
# child, jobs: of the state that it belongs to; percent, length of the message, message
_PROGRESS = struct.Struct(f"=IQBH{MESSAGE_BYTES}s")
_PROGRESS_AT = _COUNTER.size + 2 * _STATE.size
_SLOT_BYTES = 1024
_STOP_AT = _SLOT_BYTES - 1


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
        self._set_phase(Phase.FINISHING)

    def idle(self) -> None:
        """Say that there is no job."""
        self._set_phase(Phase.IDLE)

    def progress(self, percent: int, message: str) -> None:
        """Say how far the job is; a later one replaces it. The message is cut to MESSAGE_BYTES of UTF-8."""
        text = message.encode("utf-8", "replace")[:MESSAGE_BYTES]
        record = (self._child, self._jobs, percent, len(text), text)
        _write(self._memory, self._at + _PROGRESS_AT, _PROGRESS, record)

    @property
    def is_idle(self) -> bool:
        """Whether there is no job, as this end last wrote."""
        return self._memory[_standing(self._memory, self._at, _STATE) + _PHASE_AT] == Phase.IDLE

    @property
    def must_stop(self) -> bool:
        """Whether the supervisor wants this child to claim nothing any more."""
        return self._memory[self._at + _STOP_AT] != 0

    def _set_phase(self, phase: Phase) -> None:
        self._memory[_standing(self._memory, self._at, _STATE) + _PHASE_AT] = phase

    def _write(self, *state: object) -> None:
        _write(self._memory, self._at, _STATE, (self._child, *state))


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
        """What the child of this slot last wrote, as a whole."""
        at = number * _SLOT_BYTES
        child, phase, seconds, deadline, memory, disk, jobs, job, token = _read(self.memory, at, _STATE)
        *belongs_to, percent, length, text = _read(self.memory, at + _PROGRESS_AT, _PROGRESS)
        if belongs_to != [child, jobs]:  # to the job before, or to one that has begun since the first line
            percent, length = 0, 0
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
            message=_text(text[:length]),
        )

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


def _standing(memory: mmap.mmap, at: int, record: struct.Struct) -> int:
    """Where the copy of a record that counts begins."""
    count: int = _COUNTER.unpack_from(memory, at)[0]
    return at + _COUNTER.size + (count & 1) * record.size


def _write(memory: mmap.mmap, at: int, record: struct.Struct, values: tuple[object, ...]) -> None:
    (count,) = _COUNTER.unpack_from(memory, at)
    record.pack_into(memory, at + _COUNTER.size + (~count & 1) * record.size, *values)
    _COUNTER.pack_into(memory, at, count + 1)


def _read(memory: mmap.mmap, at: int, record: struct.Struct) -> tuple[Any, ...]:
    """The record that counts. A writer spoils it only by its second one from now, and then there is a newer one."""
    while True:
        counter = memory[at : at + _COUNTER.size]
        begin = _standing(memory, at, record)
        raw = memory[begin : begin + record.size]
        if memory[at : at + _COUNTER.size] == counter:
            return record.unpack(raw)


def _text(raw: bytes) -> str:
    """What was cut in the middle of a letter ends before it."""
    return raw.decode("utf-8", "ignore")
