"""An engine to experiment with: shorthands, times that can be pushed about, and a check of all its keys at once."""

from typing import Any

import msgpack

from gristmill.job import Attempt, Finish, Job, NewJob, Offer, Output, new_id
from gristmill.jobs import Jobs, new_worker_id
from gristmill.settings import Settings
from gristmill.store import connect

OFFER = Offer("echo", "face", "v1")
DONE = Finish((Output("result", "application/json", b"1", "", 1),))
US = 1_000_000
# The keys that there may be: the table at the top of jobs.lua.
KINDS = (
    *(f":{letter}:" for letter in "jopwhelbitq"),
    *(":all", ":c", ":s", ":owners", ":wake:", ":delayed", ":due", ":nowork", ":running", ":workers", ":join:"),
    *(":facts", ":factsage", ":stats", ":cb", ":cbd", ":secret", ":libs", ":restored", ":restoring", ":r:"),
    ":ds:",  # data sets: the table at the top of datasets.lua
)


def child_of(attempt: Attempt) -> str:
    """The child that claimed it."""
    return attempt.token.partition(".")[2]


class Lab:
    """An engine with shorthands, and with keys that a test can look at and push about in time."""

    def __init__(self, settings: Settings, release: str = "1.0.0") -> None:
        self.client = connect(settings)
        self.jobs = Jobs(self.client, settings, release)
        self.prefix = settings.key_prefix
        self.settings = settings
        self._children = 0

    def new(self, owner: str = "ann", process: str = "echo", **more: Any) -> NewJob:
        """A job to submit."""
        return NewJob(new_id(), process, owner, b"{}", OFFER.interface, "v1", **more)

    def submit(self, owner: str = "ann", process: str = "echo", **more: Any) -> Job:
        """Submit a job."""
        return self.jobs.submit(self.new(owner, process, **more)).job

    def worker(self, *offers: Offer) -> str:
        """A worker that has said that it lives."""
        worker = new_worker_id()
        self.beat(worker, *offers)
        return worker

    def beat(self, worker: str, *offers: Offer, held: dict[str, str] | None = None) -> frozenset[str]:
        """A worker's heartbeat."""
        return self.jobs.beat(worker, host="here", offers=offers or (OFFER,), children=2, held=held or {})

    def child(self, worker: str) -> str:
        """A new child's name."""
        self._children += 1
        return f"{worker}.{self._children}"

    def claim(self, worker: str, *offers: Offer) -> Attempt:
        """Claim by a new child; there must be something to claim."""
        attempt = self.jobs.claim(self.child(worker), offers or (OFFER,))
        assert attempt is not None
        return attempt

    def finish(self, attempt: Attempt, how: Finish = DONE, **more: Any) -> Attempt | None:
        """Finish by the child that claimed."""
        return self.jobs.finish(attempt.job_id, attempt.token, how, child=child_of(attempt), **more)

    def status(self, job: Job | Attempt) -> Job:
        """The job as a reader sees it."""
        return self.jobs.status(job.job_id if isinstance(job, Attempt) else job.id)

    def end_lease(self, worker: str) -> None:
        """As if the worker had not been heard of for the length of its lease, while others went on sweeping."""
        self.client.zadd(f"{self.prefix}:workers", {worker: 1})
        self.swept_ago(self.settings.beat_seconds)

    def swept_ago(self, seconds: float) -> None:
        """As if the last sweep had been so long ago."""
        now = self.client.time()
        self.client.hset(f"{self.prefix}:s", "s", int(now[0] * US + now[1] - seconds * US))

    def lose(self, worker: str) -> None:
        """The worker is gone, and a sweep finds it out."""
        self.end_lease(worker)
        self.jobs.sweep()

    def stored(self) -> set[str]:
        """All keys, without the prefix."""
        found = self.client.scan_iter(f"{self.prefix}:*")
        return {key.decode("utf-8", "surrogateescape").removeprefix(self.prefix) for key in found}

    def check(self) -> None:
        """Assert that all keys agree with each other: no job without its entries, no entry without its job."""
        client, prefix = self.client, self.prefix
        names = self.stored()
        jobs = {
            name[3:]: msgpack.unpackb(client.get(prefix + name), raw=False, unicode_errors="surrogateescape")
            for name in names
            if name.startswith(":j:")
        }
        accepted = {id_ for id_, job in jobs.items() if job["s"] == "A"}
        running = {id_: job for id_, job in jobs.items() if job["s"] == "R"}

        def members(name: str) -> set[str]:
            return {member.decode() for member in client.zrange(prefix + name, 0, -1)}

        assert members(":all") == set(jobs)
        for letter, field in (("o", "o"), ("p", "p")):
            for value in {job[field] for job in jobs.values()}:
                assert members(f":{letter}:{value}") == {id_ for id_, job in jobs.items() if job[field] == value}

        queued: dict[str, str] = {}
        turns: dict[str, set[str]] = {}
        for name in names:
            if name.startswith(":q:"):
                queue, _, owner = name[3:].partition("|")
                turns.setdefault(queue, set()).add(owner)
                for id_ in members(name):
                    assert (jobs[id_]["q"], jobs[id_]["o"]) == (queue, owner)
                    assert id_ not in queued
                    queued[id_] = name
        delayed = members(":delayed")
        joined = {id_.decode() for name in names if name.startswith(":join:") for id_ in client.smembers(prefix + name)}
        assert not set(queued) & delayed
        assert not set(queued) & joined
        assert set(queued) | delayed | joined == accepted
        for name in names:
            if name.startswith(":t:"):
                assert members(name) == turns.pop(name[3:])
        assert not turns
        ready = {field.decode()[2:] for field in client.hkeys(f"{prefix}:c") if field.startswith(b"q ")}
        assert ready == {name[3:].partition("|")[0] for name in queued.values()}

        assert {field.decode() for field in client.hkeys(f"{prefix}:nowork")} <= ready

        packed = client.hgetall(f"{prefix}:owners")
        owners = {name.decode(): msgpack.unpackb(it, raw=False) for name, it in packed.items()}
        for name, owner in owners.items():
            mine = [job for job in jobs.values() if job["o"] == name]
            assert owner["n"] == sum(job["s"] in "AR" for job in mine)
            assert owner["b"] == sum(_bytes(job) for job in mine)
            where = {queue.partition("|") for queue in queued.values()}
            assert set(owner["q"]) == {queue[3:] for queue, _, its in where if its == name}
            for queue in owner["q"]:
                assert client.zscore(f"{prefix}:t:{queue}", name) == owner["t"]
        assert {job["o"] for job in jobs.values() if job["s"] in "AR" or _bytes(job)} == set(owners)

        held = {}
        for name in names:
            if name.startswith(":h:"):
                for number, value in client.hgetall(prefix + name).items():
                    if number != b"0" and not value.startswith(b"x"):
                        held[value.decode().rstrip("?")] = f"{name[3:]}.{number.decode()}"
        assert held == {id_: job["h"] for id_, job in running.items()}
        limited: dict[str, int] = {}
        for job in running.values():
            if job.get("l"):
                limited[job["p"]] = limited.get(job["p"], 0) + 1
        assert {name.decode(): int(count) for name, count in client.hgetall(f"{prefix}:running").items()} == limited
        assert not [job for job in jobs.values() if job["s"] != "R" and job.get("l")]
        self._check_companions(names, jobs)

    def _check_companions(self, names: set[str], jobs: dict[str, dict[str, Any]]) -> None:
        """Blobs, logs, deadlines, joins and call-backs: each belongs to a job, and the other way round."""
        client, prefix = self.client, self.prefix

        def of(kind: str) -> set[str]:
            return {name[len(kind) :] for name in names if name.startswith(kind)}

        assert not [name for name in names if not name.startswith(KINDS)]
        wanted: dict[str, int] = {}
        for job in jobs.values():
            for blob in (*job.get("B", ()), *filter(None, [job.get("I", "").partition(",")[0]])):
                wanted[blob] = wanted.get(blob, 0) + 1
        chunks = {chunk for chunk in of(":b:") if chunk in wanted or client.ttl(f"{prefix}:b:{chunk}") < 0}
        for blob, count in wanted.items():
            it = msgpack.unpackb(client.get(f"{prefix}:b:{blob}"))
            assert it["r"] == count
            chunks -= {blob, *(f"{blob}:{number}" for number in range(it["n"]))}
            assert it["s"] == sum(client.strlen(f"{prefix}:b:{blob}:{number}") for number in range(it["n"]))
        assert not chunks, "blobs that no job has and that never expire"

        assert of(":l:") == {id_ for id_, job in jobs.items() if job.get("lg")}
        due = {id_.decode() for id_ in client.zrange(f"{prefix}:due", 0, -1)}
        assert due <= {id_ for id_, job in jobs.items() if job["s"] in "AR" and "qs" in job}
        assert due >= {id_ for id_, job in jobs.items() if job["s"] == "A" and "qs" in job and not job.get("a")}
        for first in of(":join:"):
            waiting = {id_.decode() for id_ in client.smembers(f"{prefix}:join:{first}")}
            assert waiting == {id_ for id_, job in jobs.items() if job.get("j") == first}
            assert jobs[first]["s"] in "AR"
            assert "j" not in jobs[first]
        assert {job["j"] for job in jobs.values() if "j" in job} == of(":join:")
        assert set(client.zrange(f"{prefix}:cb", 0, -1)) == set(client.hkeys(f"{prefix}:cbd"))
        assert set(client.zrange(f"{prefix}:factsage", 0, -1)) == set(client.hkeys(f"{prefix}:facts"))
        for wake in of(":wake:"):
            assert client.llen(f"{prefix}:wake:{wake}") == 1
        workers = {worker.decode() for worker in client.zrange(f"{prefix}:workers", 0, -1)}
        assert workers == of(":w:")
        for worker in of(":h:") - workers:
            assert client.ttl(f"{prefix}:h:{worker}") > 0
        for name in names:
            if name.startswith((":e:", ":i:", ":r:")):
                assert client.ttl((prefix + name).encode("utf-8", "surrogateescape")) > 0


def _bytes(job: dict[str, Any]) -> int:
    """What the job's owner is charged for it."""
    if job["s"] in "AR":
        return int(job.get("zb", 0))
    inline = [job.get(field, "").encode("utf-8", "surrogateescape") for field in "ir"]
    return sum(map(len, inline)) + int(job.get("z", 0))
