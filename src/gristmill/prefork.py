"""Forks the processes that serve, replaces those that leave, crash or fall silent, and stops them together.

They end when the main process does, even by SIGKILL: it alone holds the writing end of a pipe that they read.
"""

import contextlib
import itertools
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import structlog

from gristmill.errors import ConfigurationError, GristmillError

# So many ends of serving processes within so many seconds are no accidents.
MOST_ENDS = 4
ENDS_SECONDS = 30.0

# A serving process says so often that it is alive, and is replaced when it has not for so long.
BEAT_SECONDS = 5.0
SILENT_SECONDS = 30.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_READY = b"ready"
_ALIVE = b"."
_LEAVING = b"!"
_REFUSED = b"refused "

_log = structlog.get_logger(__name__)

Work = Callable[[Callable[[], None], Callable[[], None]], int]


@dataclass
class _Child:
    """A serving process; ``report`` is the pipe where it says that it is ready, then alive; or why it does not start.

    said: what came first, until it was understood. heard: when something came last, None before it is ready.
    is_leaving: whether it has said that it takes no more requests; another serves in its place.
    """

    report: int
    said: bytes = b""
    heard: float | None = None
    is_leaving: bool = False


class Prefork:
    """Runs ``work`` in ``count`` processes. Use it in the main thread of a process that has no other.

    work: serves until SIGTERM, of which it may get several, and returns an exit code; it gets a function to call when
    it is ready, and then every BEAT_SECONDS to show that it is alive, and one to call when it begins to end, whoever
    told it to: another takes its place meanwhile. A GristmillError that it raises before it is ready refuses the start.
    on_ready: called once, when all are ready. on_stop: called before they are told to stop.
    stop_seconds: what they get to end after SIGTERM.
    """

    def __init__(
        self, work: Work, count: int, *, on_ready: Callable[[], None], on_stop: Callable[[], None], stop_seconds: float
    ) -> None:
        self._work = work
        self._count = count
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._stop_seconds = stop_seconds
        self._children: dict[int, _Child] = {}
        self._ends: deque[float] = deque(maxlen=MOST_ENDS)
        self._ready = 0
        self._listened = time.monotonic()
        self._signals = 0
        self._refusals: list[GristmillError] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Serve until a signal; returns 0, or 1 when processes crashed again and again or had to be killed.

        Raises ConfigurationError when one refused to start.
        """
        self._lifeline, self._lifeline_end = os.pipe()
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        old_wake = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        old_handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            self._fill()
            exit_code = self._watch()
            self._on_stop()
            exit_code = max(exit_code, self._stop())
        finally:
            self._kill()
            signal.set_wakeup_fd(old_wake)
            for number, handler in old_handlers.items():
                signal.signal(number, handler)
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()
            os.close(self._lifeline)
            os.close(self._lifeline_end)
        if self._refusals:
            raise self._refusals[0]
        return exit_code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._signals += 1

    def _fill(self) -> None:
        """Start as many as are missing."""
        for _ in range(self._count - sum(not child.is_leaving for child in self._children.values())):
            self._start()

    def _start(self) -> None:
        report, report_end = os.pipe()
        # A signal that comes in between is the child's to handle only once it has its own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(report)
            self._become_child(report_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(report_end)
        self._children[pid] = child = _Child(report)
        self._selector.register(report, selectors.EVENT_READ, child)

    def _become_child(self, report: int) -> NoReturn:
        """Never return: the stack above, and its cleaning up, are the main process's. Native threads may be left."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process acts
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._selector.close()
            os.close(self._lifeline_end)
            threading.Thread(target=_end_with, args=(self._lifeline,), name="lifeline", daemon=True).start()
            words = itertools.chain([_READY], itertools.repeat(_ALIVE))
            code = self._work(lambda: _report(report, next(words)), lambda: _report(report, _LEAVING))
        except GristmillError as error:
            _report(report, _REFUSED + error.detail.encode())
        except Exception:  # noqa: BLE001  the exit code says it
            _log.exception("A serving process failed")
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _watch(self) -> int:
        """Start processes that end again, until a signal or a refusal comes (returns 0), or too many end (1)."""
        while not self._signals and not self._refusals:
            self._look(BEAT_SECONDS)
            self._kill_silent()
            for pid, child, code in self._reap():
                if self._signals or self._refusals:
                    return 0
                if child.is_leaving:
                    _log.info("A process that served has left", pid=pid, exit_code=code)
                    continue
                now = time.monotonic()
                self._ends.append(now)
                if len(self._ends) == MOST_ENDS and now - self._ends[0] < ENDS_SECONDS:
                    _log.error("Processes that serve end again and again; giving up", pid=pid, exit_code=code)
                    return 1
                _log.error("A process that serves has ended; another takes its place", pid=pid, exit_code=code)
            if not self._signals and not self._refusals:
                self._fill()
        return 0

    def _look(self, seconds: float | None) -> None:
        for key, _ in self._selector.select(seconds):
            if key.data is not None:
                self._hear(key.data)
                continue
            with contextlib.suppress(BlockingIOError):
                while self._wake_reader.recv(4096):
                    pass

    def _hear(self, child: _Child) -> None:
        data = os.read(child.report, 65536)
        if child.heard is None:
            child.said += data
        if not data:
            self._selector.unregister(child.report)
            os.close(child.report)
            if child.said.startswith(_REFUSED):
                self._refusals.append(ConfigurationError(child.said.removeprefix(_REFUSED).decode()))
        elif child.said.rstrip(_ALIVE + _LEAVING) == _READY:
            is_new, child.heard = child.heard is None, time.monotonic()
            child.is_leaving |= _LEAVING in data
            self._ready += is_new
            if is_new and self._ready == self._count:
                self._on_ready()

    def _kill_silent(self) -> None:
        """Kill processes that have not been heard of for too long, unless it was this one that did not listen."""
        now = time.monotonic()
        listened, self._listened = now - self._listened < SILENT_SECONDS / 2, now
        for pid, child in self._children.items():
            if child.heard is None:
                continue
            if not listened:
                child.heard = now
            elif now - child.heard > SILENT_SECONDS:
                _log.error("A process that serves does not answer; it is killed", pid=pid)
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> list[tuple[int, _Child, int]]:
        ended = []
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                child = self._children.pop(pid)
                while child.report in self._selector.get_map():
                    self._hear(child)
                ended.append((pid, child, os.waitstatus_to_exitcode(status)))
        return ended

    def _stop(self) -> int:
        """Tell all to stop and wait; a further signal, or the time, ends the wait. Returns 1 if that cut work off."""
        signals = self._signals
        exit_code = 0
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        while self._children:
            for _, _, code in self._reap():
                exit_code = exit_code or int(code not in {0, -signal.SIGTERM})
            if self._signals > max(signals, 1) or time.monotonic() > deadline:
                return 1
            if self._children:
                self._look(0.5)
        return exit_code

    def _kill(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)
        self._children.clear()


def _report(pipe: int, what: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(pipe, what)


def _end_with(lifeline: int) -> NoReturn:
    os.read(lifeline, 1)
    os._exit(1)
