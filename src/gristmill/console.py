"""What the command line prints: tables on a terminal, the same columns unfolded when piped."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gristmill.errors import ConfigurationError
from gristmill.job import Job, JobFilter, QueueState, Status, Waiting
from gristmill.settings_table import as_text, rows, without_password

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gristmill.doctor import Finding
    from gristmill.jobs import Jobs
    from gristmill.processes import Process
    from gristmill.settings import Settings

_COLORS = {"successful": "green", "running": "cyan", "failed": "red", "dismissed": "yellow"}
_LEVELS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}
_WIDE = 10_000


def console() -> Console:
    """A console on standard output that never cuts or folds what is piped."""
    return Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False, soft_wrap=not sys.stdout.isatty())


def table(*columns: str) -> Table:
    """An empty table in the style of all of ours. The first column is never folded: it names the row, to be copied."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=not made.columns)
    return made


def when(microseconds: int | None) -> str:
    """A stored time, in the local time zone, to the second."""
    if microseconds is None:
        return ""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def why_waiting(waiting: Waiting | None) -> str:
    """Why an accepted job waits, in words."""
    if waiting is None:
        return ""
    return {
        "next": "will be taken next",
        "position": f"{waiting.position} before it",
        "paused": "its process is paused",
        "limit": "as many run at once as its process allows",
        "no-worker": "no live worker can take it",
        "retry": f"is tried again at {when(waiting.not_before)}",
        "joined": f"the same work is under way as job {waiting.joined}",
    }.get(waiting.reason, waiting.reason)


def newest(jobs: Jobs, *, process: str, status: str, owner: str, limit: int) -> list[Job]:
    """The newest jobs that match, over as many pages as it takes."""
    if status and status not in set(Status):
        raise ConfigurationError(f"There is no state {status!r}; the states are {', '.join(Status)}.")
    wanted = JobFilter(
        owner=owner,
        processes=(process,) if process else (),
        statuses=(Status(status),) if status else (),
    )

    def walk() -> Iterable[Job]:
        cursor = ""
        while True:
            page = jobs.list(wanted, limit=min(limit, 1000), cursor=cursor)
            yield from page.jobs
            cursor = page.next_cursor
            if not cursor:
                return

    return list(islice(walk(), min(limit, sys.maxsize)))


def show_jobs(jobs: Iterable[Job]) -> None:
    """One line a job."""
    made = table("id", "process", "owner", "status", "created", "message")
    for job in jobs:
        made.add_row(
            job.id, job.process, escape(job.owner), _status(job), when(job.created), escape(_said(job) or job.detail)
        )
    _print(made, "No jobs.")


def show_job(job: Job, log: bytes) -> None:
    """One line a fact, then the log."""
    made = table("", "")
    facts = {
        "id": job.id,
        "process": job.process,
        "owner": escape(job.owner),
        "status": _status(job),
        "message": escape(_said(job)),
        "created": when(job.created),
        "started": when(job.started),
        "finished": when(job.finished),
        "attempts": str(job.attempts or ""),
        "release": job.run_release or job.release,
        "worker": job.worker,
        "end": job.end.value if job.end else "",
        "detail": escape(job.detail),
        "same as": job.same_as,
        "outputs": ", ".join(f"{output.name} ({output.media_type}, {output.size} bytes)" for output in job.outputs),
    }
    for name, value in facts.items():
        if value:
            made.add_row(name, value)
    made.show_header = False
    out = console()
    out.print(made)
    if log:
        out.print("\nlog:", style="bold")
        out.print(log.decode(errors="replace").rstrip(), markup=False)


def show_queues(queues: Iterable[QueueState]) -> None:
    """One line a process."""
    made = table("process", "ready", "running", "delayed", "oldest", "workers", "state")
    for queue in queues:
        oldest = f"{queue.oldest_seconds:.0f} s" if queue.ready else ""
        numbers = (str(queue.ready), str(queue.running), str(queue.delayed), oldest, str(queue.workers))
        state = "[yellow]paused[/]" if queue.paused else "" if queue.workers else "[yellow]no worker[/]"
        made.add_row(queue.process, *numbers, state)
    _print(made, "No jobs are queued, and no worker offers a process.")


def show_processes(processes: Mapping[str, Process]) -> None:
    """One line a process."""
    made = table("id", "version", "title", "limits")
    for name in sorted(processes):
        process = processes[name]
        limits = f"{process.limits.seconds} s, {process.limits.memory_mb} MB, {process.limits.disk_mb} MB disk"
        made.add_row(name, process.version, escape(process.title), limits)
    _print(made, "No processes.")


def show_settings(settings: Settings) -> None:
    """One line a setting; a password in a URL is not shown."""
    made = table("setting", "value", "default", "unit", "meaning")
    for row in rows():
        value = as_text(getattr(settings, row.field))
        shown = "" if value == row.default else f"[bold]{escape(without_password(value))}[/]"
        made.add_row(row.variable, shown, escape(row.default), row.unit, escape(row.help))
    _print(made, "")


def show_findings(findings: Iterable[Finding]) -> None:
    """One line a finding of the doctor."""
    made = table("", "", "")
    made.show_header = False
    for finding in findings:
        made.add_row(_LEVELS[finding.level], finding.subject, escape(finding.detail))
    _print(made, "")


def _status(job: Job) -> str:
    text = f"{job.status.value} {job.progress} %" if job.status is Status.RUNNING else job.status.value
    color = _COLORS.get(job.status.value)
    return f"[{color}]{text}[/]" if color else text


def _said(job: Job) -> str:
    return job.message or why_waiting(job.waiting)


def _print(made: Table, when_empty: str) -> None:
    console().print(made if made.row_count else when_empty)
