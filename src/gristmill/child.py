"""What runs inside a child: claim a job, run its process, finish it and claim the next in one round trip.

``prepare`` is the setup of the worker's template (see ``template.py``): it loads the processes once, for all children.
"""

import errno
import json
import logging
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import structlog

from gristmill import logs
from gristmill.datasets.cache import Cache, cache_of
from gristmill.errors import (
    CacheUnusableError,
    FetchError,
    InvalidInputsError,
    LostAttemptError,
    QueryLimitError,
    StorageFullError,
    UnavailableError,
)
from gristmill.fetch import Fetcher
from gristmill.job import Attempt, End, Finish, Offer
from gristmill.job_data import JobData
from gristmill.jobs import Jobs
from gristmill.limits import MIB, OwnMemory, usable_cpus
from gristmill.processes import Process as ProcessDefinition
from gristmill.processes import ProducedOutput, Registry, RunContext, load_registry, preload
from gristmill.processes.workspaces import Workspaces
from gristmill.settings import Settings
from gristmill.slots import Slots
from gristmill.store import connect
from gristmill.template import Birth, Facts, Run
from gristmill.workfolder import log_of, scratch_of
from gristmill.workplace import Bounds, Workplace

WAIT_SECONDS = 2.0
DETAIL_LETTERS = 500
_LONGEST_PAUSE_SECONDS = 1.0
_WORTH_A_LINE_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 60.0
_LONG_SECONDS = 60  # a run that may take longer finds nothing open
_REST_SECONDS = 30.0  # from a run until what it has left open and free is given back: people think between two

log = structlog.get_logger()


@dataclass(frozen=True)
class Plan:
    """What all children of one worker share. folder: where each has its own folder and log, named by its number."""

    worker: str
    release: str
    folder: Path
    settings: Settings
    slots: Slots
    registry: Registry
    offers: tuple[Offer, ...]
    cache: Cache


def prepare(text: str) -> tuple[Facts, Run]:
    """Load the processes and what they need. Raises ConfigurationError where one of the team's files is broken."""
    told = json.loads(text)
    settings = Settings.model_validate(told["settings"])
    logs.configure(settings, component="worker")
    registry = load_registry(settings.processes_folder)
    preload()
    plan = Plan(
        worker=told["worker"],
        release=told["release"],
        folder=Path(told["folder"]),
        settings=settings,
        slots=Slots(*told["slots"]),
        registry=registry,
        offers=registry.offers(told["release"]),
        cache=cache_of(settings),  # here, for a child's working directory is another one
    )
    largest = max(registry.values(), key=lambda process: process.limits.memory_mb)
    facts = {
        "offers": [astuple(offer) for offer in plan.offers],
        "largest": [largest.id, largest.limits.memory_mb],
        "resident_bytes": OwnMemory().resident_bytes(),
    }
    return facts, lambda birth: _serve(birth, plan)


def _serve(birth: Birth, plan: Plan) -> None:
    stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
    place = Workplace(
        scratch_of(plan.folder, birth.number),
        log_of(plan.folder, birth.number),
        growth_bytes=plan.settings.child_growth_mb * MIB,
    )
    _part_logs(plan.settings, stderr)
    try:
        Child(birth, plan, place).serve()
    except Exception:
        log.exception("child failed", worker=plan.worker, child=birth.number)
        raise


def _part_logs(settings: Settings, stderr: TextIO) -> None:
    """Send our own lines to the worker's log, and what the processes log to the log of their job."""
    logs.configure(settings, component="worker", stream=stderr)
    root = logging.getLogger()
    ours = logging.getLogger("gristmill")
    ours.propagate = False
    ours.setLevel(root.level)
    root.setLevel(logging.INFO)
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        ours.addHandler(handler)
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(theirs)


class Child:
    """The loop of one child, which is idle or has exactly one job."""

    def __init__(self, birth: Birth, plan: Plan, place: Workplace) -> None:
        self.name = f"{plan.worker}.{birth.number}"
        self._birth = birth
        self._plan = plan
        self._place = place
        self._slot = plan.slots.slot(birth.slot)
        self._jobs = Jobs(connect(plan.settings), plan.settings, plan.release)
        self._fetcher = Fetcher(plan.settings)
        self._data = JobData(self._jobs.client, plan.settings, plan.cache, place.unlimited)
        self._log = log.bind(worker=plan.worker, child=self.name)
        self._workspaces = Workspaces()
        self._threads = max(1, usable_cpus() // plan.slots.count)  # once: it reads some files
        self._left = plan.settings.child_jobs
        self._pause = 0.0
        self._ended = 0.0
        self._is_settled = False
        self._context: RunContext | None = None

    def serve(self) -> None:
        """Run jobs until told to stop, or worn out."""
        self._slot.enter(self._birth.number)
        signal.signal(signal.SIGTERM, self._stop_when_idle)
        self._place.keep_handlers()
        attempt: Attempt | None = None
        while attempt is not None or not self._must_end():
            attempt = self._claim() if attempt is None else self._handle(attempt)

    def _must_end(self) -> bool:
        return (
            self._slot.must_stop
            or self._place.is_worn
            or self._left <= 0
            or self._is_settled
            or os.getppid() != self._birth.template
        )

    def _stop_when_idle(self, _number: int, _frame: object) -> None:
        if self._slot.is_idle:
            os._exit(0)

    def _claim(self) -> Attempt | None:
        try:
            attempt = self._jobs.wait_and_claim(self.name, self._plan.offers, WAIT_SECONDS)
        except UnavailableError:
            self._wait_for_redis()
            return None
        except LostAttemptError:
            self._is_settled = True
            return None
        self._pause = 0.0
        if attempt is None:
            self._rest()
        return attempt

    def _rest(self) -> None:
        if time.monotonic() - self._ended < _REST_SECONDS:
            self._workspaces.let_go_of_unwanted()
        else:
            self._workspaces.close()
            self._place.rest()

    def _wait_for_redis(self) -> None:
        self._pause = min(max(2 * self._pause, 0.05), _LONGEST_PAUSE_SECONDS)
        time.sleep(self._pause)

    def _handle(self, attempt: Attempt) -> Attempt | None:
        """Run the attempt and finish it; returns the next one, if there is one already."""
        began = time.monotonic()
        process = self._plan.registry.get(attempt.process)
        if process is None:
            finish = Finish(end=End.PROCESS_CHANGED, detail=f"This release has no process {attempt.process!r}.")
            produced: list[ProducedOutput] = []
        else:
            limits = process.limits
            bounds = Bounds(limits.memory_mb * MIB, limits.disk_mb * MIB or 1)
            if limits.seconds > _LONG_SECONDS:
                self._workspaces.close()  # the data set may go meanwhile
            memory_bytes = self._place.begin(bounds)
            self._slot.running(
                attempt.job_id,
                attempt.token,
                seconds=limits.seconds,
                memory_bytes=memory_bytes,
                disk_bytes=bounds.disk_bytes,
            )
            produced, finish = self._run(process, attempt)
            self._slot.finishing()
            printed = self._place.end()
            if self._place.has_grown:  # what the next job may not find: it can be claimed when this one is finished
                self._workspaces.close()
                self._place.measure()
            if printed:
                finish = replace(finish, log=printed)
        self._left -= 1
        following = self._finish(attempt, produced, finish)
        self._workspaces.tidy()  # now that the result is told
        self._place.measure()
        self._ended = time.monotonic()
        seconds = self._ended - began
        if finish.end is not None or seconds >= _WORTH_A_LINE_SECONDS:
            self._log.info(
                "attempt ended",
                job_id=attempt.job_id,
                attempt=attempt.token,
                process=attempt.process,
                end=finish.end.value if finish.end else "successful",
                detail=finish.detail,
                seconds=round(seconds, 3),
            )
        if following is None:
            self._slot.idle()
            self._workspaces.renew()
        return following

    def _run(self, process: ProcessDefinition, attempt: Attempt) -> tuple[list[ProducedOutput], Finish]:
        changed = attempt.interface != process.interface or attempt.release != self._plan.release
        try:
            inputs = json.loads(attempt.inputs.decode())
            if attempt.interface != process.interface:
                process.check(inputs)
            produced = process.run(inputs, self._new_context(process, attempt))
        except InvalidInputsError as error:
            end = End.PROCESS_CHANGED if changed else End.INVALID_INPUTS
            return [], Finish(end=end, detail=_one_line("; ".join(_faults(error))))
        except FetchError as error:
            return [], Finish(end=End.INVALID_INPUTS, detail=_one_line(error.detail))
        except BaseException as error:  # noqa: BLE001  the child's loop goes on whatever a process raises
            return [], self._failed(process, attempt, error)
        finally:
            self._context = None
        return produced, self._check_sizes(produced)

    def _new_context(self, process: ProcessDefinition, attempt: Attempt) -> RunContext:
        def progress(percent: int, message: str) -> None:
            if self._context is context:
                self._slot.progress(percent, message)

        context = RunContext(
            progress=progress,
            scratch=lambda: self._place.folder,
            fetcher=self._fetcher,
            opener=partial(self._data.open, attempt.job_id, process.limits.seconds),
            threads=self._threads,
            workspaces=self._workspaces,
            outputs=attempt.outputs,
        )
        self._context = context
        return context

    def _failed(self, process: ProcessDefinition, attempt: Attempt, error: BaseException) -> Finish:
        if isinstance(error, MemoryError):
            self._place.lift_limits()
            self._place.is_worn = True
            most = process.limits.memory_mb
            return Finish(end=End.OUT_OF_MEMORY, detail=f"The process needed more than its {most} MiB of memory.")
        if isinstance(error, QueryLimitError):
            return Finish(end=End.OUT_OF_MEMORY, detail=_one_line(error.detail))
        if isinstance(error, CacheUnusableError):
            return Finish(end=End.OUT_OF_DISK, detail=_one_line(error.detail))
        if isinstance(error, OSError) and error.errno in {errno.EFBIG, errno.ENOSPC, errno.EDQUOT}:
            if error.errno == errno.EFBIG:
                most = process.limits.disk_mb
                return Finish(end=End.OUT_OF_DISK, detail=f"The process wrote a file of more than its {most} MiB.")
            return Finish(end=End.OUT_OF_DISK, detail=_one_line(f"The worker's disk is full: {error}"))
        with suppress(Exception):  # the run may have closed or replaced its standard error
            traceback.print_exception(type(error), error, error.__traceback__ and error.__traceback__.tb_next)
        retry_after = None
        if attempt.retries < process.limits.retries:
            retry_after = min(2.0**attempt.retries, _LONGEST_RETRY_SECONDS) * random.uniform(0.75, 1.25)  # noqa: S311
        return Finish(end=End.EXCEPTION, detail=_one_line(_said(error)), retry_after=retry_after)

    def _check_sizes(self, produced: list[ProducedOutput]) -> Finish:
        settings = self._plan.settings
        total = 0
        for output in produced:
            total += len(output.data)
            if len(output.data) > settings.output_bytes:
                return _not_stored(f"Output {output.name!r}", len(output.data), settings.output_bytes)
        if total > settings.result_bytes:
            return _not_stored("The result", total, settings.result_bytes)
        return Finish()

    def _finish(self, attempt: Attempt, produced: list[ProducedOutput], finish: Finish) -> Attempt | None:
        """End the attempt, however long Redis is away; returns the next one."""
        self._pause = 0.0
        while True:
            try:
                if finish.end is None and len(finish.outputs) < len(produced):
                    finish = replace(finish, outputs=self._store(attempt, produced))
                offers = () if self._must_end() else self._plan.offers
                return self._jobs.finish(attempt.job_id, attempt.token, finish, child=self.name, offers=offers)
            except LostAttemptError:
                self._log.info(
                    "attempt was lost; its result is thrown away", job_id=attempt.job_id, attempt=attempt.token
                )
                return None
            except StorageFullError as error:
                finish = Finish(end=End.RESULT_NOT_STORED, detail=error.detail, log=finish.log)
            except UnavailableError:
                if not self._pause:
                    self._log.warning("Redis is away; the result is kept", job_id=attempt.job_id, attempt=attempt.token)
                self._wait_for_redis()
            if os.getppid() != self._birth.template:
                return None

    def _store(self, attempt: Attempt, produced: list[ProducedOutput]) -> Any:
        return tuple(
            self._jobs.put_output(attempt.token, attempt.job_id, output.name, output.media_type, output.data)
            for output in produced
        )


def _not_stored(what: str, size: int, most: int) -> Finish:
    return Finish(end=End.RESULT_NOT_STORED, detail=f"{what} has {size:,} bytes; {most:,} are the most.")


def _faults(error: InvalidInputsError) -> list[str]:
    return [f"{fault.pointer}: {fault.detail}" for fault in error.faults] or [error.detail]


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  an exception may be as broken as what raised it
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(text: str) -> str:
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()  # file names may hold half characters
    return line if len(line) <= DETAIL_LETTERS else line[: DETAIL_LETTERS - 1] + "…"
