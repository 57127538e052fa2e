"""What ``gristmill restore`` does: reads all of a backup before anything of it can be seen, and then restores it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Literal

from gristmill.backup.contents import Contents
from gristmill.backup.incoming import incoming
from gristmill.backup.progress import Progress, say, size_of
from gristmill.backup.restoring import BYTES, Found, Restored, Restorer
from gristmill.errors import ConflictError, GristmillError
from gristmill.settings import Settings
from gristmill.settings_table import without_password
from gristmill.store import connect
from gristmill.words import counted

How = Literal["empty", "merge", "replace"]

_NOTHING = "Nothing was restored."
_CLEARED = "What was there is deleted, at least in part, and nothing was restored. Repeat the same command."
_REPEAT = "It is restored in part; repeat the same command once the cause is gone."


def restore(settings: Settings, source: str, how: How, *, call_backs: bool | None, spool_mb: int) -> None:
    """Restore a file, or standard input ("-").

    call_backs: whether subscribers are told; None: only where the backup comes from the same environment. spool_mb:
    most room for what of a stream cannot be put into Redis before its end has come. Raises DamagedBackupError,
    BackupError, ConflictError (something is there).
    """
    started = time.monotonic()
    with ExitStack() as stack:
        client = stack.enter_context(connect(settings))
        restorer = stack.enter_context(closing(Restorer(client, settings, replaces=how == "replace")))
        backup = stack.enter_context(incoming(source, spool_mb))
        contents = Contents()
        progress = Progress(lambda: f"{contents.summary()} read" + _so_far(restorer.restored))
        found = restorer.look()
        state = _NOTHING
        try:
            for kind, fields in progress.watched(contents.counted(backup.first())):
                if kind == "begin":
                    _refuse(settings, found, contents, how)
                elif kind in BYTES:
                    restorer.stage(kind, fields)
            restorer.tells_subscribers = (
                contents.environment == settings.environment if call_backs is None else call_backs
            )
            if how == "replace" and found.jobs + found.data_sets:
                state = _CLEARED
                restorer.clear()
            if not restorer.begin(contents.backup, anyway=how != "empty"):
                raise ConflictError(_holds(settings, restorer.look(), contents))
            state = _REPEAT
            restorer.apply(progress.watched(backup.again()))
            restorer.end()
        except GristmillError as error:
            error.detail = f"{error.detail} {state}"
            raise
        finally:
            with suppress(GristmillError):  # then the bytes go by themselves, hours later
                restorer.discard()
    for line in _told(settings, contents, restorer):
        say(line)
    say(f"Read {size_of(backup.bytes)} in {time.monotonic() - started:.1f} s, SHA-256 {backup.digest}.")


def _refuse(settings: Settings, found: Found, contents: Contents, how: How) -> None:
    is_going_on = found.last == contents.backup and not found.ended
    if how == "empty" and found.jobs + found.data_sets and not is_going_on:
        raise ConflictError(_holds(settings, found, contents))


def _holds(settings: Settings, found: Found, contents: Contents) -> str:
    known = " This very backup has been restored there before." if found.last == contents.backup else ""
    where = without_password(settings.redis_url)
    return (
        f"{where} holds {_both(found.jobs, found.data_sets)}.{known} A backup is restored where nothing is; "
        "--merge adds what is not there, --replace first deletes what is."
    )


def _both(jobs: int, data_sets: int) -> str:
    return f"{counted(jobs, 'job')} and {counted(data_sets, 'data set')}"


def _so_far(restored: Restored) -> str:
    jobs, data_sets = restored.jobs.total(), restored.data_sets.total()
    return f", {_both(jobs, data_sets)} restored" if jobs or data_sets else ""


def _told(settings: Settings, contents: Contents, restorer: Restorer) -> Iterator[str]:
    jobs, data_sets = restorer.restored.jobs, restorer.restored.data_sets
    line = f"Restored: {_both(jobs['restored'] + jobs['again'], data_sets['restored'])}"
    if jobs["again"]:
        line += f"; {counted(jobs['again'], 'job')} among them ran, and will run again"
    yield line + "."
    if jobs["there"] or data_sets["there"]:
        yield f"There already, and left alone: {_both(jobs['there'], data_sets['there'])}."
    if jobs["old"]:
        yield (
            f"Left out, as they ended longer ago than results are kept here: {counted(jobs['old'], 'job')} "
            f"(GRISTMILL_RETENTION_SECONDS={settings.retention_seconds})."
        )
    if not restorer.tells_subscribers:
        yield (
            f"No subscriber will be told of these jobs from here: the backup is from {contents.environment}, this is "
            f"{settings.environment}. --call-backs brings call-backs and their secrets along."
        )
    if restorer.restored.paused:
        yield f"Paused, as in the backup: {', '.join(restorer.restored.paused).replace('*', 'all processes')}."
