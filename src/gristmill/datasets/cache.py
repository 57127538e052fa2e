"""The local cache: files made of versions, that several processes share, each made once and never changed.

A key names a file: a version for its database, a version, ``-`` and 32 hex letters for an export of it. Of a key there
are, in the cache's folder:

``<key>.lock``   held shared by whoever uses the file, alone by whoever makes or deletes it; the time of its last change
                 is when the file was last asked for. Marked ``d``: the file is to go as soon as nobody uses it. Marked
                 ``b``: it is bad, and made anew as soon as nobody uses it
``<key>.data``   the file
``<key>.making`` a folder with the file while it is being made; a left-over one when nobody holds the lock

``making-room`` is held while room is made, so that two processes do not count on the same room. Locks end with their
process, and the next one clears what it has left.
"""

import errno
import math
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gristmill.clearing import remove
from gristmill.datasets import locks
from gristmill.errors import CacheBusyError, CacheUnusableError, StorageFullError
from gristmill.presence import acquired, check
from gristmill.settings import Settings

WAIT_SECONDS = 60.0
MAKINGS_AT_ONCE = 2
"""So many files are made at a time in one process: each takes disk and memory of its own until it is done.

One of the places is left to versions: the first page of one does not wait for others' large exports.
"""
EXPORTS_WAITING = 16
"""So many exports wait for a place at most: each holds a thread that answers requests."""
_SHORTEST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 5
_ASK_SECONDS = 1.0  # those who use files only for later look so often
_DROP, _BAD = b"d", b"b"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_VERSION_LETTERS = 64
_KEY = re.compile(r"[0-9a-f]{64}(-[0-9a-f]{32})?")

Build = Callable[[Path], object]


def cache_of(settings: Settings) -> "Cache":
    """The cache that all processes with these settings share."""
    return Cache(settings.data_folder.absolute() / "cache", settings.dataset_cache_bytes)


class Cache:
    """Files of versions, at most so many bytes of them. Safe between threads and processes."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self._makings = threading.BoundedSemaphore(MAKINGS_AT_ONCE)
        self._exports = threading.BoundedSemaphore(MAKINGS_AT_ONCE - 1)
        self._wanted_exports = threading.BoundedSemaphore(MAKINGS_AT_ONCE - 1 + EXPORTS_WAITING)

    @contextmanager
    def open(self, key: str, build: Build, wait_seconds: float = WAIT_SECONDS) -> Iterator[Path]:
        """The file of a key, which stays while the context lasts; ``build`` makes it where it is missing.

        build: makes a file, complete in itself, at the path that it is given, in a folder of its own. Of all processes
        and threads, one at a time builds a key. Raises what ``build`` raises; CacheBusyError when after
        ``wait_seconds`` another is still building, or too much is in use; CacheUnusableError when the disk is full, or
        the folder cannot be used.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key of the cache")
        lock = self._take(key, build, time.monotonic() + wait_seconds)
        try:
            yield self._file(key)
        finally:
            is_unwanted = _DROP in locks.marks(lock)
            os.close(lock)
            if is_unwanted:
                with suppress(CacheUnusableError):
                    self._evict(key)

    def most_bytes_of(self, key: str) -> int:
        """How large the file of a key can be: as much as the cache holds beside what it is made of."""
        return self.most_bytes - self._source_bytes(key)

    def damaged(self, key: str) -> None:
        """Inside ``open``: the file is no good. The next one makes it anew, when all who use it have let it go."""
        locks.mark(self._lock(key), _BAD)

    def drop(self, version: str) -> None:
        """Delete a version's files: now, or when nobody uses them any more."""
        for key in {path.stem for path in self.folder.glob(f"{version}*.lock")}:
            if locks.mark(self._lock(key), _DROP):
                self._evict(key)

    def is_unwanted(self, key: str) -> bool:
        """Whether a key's file is to go as soon as nobody uses it: who has it only for later should let it go."""
        with suppress(OSError):
            return Path(self._lock(key)).stat().st_size > 0
        return False

    def versions(self) -> frozenset[str]:
        """The versions that have a file here."""
        return frozenset(path.stem[:_VERSION_LETTERS] for path in self.folder.glob("*.data"))

    def tidy(self) -> None:
        """Clear what dead processes have left, and what is too much; also done whenever a file is made."""
        if self.folder.exists():
            with self._alone(time.monotonic() + WAIT_SECONDS):
                self._evict_until(self.most_bytes)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.data"

    def _lock(self, key: str) -> str:
        return f"{self.folder}/{key}.lock"

    def _making(self, key: str) -> Path:
        return self.folder / f"{key}.making"

    # Using and making

    def _take(self, key: str, build: Build, deadline: float) -> int:
        """A descriptor with a shared lock on the key, whose file is there."""
        path = self._lock(key)
        tries = _tries(deadline, f"Version {key[:12]} of a data set is still being read into the cache")
        is_used = False
        while True:
            next(tries)
            lock = locks.locked(path, locks.SHARED)
            if lock is None:
                continue
            if self._is_ready(key, lock):
                locks.note_use(lock)
                return lock
            if is_used and not locks.marks(lock):  # a file that somebody has deleted is still open elsewhere
                locks.mark(path, _BAD)
            os.close(lock)
            lock = locks.locked(path, locks.ALONE)
            if lock is None:
                is_used = True
                continue
            try:
                if not self._is_ready(key, lock):
                    locks.clear_marks(lock)
                    self._make(key, build, deadline)
                locks.note_use(lock)
                # From alone to shared: another may come in between, and delete the file.
                if locks.has(lock, path, locks.SHARED) and self._is_ready(key, lock):
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _is_ready(self, key: str, lock: int) -> bool:
        return os.path.exists(f"{self.folder}/{key}.data") and _BAD not in locks.marks(lock)  # noqa: PTH110 -- as in locks

    def _make(self, key: str, build: Build, deadline: float) -> None:
        """Make the file of a key that is locked for us alone."""
        made = self._making(key) / "data"
        try:
            with locks.usable(self.folder):
                self._file(key).unlink(missing_ok=True)
            with self._place_to_make(key, deadline):
                self._build(made, build)
            with self._room(key, made.stat().st_size, deadline), locks.usable(self.folder):
                made.rename(self._file(key))
        except BaseException:
            remove(made.parent)
            with suppress(OSError):
                Path(self._lock(key)).unlink()  # last: without its name it keeps nobody away
            raise
        remove(made.parent)

    @contextmanager
    def _place_to_make(self, key: str, deadline: float) -> Iterator[None]:
        is_version = len(key) == _VERSION_LETTERS
        with ExitStack() as stack:
            if not is_version:
                if not self._wanted_exports.acquire(blocking=False):
                    raise CacheBusyError(
                        f"{EXPORTS_WAITING} other exports wait already for being made; try again.",
                        retry_after_seconds=_RETRY_SECONDS,
                    )
                stack.callback(self._wanted_exports.release)
            for places in [self._makings] if is_version else [self._exports, self._makings]:
                if not acquired(places, deadline - time.monotonic()):
                    raise CacheBusyError(
                        "As many other files are being made for the cache as may be at a time; try again.",
                        retry_after_seconds=_RETRY_SECONDS,
                    )
                stack.callback(places.release)
            yield

    def _build(self, made: Path, build: Build) -> None:
        """Make the file; where the disk is full, once more without all that can be spared."""
        try:
            self._build_once(made, build)
        except Exception as error:
            if not _is_full(error):
                raise
            with self._alone(time.monotonic() + WAIT_SECONDS):
                self._evict_until(0)
            try:
                self._build_once(made, build)
            except Exception as again:
                if not _is_full(again):
                    raise
                raise CacheUnusableError(
                    f"The disk of the cache {self.folder} is full; make room on it, or lower "
                    "GRISTMILL_DATASET_CACHE_BYTES.",
                    retry_after_seconds=60,
                ) from again

    def _build_once(self, made: Path, build: Build) -> None:
        remove(made.parent)
        with locks.usable(self.folder):
            made.parent.mkdir(mode=0o700)
        build(made)
        descriptor = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)  # so that after a power cut its name does not stand for half of it
        finally:
            os.close(descriptor)

    # Room

    def _source_bytes(self, key: str) -> int:
        """The size of the file that this one is made of: an export's is its version's."""
        version = key[:_VERSION_LETTERS]
        if version != key:
            with suppress(FileNotFoundError):
                return self._file(version).stat().st_size
        return 0

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        """Nobody else makes room meanwhile."""
        path = f"{self.folder}/making-room"
        tries = _tries(deadline, f"Another process keeps the cache {self.folder} locked")
        next(tries)
        while (lock := locks.locked(path, locks.ALONE)) is None:
            next(tries)
        try:
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _room(self, key: str, size: int, deadline: float) -> Iterator[None]:
        """There is room for so many bytes meanwhile, beside what they are made of, which whoever makes them uses."""
        most = self.most_bytes - size
        if size > self.most_bytes_of(key):
            source_bytes = self._source_bytes(key)
            beside = f" beside the {source_bytes} that it is made of" if source_bytes else ""
            raise CacheUnusableError(
                f"The data takes {size} bytes{beside}, and the cache holds at most {self.most_bytes}: raise "
                "GRISTMILL_DATASET_CACHE_BYTES."
            )
        tries = _tries(deadline, "The cache is full of data that is in use (GRISTMILL_DATASET_CACHE_BYTES)")
        asked = -math.inf
        while True:
            next(tries)
            # Again and again: what has come into use since the last time is kept by those who have not been asked.
            is_to_ask = time.monotonic() - asked >= _ASK_SECONDS
            with self._alone(deadline):
                if self._evict_until(most, ask=is_to_ask) <= most:
                    yield
                    return
            if is_to_ask:
                asked = time.monotonic()

    def _evict_until(self, most_bytes: int, *, ask: bool = False) -> int:
        """Delete files that nobody uses, the longest not asked for first; returns the bytes that are left.

        ask: where these are too few, those who use others are to let go of as many as they can.
        """
        asked: dict[str, int] = {}
        sizes: dict[str, int] = {}
        waste: set[str] = set()
        for key in {path.stem for path in self.folder.iterdir() if path.suffix}:
            asked[key] = 0
            with suppress(FileNotFoundError):
                sizes[key] = self._file(key).stat().st_size
            with suppress(FileNotFoundError):
                lock = Path(self._lock(key)).stat()
                asked[key] = lock.st_mtime_ns
                if lock.st_size:
                    waste.add(key)
        total = sum(sizes.values())
        in_use = []
        for key in sorted(asked, key=asked.__getitem__):
            if key in waste or key not in sizes or total > most_bytes:
                if self._evict(key):
                    total -= sizes.get(key, 0)
                else:
                    in_use.append(key)
            elif self._making(key).exists():
                self._evict(key, and_file=False)
        too_much = total - most_bytes
        for key in in_use if ask else ():
            if too_much > 0 and key not in waste:
                locks.mark(self._lock(key), _DROP)
            too_much -= sizes.get(key, 0)
        return total

    def _evict(self, key: str, *, and_file: bool = True) -> bool:
        """Delete all that there is of a key, or only what a dead builder has left, unless somebody uses it."""
        path = self._lock(key)
        lock = locks.locked(path, locks.ALONE)
        if lock is None:
            return False
        try:
            remove(self._making(key))
            if and_file:
                with locks.usable(self.folder):
                    self._file(key).unlink(missing_ok=True)
                    Path(path).unlink(missing_ok=True)  # last: without its name it keeps nobody away
        finally:
            os.close(lock)
        return True


def _tries(deadline: float, what: str) -> Iterator[None]:
    """Try again and again, with pauses; CacheBusyError when the deadline has passed."""
    pause = _SHORTEST_PAUSE_SECONDS
    while True:
        yield
        check()
        if time.monotonic() >= deadline:
            raise CacheBusyError(f"{what}; try again.", retry_after_seconds=_RETRY_SECONDS)
        time.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 -- so that those who wait do not try together
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, StorageFullError) or os.strerror(errno.ENOSPC) in str(error)
