"""Backup and restore of many jobs, and of a large data set; the limit is to read the same keys one by one."""

import os
import time
from contextlib import closing
from pathlib import Path

from bench.footprint import fill
from bench.measure import Report
from bench.parts import client, server
from bench.rivals import drivers
from gristmill.backup.copying import Copier
from gristmill.backup.format import Reader, Writer
from gristmill.backup.places import NewFile
from gristmill.backup.restoring import BYTES, Restorer
from gristmill.datasets.dataset import NewVersion
from gristmill.datasets.store import Store
from gristmill.job import Finish
from gristmill.jobs import Jobs, new_worker_id
from gristmill.settings import Settings
from gristmill.store import connect

JOBS = 100_000
LONG_JOBS = 5_000
LONG_BYTES = 10_000
DATA_BYTES = 200_000_000
SLOW_US = 1000


def measure(url: str, folder: Path) -> Report:
    """Back up jobs, then a data set, each into a file that is read back, and restore both into another server."""
    report = Report(
        "Backup and restore",
        f"{JOBS:,} finished jobs, {LONG_JOBS:,} of them with results of {LONG_BYTES:,} bytes; then a data set of "
        f"{DATA_BYTES / 1e6:,.0f} MB that cannot be compressed",
    )
    plain = client(url)
    jobs, offer = drivers.gristmill_jobs(url)
    fill(jobs, offer, new_worker_id(), JOBS - LONG_JOBS)
    for _ in range(LONG_JOBS):
        _finish_long(jobs, offer)
    _about(report, f"{JOBS:,} jobs", url, plain, folder)
    plain.flushall()
    with (folder / "data").open("wb") as file:
        for _ in range(DATA_BYTES // 1_000_000):
            file.write(os.urandom(1_000_000))
    settings = _settings(url)
    with (
        connect(settings) as connection,
        closing(Store(connection, settings)) as store,
        (folder / "data").open("rb") as file,
    ):
        store.put("data", NewVersion("0" * 64, 1, DATA_BYTES, b"{}"), file, DATA_BYTES, owner="bench")
    _about(report, f"{DATA_BYTES / 1e6:,.0f} MB", url, plain, folder)
    return report


def _finish_long(jobs: Jobs, offer: drivers.Offer) -> None:
    worker = new_worker_id()
    jobs.beat(worker, host="bench", offers=[offer], children=1, held={})
    jobs.submit(drivers.new_noop(offer))
    attempt = jobs.claim(f"{worker}.1", [offer])
    output = jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", os.urandom(LONG_BYTES))
    jobs.finish(attempt.job_id, attempt.token, Finish((output,), log=b"a line\n" * 20), child=f"{worker}.1")
    jobs.leave(worker)


def _about(report: Report, what: str, url: str, plain, folder: Path) -> None:
    path = folder / "backup"
    plain.config_set("slowlog-log-slower-than", SLOW_US)
    plain.slowlog_reset()
    seconds, size = _backed_up(url, path)
    slowest = max((entry["duration"] for entry in plain.slowlog_get(128)), default=0)
    read, count = _read_one_by_one(plain)
    ratio = seconds / read
    report.add(
        f"{what}: backup, checked", seconds, "s", f"{ratio:.2f} x of reading {count:,} keys one by one", ratio <= 1.5
    )
    report.add(f"{what}: reading the same keys one by one", read, "s")
    report.add(f"{what}: backup", size / 1e6, "MB")
    report.add(f"{what}: longest call of the backup", slowest / 1000, "ms", "<= 50 ms", slowest <= 50_000)
    with server(folder / f"other {what}") as other:
        there = client(other)
        there.config_set("slowlog-log-slower-than", SLOW_US)
        report.add(f"{what}: restore", _restored(other, path), "s")
        slowest = max((entry["duration"] for entry in there.slowlog_get(128)), default=0)
        report.add(f"{what}: longest call of the restore", slowest / 1000, "ms", "<= 50 ms", slowest <= 50_000)


def _backed_up(url: str, path: Path) -> tuple[float, int]:
    settings = _settings(url)
    started = time.perf_counter()
    with NewFile(path) as new, connect(settings) as connection, closing(Copier(connection, settings)) as copier:
        writer = Writer(new)
        for kind, fields in copier.entries():
            writer.write(kind, fields)
        writer.finish()
        for _ in Reader(new.rewind()):
            pass
        new.keep()
    return time.perf_counter() - started, writer.bytes


def _restored(url: str, path: Path) -> float:
    settings = _settings(url)
    started = time.perf_counter()
    with connect(settings) as connection, closing(Restorer(connection, settings)) as restorer:
        restorer.look()
        with restorer.taken():
            with path.open("rb") as file:
                for kind, fields in Reader(file):
                    if kind in BYTES:
                        restorer.stage(kind, fields)
            restorer.begin("bench", anyway=False)
            with path.open("rb") as file:
                restorer.apply(Reader(file))
            restorer.end()
    return time.perf_counter() - started


def _read_one_by_one(plain) -> tuple[float, int]:
    """SCAN, and a GET for each key that holds a value of its own: records, bytes, logs."""
    started = time.perf_counter()
    count = 0
    for pattern in ("{g0}:[jbl]:*", "{g0}:ds:[dvc]:*"):
        for key in plain.scan_iter(pattern, count=1000):
            plain.get(key)
            count += 1
    return time.perf_counter() - started, count


def _settings(url: str) -> Settings:
    much = 2**40
    return Settings(
        redis_url=url, dataset_memory_bytes=much, dataset_stored_bytes=much, dataset_stored_bytes_per_owner=much
    )
