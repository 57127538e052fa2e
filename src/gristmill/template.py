"""A fork server: one process imports everything once, holds no connection, and forks children in milliseconds.

It knows nothing of jobs. ``setup``, named as ``module:function``, is called once in the new process with a
configuration text; it returns facts for the starter and the function that each child runs. The process has one
thread, so that forking is safe. It reaps its children, ends what they leave behind, and tells the starter.

The child leads a session and process group of its own. Child and template end when their parent does.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.errors import GristmillError
from gristmill.limits import IS_LINUX, children_of, descendants_of

Facts = dict[str, Any]
Run = Callable[["Birth"], None]
Setup = Callable[[str], tuple[Facts, Run]]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LAST_WAIT_SECONDS = 1.0
# Not by the interpreter's own end, at which libraries complain of what the collector's freeze has kept.
_START = """
import os, sys
from gristmill.template import main
code = main(int(sys.argv[1]), int(sys.argv[2]))
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""

_libc = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel send this signal when the parent's thread that started us ends (Linux); 0: no longer."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux), so that none gets out of sight."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new child is told: its number, its slot, and the process id of its template."""

    number: int
    slot: int
    template: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The template can fork."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Refused:
    """The setup failed; the template has ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Born:
    """A child runs."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A child has ended, and so has its process group. ``code``: its exit code, or minus the signal's number."""

    number: int
    code: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The template itself has ended."""


Event = Ready | Refused | Born | Ended | Gone


class Channel:
    """Messages over one end of a socket pair, a line of JSON each."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def fileno(self) -> int:
        """For ``select``."""
        return self._end.fileno()

    def send(self, **message: Any) -> None:
        """Send one message; a reader that has gone is noticed by ``receive``."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._end.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """Wait for messages; None when the other end has gone."""
        try:
            data = self._end.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end; the other one notices."""
        self._end.close()


class Template:
    """The starter's handle on a template process."""

    def __init__(
        self, setup: str, configuration: str, *, slots: int, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it. slots: descriptor of the shared memory, which the children inherit under the same number."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), slots),
                start_new_session=True,
                env=dict(os.environ) | dict(environment or {}),
            )
        self._channel = Channel(ours)
        self._channel.send(setup=setup, configuration=configuration)
        self._has_children = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """For ``select``: readable when ``events`` has something."""
        return self._channel.fileno()

    def fork(self, number: int, slot: int) -> None:
        """Ask for a child; Born, and later Ended, tell about it."""
        self._has_children = True
        self._channel.send(do="fork", number=number, slot=slot)

    def kill(self, number: int) -> None:
        """Ask for a child's end by SIGKILL, with its whole group. Without effect on one that has ended."""
        self._channel.send(do="kill", number=number)

    def tell(self, number: int, signal_number: int) -> None:
        """Ask for a signal to a child alone."""
        self._channel.send(do="tell", number=number, signal=signal_number)

    @property
    def is_stopped(self) -> bool:
        """Whether it is halted (SIGSTOP), where the system can tell."""
        with contextlib.suppress(AttributeError, ChildProcessError):
            return os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        return False

    def go_on(self) -> None:
        """Continue it."""
        os.kill(self._process.pid, signal.SIGCONT)

    def destroy(self) -> None:
        """Kill it at once; Gone tells about it."""
        self._process.kill()

    def events(self) -> list[Event]:
        """What has happened; waits when nothing has."""
        messages = self._channel.receive()
        if messages is None:
            return [Gone()]
        return [_event(message) for message in messages]

    def close(self) -> None:
        """End the template and all its children, and wait until they have ended."""
        self._channel.close()
        if not self._has_children:
            self._process.kill()
        try:
            self._process.wait(2 * _LAST_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _event(message: dict[str, Any]) -> Event:
    match message["event"]:
        case "ready":
            return Ready(message["facts"])
        case "refused":
            return Refused(message["reason"])
        case "born":
            return Born(message["number"], message["pid"])
        case _:
            return Ended(message["number"], message["code"])


# In the template


class _Nursery:
    """The template's own loop."""

    def __init__(self, channel: Channel, run: Run) -> None:
        self._channel = channel
        self._run = run
        self._children: dict[int, int] = {}  # process id -> number
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)

    def serve(self) -> None:
        """Fork, kill and reap until the starter has gone."""
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        while True:
            readable, _, _ = select.select([self._channel.fileno(), self._wake_reader.fileno()], [], [])
            if self._wake_reader.fileno() in readable:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(4096)
                self._reap()
            if self._channel.fileno() in readable:
                messages = self._channel.receive()
                if messages is None:
                    self._end_all()
                    return
                for message in messages:
                    self._obey(message)

    def _obey(self, message: dict[str, Any]) -> None:
        if message["do"] == "fork":
            self._fork(message["number"], message["slot"])
            return
        for pid, number in self._children.items():
            if number == message["number"]:
                if message["do"] == "kill":
                    _kill_group(pid)
                else:
                    os.kill(pid, message["signal"])

    def _fork(self, number: int, slot: int) -> None:
        template = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_born(Birth(number, slot, template))
        self._children[pid] = number
        self._channel.send(event="born", number=number, pid=pid)

    def _be_born(self, birth: Birth) -> None:
        """Become the child; never returns."""
        code = 1
        try:
            os.setsid()
            die_with_parent()
            adopt_orphans()
            if os.getppid() == birth.template:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._channel.close()
                self._wake_reader.close()
                self._wake_writer.close()
                self._run(birth)
            code = 0
        except BaseException:  # noqa: BLE001  nothing of the template's stack may run in the child
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while ended := _reap_one(self._children):
            pid, status = ended
            number = self._children.pop(pid, None)
            self._end_strays()
            if number is not None:
                self._channel.send(event="ended", number=number, code=os.waitstatus_to_exitcode(status))

    def _end_strays(self) -> None:
        """Kill what ended children have left behind in other sessions; we have become its parent."""
        me = os.getpid()
        for stray in set(children_of(me)) - self._children.keys():
            for pid in (stray, *descendants_of(stray)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _end_all(self) -> None:
        deadline = time.monotonic() + _LAST_WAIT_SECONDS
        for pid in self._children:
            _kill_group(pid)
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.005)
        self._end_strays()


def _reap_one(leaders: Container[int]) -> tuple[int, int] | None:
    """Reap one process that has ended, after its group is killed when it leads one: process id and wait status."""
    try:
        if hasattr(os, "waitid"):
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found and found.si_pid in leaders:
                _kill_group(found.si_pid)  # until it is reaped, its number cannot be another's
            return os.waitpid(found.si_pid, 0) if found else None
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid in leaders:
        _kill_group(pid)
    return (pid, status) if pid else None


def _kill_group(leader: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(leader, signal.SIGKILL)


def _prepare(channel: Channel) -> Run | None:
    first: list[dict[str, Any]] | None = []
    while not first:
        first = channel.receive()
        if first is None:
            return None
    try:
        module, _, function = first[0]["setup"].partition(":")
        setup: Setup = getattr(importlib.import_module(module), function)
        facts, run = setup(first[0]["configuration"])
    except GristmillError as error:
        channel.send(event="refused", reason=error.detail)
        return None
    except Exception as error:  # noqa: BLE001  whatever it is, the starter must say it
        traceback.print_exc()
        channel.send(event="refused", reason=f"{type(error).__name__}: {error}")
        return None
    gc.collect()
    gc.freeze()
    channel.send(event="ready", facts=facts)
    return run


def main(descriptor: int, parent: int) -> int:
    """Be a template; returns when the starter has gone."""
    die_with_parent()
    if os.getppid() != parent:
        return 1
    adopt_orphans()
    channel = Channel(socket.socket(fileno=descriptor))
    run = _prepare(channel)
    if run is None:
        return 1
    # From now on the end of the starter is noticed by its socket, so that all children can be ended first. The signal
    # only continues a template that a job has stopped.
    die_with_parent(signal.SIGCONT)
    _Nursery(channel, run).serve()
    return 0
