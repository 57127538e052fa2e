"""Data sets and their versions in Redis: one call of the function library ``datasets.lua`` for each change.

The table of all keys, and the fields of a record, stand at the top of ``datasets.lua``.
"""

import io
import re
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, BinaryIO

import msgpack
from redis.exceptions import ResponseError

from gristmill.datasets.blobs import LIBRARY, Blob, Blobs, RedisBlobs, Upload, chunk_count, expired, packable
from gristmill.datasets.dataset import (
    UNCONDITIONAL,
    Conditions,
    DataSet,
    Edition,
    Held,
    NewVersion,
    Page,
    Stored,
    Version,
    check_name,
    no_such_data_set,
)
from gristmill.datasets.descriptions import MOST_BYTES, TEXTS, Description, changes_of, description_of
from gristmill.errors import (
    GristmillError,
    NoSuchDataSetError,
    NoSuchVersionError,
    PreconditionFailedError,
    StorageFullError,
    TooLargeError,
)
from gristmill.library import Library
from gristmill.records import pack
from gristmill.settings import Settings
from gristmill.store import Client

_LARGEST_PAGE = 1000


class Store:
    """The data sets. Safe to use from several threads; every call may raise UnavailableError."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._library = Library(client, settings.key_prefix, LIBRARY)
        self._settings = settings
        self._prefix = settings.key_prefix
        self.blobs: Blobs = RedisBlobs(self._library)

    def close(self) -> None:
        """Close the connections that are not in use; the next call makes new ones."""
        self._library.close()

    # Uploads

    def put(
        self,
        name: str,
        version: NewVersion,
        source: BinaryIO,
        size: int,
        *,
        owner: str,
        conditions: Conditions = UNCONDITIONAL,
    ) -> Stored:
        """Store a version's bytes and make it the newest of the data set, which the owner gets if there is none.

        source: a file that holds ``size`` bytes from here on. Nothing remains of it when this fails. Raises
        InvalidRequestError (the name), TooLargeError, StorageFullError, PreconditionFailedError.
        """
        if self._has(name, version.id):
            source, size = io.BytesIO(), 0
        upload = self.reserve(name, owner, size)
        try:
            return self.commit(
                upload, self.blobs.write(upload, source), name, version, owner=owner, conditions=conditions
            )
        except BaseException:
            with suppress(GristmillError):  # then it goes by itself
                self.blobs.discard(upload)
            raise

    def _has(self, name: str, version: str) -> bool:
        try:
            return any(edition.version == version for edition in self.get(name).editions)
        except NoSuchDataSetError:
            return False

    def require(self, name: str, conditions: Conditions) -> None:
        """Let pass what may be changed as things are now. Raises PreconditionFailedError."""
        if conditions == UNCONDITIONAL:
            return
        try:
            self._library.call("require", name, _packed(conditions))
        except ResponseError as error:
            raise self._refusal(error, name) from error

    def reserve(self, name: str, owner: str, size: int) -> Upload:
        """Keep room for an upload of so many bytes, until it is committed or its time runs out.

        Raises InvalidRequestError (the name), TooLargeError, StorageFullError.
        """
        check_name(name)
        if size > self._settings.dataset_stored_bytes:
            raise TooLargeError(
                f"Stored, the data would take {size} bytes, of at most {self._settings.dataset_stored_bytes} "
                "(GRISTMILL_DATASET_STORED_BYTES)."
            )
        upload = secrets.token_hex(12)
        (most, limited_by), most_of_owner = self._share(), self._settings.dataset_stored_bytes_per_owner
        try:
            until = self._library.call(
                "reserve", upload, name, owner, size, most, most_of_owner, self._settings.dataset_upload_seconds
            )
        except ResponseError as error:
            raise self._no_room(error, f"{size} bytes do not fit", most, limited_by) from error
        return Upload(upload, size, until)

    def _no_room(self, error: ResponseError, what: str, most: int, limited_by: str) -> Exception:
        """The error where Redis has said that all data sets, or those of the owner, have their share already."""
        word, _, used = str(error).partition(" ")
        if word == "FULL":
            return StorageFullError(
                f"{what}: all data sets together have {used} of at most {most} bytes (setting {limited_by}); delete "
                "some."
            )
        if word == "OWNERFULL":
            return StorageFullError(
                f"{what}: the data sets of their owner have {used} of at most "
                f"{self._settings.dataset_stored_bytes_per_owner} bytes (setting "
                "GRISTMILL_DATASET_STORED_BYTES_PER_OWNER); delete some."
            )
        return error

    def _share(self) -> tuple[int, str]:
        """Most bytes of all data sets together, and the setting that says so."""
        found = re.search(rb"^maxmemory:(\d+)", self._library.command("INFO", "memory"), re.MULTILINE)
        if memory := int(found[1]) if found else 0:
            return memory * self._settings.dataset_memory_percent // 100, "GRISTMILL_DATASET_MEMORY_PERCENT"
        return self._settings.dataset_memory_bytes, "GRISTMILL_DATASET_MEMORY_BYTES"

    def commit(
        self,
        upload: Upload,
        blob: Blob,
        name: str,
        version: NewVersion,
        *,
        owner: str,
        conditions: Conditions = UNCONDITIONAL,
    ) -> Stored:
        """Make what was written a version of the data set, its newest. Safe to repeat.

        Raises PreconditionFailedError, StorageFullError, UnavailableError (the upload has ended).
        """
        new = packable(blob) | {
            "f": version.facts, "o": version.reading, "r": version.rows, "d": version.read_bytes,
        }  # fmt: skip
        how, packed = self._change(
            "commit", upload.id, check_name(name), owner, version.id, pack(new), _packed(conditions),
            self._settings.dataset_versions, chunk_count(upload.bytes),
        )  # fmt: skip
        # What is said is no part of the answer, which is kept for a while: it may be a megabyte.
        texts = self._library.command("HGETALL", f"{self._prefix}:ds:t:{name}")
        return Stored(how.decode(), decode(name, packed, texts.items()), version.facts)

    def _change(self, function: str, change: str, name: str, *args: Any) -> Any:
        try:
            return self._library.call(function, change, name, *args)
        except StorageFullError:
            # A full server refuses to repeat, too, what it has done before the reply was lost.
            if answer := self._library.command("GET", f"{self._prefix}:ds:x:{change}"):
                return msgpack.unpackb(answer, raw=True)
            raise
        except ResponseError as error:
            raise self._refusal(error, name) from error

    def _refusal(self, error: ResponseError, name: str) -> Exception:
        word, _, rest = str(error).partition(" ")
        if word == "ABSENT":
            return no_such_data_set(name)
        if word == "NOVERSION":
            return NoSuchVersionError(f"Data set {name!r} has no version {rest!r}; old versions do not stay for ever.")
        if word == "PRECONDITION":
            return PreconditionFailedError(
                f"Data set {name!r} is not what the request expects: its revision is now {rest}. Get it again first."
                if rest
                else f"There is no data set {name!r}; upload it without If-Match."
            )
        if word == "PRESENT":
            return PreconditionFailedError(
                f"Data set {name!r} is there already, at revision {rest}, which If-None-Match rules out. Choose "
                "another name, or send its ETag as If-Match to change it."
            )
        if word == "TEXTS":
            return TooLargeError(
                f"What is said about data set {name!r} would take {int(rest):,} bytes with the columns' names, of at "
                f"most {MOST_BYTES:,}; shorten some, or take back what is said of columns that are gone."
            )
        return expired(error)

    # Reading

    def get(self, name: str) -> DataSet:
        """One data set. Raises NoSuchDataSetError."""
        found = self._library.call("get", name)
        if not found:
            raise no_such_data_set(name)
        packed, texts = found
        return decode(name, packed, zip(texts[::2], texts[1::2], strict=True))

    def version(self, name: str, version: str = "") -> Version:
        """One version of a data set; its newest: "". Raises NoSuchDataSetError, NoSuchVersionError."""
        try:
            edition, packed, size, digest = self._library.call("version", name, version)
        except ResponseError as error:
            raise self._refusal(error, name) from error
        it = msgpack.unpackb(packed, raw=True)
        return Version(
            _edition(msgpack.unpackb(edition, raw=True)), Blob(it[b"b"].decode(), int(size), digest.decode()),
            it[b"f"], it[b"o"],
        )  # fmt: skip

    def list(self, *, prefix: str = "", owner: str | None = None, limit: int = 100, cursor: str = "") -> Page:
        """One page of the data sets whose names begin with ``prefix``, in the order of the alphabet."""
        limit = min(limit, _LARGEST_PAGE)
        found = self._library.call(
            "list", ":all" if owner is None else f":o:{owner}",
            f"({cursor}" if cursor >= prefix and cursor else f"[{prefix}" if prefix else "-",
            f"[{prefix}\x7f" if prefix else "+", limit + 1,
        )  # fmt: skip
        data_sets = tuple(
            decode(
                name.decode(), packed, [(key.encode(), text) for key, text in zip(TEXTS, texts, strict=True) if text]
            )
            for name, packed, texts in found[:limit]
        )
        return Page(data_sets, data_sets[-1].name if len(found) > limit else "")

    # Changes

    def describe(
        self, name: str, patch: object, columns: Collection[str] = (), conditions: Conditions = UNCONDITIONAL
    ) -> DataSet:
        """Change what is said about a data set by a merge patch (RFC 7396); makes no new version.

        columns: those that something can be said about. Raises NoSuchDataSetError, InvalidRequestError,
        PreconditionFailedError, TooLargeError, StorageFullError.
        """
        changes = changes_of(patch, columns)
        wanted: dict[str, Any] = {"s": changes.set, "d": changes.drop}
        if changes.drop_columns:
            wanted["c"] = 1
        (most, limited_by), most_of_owner = self._share(), self._settings.dataset_stored_bytes_per_owner
        try:
            self._change(
                "describe", _new_change(), name, pack(wanted), _packed(conditions), MOST_BYTES, most, most_of_owner
            )
        except ResponseError as error:
            raise self._no_room(error, "The description does not fit", most, limited_by) from error
        return self.get(name)

    def delete(self, name: str, conditions: Conditions = UNCONDITIONAL) -> None:
        """Delete a data set with all versions, also those that jobs use.

        Raises NoSuchDataSetError, PreconditionFailedError.
        """
        self._change("delete", _new_change(), name, _packed(conditions))

    def hold(self, name: str, version: str, job: str, until: int) -> Held:
        """Keep a version, or the newest one for "", for a job until then (us), or longer if that was said before.

        Raises NoSuchDataSetError, NoSuchVersionError.
        """
        try:
            held, texts = self._library.call("hold", name, version, job, until)
        except ResponseError as error:
            raise self._refusal(error, name) from error
        return Held(held.decode(), _description(zip(texts[::2], texts[1::2], strict=True)))

    def let_go(self, version: str, job: str) -> None:
        """The job is forgotten: it does not need the version any more."""
        self._library.call("let_go", version, job, self._settings.dataset_versions)

    def sweep(self) -> None:
        """Do what time asks for: end uploads and holds whose time has run out."""
        for _ in range(20):
            if not self._library.call("sweep", self._settings.dataset_versions):
                break

    # For caches

    def epoch(self) -> int:
        """A number that is another one whenever a version has left a data set since."""
        return int(self._library.command("GET", f"{self._prefix}:ds:epoch") or 0)

    def missing(self, versions: Iterable[str]) -> frozenset[str]:
        """Those of the versions that no data set has."""
        return frozenset(version.decode() for version in self._library.call("missing", *versions))


def _new_change() -> str:
    return secrets.token_hex(12)


def _packed(conditions: Conditions) -> bytes:
    tags = {"y": conditions.match, "n": conditions.none_match}
    return pack({key: its for key, its in tags.items() if its is not None})


def decode(name: str, packed: bytes, texts: Iterable[tuple[bytes, bytes]] = ()) -> DataSet:
    """The data set of a record and of what is said about it."""
    record = msgpack.unpackb(packed, raw=True)
    return DataSet(
        name=name,
        owner=record[b"o"].decode("utf-8", "surrogateescape"),
        created=record[b"c"],
        revision=record[b"u"],
        editions=tuple(map(_edition, record[b"V"])),
        description=_description(texts),
    )


def _description(texts: Iterable[tuple[bytes, bytes]]) -> Description:
    return description_of((key.decode(), text.decode()) for key, text in texts)


def _edition(it: dict[bytes, Any]) -> Edition:
    return Edition(it[b"i"].decode(), it[b"c"], it[b"r"], it[b"s"], it[b"d"])
