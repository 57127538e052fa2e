"""The commands ``gristmill queue`` and ``gristmill jobs``: each a few lines over the engine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.cli_support import checked_text, jobs_engine, load_settings
from gristmill.errors import ConflictError, NoSuchProcessError

if TYPE_CHECKING:
    from gristmill.jobs import Jobs

queue = typer.Typer(help="Look at the queue, pause and resume it.", no_args_is_help=True, rich_markup_mode=None)
jobs = typer.Typer(
    help="List, show, rerun and dismiss jobs; print their logs.", no_args_is_help=True, rich_markup_mode=None
)

ProcessName = Annotated[
    str, typer.Argument(metavar="[PROCESS]", help="Only this process; without it, all.", callback=checked_text)
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.", callback=checked_text)]


@queue.command("show")
def queue_show() -> None:
    """Show what waits and runs, by process."""
    from gristmill import console

    console.show_queues(jobs_engine().queues())


@queue.command("pause")
def queue_pause(process: ProcessName = "") -> None:
    """Let no further job start.

    Jobs are still accepted, and those that run go on.
    """
    engine = jobs_engine()
    _check_process(engine, process)
    engine.pause(process)
    typer.echo(
        f"Paused: {process or 'all processes'}. Jobs wait until `gristmill queue resume {process}`.".replace(
            " `.", "`."
        )
    )


@queue.command("resume")
def queue_resume(process: ProcessName = "") -> None:
    """Let jobs start again."""
    engine = jobs_engine()
    _check_process(engine, process)
    engine.resume(process)
    typer.echo(f"Resumed: {process or 'all processes'}.")


@jobs.command("list")
def jobs_list(
    process: Annotated[str, typer.Option(help="Only of this process.", callback=checked_text)] = "",
    status: Annotated[
        str,
        typer.Option(
            help="Only in this state: accepted, running, successful, failed, dismissed.", callback=checked_text
        ),
    ] = "",
    owner: Annotated[str, typer.Option(help="Only of this owner.", callback=checked_text)] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
) -> None:
    """List jobs, newest first."""
    from gristmill import console

    engine = jobs_engine()
    found = console.newest(engine, process=process, status=status, owner=owner, limit=limit)
    if not found:
        _check_process(engine, process)
    console.show_jobs(found)


@jobs.command("show")
def jobs_show(job_id: JobId) -> None:
    """Show everything about one job."""
    from gristmill import console

    engine = jobs_engine()
    job = engine.status(job_id)
    console.show_job(job, engine.log(job))


@jobs.command("log")
def jobs_log(job_id: JobId) -> None:
    """Print what a job printed, its last 64 KB."""
    engine = jobs_engine()
    job = engine.get(job_id)
    if log := engine.log(job):
        sys.stdout.buffer.write(log)
    else:
        printed = "has printed nothing" if job.status.is_final else "has not ended; its log is kept when it has"
        typer.echo(f"Job {job_id} {printed}.", err=True)


@jobs.command("rerun")
def jobs_rerun(job_id: JobId) -> None:
    """Run a finished job again, as a new job.

    With the same inputs; prints the new id.
    """
    typer.echo(jobs_engine().rerun(job_id).job.id)


@jobs.command("dismiss")
def jobs_dismiss(job_id: JobId) -> None:
    """Stop a job that has not finished."""
    from gristmill.job import Status

    job = jobs_engine().dismiss(job_id)
    if job.status is not Status.DISMISSED:
        raise ConflictError(f"Job {job.id} is {job.status.value} already: there is nothing to stop.")
    typer.echo(f"Job {job.id} is dismissed.")


def _check_process(engine: Jobs, name: str) -> None:
    """Let a process pass that is offered here or by a worker, or has jobs. NoSuchProcessError names those."""
    from gristmill.processes import load_registry

    known = {queue.process for queue in engine.queues()}
    if not name or name in known:
        return
    known |= load_registry(load_settings().processes_folder).keys()
    if name not in known:
        raise NoSuchProcessError(f"There is no process {name!r}; there are {', '.join(sorted(known))}.")
