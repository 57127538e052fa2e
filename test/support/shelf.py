"""A store to experiment with: shorthands, times that can be pushed about, and a check of all its keys at once."""

import hashlib
import io
from typing import Any

import msgpack

from gristmill.datasets.blobs import chunk_count
from gristmill.datasets.dataset import Conditions, DataSet, NewVersion, Stored
from gristmill.datasets.store import Store
from gristmill.settings import Settings
from gristmill.store import connect

# The keys that there may be: the table at the top of datasets.lua.
KINDS = (*(f"{letter}:" for letter in "dtovbcuhx"), "all", "uploads", "bytes", "holds", "epoch")


def version_of(content: bytes) -> NewVersion:
    """The version that an upload of this content becomes."""
    return NewVersion(hashlib.sha256(content).hexdigest(), len(content), 3 * len(content), b"facts of " + content[:9])


class Shelf:
    """A store with shorthands, and with keys that a test can look at and push about in time."""

    def __init__(self, settings: Settings) -> None:
        self.client = connect(settings)
        self.store = Store(self.client, settings)
        self.settings = settings
        self.prefix = f"{settings.key_prefix}:ds:"

    def put(self, name: str, content: bytes, owner: str = "ann", conditions: Conditions | None = None) -> Stored:
        """Upload this content."""
        return self.store.put(
            name, version_of(content), io.BytesIO(content), len(content),
            owner=owner, conditions=conditions or Conditions(),
        )  # fmt: skip

    def bytes_of(self, name: str, version: str = "") -> bytes:
        """The bytes of a version."""
        return b"".join(self.store.blobs.read(self.store.version(name, version).blob))

    def contents(self, name: str, *all_contents: bytes) -> list[bytes]:
        """Which of these contents the data set has, newest first."""
        known = {version_of(content).id: content for content in all_contents}
        return [known[edition.version] for edition in self.store.get(name).editions]

    def end_uploads(self) -> None:
        """Let the time of all uploads run out, and sweep."""
        self.push_uploads()
        self.store.sweep()

    def push_uploads(self) -> None:
        """Let the time of all uploads run out."""
        for upload in self.client.zrange(f"{self.prefix}uploads", 0, -1):
            self.client.zadd(f"{self.prefix}uploads", {upload: 1})
        for key in self.client.scan_iter(f"{self.prefix}c:*"):
            if self.client.ttl(key) >= 0:
                self.client.pexpireat(key, 1)

    def end_holds(self) -> None:
        """Let the time of all holds run out, and sweep."""
        self.push_holds()
        self.store.sweep()

    def push_holds(self) -> None:
        """Let the time of all holds run out."""
        for hold in self.client.zrange(f"{self.prefix}holds", 0, -1):
            self.client.zadd(f"{self.prefix}holds", {hold: 1})

    def stored(self) -> set[str]:
        """All keys, without the prefix, but for answers that are kept for a minute."""
        found = {key.decode().removeprefix(self.prefix) for key in self.client.scan_iter(f"{self.prefix}*", count=1000)}
        for key in found:
            assert not key.startswith("x:") or self.client.ttl(self.prefix + key) != -1
        return {key for key in found if not key.startswith("x:")}

    def used(self) -> dict[str, int]:
        """Bytes by owner, and in total."""
        return {key.decode(): int(count) for key, count in self.client.hgetall(f"{self.prefix}bytes").items()}

    def check(self) -> None:
        """Assert that all keys agree with each other."""
        client, prefix, names = self.client, self.prefix, self.stored()
        assert not [name for name in names if not name.startswith(KINDS)]

        def of(kind: str) -> dict[str, Any]:
            return {name[2:]: unpacked(client.get(prefix + name)) for name in names if name.startswith(f"{kind}:")}

        def members(name: str) -> set[str]:
            return {member.decode() for member in client.zrange(prefix + name, 0, -1)}

        records, versions, uploads = of("d"), of("v"), of("u")
        assert members("all") == set(records)
        for owner in {name[2:] for name in names if name.startswith("o:")} | {it["o"] for it in records.values()}:
            assert members(f"o:{owner}") == {name for name, it in records.items() if it["o"] == owner}
        assert {name[2:] for name in names if name.startswith("t:")} <= set(records)
        assert members("uploads") == set(uploads)

        users: dict[str, set[str]] = {}
        for name, it in records.items():
            assert it["V"]
            assert len({edition["i"] for edition in it["V"]}) == len(it["V"])
            for edition in it["V"]:
                users.setdefault(edition["i"], set()).add(name)
        assert set(versions) == set(users)

        texts = {}
        for name, it in records.items():
            said = client.hgetall(f"{prefix}t:{name}")
            texts[name] = sum(map(len, said)) + sum(map(len, said.values()))
            assert it.get("t", 0) == texts[name]
        total = sum(it["s"] for it in uploads.values()) + sum(texts.values())
        chunks = {name for name in names if name.startswith("c:") and client.ttl(prefix + name) < 0}
        blobs = {name[2:] for name in names if name.startswith("b:")}
        assert blobs == {it["b"] for it in versions.values()}
        for version, it in versions.items():
            blob = {key.decode(): value for key, value in client.hgetall(f"{prefix}b:{it['b']}").items()}
            assert {key[1:] for key in blob if key.startswith("=")} == users[version]
            its = [f"c:{it['b']}:{number}" for number in range(int(blob["n"]))]
            assert sum(client.strlen(prefix + key) for key in its) == int(blob["s"])
            assert int(blob["n"]) == chunk_count(int(blob["s"]))
            chunks -= set(its)
            total += int(blob["s"])
        assert not chunks, "chunks that no blob has and that never expire"

        used = {f"o {owner}": 0 for owner in {it["o"] for it in (*records.values(), *uploads.values())}}
        for name, it in records.items():
            used[f"o {it['o']}"] += sum(edition["s"] for edition in it["V"]) + texts[name]
        for it in uploads.values():
            used[f"o {it['o']}"] += it["s"]
        assert self.used() == {key: count for key, count in {**used, "total": total}.items() if count}

        holds = {tuple(hold.split(" ", 1)) for hold in members("holds")}
        held = {name[2:] for name in names if name.startswith("h:")}
        assert holds == {(version, job.decode()) for version in held for job in client.smembers(f"{prefix}h:{version}")}
        assert held <= set(versions)


def unpacked(packed: bytes) -> Any:
    return msgpack.unpackb(packed, raw=False, unicode_errors="surrogateescape")


def revision(data_set: DataSet) -> Conditions:
    """If-Match: the data set as it is now."""
    return Conditions(match=(str(data_set.revision),))
