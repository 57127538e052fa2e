"""What surrounds one run of a function in a child: limits, folder, environment, random seeds, log, leftovers.

A child makes one workplace and uses it for all its runs: ``begin``, the function, ``end``. What costs nothing when
the function has touched nothing is done after every run; a child that cannot be made as new says so, and is replaced.
"""

import contextlib
import faulthandler
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.clearing import empty
from gristmill.limits import (
    IS_LINUX,
    MIB,
    OwnMemory,
    children_of,
    descendants_of,
    give_freed_memory_back,
    keep_freed_memory,
    limit_files,
    limit_memory,
    no_core_dumps,
)

LOG_BYTES = 64 * 1024
_MEASURE_EVERY = 64
# What signal.getsignal calls; turning the answer into an enumeration takes longer than all else done after a run.
_handler_of: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
_UNTOUCHED = (0, 0)  # the time that a folder gets which holds nothing: whatever is put into it changes that
_LAST_END_SECONDS = 1.0
# The log is a file too, and the kernel's limit on files must leave it room.
_LEAST_FILE_BYTES = 8 * MIB


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may use; 0 for no limit. Memory is on top of what the child uses when it is idle."""

    memory_bytes: int = 0
    disk_bytes: int = 0


_NOT_SET = Bounds(-1, -1)


class Workplace:
    """One child's. Standard output and error go to the log from its making on.

    folder: made here; the working directory, and the scratch folder, of every run.
    growth_bytes: how much more than at first the child may use when idle, before it is worn out.
    """

    def __init__(self, folder: Path, log: Path, *, growth_bytes: int = 256 * MIB) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        os.chdir(folder)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.utime(self._folder, _UNTOUCHED)
        self._log = _redirect(log)
        self._streams = (sys.stdout, sys.stderr)
        # What a run makes with tempfile counts as its disk, and goes with it.
        os.environ["TMPDIR"] = os.fspath(folder)
        tempfile.tempdir = None
        self._environment = dict(_raw_environment())
        self.keep_handlers()
        self._threads = threading.active_count()
        self._memory = OwnMemory()
        self._growth_bytes = growth_bytes
        self._first_bytes = self._idle_bytes = self._memory.resident_bytes()
        self._base_bytes = self._memory.data_bytes()
        self._limits = _NOT_SET
        self._runs = self._rested_at = 0
        self._began = 0.0
        self._is_to_measure = False
        self.is_worn = False
        no_core_dumps()
        keep_freed_memory()

    def keep_handlers(self) -> None:
        """Put the present handlers of SIGTERM and SIGINT back after each run."""
        self._handlers = {number: _handler_of(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def begin(self, bounds: Bounds) -> int:
        """Set the limits and new random seeds. Returns the most memory that the process group may have, in bytes."""
        self._set_limits(bounds)
        seed = os.urandom(8)
        random.seed(int.from_bytes(seed))
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed(int.from_bytes(seed[:4]))
        self._began = time.monotonic()
        return self._idle_bytes + bounds.memory_bytes if bounds.memory_bytes else 0

    @contextlib.contextmanager
    def unlimited(self) -> Iterator[None]:
        """Let the child's own code, in the middle of a run, work without the kernel's limits; the supervisor's hold."""
        before = self._limits
        self.lift_limits()
        try:
            yield
        finally:
            self._set_limits(before)

    def lift_limits(self) -> None:
        """Let the child's own code work on after a run that has used up its memory."""
        self._set_limits(Bounds())

    def _set_limits(self, bounds: Bounds) -> None:
        if bounds != self._limits:
            limit_memory(self._base_bytes + bounds.memory_bytes if bounds.memory_bytes else None)
            limit_files(max(bounds.disk_bytes, _LEAST_FILE_BYTES) if bounds.disk_bytes else None)
            self._limits = bounds

    def end(self) -> bytes:
        """Put everything back; returns the last bytes of what the run has printed.

        Sets ``is_worn`` when something stays that a new child would not have.
        """
        if self._end_leftovers():
            self.is_worn = True
        for stream in (*self._streams, sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = self._streams
        if _raw_environment() != self._environment:
            os.environb.clear()
            os.environb.update(self._environment)
        os.fchdir(self._folder)
        about = os.fstat(self._folder)
        if about.st_nlink == 0:
            self.is_worn = True
        elif about.st_mtime_ns:
            if not empty(self.folder):
                self.is_worn = True
            os.utime(self._folder, _UNTOUCHED)
        if threading.active_count() > self._threads:
            self.is_worn = True
        for number, handler in self._handlers.items():
            if _handler_of(number) is not handler:
                signal.signal(number, handler)
        signal.alarm(0)
        self._runs += 1
        self._is_to_measure = self._runs % _MEASURE_EVERY == 0 or time.monotonic() - self._began > 0.05
        return self._take_log()

    @property
    def has_grown(self) -> bool:
        """Whether the child uses so much now that it would be worn out, should that stay."""
        return self._is_to_measure and self._memory.resident_bytes() - self._first_bytes > self._growth_bytes

    def measure(self) -> None:
        """After a run, and after what it had open is closed: see what stays of it. Sets ``is_worn``."""
        if not self._is_to_measure:
            return
        if self.has_grown:
            give_freed_memory_back()
        self._is_to_measure = False
        self._base_bytes = self._memory.data_bytes()
        self._idle_bytes = self._memory.resident_bytes()
        self._limits = _NOT_SET  # the next run's are counted from the new base
        if self._idle_bytes - self._first_bytes > self._growth_bytes:
            self.is_worn = True

    def rest(self) -> None:
        """Where nothing is to be done for some time: give back the memory that runs have left free."""
        if self._runs != self._rested_at:
            self._rested_at = self._runs
            give_freed_memory_back()
            self._is_to_measure = True
            self.measure()

    def _end_leftovers(self) -> bool:
        """Kill processes that the run has started and left behind; returns whether there were any.

        Elsewhere than on Linux they end with this child, which is worn now.
        """
        if not _has_children():
            return False
        deadline = time.monotonic() + _LAST_END_SECONDS
        while IS_LINUX and _has_children() and time.monotonic() < deadline:
            for pid in descendants_of(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in children_of(os.getpid()):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        return True

    def _take_log(self) -> bytes:
        size = os.fstat(self._log).st_size
        if not size:
            return b""
        tail = os.pread(self._log, LOG_BYTES, max(0, size - LOG_BYTES))
        os.ftruncate(self._log, 0)
        return tail


def _raw_environment() -> dict[bytes, bytes]:
    """What stands behind os.environ: comparing that is fifty times as fast."""
    raw: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return raw


def _has_children() -> bool:
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:
            os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _redirect(log: Path) -> int:
    """Send standard output and error to the log file, and fatal signals' tracebacks; returns its descriptor."""
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(descriptor, number)
        stream = open(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.enable(2)
    return descriptor


def log_tail(log: Path) -> bytes:
    """The last bytes of a log that its child cannot hand over any more, and empty it."""
    try:
        with log.open("r+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            tail = file.read()
            file.truncate(0)
    except FileNotFoundError:
        return b""
    return tail


def shorten(log: Path, longest: int) -> None:
    """Keep only the end of a log that has become longer than this many bytes; its writer appends, so it goes on."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > longest:
            tail = log_tail(log)
            with log.open("ab") as file:
                file.write(tail)
