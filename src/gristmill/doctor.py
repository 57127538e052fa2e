"""What ``gristmill doctor`` looks at: each thing that must be right for the promises to hold, and what to do if not."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import NoPermissionError

from gristmill.errors import GristmillError, UnavailableError
from gristmill.jobs import Jobs
from gristmill.processes import load_registry
from gristmill.settings import Settings
from gristmill.settings_table import unknown_variables
from gristmill.store import Client, Protection, connect, facts_about, protection_of, told_with_server
from gristmill.tokens import TokenFile

Level = Literal["ok", "warning", "error"]
OLDEST = {"redis": (7, 0), "valkey": (8, 0)}
LITTLE_MEMORY = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``detail`` says what was found and, where it is not ok, what to do."""

    level: Level
    subject: str
    detail: str


def examine(settings: Settings, environ: Mapping[str, str] = os.environ, *, component: str = "") -> tuple[Finding, ...]:
    """Look at everything; what cannot be looked at is a finding too.

    component: what this container is for, such as ``worker``; "" outside of one.
    """
    return (
        *about_settings(settings, environ),
        *(_callers_unknown() if component == "worker" else about_callers(settings, environ)),
        *_about_processes(settings),
        *_about_redis(settings),
    )


def about_settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Settings that are misspelt, or name what is not there."""
    for name in unknown_variables(environ):
        yield Finding("warning", "settings", f"{name} is set, and no setting has this name; see `gristmill settings`.")
    if settings.secrets_folder and not settings.secrets_folder.is_dir():
        detail = f"GRISTMILL_SECRETS_FOLDER={settings.secrets_folder} is no folder, so there are no secrets."
        yield Finding("warning", "settings", detail)
    yield Finding("ok", "settings", f"environment {settings.environment}")


def about_callers(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Who may do what in the API: without a token, by settings that are unsafe where others reach it; and with one."""
    how = "GRISTMILL_ANONYMOUS=manage" if environ.get("GRISTMILL_ANONYMOUS") else "GRISTMILL_ANONYMOUS is not set here"
    if settings.anonymous == "manage" and settings.environment != "dev":
        detail = f"Anybody may do anything in {settings.environment} ({how}); set it to run or less."
        yield Finding("error", "callers", detail)
    elif settings.anonymous == "manage" and not (settings.is_here_only or settings.local_names_only):
        detail = f"Anybody who reaches {settings.host} may do anything; set GRISTMILL_ANONYMOUS to run or less."
        yield Finding("warning", "callers", detail)
    else:
        yield Finding("ok", "callers", f"without a token: {settings.anonymous}")
    yield from about_tokens(settings)


def _callers_unknown() -> Iterator[Finding]:
    yield Finding(
        "ok", "callers", "what they may do in the API is not known in a worker's container; ask beside the API"
    )


def about_tokens(settings: Settings) -> Iterator[Finding]:
    """Whether the API asks for tokens."""
    try:
        enabled = TokenFile.of(settings).enabled
    except GristmillError as error:
        yield Finding("error", "tokens", error.detail)
        return
    if enabled:
        yield Finding("ok", "tokens", "on")
    else:
        yield _unprotected(
            settings.environment, "tokens", "There are none: everybody has the rights of everybody else."
        )


def about_protection(protection: Protection, environment: str) -> Iterator[Finding]:
    """Whether a stranger gets into Redis, or can listen on the way."""
    if protection.has_password:
        yield Finding("ok", "password", "Redis asks for one")
    else:
        detail = "Redis lets in everybody who reaches it, without a password."
        yield _unprotected(environment, "password", detail)
    if protection.is_private:
        yield Finding("ok", "TLS", "nobody can listen on the way to Redis")
    else:
        yield _unprotected(environment, "TLS", "What passes to and from Redis is not encrypted.")


def _unprotected(environment: str, subject: str, detail: str) -> Finding:
    if environment == "dev":
        return Finding("ok", subject, f"{detail} On a computer of one's own that is how it is meant.")
    level: Level = "error" if environment == "prod" else "warning"
    command = f"gristmill secret {environment} | kubectl apply -f -"
    return Finding(level, subject, f"{detail} `{command}` and a restart turn it on; elsewhere: docs/security.md.")


def about_server(facts: Mapping[str, Any], environment: str) -> Iterator[Finding]:
    """What `facts_about` found, judged: version, append-only file, fsync policy, eviction, memory."""
    strict: Level = "warning" if environment == "dev" else "error"
    name, version = str(facts["server"]), str(facts["version"])
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    oldest = OLDEST.get(name, (0, 0))
    if number < oldest:
        needed = ".".join(map(str, oldest))
        yield Finding("error", "server", f"{name.capitalize()} {version} is too old; {needed} or newer is needed.")
    else:
        yield Finding("ok", "server", f"{name.capitalize()} {version} answers")
    if not facts["append_only"]:
        detail = "No append-only file: a restart loses every job. Set `appendonly yes`."
        yield Finding(strict, "durability", detail)
    elif facts["appendfsync"] == "always":
        yield Finding("ok", "durability", "append-only file, appendfsync always")
    else:
        detail = f"appendfsync {facts['appendfsync']}: a power cut can lose the last two seconds."
        yield Finding("ok" if environment == "dev" else "warning", "durability", detail)
    if facts["maxmemory_policy"] != "noeviction":
        detail = f"maxmemory-policy {facts['maxmemory_policy']}: a full server drops jobs. Set it to noeviction."
        yield Finding(strict, "memory", detail)
    used, most = int(facts["used_memory"] or 0), int(facts["maxmemory"] or 0)
    if not most:
        yield Finding("warning", "memory", f"{used / 2**20:.0f} MB used, no limit; set `maxmemory`.")
    elif used > LITTLE_MEMORY * most:
        what_helps = "delete finished jobs or data sets, or raise `maxmemory`"
        yield Finding("warning", "memory", f"{used / 2**20:.0f} of {most / 2**20:.0f} MB used: {what_helps}.")
    else:
        yield Finding("ok", "memory", f"{used / 2**20:.0f} of {most / 2**20:.0f} MB used")


def _about_processes(settings: Settings) -> Iterator[Finding]:
    try:
        registry = load_registry(settings.processes_folder)
    except GristmillError as error:
        yield Finding("error", "processes", error.detail)
        return
    yield Finding("ok", "processes", f"{len(registry)}: {', '.join(sorted(registry))}")


def _about_redis(settings: Settings) -> Iterator[Finding]:
    if not settings.redis_url:
        detail = "REDIS_URL is not set, and no `gristmill up` runs here; the embedded server would be started."
        yield Finding("warning", "server", detail)
        return
    try:
        with connect(settings) as client:
            yield from about_protection(protection_of(client), settings.environment)
            yield from _about_configuration(client, settings.environment)
            with closing(Jobs(client, settings)) as jobs:
                workers = jobs.workers()
    except UnavailableError as error:
        yield Finding("error", "server", told_with_server(error, settings.redis_url))
        return
    except GristmillError as error:
        yield Finding("error", "server", error.detail)
        return
    if workers:
        children = sum(worker.children for worker in workers)
        yield Finding("ok", "workers", f"{len(workers)} alive with {children} children")
    else:
        yield Finding("warning", "workers", "None is alive, so no job runs; start one with `gristmill worker`.")


def _about_configuration(client: Client, environment: str) -> Iterator[Finding]:
    try:
        facts = facts_about(client)
    except NoPermissionError as error:
        yield Finding("warning", "server", f"Redis does not tell its configuration: {error}")
        return
    yield from about_server(facts, environment)
