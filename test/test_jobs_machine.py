"""The queue against a simple model: any sequence of submissions, claims, ends, kills, losses, pauses and deletions.

After every step all keys agree with each other, and every job is in the state that the model says.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from support import RedisServer
from support.lab import DONE, OFFER, Lab, child_of

from gristmill.errors import LostAttemptError
from gristmill.job import Attempt, End, Finish, Lost, Status
from gristmill.settings import Settings

pytestmark = pytest.mark.slow

LIMITED = replace(OFFER, process="limited", concurrent=1)
OFFERS = (OFFER, LIMITED)
PROCESSES = st.sampled_from([OFFER.process, LIMITED.process])
OWNERS = st.sampled_from(["ann", "bob", "cy"])


class Queue(RuleBasedStateMachine):
    """Two workers, three owners, two processes, one of them limited to one run at a time."""

    lab: Lab

    jobs = Bundle("jobs")
    running = Bundle("running")
    dead = Bundle("dead")

    @initialize()
    def start(self) -> None:
        self.lab = type(self).lab
        self.workers = [self.lab.worker(*OFFERS) for _ in range(2)]
        self.model: dict[str, Status] = {}
        self.current: dict[str, Attempt] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.paused: set[str] = set()

    @rule(target=jobs, owner=OWNERS, process=PROCESSES, urgency=st.integers(0, 3))
    def submit(self, owner: str, process: str, urgency: int) -> str:
        job = self.lab.submit(owner, process, priority=urgency)
        self.model[job.id] = Status.ACCEPTED
        self.counts[job.id] = {"losses": 0, "crashes": 0, "hand_backs": 0}
        return job.id

    @rule(target=running, which=st.integers(0, 1))
    def claim(self, which: int) -> object:
        attempt = self.lab.jobs.claim(self.lab.child(self.workers[which]), OFFERS)
        if attempt is None:
            assert not self.claimable()
            return multiple()
        return self.started(attempt)

    def claimable(self) -> list[str]:
        free = {OFFER.process, LIMITED.process} - self.paused
        if any(attempt.process == LIMITED.process for attempt in self.current.values()):
            free.discard(LIMITED.process)
        delayed = self.lab.client.zrange(f"{self.lab.prefix}:delayed", 0, -1)
        return [
            id_ for id_, status in self.model.items()
            if status is Status.ACCEPTED and id_.encode() not in delayed and self.lab.jobs.get(id_).process in free
        ]  # fmt: skip

    def started(self, attempt: Attempt) -> Attempt:
        assert self.model[attempt.job_id] is Status.ACCEPTED
        assert attempt.process not in self.paused
        self.model[attempt.job_id] = Status.RUNNING
        self.current[attempt.job_id] = attempt
        return attempt

    def is_current(self, attempt: Attempt) -> bool:
        return self.current.get(attempt.job_id) == attempt

    def ended(self, attempt: Attempt, status: Status) -> None:
        del self.current[attempt.job_id]
        self.model[attempt.job_id] = status

    @rule(target=running, attempt=running, how=st.sampled_from(["done", "failed", "retry"]), more=st.booleans())
    def finish(self, attempt: Attempt, how: str, more: bool) -> object:
        finish = {
            "done": DONE,
            "failed": Finish(end=End.EXCEPTION, detail="no"),
            "retry": Finish(end=End.EXCEPTION, detail="again", retry_after=1000),
        }[how]
        if not self.is_current(attempt):
            return multiple()
        following = self.lab.finish(attempt, finish, offers=OFFERS if more else ())
        status = {"done": Status.SUCCESSFUL, "failed": Status.FAILED, "retry": Status.ACCEPTED}[how]
        self.ended(attempt, status)
        again = self.lab.finish(attempt, finish, offers=OFFERS if more else ())
        assert again == following
        return multiple() if following is None else self.started(following)

    @rule(attempt=running)
    def progress(self, attempt: Attempt) -> None:
        if self.is_current(attempt):
            self.lab.jobs.progress(attempt.job_id, attempt.token, 50, "half way")
        else:
            with pytest.raises(LostAttemptError):
                self.lab.jobs.progress(attempt.job_id, attempt.token, 50, "half way")

    @rule(attempt=consumes(running), end=st.sampled_from([End.CRASHED, End.TIMED_OUT, None]))
    def child_dies(self, attempt: Attempt, end: End | None) -> None:
        """None: it was killed at a stop, and hands its job back."""
        child = child_of(attempt)
        told = self.lab.jobs.hand_back(child) if end is None else self.lab.jobs.settle(child, Lost(end, "it died"))
        self.never_claims(child)
        if not self.is_current(attempt):
            self.others_holds(child, told)
            return
        assert told == attempt.job_id
        self.counted(attempt, {End.CRASHED: ("crashes", 2), None: ("hand_backs", 5)}.get(end))
        with pytest.raises(LostAttemptError):
            self.lab.finish(attempt)

    def never_claims(self, child: str) -> None:
        if child.partition(".")[0] in self.workers:
            with pytest.raises(LostAttemptError):
                self.lab.jobs.claim(child, OFFERS)
        else:
            assert self.lab.jobs.claim(child, OFFERS) is None

    def others_holds(self, child: str, told: str) -> None:
        """The child had finished this attempt; what it took next, if anything, is what was settled."""
        held = [attempt for attempt in self.current.values() if child_of(attempt) == child]
        assert told == (held[0].job_id if held else "")
        if held:
            status = self.lab.jobs.get(told).status
            if status is Status.ACCEPTED:
                kind = "crashes" if self.lab.jobs.get(told).crashes > self.counts[told]["crashes"] else "hand_backs"
                self.counts[told][kind] += 1
            self.ended(held[0], status)

    def counted(self, attempt: Attempt, limit: tuple[str, int] | None) -> None:
        if limit is None:
            self.ended(attempt, Status.FAILED)
            return
        counts = self.counts[attempt.job_id]
        counts[limit[0]] += 1
        self.ended(attempt, Status.FAILED if counts[limit[0]] >= limit[1] else Status.ACCEPTED)

    @rule(which=st.integers(0, 1))
    def lose_worker(self, which: int) -> None:
        worker = self.workers[which]
        lost = [attempt for attempt in self.current.values() if child_of(attempt).startswith(worker + ".")]
        self.lab.beat(self.workers[1 - which], *OFFERS, held=self.held(self.workers[1 - which]))
        self.lab.lose(worker)
        for attempt in lost:
            self.counted(attempt, ("losses", 3))
            with pytest.raises(LostAttemptError):
                self.lab.finish(attempt)
        self.workers[which] = self.lab.worker(*OFFERS)

    def held(self, worker: str) -> dict[str, str]:
        return {
            child_of(attempt): attempt.token
            for attempt in self.current.values()
            if child_of(attempt).startswith(worker + ".")
        }

    @rule(which=st.integers(0, 1))
    def beat(self, which: int) -> None:
        assert self.lab.beat(self.workers[which], *OFFERS, held=self.held(self.workers[which])) == frozenset()

    @rule(job_id=jobs)
    def dismiss(self, job_id: str) -> None:
        if job_id in self.model:
            self.lab.jobs.dismiss(job_id)
            if not self.model[job_id].is_final:
                self.model[job_id] = Status.DISMISSED
                self.current.pop(job_id, None)

    @rule(job_id=consumes(jobs))
    def delete(self, job_id: str) -> None:
        if self.model.get(job_id, Status.ACCEPTED).is_final:
            self.lab.jobs.delete(job_id)
            del self.model[job_id]

    @rule(process=PROCESSES)
    def pause_or_resume(self, process: str) -> None:
        if process in self.paused:
            self.lab.jobs.resume(process)
            self.paused.remove(process)
        else:
            self.lab.jobs.pause(process)
            self.paused.add(process)

    @rule()
    def retries_become_due(self) -> None:
        for member in self.lab.client.zrange(f"{self.lab.prefix}:delayed", 0, -1):
            self.lab.client.zadd(f"{self.lab.prefix}:delayed", {member: 1})
        for worker in self.workers:
            self.lab.beat(worker, *OFFERS, held=self.held(worker))
        self.lab.swept_ago(self.lab.settings.beat_seconds)
        self.lab.jobs.sweep()

    @invariant()
    def everything_agrees(self) -> None:
        if hasattr(self, "model"):
            self.lab.check()
            for job_id, status in self.model.items():
                assert self.lab.jobs.get(job_id).status is status

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        for job_id in self.model:
            self.lab.jobs.dismiss(job_id)
            self.lab.jobs.delete(job_id)
        for process in self.paused:
            self.lab.jobs.resume(process)
        for worker in self.workers:
            self.lab.jobs.leave(worker)
        lasting = (":wake:", ":facts", ":stats", ":s", ":libs", ":h:")  # :h: of a dead worker's children expires
        assert {name for name in self.lab.stored() if not name.startswith(lasting)} <= {":c"}
        for name in self.lab.stored():
            assert not name.startswith(":h:") or self.lab.client.ttl(self.lab.prefix + name) > 0
        assert self.lab.client.hkeys(f"{self.lab.prefix}:c") in ([], [b"v"])


def test_any_sequence_of_events_keeps_the_queue_true_to_the_model(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    machine = type("QueueHere", (Queue,), {"lab": Lab(make_settings(own_server.url))})
    checks = settings(
        max_examples=40, stateful_step_count=40, deadline=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=checks)
