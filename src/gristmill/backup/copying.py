"""Reads what there is, entry by entry, while everything goes on: each job and data set as it is at one moment.

What an entry refers to comes before it, so a job or version that goes while its bytes are read is left out whole: its
entry is never written. Nothing is locked, and no call asks Redis for more than a few milliseconds.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import msgpack
from redis.exceptions import ResponseError

from gristmill import __version__
from gristmill.backup.format import Entry
from gristmill.backup.names import NameSet
from gristmill.datasets.blobs import LIBRARY, Blob, RedisBlobs, chunk_count
from gristmill.errors import BackupError, DamagedDataError, NoSuchVersionError
from gristmill.job import new_id
from gristmill.library import Library
from gristmill.records import pack
from gristmill.settings import Settings
from gristmill.store import Client

# A log of at most so many bytes goes with its job's entry.
SHORT_LOG_BYTES = 1024
_PAGE = 200
_SCANNED = 1000
_CALL_BYTES = 2**20
_TRIES = 3
_ROUNDS = 20


class Copier:
    """Copies one system. ``damaged`` names what could not be copied because parts of it are missing in Redis."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.backup = new_id()
        self.damaged: list[str] = []
        self._prefix = settings.key_prefix
        self._environment = settings.environment
        self._jobs = Library(client, self._prefix)
        self._datasets = Library(client, self._prefix, LIBRARY)
        self._bytes = RedisBlobs(self._datasets)
        self._told: set[bytes] = set()
        self._sent = NameSet()

    def close(self) -> None:
        """Close the connections."""
        self._jobs.close()
        self._datasets.close()

    def entries(self) -> Iterator[Entry]:
        """All entries, in the order in which they are restored. Raises UnavailableError, BackupError."""
        seconds, microseconds = self._jobs.command("TIME")
        begun = int(seconds) * 1_000_000 + int(microseconds)
        # The clock may have been set back since: what is there now counts, whatever time it bears.
        newest = self._jobs.command("ZREVRANGEBYSCORE", self._key("all"), "+inf", "-inf", "WITHSCORES", "LIMIT", 0, 1)
        latest = max([begun, *(int(score) for _, score in newest)])
        yield "begin", {
            "backup": self.backup, "begun": begun, "release": __version__, "environment": self._environment,
        }  # fmt: skip
        for field, _ in self._scanned("HSCAN", "c", "p *"):
            yield "pause", {"process": field[2:]}
        for owner, secret in self._scanned("HSCAN", "secret"):
            yield "secret", {"owner": owner, "secret": secret}
        for name in self._data_set_names():
            yield from self._data_set(name)
        for ids in self._job_ids(latest):
            yield from self._jobs_of(ids)
        for hold, until in self._scanned("ZSCAN", "ds:holds"):
            version, _, job = hold.partition(b" ")
            yield "hold", {"version": version, "job": job, "until": int(float(until))}
        for kind, letter in (("idempotency-key", "i"), ("equal-work", "e")):
            yield from self._marks(kind, letter)
        for event, packed in self._scanned("HSCAN", "cbd"):
            due = self._jobs.command("ZSCORE", self._key("cb"), event)
            if due is not None:
                yield "call-back", {"call_back": event, "due": int(due), "record": packed}

    # Data sets

    def _data_set_names(self) -> Iterator[str]:
        last = "-"
        while found := self._datasets.command("ZRANGEBYLEX", self._key("ds:all"), last, "+", "LIMIT", 0, _PAGE):
            yield from (name.decode() for name in found)
            last = f"({found[-1].decode()}"

    def _data_set(self, name: str) -> Iterator[Entry]:
        """The versions, then the data set as it is once all of its versions have been read."""
        whole: dict[bytes, bool] = {}
        for _ in range(_ROUNDS):
            found = self._datasets.call("get", name)
            if not found:
                return
            packed, texts = found
            record = msgpack.unpackb(packed, raw=True)
            new = [it[b"i"] for it in record[b"V"] if it[b"i"] not in whole]
            for version in new:
                yield from self._version(name, version, whole)
            if not new:
                break
        kept = [it for it in record[b"V"] if whole.get(it[b"i"])]
        for it in record[b"V"]:
            if whole.get(it[b"i"]) is False:
                self.damaged.append(f"version {it[b'i'].decode()} of data set {name}")
        if kept:
            if len(kept) < len(record[b"V"]):
                packed = pack(record | {b"V": kept})
            texts = dict(zip(texts[::2], texts[1::2], strict=True))
            yield "data-set", {"name": name.encode(), "record": packed, "texts": texts}
        elif not any(it is False for it in whole.values()):
            raise BackupError(f"Data set {name!r} changes faster than it can be copied; try again when it is quieter.")

    def _version(self, name: str, version: bytes, whole: dict[bytes, bool]) -> Iterator[Entry]:
        """A version's bytes, and then itself; says in ``whole`` whether they are, or nothing of one that has gone."""
        for _ in range(_TRIES):
            try:
                _, packed, size, digest = self._datasets.call("version", name, version)
            except ResponseError as error:
                if str(error).startswith(("ABSENT", "NOVERSION")):
                    return
                raise
            record = msgpack.unpackb(packed, raw=True)
            blob = Blob(record[b"b"].decode(), int(size), digest.decode())
            try:
                if record[b"b"] not in self._sent:  # for another data set that has it
                    for number, data in enumerate(self._bytes.read(blob)):
                        yield "data-set-bytes", {"blob": record[b"b"], "number": number, "data": data}
            except NoSuchVersionError:
                continue  # gone, or gone and uploaded again; a missing part is found gone three times
            except DamagedDataError:
                break
            self._sent.add(record[b"b"])
            whole[version] = True
            yield "version", {
                "version": version, "blob": record[b"b"], "chunks": chunk_count(blob.bytes), "bytes": blob.bytes,
                "sha256": digest, "facts": record[b"f"], "reading": record[b"o"],
            }  # fmt: skip
            return
        whole[version] = False

    # Jobs

    def _job_ids(self, latest: int) -> Iterator[list[bytes]]:
        """All jobs created until then, oldest first."""
        since: float | str = "-inf"
        of_since: set[bytes] = set()
        while True:
            page = self._jobs.command(
                "ZRANGEBYSCORE", self._key("all"), since, latest, "WITHSCORES", "LIMIT", 0, _PAGE + len(of_since)
            )
            found = [(job, score) for job, score in page if job not in of_since]
            if not found:
                return
            yield [job for job, _ in found]
            last = found[-1][1]
            of_since = {job for job, score in page if score == last}
            since = int(last)

    def _jobs_of(self, ids: Sequence[bytes]) -> Iterator[Entry]:
        while ids:
            looked, rows = self._jobs.call("copy_jobs", _CALL_BYTES, *ids)
            ids = ids[looked:]
            yield from self._facts_of([msgpack.unpackb(record, raw=True) for _, record, *_ in rows])
            for row in rows:
                yield from self._job(*row)

    def _job(self, job: bytes, record: bytes, log: bytes, retry: bytes, blobs: bytes) -> Iterator[Entry]:
        for _ in range(_TRIES):
            whole = yield from self._blobs(blobs)
            if whole and (log or b"lg" not in msgpack.unpackb(record, raw=True)):
                if len(log) > SHORT_LOG_BYTES:
                    yield "log", {"job": job, "log": log}
                    log = b""
                yield "job", {"job": job, "record": record, "log": log, "retry": retry, "blobs": blobs}
                return
            _, rows = self._jobs.call("copy_jobs", _CALL_BYTES, job)
            if not rows:
                return
            ((_, record, log, retry, blobs),) = rows
        self.damaged.append(f"job {job.decode()}")

    def _blobs(self, blobs: bytes) -> Generator[Entry, None, bool]:
        """The bytes of a job's blobs that have not been sent; returns whether all of them are there."""
        for text in filter(None, blobs.split(b";")):
            blob, chunks, size = text.rsplit(b",", 2)
            if blob in self._sent:
                continue
            found = 0
            for number in range(int(chunks)):
                data = self._jobs.command("GET", self._key("b:") + blob + b":%d" % number)
                if data is None:
                    return False
                found += len(data)
                yield "job-bytes", {"blob": blob, "number": number, "data": data}
            if not int(chunks) or found != int(size):
                return False
            self._sent.add(blob)
        return True

    def _facts_of(self, records: Iterable[dict[bytes, Any]]) -> Iterator[Entry]:
        """The facts that the records refer to: of releases, the versions of processes in them, and workers."""
        of_releases, of_workers = set[bytes](), set[bytes]()
        for record in records:
            _, made_by, made_with, *_ = record.get(b"km", (0, b"", b""))
            of_releases |= {record[b"f"], record.get(b"w", b""), made_with}
            of_workers |= {_worker_of(record.get(b"h", b"")), _worker_of(made_by)}
        found = self._new_facts(of_releases)
        versions = {facts.split(b"|")[1] for _, facts in found if b"|" in facts}
        for reference, facts in (*found, *self._new_facts(versions | of_workers)):
            yield "facts", {"reference": reference, "facts": facts}

    def _new_facts(self, named: set[bytes]) -> list[tuple[bytes, bytes]]:
        """Of those that have not been told of: reference and facts."""
        if not (new := sorted(named - self._told - {b""})):
            return []
        self._told.update(new)
        found = zip(new, self._jobs.command("HMGET", self._key("facts"), *new), strict=True)
        return [(reference, facts) for reference, facts in found if facts is not None]

    # What goes with jobs

    def _marks(self, kind: str, letter: str) -> Iterator[Entry]:
        start = self._key(f"{letter}:")
        for keys in self._jobs.keys(f"{letter}:"):
            names = [key.removeprefix(start) for key in keys]
            for name, value, ends, is_there in self._jobs.call("copy_marks", letter, *names):
                yield kind, {"name": name, "value": value, "ends": ends, "there": is_there}

    def _scanned(self, command: str, key: str, pattern: str = "*") -> Iterator[tuple[bytes, bytes]]:
        """What is in a hash or a sorted set; something may come twice."""
        cursor = b"0"
        while True:
            cursor, found = self._jobs.command(command, self._key(key), cursor, "MATCH", pattern, "COUNT", _SCANNED)
            yield from zip(found[::2], found[1::2], strict=True)
            if cursor == b"0":
                return

    def _key(self, name: str) -> bytes:
        return f"{self._prefix}:{name}".encode()


def _worker_of(child: bytes) -> bytes:
    return child.rpartition(b".")[0]
