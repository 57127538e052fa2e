"""Backups made and restored without the command line, and what there is to see in a system, to compare it by."""

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgpack

from gristmill.backup.contents import Contents
from gristmill.backup.copying import Copier
from gristmill.backup.format import Entry, Reader, Writer
from gristmill.backup.restoring import BYTES, Restored, Restorer
from gristmill.datasets.store import Store
from gristmill.job import Job, JobFilter, Status
from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import Client, connect

RAN = "It was running when the backup was made; it runs again."


def copied(client: Client, settings: Settings, *, damaged: int = 0) -> bytes:
    """A backup of what there is. damaged: how many things are to be found so."""
    out = io.BytesIO()
    writer = Writer(out)
    with closing(Copier(client, settings)) as copier:
        for kind, fields in copier.entries():
            writer.write(kind, fields)
        assert len(copier.damaged) == damaged
    writer.finish()
    return out.getvalue()


def entries(data: bytes) -> Iterator[Entry]:
    """The entries of a backup."""
    return iter(Reader(io.BytesIO(data)))


def restored(data: bytes, settings: Settings, *, anyway: bool = False, tells: bool = True) -> Restored:
    """Restore a backup as ``gristmill restore`` does."""
    contents = Contents()
    with connect(settings) as client, closing(Restorer(client, settings)) as restorer, restorer.taken():
        restorer.look()
        for kind, fields in contents.counted(entries(data)):
            if kind in BYTES:
                restorer.stage(kind, fields)
        restorer.tells_subscribers = tells
        assert restorer.begin(contents.backup, anyway=anyway)
        restorer.apply(entries(data))
        restorer.end()
        return restorer.restored


def all_jobs(jobs: Jobs) -> list[Job]:
    """Every job, as its status tells it."""
    found: list[Job] = []
    cursor = ""
    while True:
        page = jobs.list(JobFilter(), limit=1000, cursor=cursor)
        found += [jobs.status(job.id) for job in page.jobs]
        if not (cursor := page.next_cursor):
            return found


def seen_jobs(jobs: Jobs, *, after_restore: bool = False) -> dict[str, Any]:
    """Everything that can be asked about jobs, by id.

    after_restore: as it is to be once it has been restored: what runs is accepted again, nobody lives who would take a
    job, and where it stands in its queue is compared by ``places`` alone.
    """
    found = {}
    for job in all_jobs(jobs):
        outputs = [b"".join(jobs.output_chunks(output)) for output in job.outputs]
        host = jobs.host_of(job.worker)
        seen = job
        if after_restore and job.status is Status.RUNNING:
            seen = replace(
                job, status=Status.ACCEPTED, revision=job.revision + 1, started=None, progress=0, message=RAN,
                worker="", token="", updated=0,
            )  # fmt: skip
            host = ""
        elif job.message == RAN:
            seen = replace(job, updated=0)
        waiting = job.waiting if job.waiting and job.waiting.reason in {"retry", "joined"} else None
        found[job.id] = (replace(seen, waiting=waiting), jobs.inputs(job), outputs, jobs.log(job), host)
    return found


def places(client: Client, prefix: str) -> dict[str, list[str]]:
    """The jobs of each queue and owner, in their order."""
    found = {}
    for key in client.scan_iter(f"{prefix}:q:*"):
        name = key.decode("utf-8", "surrogateescape").removeprefix(prefix)
        found[name] = [job.decode() for job in client.zrange(key, 0, -1)]
    return found


def seen_data_sets(store: Store) -> dict[str, Any]:
    """Everything that can be asked about data sets, by name."""
    found = {}
    for it in store.list(limit=1000).data_sets:
        data_set = store.get(it.name)
        versions = []
        for edition in data_set.editions:
            version = store.version(it.name, edition.version)
            data = b"".join(store.blobs.read(version.blob))
            versions.append((edition, version.facts, version.reading, data))
        found[it.name] = (data_set, versions)
    return found


def holds(client: Client, prefix: str) -> dict[bytes, float]:
    """Which jobs keep which versions, until when."""
    return dict(client.zrange(f"{prefix}:ds:holds", 0, -1, withscores=True))


def call_backs(client: Client, prefix: str) -> dict[bytes, tuple[Any, float]]:
    """Call-backs that have not been delivered, and when they are due."""
    found = client.hgetall(f"{prefix}:cbd")
    return {event: (msgpack.unpackb(it), client.zscore(f"{prefix}:cb", event)) for event, it in found.items()}
