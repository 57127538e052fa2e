"""A backup while everything goes on, of which a restore is a system that is whole and carries everything out."""

import io
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from support import BACKENDS, RedisServer, wait_until
from support.backups import all_jobs, restored
from support.lab import OFFER, Lab, child_of
from support.shelf import Shelf, version_of

from gristmill.backup.copying import Copier
from gristmill.backup.format import Writer
from gristmill.errors import LostAttemptError, NoSuchDataSetError, NoSuchJobError
from gristmill.job import End, Finish, Idempotency, Lost, NewJob, Status, new_id
from gristmill.settings import Settings

SUBSCRIBER = {"successUri": "https://example.org/s", "failedUri": "https://example.org/f"}
VERSIONS = 2
MOST_JOBS = 1500


class Life:
    """Threads that do all that may be done, until told to stop. What they were told is theirs to remember."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stop = threading.Event()
        self.goes_on = threading.Event()
        self.accepted: list[tuple[float, NewJob]] = []
        self.succeeded: list[tuple[float, str, bytes]] = []
        self.deleted: set[str] = set()
        self.uploaded: dict[str, list[tuple[float, bytes]]] = {}
        self.failures: list[BaseException] = []
        Lab(settings).worker()
        self.threads = [
            threading.Thread(target=self.guarded, args=(work, seed))
            for seed, work in enumerate(
                (self.submit, self.submit, self.work, self.work, self.delete, self.upload, self.upload)
            )
        ]

    def guarded(self, work: Callable[[Lab, random.Random], None], seed: int) -> None:
        lab, chance = Lab(self.settings), random.Random(seed)
        try:
            while not self.stop.is_set():
                if self.goes_on.wait(0.1):
                    work(lab, chance)
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            lab.jobs.close()

    def submit(self, lab: Lab, chance: random.Random) -> None:
        time.sleep(0.002)
        if len(self.accepted) >= MOST_JOBS:
            return
        inputs = b'"' + b"x" * chance.choice([10, 10, 10, 5000]) + b'"'
        job = NewJob(
            new_id(), "echo", chance.choice(["ann", "bob", "cy"]), inputs, OFFER.interface, "v1",
            priority=chance.randint(0, 3), subscriber=SUBSCRIBER if chance.random() < 0.2 else {},
            equal_work=f"same {chance.randint(0, 9)}" if chance.random() < 0.3 else "",
            queue_seconds=600 if chance.random() < 0.2 else 0,
        )  # fmt: skip
        lab.jobs.submit(job, idempotency=Idempotency(job.owner, job.id, "body"))
        self.accepted.append((time.time(), job))

    def work(self, lab: Lab, chance: random.Random) -> None:
        worker = lab.worker()
        attempt = None
        for _ in range(50):
            if attempt is None:
                attempt = lab.jobs.claim(lab.child(worker), (OFFER,))
            if attempt is None or not self.goes_on.is_set():
                break
            how = chance.random()
            if how < 0.1:
                lab.jobs.settle(child_of(attempt), Lost(End.CRASHED, "signal 11", b"end"))
                attempt = None
                continue
            data = chance.randbytes(chance.choice([10, 3000, 1_500_000 if how > 0.95 else 2000]))
            outputs = (lab.jobs.put_output(attempt.token, attempt.job_id, "r", "text/plain", data),)
            finish = Finish(outputs, log=b"l" * chance.choice([0, 10, 5000]))
            if how < 0.2:
                finish = Finish(end=End.EXCEPTION, retry_after=chance.choice([None, 0.5]), log=b"trace")
            try:
                ended, attempt = attempt, lab.finish(attempt, finish, offers=(OFFER,))
            except LostAttemptError:
                attempt = None
                continue
            if finish.end is None:
                self.succeeded.append((time.time(), ended.job_id, data))
        lab.jobs.leave(worker)
        lab.jobs.sweep()

    def delete(self, lab: Lab, chance: random.Random) -> None:
        if self.accepted:
            _, job = chance.choice(self.accepted)
            self.deleted.add(job.id)
            with suppress(NoSuchJobError):
                lab.jobs.dismiss(job.id)
                lab.jobs.delete(job.id)
        time.sleep(0.01)

    def upload(self, lab: Lab, chance: random.Random) -> None:
        shelf = Shelf(self.settings)
        name = (
            f"d{chance.randint(0, 5)}-{threading.get_ident() % 1000}"  # each thread has its own, to know what is there
        )
        if chance.random() < 0.2:
            self.uploaded.pop(name, None)
            with suppress(NoSuchDataSetError):
                shelf.store.delete(name)
        else:
            content = chance.randbytes(chance.choice([10, 100_000, 3_000_000]))
            shelf.put(name, content)
            self.uploaded.setdefault(name, []).append((time.time(), content))
            if self.accepted and chance.random() < 0.5:
                shelf.store.hold(name, "", self.accepted[-1][1].id, int((time.time() + 600) * 1e6))
        shelf.store.close()


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backup_under_load_is_of_a_whole_system_that_carries_everything_out(
    backend: str, start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]
) -> None:
    source = make_settings(start_server(backend).url, dataset_versions=VERSIONS)
    life = Life(source)
    for thread in life.threads:
        thread.start()
    try:
        for so_many in (200, 800):
            life.goes_on.set()
            wait_until(lambda n=so_many: len(life.accepted) >= n or life.failures, 60, "there is much to copy")
            began = time.time()
            before = {name: list(its) for name, its in life.uploaded.items()}
            data = _copied_slowly(source)
            life.goes_on.clear()
            (other,) = set(BACKENDS) - {backend}
            _is_whole(data, life, began, before, make_settings(start_server(other).url, dataset_versions=VERSIONS))
    finally:
        life.goes_on.set()
        life.stop.set()
        for thread in life.threads:
            thread.join()
    assert not life.failures
    Lab(source).check()
    Shelf(source).check()


def _copied_slowly(source: Settings) -> bytes:
    """A backup during which much happens."""
    out = io.BytesIO()
    writer = Writer(out)
    with closing(Copier(Lab(source).client, source)) as copier:
        for number, entry in enumerate(copier.entries()):
            writer.write(*entry)
            if number % 10 == 0:
                time.sleep(0.002)
        assert not copier.damaged
    writer.finish()
    return out.getvalue()


def _is_whole(
    data: bytes, life: Life, began: float, uploaded: dict[str, list[tuple[float, bytes]]], settings: Settings
) -> None:
    restored(data, settings)
    lab, shelf = Lab(settings), Shelf(settings)
    lab.check()
    shelf.check()
    there = {job.id: job for job in all_jobs(lab.jobs)}
    missing = [job.id for when, job in life.accepted if when < began and job.id not in there]
    assert set(missing) <= life.deleted
    for when, job_id, content in life.succeeded:
        if when < began and job_id in there and job_id not in life.deleted:
            job = there[job_id]
            assert job.status is Status.SUCCESSFUL
            assert b"".join(lab.jobs.output_chunks(job.outputs[0])) == content
    for job in there.values():
        if job.status is Status.SUCCESSFUL:
            assert sum(map(len, lab.jobs.output_chunks(job.outputs[0]))) == job.outputs[0].size
        if job.log:
            assert len(lab.jobs.log(job)) == job.log.size
    for name, its in uploaded.items():
        if name in life.uploaded and its[-1] in life.uploaded[name]:  # it was not deleted meanwhile
            kept = [edition.version for edition in shelf.store.get(name).editions]
            newer = len(life.uploaded[name]) - life.uploaded[name].index(its[-1]) - 1
            assert version_of(its[-1][1]).id in kept or newer >= VERSIONS
    for data_set in shelf.store.list(limit=1000).data_sets:
        for edition in data_set.editions:
            assert len(shelf.bytes_of(data_set.name, edition.version)) == edition.stored_bytes
    _drains(lab)


def _drains(lab: Lab) -> None:
    worker = lab.worker()
    for _ in range(3):
        for delayed in lab.client.zrange(f"{lab.prefix}:delayed", 0, -1):
            lab.client.zadd(f"{lab.prefix}:delayed", {delayed: 1})
        lab.swept_ago(lab.settings.beat_seconds)
        lab.beat(worker)
        attempt = lab.jobs.claim(lab.child(worker), (OFFER,))
        while attempt:
            attempt = lab.finish(attempt, offers=(OFFER,))
    assert [job for job in all_jobs(lab.jobs) if not job.status.is_final] == []
    lab.check()
