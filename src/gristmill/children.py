"""The children of one worker, from the wish for one until its end, and the template that forks them."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from gristmill import __version__
from gristmill.errors import ConfigurationError
from gristmill.job import Lost
from gristmill.limits import children_of, descendants_of, usable_cpus
from gristmill.settings import Settings
from gristmill.slots import Phase, Report, Slots
from gristmill.template import Born, Ended, Facts, Gone, Ready, Refused, Template
from gristmill.watch import Sentence, Watch, verdict
from gristmill.workfolder import WorkFolder, log_of, scratch_of
from gristmill.workplace import log_tail

_EARLY_DEATH_SECONDS = 1.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0
# A template obeys within milliseconds; one that has not done so for this long is replaced.
_OBEY_SECONDS = 10.0
_SETUP = "gristmill.child:prepare"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "CHILD_THREADS",
)

log = structlog.get_logger()


@dataclass
class Child:
    """One child. asked: since when the template is to fork or to kill it. told: what progress was passed on last."""

    number: int
    slot: int
    began: float
    asked: float | None
    pid: int = 0
    watch: Watch | None = None
    sentence: Sentence | None = None
    told: tuple[str, str, int, str] = ("", "", 0, "")


class Children:
    """Forks, watches and kills; what it finds goes to three functions.

    on_ready: called with the facts of the first template. on_end: with a dead child's name and how its work ends, as
    ``Link.settle`` takes them. on_progress: with the report of a child whose progress has changed.
    """

    def __init__(
        self,
        worker: str,
        settings: Settings,
        folder: WorkFolder,
        slots: Slots,
        *,
        on_ready: Callable[[Facts], None],
        on_end: Callable[[str, Lost | None], None],
        on_progress: Callable[[Report], None],
    ) -> None:
        self.template: Template | None = None
        self._worker = worker
        self._settings = settings
        self._folder = folder
        self._slots = slots
        self._on_ready = on_ready
        self._on_end = on_end
        self._on_progress = on_progress
        self._log = log.bind(worker=worker)
        self._living: dict[int, Child] = {}
        self._is_ready = False
        self._was_ready = False
        self._may_fork = False
        self._is_stopping = False
        self._start_at = 0.0
        self._next_number = 1
        self._not_before = [0.0] * slots.count
        self._early_deaths = 0

    def __len__(self) -> int:
        return len(self._living)

    def __iter__(self) -> Iterator[tuple[Child, Report]]:
        """Each child, and what it says now."""
        for child in list(self._living.values()):
            yield child, self._slots.read(child.slot)

    def start(self) -> None:
        """Start a template; ``events`` hears from it."""
        threads = str(max(1, usable_cpus() // self._slots.count))
        environment = {name: os.environ.get(name, threads) for name in _THREAD_VARIABLES}
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"  # macOS ends forked children otherwise
        told = {
            "worker": self._worker,
            "release": __version__,
            "folder": str(self._folder.path),
            "slots": [self._slots.count, self._slots.descriptor],
            "settings": self._settings.model_dump(mode="json"),
        }
        self.template = Template(_SETUP, json.dumps(told), slots=self._slots.descriptor, environment=environment)

    def let_fork(self) -> None:
        """From now on every slot is to have a child: the worker is known to Redis."""
        self._may_fork = True
        self.fill(time.monotonic())

    def fill(self, now: float) -> None:
        """Ask for a child for each slot that has none, and start a template if it is time for another."""
        if self.template is None and now >= self._start_at and not self._is_stopping:
            self.start()
        if not (self._may_fork and self._is_ready and self.template) or self._is_stopping:
            return
        taken = {child.slot for child in self._living.values()}
        for slot in range(self._slots.count):
            if slot not in taken and now >= self._not_before[slot]:
                self._living[self._next_number] = Child(self._next_number, slot, now, now)
                self.template.fork(self._next_number, slot)
                self._next_number += 1

    def look(self, now: float) -> bool:
        """Enforce limits and pass on progress; returns whether any child has a job."""
        self._urge_template(now)
        busy = False
        for child, report in self:
            if child.watch is None or report.child != child.number:
                continue
            busy |= report.phase is not Phase.IDLE
            sentence = child.watch.look(report, now)
            if sentence is not None:
                self.kill(child, sentence)
            told = (report.job_id, report.token, report.percent, report.message)
            if report.phase is Phase.RUNNING and child.sentence is None and told != child.told:
                child.told = told
                if report.percent or report.message:
                    self._on_progress(report)
        return busy

    def _urge_template(self, now: float) -> None:
        """Continue a template that a job has stopped, and replace one that does not obey: it alone forks and kills."""
        if self.template is None:
            return
        if self.template.is_stopped:
            self._log.warning("template was stopped; it is continued")
            self.template.go_on()
        if any(child.asked is not None and now - child.asked > _OBEY_SECONDS for child in self._living.values()):
            self._log.error("template does not answer and is replaced")
            self.template.destroy()

    def kill(self, child: Child, sentence: Sentence) -> None:
        """Kill a child with its group; only the first sentence counts."""
        if child.sentence is None and self.template is not None:
            child.sentence = sentence
            child.asked = time.monotonic()
            self._log.info(
                "child is killed",
                child=f"{self._worker}.{child.number}",
                job_id=sentence.report.job_id,
                attempt=sentence.report.token,
                reason=sentence.reason,
            )
            self.template.kill(child.number)

    def kill_for(self, report: Report) -> None:
        """Kill the child that still runs the work of this report, because the work is no longer its own."""
        for child, current in self:
            if current.phase is Phase.RUNNING and current.is_same_work(report):
                self.kill(child, Sentence(current, None, "its job was dismissed, or given to another"))

    def stop_claiming(self) -> int:
        """Let idle children go, and the others after their job; returns how many have one."""
        self._is_stopping = True
        self._slots.ask_to_stop()
        running = 0
        for child, report in self:
            if report.phase is not Phase.IDLE:
                running += 1
            elif self.template is not None:
                self.template.tell(child.number, signal.SIGTERM)
        return running

    def events(self) -> None:
        """Take in what the template says; waits when it says nothing.

        Raises ConfigurationError when the first template does not become ready.
        """
        if self.template is None:
            return
        for event in self.template.events():
            match event:
                case Ready(facts):
                    self._is_ready = True
                    if not self._was_ready:
                        self._was_ready = True
                        self._on_ready(facts)
                    self.fill(time.monotonic())
                case Refused(reason):
                    if not self._was_ready:
                        raise ConfigurationError(reason)
                    self._log.error("template failed", reason=reason)
                case Born(number, pid):
                    folder = self._folder.path
                    self._living[number].pid = pid
                    if self._living[number].sentence is None:
                        self._living[number].asked = None
                    self._living[number].watch = Watch(pid, scratch_of(folder, number), log_of(folder, number))
                case Ended(number, code):
                    self._end(self._living.pop(number), code)
                case Gone():
                    self._template_gone()

    def close(self) -> None:
        """End the template and all children."""
        self._is_ready = False
        if self.template is not None:
            self.template.close()
            self.template = None

    def _end(self, child: Child, code: int) -> None:
        now = time.monotonic()
        name = f"{self._worker}.{child.number}"
        report = self._slots.read(child.slot)
        log_file = log_of(self._folder.path, child.number)
        printed = log_tail(log_file) if report.phase is not Phase.IDLE else b""
        self._slots.clear(child.slot)
        self._on_end(name, verdict(report, child.sentence, code, printed))
        threading.Thread(target=self._folder.remove_child, args=(child.number,), daemon=True).start()
        if not code or self._is_stopping:
            self._early_deaths = 0
        elif not report.jobs and now - child.began < _EARLY_DEATH_SECONDS:
            delay = min(_FIRST_DELAY_SECONDS * 2**self._early_deaths, _LONGEST_DELAY_SECONDS)
            self._early_deaths += 1
            self._not_before[child.slot] = now + delay
            self._log.error("child ended at its start", child=name, code=code)
        else:
            self._early_deaths = 0
            if child.sentence is None:
                self._log.warning("child crashed", child=name, code=code, job_id=report.job_id, attempt=report.token)
        self.fill(now)

    def _template_gone(self) -> None:
        """Without it the children die too. Take their ends from the kernel; another template follows."""
        self._start_at = time.monotonic() + (0 if self._is_ready else _LONGEST_DELAY_SECONDS)
        self.close()
        if not self._was_ready:
            raise ConfigurationError("The template ended while it loaded the processes; its last lines say why.")
        self._log.error("template ended; its children are lost, and another follows")
        self._end_orphans()
        for number in list(self._living):
            self._end(self._living.pop(number), -signal.SIGKILL)
        self.fill(time.monotonic())

    def _end_orphans(self) -> None:
        """Kill the children, which have become ours (Linux) or nobody's, and what they have started."""
        for child in self._living.values():
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
