"""The worker: a light supervisor over warm children, which claim jobs for themselves.

The supervisor forks nothing itself and imports no process: a template does (``template.py``). It reads what the
children are at from shared memory, kills those that pass a limit or whose job was dismissed, tells Redis how the
work of a dead child ends, and replaces it.
"""

import contextlib
import queue
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator

import structlog

from gristmill import __version__
from gristmill.children import Children
from gristmill.datasets.forgetter import forget_deleted
from gristmill.errors import ConfigurationError
from gristmill.heartbeats import root_of
from gristmill.job import Lost, Offer
from gristmill.jobs import new_worker_id
from gristmill.limits import MIB, OwnMemory, container_memory_bytes, usable_cpus
from gristmill.link import Broken, Dead, Link, Registered
from gristmill.settings import Settings
from gristmill.slots import Phase, Report, Slots
from gristmill.template import Facts, adopt_orphans
from gristmill.watch import Sentence
from gristmill.workfolder import WorkFolder

BUSY_TICK_SECONDS = 0.25
IDLE_TICK_SECONDS = 0.5
IDLE_CHILDREN_LEAVE_SECONDS = 0.5
LEAVE_SECONDS = 5.0
HURRIED_LEAVE_SECONDS = 1.0

log = structlog.get_logger()


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code.

    Raises ConfigurationError when it cannot start: a broken process file, an unusable folder, a container with too
    little memory for its children.
    """
    return Worker(settings).run()


class Worker:
    """One worker's main loop. Limits are enforced here, so nothing here waits for Redis."""

    def __init__(self, settings: Settings) -> None:
        self.id = new_worker_id()
        self._settings = settings
        self._log = log.bind(worker=self.id)
        self._slots = Slots.create(settings.children or usable_cpus())
        self._folder = WorkFolder(root_of(settings.worker_folder), self.id)
        self._children = Children(
            self.id,
            settings,
            self._folder,
            self._slots,
            on_ready=self._connect,
            on_end=self._settle,
            on_progress=self._tell_progress,
        )
        self._link: Link | None = None
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._stops_asked = 0
        self._stopping_since: float | None = None
        self._is_hurried = False
        self._next_tick = 0.0
        self._exit_code = 0

    def run(self) -> int:
        """Run until told to stop."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._slots.close)
            stack.callback(self._folder.close)
            stack.enter_context(self._signals())
            stack.callback(self._children.close)
            adopt_orphans()
            threading.Thread(target=self._remove_dead_workers, name="cleaner", daemon=True).start()
            stop = threading.Event()
            stack.callback(stop.set)
            threading.Thread(target=forget_deleted, args=(self._settings, stop), name="forgetter", daemon=True).start()
            self._log.info("worker starts", children=self._slots.count, folder=str(self._folder.path))
            self._children.start()
            while not self._stops_asked or len(self._children):
                self._wait()
                self._read_inbox()
                self._tick()
            self._children.close()
            self._leave()
        return self._exit_code

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        wakeup = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stops_asked += 1

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_writer.send(b"\0")

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            if self._children.template is not None:
                selector.register(self._children.template, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(max(0.0, self._next_tick - time.monotonic()))]
        if self._wake_reader in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake_reader.recv(4096)
        if self._children.template in ready:
            self._children.events()

    def _tick(self) -> None:
        now = time.monotonic()
        if self._stops_asked:
            self._stop(now)
        if now < self._next_tick:
            return
        self._folder.touch()
        busy = self._children.look(now)
        self._children.fill(now)
        self._next_tick = now + (BUSY_TICK_SECONDS if busy or self._stops_asked else IDLE_TICK_SECONDS)

    # What comes from Redis and goes there

    def _connect(self, facts: Facts) -> None:
        """The template is ready: see that the memory suffices, and make the worker known."""
        most = container_memory_bytes()
        if most is not None:
            process, megabytes = facts["largest"]
            own = OwnMemory().resident_bytes() + facts["resident_bytes"]
            check_memory(most, own, self._slots.count, megabytes * MIB, process)
        self._link = Link(
            self._settings,
            worker=self.id,
            release=__version__,
            host=socket.gethostname(),
            slots=self._slots,
            offers=tuple(Offer(*offer) for offer in facts["offers"]),
            wake=self._wake,
        )
        self._link.start()

    def _read_inbox(self) -> None:
        while self._link is not None:
            try:
                letter = self._link.inbox.get_nowait()
            except queue.Empty:
                return
            match letter:
                case Registered():
                    self._children.let_fork()
                    self._log.info("worker is ready", children=self._slots.count)
                case Dead(report):
                    self._children.kill_for(report)
                case Broken(reason):
                    self._log.error("the worker cannot work with Redis", reason=reason)
                    self._exit_code = 1
                    self._stops_asked += 1

    def _settle(self, child: str, lost: Lost | None) -> None:
        if self._link is not None:
            self._link.settle(child, lost)

    def _tell_progress(self, report: Report) -> None:
        if self._link is not None:
            self._link.progress(report)

    # The end

    def _stop(self, now: float) -> None:
        if self._stopping_since is None:
            self._stopping_since = now
            running = self._children.stop_claiming()
            grace = self._settings.workers_grace_seconds if running else 0
            self._log.info("worker stops", running_jobs=running, grace_seconds=grace)
        if self._stops_asked > 1 and not self._is_hurried:
            self._is_hurried = True
            self._log.warning("second signal: running jobs are handed back at once")
        waited = now - self._stopping_since
        for child, report in self._children:
            is_idle = report.phase is Phase.IDLE
            most = IDLE_CHILDREN_LEAVE_SECONDS if is_idle else self._settings.workers_grace_seconds
            if self._is_hurried or waited >= most:
                self._children.kill(child, Sentence(report, None, "the worker stops"))

    def _leave(self) -> None:
        if self._link is not None:
            seconds = HURRIED_LEAVE_SECONDS if self._is_hurried else LEAVE_SECONDS
            if not self._link.close(seconds):
                self._log.warning("Redis was not told; the jobs go to others when the lease runs out")
        self._log.info("worker has stopped")

    def _remove_dead_workers(self) -> None:
        if count := self._folder.remove_dead():
            self._log.info("folders of dead workers removed", workers=count)


def check_memory(most: int, own: int, children: int, child_bytes: int, process: str) -> None:
    """Refuse a container whose memory does not hold every child at its limit (all in bytes).

    Raises ConfigurationError with the sum, and what to change. On cgroup v2 the kernel ends the whole container.
    """
    needed = int((own + children * child_bytes) * 1.15)
    if needed <= most:
        return
    fits = max(0, (int(most / 1.15) - own) // child_bytes)
    raise ConfigurationError(
        f"The container's memory limit of {most // MIB} MiB is too small: {own // MIB} MiB for the worker itself"
        f" + {children} children x {child_bytes // MIB} MiB (which process {process!r} may use) + 15 %"
        f" = {needed // MIB} MiB. Raise the limit to {needed // MIB + 1} MiB, or "
        + (f"set GRISTMILL_CHILDREN={fits}, or " if fits else "")
        + f"lower memory_mb of {process!r}."
    )
