"""Reads uploaded files in children beside the API, each killed at its limits; its death is an error with its cause.

A child is killed too when the client of the upload has gone: it holds one of few places, for nobody.

A template (see ``template.py``) has DuckDB imported and forks a child for each file, in milliseconds. The child takes
its task from a file in its own folder and leaves its answer there. The folder goes with the child, whatever happens.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401  the template imports it once, for all children
import structlog

from gristmill import errors
from gristmill.datasets.facts import Facts
from gristmill.datasets.ingest import ingest
from gristmill.datasets.options import ReadingLimits, ReadingOptions
from gristmill.errors import BusyError, Fault, GristmillError, ReadingFailedError
from gristmill.limits import OwnMemory, limit_files, limit_memory, no_core_dumps, usable_cpus
from gristmill.presence import acquired, happened
from gristmill.settings import Settings
from gristmill.template import Birth, Born, Ended, Event, Gone, Ready, Refused, Template
from gristmill.template import Facts as TemplateFacts
from gristmill.template import Run as TemplateRun

_SETUP = "gristmill.datasets.reading:prepare"
_TASK = "task.json"
_ANSWER = "answer.json"
_LOG = "log"
_LOG_LETTERS = 2000
_RETRY_SECONDS = 5
# How long a file waits for a place, less than any request may stand.
PLACE_SECONDS = 20.0
_START_SECONDS = 30.0
_END_SECONDS = 5.0
# A text file in another encoding is copied in UTF-8, which is at most so much longer.
COPY_GROWTH = 2

log = structlog.get_logger()


@dataclass
class _Reading:
    """One child: it is waited for here."""

    number: int
    ended: threading.Event = field(default_factory=threading.Event)
    code: int = 0


class Readings:
    """Of one API process: a bounded number at a time. Safe for use by many threads."""

    def __init__(self, limits: ReadingLimits, *, most: int, folder: Path | None = None) -> None:
        """folder: where each child has a folder of its own while it runs; None: in the system's temporary one.

        Only the kill of this process leaves something in it: clear it at the next start.
        """
        self._limits = limits
        self._places = threading.BoundedSemaphore(most)
        self._most = most
        self._folder = folder
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None
        self._next = 1

    @classmethod
    def of(cls, settings: Settings, *, folder: Path | None = None) -> "Readings":
        """As the settings say."""
        return cls(ReadingLimits.of(settings), most=settings.dataset_readings or usable_cpus(), folder=folder)

    def read(self, source: Path, target: Path, options: ReadingOptions) -> Facts:
        """Read a file in a child and write ``target``; waits for it. Nothing but ``source`` remains of a failure.

        Raises BusyError when all places stay taken for ``PLACE_SECONDS``, and what ``ingest`` raises;
        ReadingFailedError when the child was killed at a limit, or has died; ClientGoneError when the client goes.
        """
        if not acquired(self._places, PLACE_SECONDS):
            raise BusyError(
                f"As many uploads are being read now as may be at a time: {self._most} (setting "
                "GRISTMILL_DATASET_READINGS). Send the upload again later.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        try:
            with tempfile.TemporaryDirectory(prefix="gristmill-reading-", dir=self._folder) as folder:
                return self._read(Path(folder), source.absolute(), target.absolute(), options)
        finally:
            self._places.release()

    def prepare(self) -> None:
        """Start the template, or a new one where it has gone; does not wait for it."""
        with self._lock:
            self._nursery_now()

    def close(self) -> None:
        """End the template, and all children that still run."""
        with self._lock:
            nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()

    def _read(self, folder: Path, source: Path, target: Path, options: ReadingOptions) -> Facts:
        written = folder / "table.parquet"
        task = {
            "source": str(source),
            "target": str(written),
            "options": asdict(options),
            "limits": asdict(self._limits),
            "file_bytes": max(self._limits.stored_bytes, COPY_GROWTH * source.stat().st_size),
        }
        (folder / _TASK).write_text(json.dumps(task), "utf-8")
        nursery, reading = self._begin(folder)
        is_over = False
        try:
            is_over = happened(reading.ended, self._limits.seconds)
        finally:
            if not is_over:
                nursery.kill(reading)
        if not is_over:
            raise ReadingFailedError(
                f"Reading the file took more than {self._limits.seconds:g} s (setting "
                "GRISTMILL_DATASET_READING_SECONDS). Upload fewer rows or columns."
            )
        facts = _answer(folder, reading.code, self._limits)
        shutil.move(written, target)
        return facts

    def _begin(self, folder: Path) -> "tuple[_Nursery, _Reading]":
        with self._lock:
            nursery = self._nursery_now()
            reading = _Reading(self._next)
            self._next += 1
        nursery.fork(reading, folder)  # which waits until the template has started
        return nursery, reading

    def _nursery_now(self) -> "_Nursery":
        if self._nursery is None or self._nursery.is_gone:
            self._nursery = _Nursery(self._folder)
        return self._nursery


class _Nursery:
    """A template, and the thread that starts it and hears from it."""

    def __init__(self, folder: Path | None) -> None:
        self.is_gone = False
        self._is_closed = False
        self._lock = threading.Lock()
        self._readings: dict[int, _Reading] = {}
        self._tasks = Path(tempfile.mkdtemp(prefix="gristmill-tasks-", dir=folder))
        self._is_known = threading.Event()
        self._template: Template | None = None
        # The kernel ends a template that is being set up with the thread that started it.
        self._thread = threading.Thread(target=self._listen, name="readings", daemon=True)
        self._thread.start()

    def fork(self, reading: _Reading, folder: Path) -> None:
        """Let a child work on the task in this folder."""
        if not self._is_known.wait(_START_SECONDS) or self._template is None:
            raise _no_template()
        (self._tasks / str(reading.number)).symlink_to(folder)
        with self._lock:
            if self.is_gone:
                raise _no_template()
            self._readings[reading.number] = reading
            self._template.fork(reading.number, 0)

    def kill(self, reading: _Reading) -> None:
        """Kill a child and wait until it has ended."""
        if self._template is not None:
            with self._lock:
                self._template.kill(reading.number)
            if not reading.ended.wait(_END_SECONDS):
                log.error("template does not answer and is ended", pid=self._template.pid)
                self._template.destroy()

    def close(self) -> None:
        """End everything."""
        with self._lock:
            self._is_closed = True
            if self._template is not None:
                self._template.destroy()
        self._thread.join(_END_SECONDS)

    def _start(self, devnull: int) -> Template:
        template = Template(_SETUP, str(self._tasks), slots=devnull)
        with self._lock:
            self._template = template
            if self._is_closed:
                template.destroy()
        return template

    def _listen(self) -> None:
        devnull = os.open(os.devnull, os.O_RDONLY)
        try:
            template = self._start(devnull)
            while self._hear(template.events()):
                pass
        finally:
            os.close(devnull)
            with self._lock:
                self.is_gone = True
                lost = list(self._readings.values())
            if self._template is not None:
                self._template.close()
            self._is_known.set()
            for reading in lost:
                reading.code = -signal.SIGKILL
                reading.ended.set()
            shutil.rmtree(self._tasks, ignore_errors=True)

    def _hear(self, events: list[Event]) -> bool:
        for event in events:
            match event:
                case Ready():
                    self._is_known.set()
                case Ended(number, code):
                    with self._lock:
                        reading = self._readings.pop(number)
                    (self._tasks / str(number)).unlink(missing_ok=True)
                    reading.code = code
                    reading.ended.set()
                case Refused(reason):
                    log.error("template for reading uploads failed", reason=reason)
                    return False
                case Gone():
                    return False
                case Born():
                    pass
        return True


# In the API process, when the child has ended


def _no_template() -> BusyError:
    return BusyError(
        "The process that reads uploads does not start, or has ended. Send the upload again later.",
        retry_after_seconds=_RETRY_SECONDS,
    )


def _answer(folder: Path, code: int, limits: ReadingLimits) -> Facts:
    try:
        told = json.loads((folder / _ANSWER).read_text("utf-8"))
    except (OSError, ValueError):
        printed = _last_lines(folder / _LOG)
        log.warning("child that read an upload died", code=code, printed=printed)
        if code == -signal.SIGKILL:  # which no limit of ours sends
            raise BusyError(
                "The process that read the file was killed, as the system does when a machine or container has no "
                "memory left, or when the server stops. Send the upload again.",
                retry_after_seconds=_RETRY_SECONDS,
            ) from None
        raise ReadingFailedError(_cause_of_death(code, printed, limits)) from None
    if "facts" in told:
        return Facts.from_json(told["facts"])
    kind = getattr(errors, told["error"], GristmillError)
    raise kind(told["detail"], faults=[Fault(**fault) for fault in told["faults"]])


def _cause_of_death(code: int, printed: str, limits: ReadingLimits) -> str:
    if "bad_alloc" in printed or "MemoryError" in printed or "Out of Memory" in printed:
        return (
            f"Reading the file took more than {limits.memory_bytes // 2**20:,} MiB of memory (setting "
            "GRISTMILL_DATASET_READING_MEMORY_MB). Upload fewer columns, shorter values, or smaller Parquet row groups."
        )
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            # What has no memory left does not always say so: C++ may run into a null pointer.
            most = f"{limits.memory_bytes // 2**20:,} MiB of memory (setting GRISTMILL_DATASET_READING_MEMORY_MB)"
            return (
                f"The process that read the file was ended by {name}. It may have needed more than its {most}, or the "
                "file is damaged."
            )
    return f"The process that read the file ended with code {code} and said nothing. The file may be damaged."


def _last_lines(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[-_LOG_LETTERS:]
    except OSError:
        return ""


# In the template and its children


def prepare(tasks: str) -> tuple[TemplateFacts, TemplateRun]:
    """Be the template: a child finds its folder in ``tasks`` by its number."""

    def run(birth: Birth) -> None:
        work(Path(tasks, str(birth.number)).resolve())

    return {}, run


def work(folder: Path) -> None:
    """Do the task of this folder under its limits and leave the answer."""
    with _output_to(folder / _LOG):
        os.chdir(folder)
        no_core_dumps()
        task = json.loads((folder / _TASK).read_text("utf-8"))
        limits = ReadingLimits(**task["limits"])
        limit_files(task["file_bytes"])
        limit_memory(OwnMemory().data_bytes() + limits.memory_bytes)
        answer = _done(task, limits)
        limit_memory(None)
        unfinished = folder / f"{_ANSWER}.new"
        unfinished.write_text(json.dumps(answer), "utf-8")
        unfinished.rename(folder / _ANSWER)


def _done(task: dict[str, Any], limits: ReadingLimits) -> dict[str, Any]:
    options = task["options"] | {"nulls": tuple(task["options"]["nulls"])}
    try:
        facts = ingest(Path(task["source"]), Path(task["target"]), ReadingOptions(**options), limits)
    except GristmillError as error:
        faults = [asdict(fault) for fault in error.faults]
        return {"error": type(error).__name__, "detail": error.detail, "faults": faults}
    return {"facts": facts.as_json()}


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """What C++ says before it aborts goes to a file too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    yield
