"""The worker: a light supervisor over warm children, which claim jobs for themselves.

The supervisor forks nothing itself and imports no process: a template does (``template.py``). It reads what the
children are at from shared memory, kills those that pass a limit or whose job was dismissed, tells Redis how the
work of a dead child ends, and replaces it.
"""

import contextlib
import json
import os
import queue
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from gristmill import __version__
from gristmill.errors import ConfigurationError
from gristmill.job import Offer
from gristmill.jobs import new_worker_id
from gristmill.limits import MIB, OwnMemory, children_of, container_memory_bytes, descendants_of, usable_cpus
from gristmill.link import Broken, Dead, Link, Registered
from gristmill.settings import Settings
from gristmill.slots import Phase, Slots
from gristmill.template import Born, Ended, Facts, Gone, Ready, Refused, Template, adopt_orphans
from gristmill.watch import Sentence, Watch, verdict
from gristmill.workfolder import WorkFolder, log_of, root_of, scratch_of
from gristmill.workfolder import check as check_folder
from gristmill.workplace import log_tail

BUSY_TICK_SECONDS = 0.2
IDLE_TICK_SECONDS = 0.5
IDLE_CHILDREN_LEAVE_SECONDS = 0.5
HURRIED_SECONDS = 1.0
UNHURRIED_SECONDS = 5.0
_EARLY_DEATH_SECONDS = 1.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0
_SETUP = "gristmill.child:prepare"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "GRISTMILL_THREADS",
)

log = structlog.get_logger()


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code.

    Raises ConfigurationError when it cannot start: a broken process file, an unusable folder, a container with too
    little memory for its children.
    """
    return Worker(settings).run()


def check(settings: Settings) -> int:
    """Say whether the workers here go on; returns the exit code: 0 when at least one lives and none is stuck."""
    reason = check_folder(root_of(settings))
    print(reason or "The worker is well.")  # noqa: T201  what the command is for
    return 1 if reason else 0


@dataclass
class _Child:
    """One child from the wish for it until its end."""

    number: int
    slot: int
    began: float
    pid: int = 0
    watch: Watch | None = None
    sentence: Sentence | None = None
    percent: tuple[str, int, str] = ("", 0, "")


class Worker:
    """One worker's main loop. Limits are enforced here, so nothing here waits for Redis."""

    def __init__(self, settings: Settings) -> None:
        self.id = new_worker_id()
        self._settings = settings
        self._count = settings.children or usable_cpus()
        self._log = log.bind(worker=self.id)
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._slots = Slots.create(self._count)
        self._template: Template | None = None
        self._link: Link | None = None
        self._children: dict[int, _Child] = {}
        self._may_fork = False
        self._next_number = 1
        self._not_before = [0.0] * self._count
        self._early_deaths = 0
        self._stops_asked = 0
        self._stopping_since: float | None = None
        self._was_hurried = False
        self._next_tick = 0.0
        self._exit_code = 0

    def run(self) -> int:
        """Run until told to stop."""
        self._folder = WorkFolder(root_of(self._settings), self.id)
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(self._folder.close)
                stack.enter_context(self._signals())
                stack.callback(self._end_template)
                adopt_orphans()
                threading.Thread(target=self._remove_dead_workers, name="cleaner", daemon=True).start()
                self._log.info("worker starts", children=self._count, folder=str(self._folder.path))
                self._start_template()
                while not self._is_over():
                    self._wait()
                    self._read_inbox()
                    self._tick()
                self._leave()
        finally:
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()
            self._slots.close()
        return self._exit_code

    # The loop

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
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
        for key, _ in self._selector.select(max(0.0, self._next_tick - time.monotonic())):
            if key.fileobj is self._wake_reader:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(4096)
            elif self._template is not None:
                for event in self._template.events():
                    self._on_event(event)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._stops_asked:
            self._stop(now)
        if now < self._next_tick:
            return
        self._folder.touch()
        busy = False
        for child in self._children.values():
            busy |= self._look(child, now)
        self._next_tick = now + (BUSY_TICK_SECONDS if busy or self._stops_asked else IDLE_TICK_SECONDS)
        self._fill_slots(now)

    def _look(self, child: _Child, now: float) -> bool:
        """Enforce a child's limits and pass on its progress; returns whether it has a job."""
        report = self._slots.read(child.slot)
        if child.watch is None or report.child != child.number:
            return False
        sentence = child.watch.look(report, now)
        if sentence is not None:
            self._kill(child, sentence)
        if report.phase is Phase.RUNNING and self._link is not None:
            told = (report.job_id + report.token, report.percent, report.message)
            if told != child.percent:
                if (report.percent or report.message) and child.sentence is None:
                    self._link.progress(report)
                child.percent = told
        return report.phase is not Phase.IDLE

    def _kill(self, child: _Child, sentence: Sentence) -> None:
        if child.sentence is None and self._template is not None:
            child.sentence = sentence
            self._log.info(
                "child is killed",
                child=f"{self.id}.{child.number}",
                job_id=sentence.report.job_id,
                attempt=sentence.report.token,
                reason=sentence.reason,
            )
            self._template.kill(child.number)

    def _read_inbox(self) -> None:
        while self._link is not None:
            try:
                letter = self._link.inbox.get_nowait()
            except queue.Empty:
                return
            match letter:
                case Registered():
                    self._may_fork = True
                    self._fill_slots(time.monotonic())
                    self._log.info("worker is ready", children=self._count)
                case Dead(report):
                    for child in self._children.values():
                        now = self._slots.read(child.slot)
                        if now.phase is Phase.RUNNING and now.is_same_work(report):
                            self._kill(child, Sentence(report, None, "its job was dismissed, or given to another"))
                case Broken(reason):
                    self._fail(f"The worker cannot work with Redis: {reason}")

    # Template and children

    def _start_template(self) -> None:
        threads = str(max(1, usable_cpus() // self._count))
        environment = {name: os.environ.get(name, threads) for name in _THREAD_VARIABLES}
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"  # macOS ends forked children otherwise
        told = {
            "worker": self.id,
            "release": __version__,
            "folder": str(self._folder.path),
            "slots": [self._slots.count, self._slots.descriptor],
            "settings": self._settings.model_dump(mode="json"),
        }
        self._template = Template(_SETUP, json.dumps(told), slots=self._slots.descriptor, environment=environment)
        self._selector.register(self._template, selectors.EVENT_READ)

    def _on_event(self, event: object) -> None:
        match event:
            case Ready(facts):
                self._on_ready(facts)
            case Refused(reason) if self._link is None:
                self._end_template()
                raise ConfigurationError(reason)
            case Refused(reason):
                self._log.error("template failed", reason=reason)
            case Born(number, pid):
                child = self._children[number]
                child.pid = pid
                folder = self._folder.path
                child.watch = Watch(pid, scratch_of(folder, number), log_of(folder, number))
            case Ended(number, code):
                self._on_end(self._children.pop(number), code)
            case Gone():
                self._on_template_gone()

    def _on_ready(self, facts: Facts) -> None:
        if self._link is not None:
            self._may_fork = True
            self._fill_slots(time.monotonic())
            return
        self._check_memory(facts)
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

    def _check_memory(self, facts: Facts) -> None:
        most = container_memory_bytes()
        process, largest_mb = facts["largest"]
        own = OwnMemory().resident_bytes() + facts["resident_bytes"]
        if most is not None:
            check_memory(most, own, self._count, largest_mb * MIB, process)

    def _fill_slots(self, now: float) -> None:
        if not self._may_fork or self._template is None or self._stops_asked:
            return
        taken = {child.slot for child in self._children.values()}
        for slot in range(self._count):
            if slot not in taken and now >= self._not_before[slot]:
                child = _Child(self._next_number, slot, now)
                self._next_number += 1
                self._children[child.number] = child
                self._template.fork(child.number, slot)

    def _on_end(self, child: _Child, code: int) -> None:
        now = time.monotonic()
        report = self._slots.read(child.slot)
        log_file = log_of(self._folder.path, child.number)
        printed = log_tail(log_file) if report.phase is not Phase.IDLE else b""
        lost = verdict(report, child.sentence, code, printed)
        self._slots.clear(child.slot)
        if self._link is not None:
            self._link.settle(f"{self.id}.{child.number}", lost)
        threading.Thread(target=self._folder.remove_child, args=(child.number,), daemon=True).start()
        died_early = (
            code != 0 and not report.jobs and not self._stops_asked and now - child.began < _EARLY_DEATH_SECONDS
        )
        self._early_deaths = self._early_deaths + 1 if died_early else 0
        if died_early:
            delay = min(_FIRST_DELAY_SECONDS * 2 ** (self._early_deaths - 1), _LONGEST_DELAY_SECONDS)
            self._not_before[child.slot] = now + delay
            self._log.error("child ended at its start", child=f"{self.id}.{child.number}", code=code)
        elif code and child.sentence is None and not self._stops_asked:
            self._log.warning(
                "child crashed",
                child=f"{self.id}.{child.number}",
                code=code,
                job_id=report.job_id,
                attempt=report.token,
            )
        self._fill_slots(now)

    def _on_template_gone(self) -> None:
        """Without it the children die too. Take their ends from the kernel, and start another template."""
        if self._link is None:
            self._end_template()
            raise ConfigurationError("The template ended while it loaded the processes; its last lines say why.")
        self._log.error("template ended; its children are lost, and another is started")
        self._may_fork = False
        self._end_template()
        self._end_orphans()
        for child in list(self._children.values()):
            del self._children[child.number]
            self._on_end(child, -signal.SIGKILL)
        if not self._stops_asked:
            self._start_template()

    def _end_orphans(self) -> None:
        """Kill the children, which have become ours (Linux) or nobody's, and what they have started."""
        for child in self._children.values():
            if child.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
        for orphan in children_of(os.getpid()):
            for pid in (orphan, *descendants_of(orphan)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass

    def _end_template(self) -> None:
        if self._template is not None:
            self._selector.unregister(self._template)
            self._template.close()
            self._template = None

    # The end

    def _stop(self, now: float) -> None:
        if self._stopping_since is None:
            self._stopping_since = now
            self._slots.ask_to_stop()
            running = [child for child in self._children.values() if not self._is_idle(child)]
            for child in self._children.values():
                if child not in running and self._template is not None:
                    self._template.tell(child.number, signal.SIGTERM)
            self._log.info(
                "worker stops",
                running_jobs=len(running),
                grace_seconds=self._settings.workers_grace_seconds if running else 0,
            )
        waited = now - self._stopping_since
        hurried = self._stops_asked > 1
        if hurried and not self._was_hurried:
            self._was_hurried = True
            self._log.warning("second signal: running jobs are handed back at once")
        for child in self._children.values():
            most = IDLE_CHILDREN_LEAVE_SECONDS if self._is_idle(child) else self._settings.workers_grace_seconds
            if hurried or waited >= most:
                self._hand_back(child)

    def _hand_back(self, child: _Child) -> None:
        self._kill(child, Sentence(self._slots.read(child.slot), None, "the worker stops"))

    def _is_idle(self, child: _Child) -> bool:
        return self._slots.read(child.slot).phase is Phase.IDLE

    def _is_over(self) -> bool:
        return bool(self._stops_asked) and not self._children

    def _leave(self) -> None:
        self._end_template()
        if self._link is not None:
            seconds = HURRIED_SECONDS if self._stops_asked > 1 else UNHURRIED_SECONDS
            if not self._link.close(seconds):
                self._log.warning("Redis was not told; the jobs go to others when the lease runs out")
        self._log.info("worker has stopped")

    def _fail(self, reason: str) -> None:
        self._log.error(reason)
        self._exit_code = 1
        self._stops_asked += 1

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
