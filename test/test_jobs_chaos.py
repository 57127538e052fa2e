"""Everything at once: equal work, blobs, two releases, deadlines, expiry, lost claims; no key is lost, no job stuck.

Where test_jobs_machine.py knows what state each job must be in, this machine knows only what must hold after every
step and in the end: all keys agree, every job comes to an end, and with the last deletion everything is gone.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.backups import call_backs, copied, restored, seen_jobs
from support.lab import DONE, OFFER, Lab, child_of

from gristmill.errors import LostAttemptError
from gristmill.job import Attempt, End, Finish, JobFilter, Lost, NewJob, Status, new_id
from gristmill.settings import Settings

pytestmark = pytest.mark.slow

LONG = b'"' + b"y" * 3000 + b'"'
LIMITED = replace(OFFER, process="limited", concurrent=1)
CHANGED = replace(OFFER, interface="changed")
OFFERS = {"1.0.0": (OFFER, LIMITED), "1.1.0": (CHANGED, LIMITED)}
WHICH = st.integers(0, 1)


class Chaos(RuleBasedStateMachine):
    """Two workers, of two releases with different interfaces of one process; both releases accept jobs."""

    labs: tuple[Lab, Lab]

    @initialize()
    def start(self) -> None:
        self.labs = type(self).labs
        self.workers = [self.join(which) for which in (0, 1)]
        self.attempts: list[tuple[int, Attempt]] = []

    def offers(self, which: int) -> tuple:
        return OFFERS[self.labs[which].jobs.release]

    def join(self, which: int) -> str:
        return self.labs[which].worker(*self.offers(which))

    def held(self, which: int) -> dict[str, str]:
        """What a worker's children have, as far as they know."""
        worker = self.workers[which]
        return {child_of(one): one.token for _, one in self.attempts if child_of(one).startswith(worker + ".")}

    @rule(
        which=WHICH, owner=st.sampled_from("ab"), process=st.sampled_from([OFFER, LIMITED]), urgency=st.integers(0, 3),
        equal=st.sampled_from(["", "same", "same"]), long=st.booleans(), seconds=st.sampled_from([0, 60]),
    )  # fmt: skip
    def submit(self, which, owner, process, urgency, equal, long, seconds) -> None:
        interface = {offer.process: offer.interface for offer in self.offers(which)}[process.process]
        inputs = LONG if long else b"{}"
        job = NewJob(
            new_id(), process.process, owner, inputs, interface, "v1", priority=urgency,
            equal_work=equal and f"{equal} {owner} {process.process}", queue_seconds=seconds,
            subscriber={"failedUri": "https://example.org/f"},
        )  # fmt: skip
        assert self.labs[which].jobs.submit(job).job.id == job.id

    @rule(which=WHICH, replied=st.sampled_from([True, True, True, False]))
    def claim(self, which: int, replied: bool) -> None:
        attempt = self.labs[which].jobs.claim(self.labs[which].child(self.workers[which]), self.offers(which))
        if attempt and replied:
            self.attempts.append((which, attempt))

    @rule(
        number=st.integers(0, 9), end=st.sampled_from([None, None, None, End.EXCEPTION, End.RESULT_NOT_STORED]),
        again=st.booleans(), more=st.booleans(), long=st.sampled_from([True, True, False]),
    )  # fmt: skip
    def finish(self, number: int, end: End | None, again: bool, more: bool, long: bool) -> None:
        if not self.attempts:
            return
        which, attempt = self.attempts.pop(number % len(self.attempts))
        jobs = self.labs[which].jobs
        outputs = DONE.outputs
        if long:
            outputs += (jobs.put_output(attempt.token, attempt.job_id, "more", "text/plain", LONG),)
        how = Finish(end=end, retry_after=1000 if again else None) if end else Finish(outputs)
        try:
            following = self.labs[which].finish(attempt, how, offers=self.offers(which) if more else ())
        except LostAttemptError:
            return
        if following:
            self.attempts.append((which, following))

    @rule(number=st.integers(0, 9), end=st.sampled_from([None, End.CRASHED, End.TIMED_OUT]))
    def child_dies(self, number: int, end: End | None) -> None:
        if self.attempts:
            which, attempt = self.attempts.pop(number % len(self.attempts))
            jobs, child = self.labs[which].jobs, child_of(attempt)
            jobs.settle(child, Lost(end, "it died", b"log")) if end else jobs.hand_back(child)

    @rule(which=WHICH)
    def beat(self, which: int) -> None:
        held = self.held(which)
        dead = self.labs[which].beat(self.workers[which], *self.offers(which), held=held)
        assert dead <= set(held.values())
        self.attempts = [(of, one) for of, one in self.attempts if one.token not in dead]

    @rule(which=WHICH, politely=st.booleans())
    def worker_goes(self, which: int, politely: bool) -> None:
        if politely:
            self.labs[which].jobs.leave(self.workers[which])
        else:
            self.labs[which].lose(self.workers[which])
        self.workers[which] = self.join(which)

    @rule(number=st.integers(0, 30), then=st.sampled_from(["dismiss", "delete", "both"]))
    def dismiss_or_delete(self, number: int, then: str) -> None:
        jobs = self.labs[0].jobs
        listed = jobs.list(JobFilter(), limit=1000).jobs
        if listed:
            job = listed[number % len(listed)]
            if then != "delete":
                job = jobs.dismiss(job.id)
            if then != "dismiss" and job.status.is_final:
                jobs.delete(job.id)

    @rule(what=st.sampled_from(["delayed", "due"]))
    def time_passes(self, what: str) -> None:
        lab = self.labs[0]
        for member in lab.client.zrange(f"{lab.prefix}:{what}", 0, -1):
            lab.client.zadd(f"{lab.prefix}:{what}", {member: 1})
        lab.swept_ago(lab.settings.beat_seconds)
        lab.jobs.sweep()

    @rule()
    def retention_ends(self) -> None:
        jobs = self.labs[0].jobs
        while jobs._library.call("expire", 0):
            pass
        assert not [job for job in jobs.list(JobFilter(), limit=1000).jobs if job.status.is_final]

    @invariant()
    def everything_agrees(self) -> None:
        if hasattr(self, "workers"):
            self.labs[0].check()

    def teardown(self) -> None:
        if not hasattr(self, "workers"):
            return
        lab = self.labs[1]
        for which in (0, 1):
            self.labs[which].jobs.leave(self.workers[which])
        self.workers = [self.join(which) for which in (0, 1)]
        for _ in range(5):
            self.time_passes("delayed")
            while attempt := lab.jobs.claim(lab.child(self.workers[1]), self.offers(1)):
                lab.finish(attempt)
        for job in lab.jobs.list(JobFilter(), limit=1000).jobs:
            assert job.status in {Status.SUCCESSFUL, Status.FAILED, Status.DISMISSED}, "a job is stuck"
            lab.jobs.delete(job.id)
        for call_back in lab.jobs.due_call_backs(10_000):
            lab.jobs.call_back_done(call_back)
        for worker in self.workers:
            lab.jobs.leave(worker)
        # What expires by itself: keys of equal work, unnamed blobs, the marks of dead children.
        left = [
            name for name in lab.stored() if not name.startswith((":wake:", ":facts", ":stats", ":s", ":libs", ":c"))
        ]
        for name in left:
            assert lab.client.ttl((lab.prefix + name).encode("utf-8", "surrogateescape")) > 0, name
        assert lab.client.hkeys(f"{lab.prefix}:c") in ([], [b"v"])
        for name in left:
            lab.client.delete((lab.prefix + name).encode("utf-8", "surrogateescape"))


def test_whatever_happens_no_key_is_lost_and_no_job_is_stuck(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    made = make_settings(server)
    machine = type("ChaosHere", (Chaos,), {"labs": (Lab(made, "1.0.0"), Lab(made, "1.1.0"))})
    machine.labs[1]._children = 1_000_000
    checks = settings(
        max_examples=40, stateful_step_count=50, deadline=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=checks)


class CopiedChaos(Chaos):
    """What chaos has left is copied to another system, and must be the same there, and carried out there."""

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            source = self.labs[1]
            there = source.settings.model_copy(update={"key_prefix": f"{source.prefix}copy"})
            restored(copied(source.client, source.settings), there)
            lab = Lab(there, "1.1.0")
            lab.check()
            assert seen_jobs(lab.jobs) == seen_jobs(source.jobs, after_restore=True)
            assert set(call_backs(lab.client, lab.prefix)) <= set(call_backs(source.client, source.prefix))
            self.carried_out(lab)
            lab.client.delete(*lab.client.scan_iter(f"{lab.prefix}:*"))
        super().teardown()

    def carried_out(self, lab: Lab) -> None:
        worker = lab.worker(*OFFERS["1.1.0"])
        for _ in range(5):
            for job in lab.client.zrange(f"{lab.prefix}:delayed", 0, -1):
                lab.client.zadd(f"{lab.prefix}:delayed", {job: 1})
            lab.swept_ago(lab.settings.beat_seconds)
            lab.jobs.sweep()
            while attempt := lab.jobs.claim(lab.child(worker), OFFERS["1.1.0"]):
                lab.finish(attempt)
        assert all(job.status.is_final for job in lab.jobs.list(JobFilter(), limit=1000).jobs), "a job is stuck"
        lab.check()


def test_whatever_has_happened_can_be_backed_up_restored_and_carried_out(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    made = make_settings(server)
    machine = type("CopiedChaosHere", (CopiedChaos,), {"labs": (Lab(made, "1.0.0"), Lab(made, "1.1.0"))})
    machine.labs[1]._children = 1_000_000
    checks = settings(
        max_examples=25, stateful_step_count=50, deadline=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=checks)
