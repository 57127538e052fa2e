"""The command ``gristmill``. Each command is a few lines over the module that does the work.

Modules are imported inside the commands, so that ``gristmill --help`` and a wrong option answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill import cli_jobs
from gristmill.cli_support import checked_text, load_settings, with_redis
from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    help="Put a data set, and the analyses over it, online as an HTTP API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every setting is an environment variable: see `gristmill settings`.",
)
token = typer.Typer(help="Make bearer tokens.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(cli_jobs.queue, name="queue")
app.add_typer(cli_jobs.jobs, name="jobs")
app.add_typer(token, name="token")

Host = Annotated[str | None, typer.Option(help="Address to listen on (GRISTMILL_HOST).", callback=checked_text)]
Port = Annotated[int | None, typer.Option(help="Port to listen on (GRISTMILL_PORT); 0: any free one.")]


class Role(StrEnum):
    """What a token allows."""

    READ = "read"
    RUN = "run"
    MANAGE = "manage"


class Environment(StrEnum):
    """A deployment on Kubernetes."""

    TEST = "test"
    PROD = "prod"


def main() -> None:
    """Run the command line; an error of ours, or of a file, becomes a paragraph on standard error and exit code 1."""
    try:
        app()
    except GristmillError as error:
        typer.echo(f"gristmill: {_told(error)}", err=True)
        for fault in error.faults:
            typer.echo(f"  {fault.pointer}: {fault.detail}", err=True)
        raise SystemExit(1) from None
    except OSError as error:
        if error.filename is None and error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        # A full standard output has no name.
        typer.echo(f"gristmill: {error.filename or 'what it writes finds no room'}: {error.strerror}.", err=True)
        raise SystemExit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Before any command."""


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="Run a sample job once everything is up.")] = False,
    exit_after_demo: Annotated[bool, typer.Option("--exit-after-demo", help="Run the sample job, then stop.")] = False,
    host: Host = None,
    port: Port = None,
) -> None:
    """Start everything on this computer.

    The embedded server (or the one of REDIS_URL), the API and a worker; Ctrl-C stops them all.
    """
    from gristmill.up import run_up

    raise SystemExit(
        run_up(load_settings(host=host, port=port), demo=demo or exit_after_demo, stay=not exit_after_demo)
    )


@app.command()
def api(
    host: Host = None,
    port: Port = None,
    check: Annotated[bool, typer.Option("--check", help="Say whether the API here is alive, and exit.")] = False,
) -> None:
    """Serve the API alone.

    Over the Redis of REDIS_URL, or of a running `gristmill up`.
    """
    from gristmill import logs, probe
    from gristmill.datasets.intake import remove_dead
    from gristmill.flask_api import is_streamed, serving_app
    from gristmill.server import serve

    settings = load_settings(host=host, port=port)
    if check:
        raise SystemExit(probe.tell("API", probe.check_api(settings.host, settings.port)))
    settings = with_redis(settings)
    logs.configure(settings, component="api")
    code = serve(settings, lambda draining: serving_app(settings, draining), is_streamed)
    with suppress(OSError, GristmillError):
        remove_dead(settings)  # of the serving processes, which have ended
    raise SystemExit(code)


@app.command()
def worker(
    check: Annotated[bool, typer.Option("--check", help="Say whether the worker here is alive, and exit.")] = False,
) -> None:
    """Run a worker alone.

    Over the Redis of REDIS_URL, or of a running `gristmill up`.
    """
    from gristmill import logs, probe
    from gristmill import worker as part

    settings = load_settings()
    if check:
        raise SystemExit(probe.tell("worker", probe.check_worker(settings.worker_folder)))
    settings = with_redis(settings)
    logs.configure(settings, component="worker")
    raise SystemExit(part.run_worker(settings))


@app.command()
def check() -> None:
    """Check the component of this container.

    The API or the worker, whichever is its first process; exit code 1 when it is not well.
    """
    from gristmill import probe

    raise SystemExit(probe.main(["check"]))


@app.command()
def verify(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A URL, or the environment test or prod.")],
    *,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with a token, for all checks. Or GRISTMILL_TOKEN; not an option, which `ps` shows to everybody.",
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate (PEM) of the authority to trust for https.")
    ] = None,
    expect_version: Annotated[
        str, typer.Option(metavar="X.Y.Z", help="The release that must answer.", callback=checked_text)
    ] = "",
    seconds: Annotated[float, typer.Option(min=10, help="Time for the whole run, cleaning up included.")] = 180,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML; -: standard output.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JSON; -: standard output.")] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only what is not right, and the last line.")
    ] = False,
) -> None:
    """Check a deployment from outside, end to end.

    Cleans up after itself. Exit code 0: all holds; 1: something does not; 2: wrong use; 3: nothing answers.
    """
    from gristmill.verify.command import run_verify
    from gristmill.verify.options import Options, read_authority, read_token
    from gristmill.verify.target import UsageError, read_target

    try:
        at = read_target(target)
        settings = load_settings() if at.environment else None
        options = Options(
            token=read_token(token_file, os.environ),
            tls=read_authority(ca),
            expect_version=expect_version.removeprefix("v"),
            seconds=seconds,
            redis_url=settings.redis_url if settings else "",
            secrets_folder=settings.secrets_folder if settings else None,
        )
        raise SystemExit(run_verify(at, options, junit=junit, json=json, quiet=quiet))
    except UsageError as error:
        typer.echo(f"gristmill verify: {error}", err=True)
        raise SystemExit(2) from None


@token.command("new")
def token_new(
    name: Annotated[str, typer.Argument(help="Who or what uses it; the owner of its jobs.", callback=checked_text)],
    role: Annotated[Role, typer.Option(help="What it allows.")],
) -> None:
    """Make a token and print it, this once.

    The token file keeps only its hash.
    """
    from gristmill.tokens import new_token

    typer.echo(new_token(load_settings(), name, role.value))


@app.command()
def secret(
    environment: Annotated[Environment, typer.Argument(help="Whose: test or prod.")],
    *,
    only_redis: Annotated[bool, typer.Option("--redis", help="Only the Secret for Redis.")] = False,
    only_tokens: Annotated[bool, typer.Option("--tokens", help="Only the Secret for the tokens.")] = False,
    new_tokens: Annotated[
        list[str] | None,
        typer.Option(
            "--token", metavar="NAME:ROLE", help="A token to make; again for more. Without any: admin:manage."
        ),
    ] = None,
    keep: Annotated[
        typer.FileText | None, typer.Option("--keep", help="A token file whose tokens stay; - for standard input.")
    ] = None,
    namespace: Annotated[
        str,
        typer.Option(help="The namespace, where others are to reach Redis from other ones too.", callback=checked_text),
    ] = "",
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", help="A further name of the Redis server; again for more.", callback=checked_text),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How long the certificate is good.")] = 3650,
    no_tls: Annotated[bool, typer.Option("--no-tls", help="A password, but no TLS.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Also onto a terminal.")] = False,
) -> None:
    """Print an environment's Secrets for kubectl, with new passwords and tokens.

    Use: gristmill secret prod | kubectl apply -f -
    """
    from gristmill import cluster_secrets
    from gristmill.errors import InvalidRequestError

    if sys.stdout.isatty() and not show:
        raise InvalidRequestError(
            f"Secrets do not belong on a terminal. Use: gristmill secret {environment.value} | kubectl apply -f - "
            "(or --show)"
        )
    if only_redis and not only_tokens and (new_tokens or keep):
        raise typer.BadParameter("--redis makes no tokens: leave out --token and --keep, or add --tokens.")
    objects: list[str] = []
    made: Mapping[str, str] = {}
    if only_redis or not only_tokens:
        names = (*cluster_secrets.service_names(environment.value, namespace), *(hosts or ()))
        objects.append(cluster_secrets.redis_secret(environment.value, names, days=days, tls=not no_tls))
    if only_tokens or not only_redis:
        wanted = new_tokens or ([] if keep else ["admin:manage"])
        secret_of_tokens, made = cluster_secrets.tokens_secret(environment.value, keep.read() if keep else "", wanted)
        objects.append(secret_of_tokens)
    for name, text in made.items():
        typer.echo(f"Token of {name}, told this once: {text}", err=True)
    typer.echo("".join(objects), nl=False)


@app.command()
def settings() -> None:
    """List the settings: values, defaults, meanings."""
    from gristmill import console

    console.show_settings(load_settings())


@app.command()
def doctor() -> None:
    """Check settings, server, processes and workers.

    Exit code 1 when something is wrong.
    """
    from gristmill import console, probe
    from gristmill.doctor import examine

    component = probe.component_of(probe.PROCESS_1)
    findings = examine(with_redis(load_settings(), required=False), component=component)
    console.show_findings(findings)
    raise SystemExit(any(finding.level == "error" for finding in findings))


@app.command()
def processes() -> None:
    """List the processes offered here."""
    from gristmill import console
    from gristmill.processes import load_registry

    console.show_processes(load_registry(load_settings().processes_folder))


@app.command()
def version() -> None:
    """Print the version."""
    from gristmill import __version__

    typer.echo(f"gristmill {__version__} (Python {sys.version.split()[0]})")


@app.command()
def backup(
    target: Annotated[str, typer.Argument(metavar="FILE|FOLDER|-", help="Where to; -: standard output.")],
    keep: Annotated[int | None, typer.Option(min=1, help="Keep so many backups in the folder.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Read a backup instead, and say what is in it.")] = False,
) -> None:
    """Copy data sets, jobs and results.

    While everything goes on; `gristmill restore` reads it.
    """
    from gristmill.backup import backup_command

    _end_by_sigterm()
    if check:
        for line in backup_command.check(target):
            typer.echo(line)
    else:
        backup_command.back_up(with_redis(load_settings()), target, keep)


@app.command()
def restore(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="A backup; -: standard input.")],
    merge: Annotated[bool, typer.Option("--merge", help="Add what is not there; leave alone what is.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="First delete all jobs and data sets.")] = False,
    call_backs: Annotated[
        bool | None,
        typer.Option("--call-backs/--no-call-backs", help="Tell subscribers from here (default: same environment)."),
    ] = None,
    spool_mb: Annotated[int, typer.Option(min=1, help="Most room for a stream's jobs until its end, in MiB.")] = 256,
) -> None:
    """Restore a backup.

    Where no jobs and data sets are, unless told otherwise.
    """
    from gristmill.backup.restore_command import How, restore

    if merge and replace:
        raise typer.BadParameter("--merge and --replace exclude each other.")
    how: How = "merge" if merge else "replace" if replace else "empty"
    _end_by_sigterm()
    restore(with_redis(load_settings()), source, how, call_backs=call_backs, spool_mb=spool_mb)


def _end_by_sigterm() -> None:
    """Have SIGTERM end the command as Ctrl-C does, so that nothing half-written remains."""
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _told(error: GristmillError) -> str:
    from gristmill.errors import UnavailableError
    from gristmill.store import told_with_server

    if not isinstance(error, UnavailableError):
        return error.detail
    return told_with_server(error, with_redis(load_settings(), required=False).redis_url)
