"""What ``gristmill restore`` does: reads all of a backup before anything of it can be seen, and then restores it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Literal

from gristmill.backup.checking import checked
from gristmill.backup.contents import Contents
from gristmill.backup.incoming import Incoming, incoming
from gristmill.backup.progress import Progress, say, size_of
from gristmill.backup.restoring import BYTES, Found, OvertakenError, Restored, Restorer
from gristmill.errors import BackupError, ConflictError, GristmillError
from gristmill.settings import Settings
from gristmill.settings_table import without_password
from gristmill.store import connect
from gristmill.words import counted

How = Literal["empty", "merge", "replace"]

_NOTHING = "Nothing was restored."
_CLEARED = "What was there is deleted, at least in part, and nothing was restored. Repeat the same command."
_WAITING = "Another restore has this system, unless it was killed; waiting some seconds to see which ..."
_REPEAT = "It is restored in part; repeat the same command once the cause is gone."


def restore(settings: Settings, source: str, how: How, *, call_backs: bool | None, spool_mb: int) -> None:
    """Restore a file, or standard input ("-").

    call_backs: whether subscribers are told; None: only where the backup comes from the same environment. spool_mb:
    most room for what of a stream cannot be put into Redis before its end has come. Raises DamagedBackupError,
    BackupError, ConflictError (something is there, or another restore is under way).
    """
    started = time.monotonic()
    with ExitStack() as stack:
        client = stack.enter_context(connect(settings))
        restorer = stack.enter_context(closing(Restorer(client, settings, replaces=how == "replace")))
        backup = stack.enter_context(incoming(source, spool_mb))
        run = _Run(settings, restorer, backup, how, call_backs=call_backs)
        try:
            run.carry_out(stack)
        except OvertakenError:
            raise
        except GristmillError as error:
            error.detail = f"{error.detail} {run.state}"
            raise
        except Exception as error:
            raise BackupError(
                f"What the backup holds cannot be restored: {type(error).__name__}: {error}. {run.state}"
            ) from error
    for line in _told(settings, run.contents, restorer):
        say(line)
    say(f"Read {size_of(backup.bytes)} in {time.monotonic() - started:.1f} s, SHA-256 {backup.digest}.")


class _Run:
    """One restore: its steps, and what is to be said where one fails."""

    def __init__(
        self, settings: Settings, restorer: Restorer, backup: Incoming, how: How, *, call_backs: bool | None
    ) -> None:
        self.contents = Contents()
        self._settings, self._restorer, self._backup = settings, restorer, backup
        self._how, self._call_backs = how, call_backs
        self._has_cleared = self._has_begun = False
        self._progress = Progress(lambda: f"{self.contents.summary()} read" + _so_far(restorer.restored))

    @property
    def state(self) -> str:
        """What is there now, and what to do."""
        if self._has_cleared and not _some(self._restorer.restored):
            return _CLEARED
        return _REPEAT if self._has_begun else _NOTHING

    def carry_out(self, stack: ExitStack) -> None:
        """Read all, then restore it; ``stack`` ends what is to end with it."""
        restorer, contents, backup = self._restorer, self.contents, self._backup
        found = restorer.look()
        for kind, fields in self._progress.watched(contents.counted(checked(backup.first()))):
            if kind == "begin":
                self._refuse(found)
                stack.enter_context(restorer.taken(lambda: say(_WAITING)))
                found = restorer.look()  # as another restore may have left it
                self._refuse(found)
            elif kind in BYTES:
                restorer.stage(kind, fields)
        is_at_home = contents.environment == self._settings.environment
        restorer.tells_subscribers = is_at_home if self._call_backs is None else self._call_backs
        if self._how == "replace" and found.jobs + found.data_sets:
            self._has_cleared = True
            restorer.clear()
        if not restorer.begin(contents.backup, anyway=self._how != "empty"):
            raise ConflictError(_holds(self._settings, restorer.look(), contents))
        self._has_begun = True
        restorer.apply(self._progress.watched(backup.again()))
        restorer.end()

    def _refuse(self, found: Found) -> None:
        is_going_on = found.last == self.contents.backup and not found.ended
        if self._how == "empty" and found.jobs + found.data_sets and not is_going_on:
            raise ConflictError(_holds(self._settings, found, self.contents))


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
    return f", {_both(restored.jobs.total(), restored.data_sets.total())} restored" if _some(restored) else ""


def _some(restored: Restored) -> bool:
    return bool(restored.jobs or restored.data_sets)


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
