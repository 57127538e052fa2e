"""Keeps the parts of ``gristmill up`` running: starts them again, prints what they say, and stops them together.

One thread, one loop. Each part leads a process group of its own, so that Ctrl-C reaches only the supervisor and
nothing of a part stays behind; and each is tied to the supervisor (see ``lifeline``).
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Self

from gristmill.errors import GristmillError

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 10.0
# A part that has lived this long has started well: its next end is not counted with those before.
STEADY_SECONDS = 30.0
# A part that refuses to start says so itself, with one of these exit codes, this soon.
REFUSALS = (1, 2)
REFUSED_WITHIN_SECONDS = 15.0
LONGEST_LINE = 64 * 1024

Say = Callable[[str, str], None]


@dataclass
class Part:
    """One component. ``start`` returns its process, whose output, if it is a pipe, is printed line by line."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_again_at: float | None = None
    ends: int = 0
    pending: bytearray = field(default_factory=bytearray)


class Supervisor:
    """Runs parts until it is told to stop.

    say: called with a part's name (or "") and one line of text.
    stop_seconds: how long parts get after SIGTERM before SIGKILL.
    """

    def __init__(self, parts: Sequence[Part], say: Say, stop_seconds: float) -> None:
        self._parts = list(parts)
        self._say = say
        self._stop_seconds = stop_seconds
        self._stops_asked = 0
        self._exit_code = 0
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._old_handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._old_handlers[number] = signal.signal(number, self._on_stop_signal)
        self._old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _nothing)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop_all()
        signal.set_wakeup_fd(-1)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def run(self) -> int:
        """Start the parts in order and keep them running; returns the exit code once ``stop`` or a signal came."""
        for part in self._parts:
            if not self._stops_asked:
                self._start(part)
        while not self._stops_asked:
            self._look(0.5)
            for part in self._parts:
                self._tend(part)
        return self._exit_code

    def stop(self, exit_code: int = 0) -> None:
        """Ask ``run`` to return; from any thread."""
        self._stops_asked += 1
        self._exit_code = exit_code
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stops_asked += 1

    def _start(self, part: Part) -> None:
        part.start_again_at = None
        part.started = time.monotonic()
        part.process = part.start()
        if part.process.stdout is not None:
            os.set_blocking(part.process.stdout.fileno(), False)
            self._selector.register(part.process.stdout, selectors.EVENT_READ, part)

    def _tend(self, part: Part) -> None:
        """Notice the end of a part and plan its next start, or start it when that time has come."""
        now = time.monotonic()
        if part.process is not None and part.process.poll() is not None:
            code = part.process.returncode
            lived = now - part.started
            self._clear(part)
            if code in REFUSALS and not part.ends and lived < REFUSED_WITHIN_SECONDS:
                self._say("", f"{part.name} refused to start (exit code {code}); its reason stands above.")
                self.stop(1)
                return
            part.ends = 1 if lived > STEADY_SECONDS else part.ends + 1
            self._plan(part, f"{part.name} {_how_it_ended(code)}")
        elif part.start_again_at is not None and now >= part.start_again_at:
            try:
                self._start(part)
            except GristmillError as error:
                part.ends += 1
                self._plan(part, f"{part.name} does not start: {error.detail}")

    def _plan(self, part: Part, what_happened: str) -> None:
        delay = min(FIRST_DELAY_SECONDS * 2 ** (part.ends - 1), LONGEST_DELAY_SECONDS)
        part.start_again_at = time.monotonic() + delay
        self._say("", f"{what_happened}; it is started again in {delay:g} s.")

    def _look(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    while self._wake_reader.recv(4096):
                        pass
            else:
                self._read(key.data)

    def _read(self, part: Part) -> bool:
        """Print what the part has said; False when there is nothing more for now."""
        pipe = part.process.stdout if part.process is not None else None
        if pipe is None:
            return False
        try:
            data = os.read(pipe.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return False
        if not data:
            self._forget(pipe)
            return False
        *lines, rest = (bytes(part.pending) + data).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines.append(rest)
            rest = b""
        part.pending = bytearray(rest)
        for line in lines:
            self._say(part.name, line.decode(errors="replace").rstrip("\r"))
        return True

    def _forget(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(pipe)

    def _clear(self, part: Part) -> None:
        """After its end: kill what is left of its group, and print what it still said."""
        process = part.process
        if process is None:
            return
        _kill_group(process.pid)
        while self._read(part):
            pass
        if part.pending:
            self._say(part.name, part.pending.decode(errors="replace"))
            part.pending = bytearray()
        if process.stdout is not None:
            self._forget(process.stdout)
            process.stdout.close()
        part.process = None

    def _stop_all(self) -> None:
        """Stop the parts in the opposite order: all but the first together, the first (the server) last."""
        asked = self._stops_asked
        self._end([part for part in self._parts[1:] if part.process], asked)
        self._end([part for part in self._parts[:1] if part.process], asked)

    def _end(self, parts: Sequence[Part], stops_asked: int) -> None:
        deadline = time.monotonic() + self._stop_seconds
        for part in parts:
            if part.process is not None and part.process.poll() is None:
                part.process.terminate()
        left = list(parts)
        while left:
            hurried = self._stops_asked > stops_asked
            for part in list(left):
                if part.process is None or part.process.poll() is not None:
                    self._clear(part)
                    left.remove(part)
                elif hurried or time.monotonic() > deadline:
                    self._say("", f"{part.name} is killed.")
                    _kill_group(part.process.pid)
                    part.process.wait()
            if left:
                self._look(0.1)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Be there, so that SIGCHLD wakes the loop."""
