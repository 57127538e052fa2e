"""Puts entries into a system: the bytes first, where nobody sees them, and the rest when all is known to be whole.

Every step is safe to repeat, so a restore that was broken off is begun again and goes on where it was.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError

from gristmill.backup.format import Entry
from gristmill.datasets.blobs import LIBRARY
from gristmill.errors import BackupError, ConflictError, GristmillError, UnavailableError
from gristmill.job import new_id
from gristmill.library import Library
from gristmill.records import pack
from gristmill.settings import Settings
from gristmill.store import Client

# How long bytes wait for their jobs and data sets: longer than any restore should take.
STAGED_SECONDS = 6 * 3600
# How long a restored version is kept for jobs that are yet to be restored.
KEPT_SECONDS = 3600
# How often it is shown that a restore lives; and how long is waited for another that may have been killed, which has
# the system for 15 s more (LEASE_MS in restores.lua).
RENEW_SECONDS = 3.0
WAIT_SECONDS = 20.0
_POLL_SECONDS = 0.5
_BATCH = 100
_BATCH_BYTES = 2**19
BYTES = frozenset({"job-bytes", "data-set-bytes", "log"})


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a system. ``last``: the backup that was restored there last; ``ended``: when (us), or 0."""

    jobs: int
    data_sets: int
    last: str
    ended: int


@dataclass(slots=True)
class Restored:
    """What became of the entries: ``jobs["again"]`` ran and will run again; "there" and "old" ones were left alone."""

    jobs: Counter[str] = field(default_factory=Counter)
    data_sets: Counter[str] = field(default_factory=Counter)
    call_backs: int = 0
    paused: list[str] = field(default_factory=list)


class OvertakenError(BackupError):
    """Another restore has the system: nothing that this one has done counts."""


class Restorer:
    """Restores into one system, in a run of its own: ``taken`` is around all that changes anything.

    Every method may raise UnavailableError and StorageFullError, and BackupError once another run has begun.

    replaces: ``clear`` comes before ``begin``, so bytes that are there already are put in again.
    """

    def __init__(self, client: Client, settings: Settings, *, replaces: bool = False) -> None:
        self.restored = Restored()
        self.tells_subscribers = True
        self._replaces = replaces
        self._prefix = settings.key_prefix
        self._settings = settings
        self._jobs = Library(client, self._prefix)
        self._datasets = Library(client, self._prefix, LIBRARY)
        self._is_empty = False
        self._stored = (b"", False)
        self._run = new_id()
        self._versions: dict[bytes, dict[str, Any]] = {}
        self._batch: list[dict[str, Any]] = []
        self._kind = ""
        self._kept_until = 0
        self._apply: dict[str, Callable[[list[dict[str, Any]]], None]] = {
            "pause": self._pauses,
            "secret": self._secrets,
            "facts": self._facts,
            "version": self._note_versions,
            "data-set": self._data_sets,
            "job": self._restore_jobs,
            "hold": self._holds,
            "idempotency-key": lambda batch: self._marks("i", batch),
            "equal-work": lambda batch: self._marks("e", batch),
            "call-back": self._call_backs,
        }

    def close(self) -> None:
        """Close the connections."""
        self._jobs.close()
        self._datasets.close()

    def look(self) -> Found:
        """What is there now."""
        found = self._begin("", "look")
        self._is_empty = not found.jobs + found.data_sets
        return found

    @contextmanager
    def taken(self, waits: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Keep other restores out of the system, and delete what has not been used at the end.

        waits: called when another has it that may have been killed. Raises ConflictError where that one lives.
        """
        self._take(waits)
        is_over = threading.Event()
        renewing = threading.Thread(target=self._renew_until, args=(is_over,), name="restore-renew", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            is_over.set()
            renewing.join()
            self._leave()

    def begin(self, backup: str, *, anyway: bool) -> bool:
        """Note that this backup is being restored; False when something else is there, unless ``anyway``."""
        found = self._begin(backup, "any" if anyway else "empty")
        self._kept_until = time.time_ns() // 1000 + KEPT_SECONDS * 1_000_000
        return anyway or not found.jobs + found.data_sets or (found.last == backup and not found.ended)

    def _call(self, library: Library, name: str, *args: Any) -> Any:
        """Call a function that only the restore that began last may. Raises BackupError for all others."""
        try:
            return library.call(name, *args)
        except ResponseError as error:
            if not str(error).startswith("OVERTAKEN"):
                raise
            if not self._jobs.command("HEXISTS", self._key("restored"), "run"):
                raise BackupError("Redis has lost what it held, or somebody has emptied it.") from error
            raise OvertakenError(
                "Another restore into the same system has begun meanwhile, as nothing was heard of this one for too "
                "long. What is there is what that one makes of it."
            ) from error

    def _begin(self, backup: str, how: str) -> Found:
        jobs, data_sets, last, ended = self._call(self._jobs, "restore_begin", backup, how, self._run)
        return Found(jobs, data_sets, last.decode(), int(ended or 0))

    def clear(self) -> None:
        """Dismiss and delete all jobs, and delete all data sets."""
        seconds, microseconds = self._jobs.command("TIME")
        newest = self._jobs.command("ZREVRANGEBYSCORE", self._key("all"), "+inf", "-inf", "WITHSCORES", "LIMIT", 0, 1)
        # The clock may have been set back since: what is there now goes, whatever time it bears.
        latest = max([int(seconds) * 1_000_000 + int(microseconds), *(int(score) for _, score in newest)])
        while self._call(self._jobs, "clear_jobs", latest, self._run):
            pass
        while self._call(self._datasets, "clear_data_sets", self._run):
            pass

    # Bytes

    def stage(self, kind: str, fields: dict[str, Any]) -> None:
        """Put bytes where their job or data set will take them from."""
        if kind == "log":
            name, owner, data = b"l:" + fields["job"], b"j:" + fields["job"], fields["log"]
        else:
            start = b"b:" if kind == "job-bytes" else b"ds:b:"
            chunk = start if kind == "job-bytes" else b"ds:c:"
            owner, data = start + fields["blob"], fields["data"]
            name = b"%b%b:%d" % (chunk, fields["blob"], fields["number"])
        if not self._is_there(owner):
            self._call(self._jobs, "restore_stage", name, data, STAGED_SECONDS, self._run)

    def _is_there(self, owner: bytes) -> bool:
        if self._replaces or self._is_empty:
            return False
        if self._stored[0] != owner:
            self._stored = (owner, bool(self._jobs.command("EXISTS", self._key("") + owner)))
        return self._stored[1]

    def _take(self, waits: Callable[[], object]) -> None:
        """Have the system for this run, as soon as no other has it, and delete what others have left of theirs."""
        until, before = time.monotonic() + WAIT_SECONDS, 0
        while busy := self._try_to_take():
            since, left = busy
            if not before:
                waits()
            if (before and left > before) or time.monotonic() > until:  # it has shown that it lives
                raise ConflictError(
                    f"Another restore into this system has been under way since {_time(since)}, perhaps in another pod "
                    "or terminal. Wait until it has ended, or end it."
                )
            before = left
            time.sleep(_POLL_SECONDS)
        own = self._key(f"r:{self._run}:")
        for keys in self._jobs.keys("r:"):
            if others := [key for key in keys if not key.startswith(own)]:
                self._call(self._jobs, "restore_tidy", self._run, *others)

    def _try_to_take(self) -> tuple[int, int] | None:
        """None, or since when (us) another has it, and for how many ms more."""
        try:
            self._begin("", "take")
        except ResponseError as error:
            word, _, rest = str(error).partition(" ")
            if word != "TAKEN":
                raise
            since, left = rest.split()
            return int(since), int(left)
        return None

    def _renew_until(self, is_over: threading.Event) -> None:
        while not is_over.wait(RENEW_SECONDS):
            try:
                self._call(self._jobs, "restore_renew", self._run)
            except UnavailableError:
                continue
            except GristmillError:
                return  # the next step will say so

    def _leave(self) -> None:
        """Delete the bytes that nothing has taken, and let others in; without Redis, both go by themselves."""
        try:
            for keys in self._jobs.keys(f"r:{self._run}:"):
                self._jobs.command("UNLINK", *keys)
            self._jobs.call("restore_release", self._run)
        except GristmillError:
            return

    # Everything else

    def apply(self, entries: Iterable[Entry]) -> None:
        """Make jobs and data sets of what has been staged. Raises BackupError when that is no longer there."""
        size = 0
        for kind, fields in entries:
            if kind not in self._apply:
                continue  # bytes, "begin", and what a later release of the same format may add
            if kind != self._kind or len(self._batch) >= _BATCH or size >= _BATCH_BYTES:
                self._flush()
                self._kind, size = kind, 0
            self._batch.append(fields)
            size += sum(len(value) for value in fields.values() if isinstance(value, bytes))
        self._flush()

    def end(self) -> None:
        """Everything has been restored."""
        while self._datasets.call("end_restoring", self._kept_until, self._settings.dataset_versions):
            pass
        self._call(self._jobs, "restore_end", self._run)

    def _flush(self) -> None:
        if self._batch:
            self._call(self._jobs, "restore_renew", self._run)
            self._apply[self._kind](self._batch)
            self._batch = []

    def _pauses(self, batch: list[dict[str, Any]]) -> None:
        for it in batch:
            self._jobs.call("pause", it["process"])
            self.restored.paused.append(it["process"].decode())

    def _secrets(self, batch: list[dict[str, Any]]) -> None:
        if self.tells_subscribers:
            for it in batch:
                how = "HSET" if self._replaces else "HSETNX"
                self._jobs.command(how, self._key("secret"), it["owner"], it["secret"])

    def _facts(self, batch: list[dict[str, Any]]) -> None:
        self._jobs.call("facts", pack({it["reference"]: it["facts"] for it in batch}))

    def _note_versions(self, batch: list[dict[str, Any]]) -> None:
        for it in batch:
            self._versions[it["version"]] = {
                "b": it["blob"], "n": it["chunks"], "s": it["bytes"], "h": it["sha256"],
                "f": it["facts"], "o": it["reading"],
            }  # fmt: skip

    def _data_sets(self, batch: list[dict[str, Any]]) -> None:
        for it in batch:
            answer = self._call(
                self._datasets, "restore_data_set", it["name"], it["record"], pack(it["texts"]), pack(self._versions),
                self._kept_until, self._run,
            ).decode()  # fmt: skip
            self._versions.clear()
            self._count(self.restored.data_sets, answer, f"data set {it['name'].decode()}")

    def _restore_jobs(self, batch: list[dict[str, Any]]) -> None:
        answers = self._call(
            self._jobs, "restore_jobs",
            pack([[it["job"], it["record"], it["log"], it["retry"], it["blobs"]] for it in batch]),
            self._settings.retention_seconds * 1_000_000, "1" if self.tells_subscribers else "", self._run,
        )  # fmt: skip
        for it, answer in zip(batch, answers, strict=True):
            self._count(self.restored.jobs, answer.decode(), f"job {it['job'].decode()}")

    def _count(self, counter: Counter[str], answer: str, what: str) -> None:
        if answer == "missing":
            raise BackupError(
                f"Bytes of {what} are not there, as the backup has none or the restore took longer than "
                f"{STAGED_SECONDS // 3600} hours."
            )
        counter[answer] += 1

    def _holds(self, batch: list[dict[str, Any]]) -> None:
        self._datasets.call("restore_holds", pack([[it["version"], it["job"], it["until"]] for it in batch]))

    def _marks(self, letter: str, batch: list[dict[str, Any]]) -> None:
        rows = [[letter, it["name"], it["value"], it["ends"], it["there"]] for it in batch]
        self._jobs.call("restore_marks", pack(rows))

    def _call_backs(self, batch: list[dict[str, Any]]) -> None:
        if self.tells_subscribers:
            rows = [[it["call_back"], it["due"], it["record"]] for it in batch]
            self.restored.call_backs += self._jobs.call("restore_call_backs", pack(rows))

    def _key(self, name: str) -> bytes:
        return f"{self._prefix}:{name}".encode()


def _time(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%H:%M:%S} UTC"
