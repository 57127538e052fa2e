"""Whose job is next: turns of owners over any number of processes, and the position that is told."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.lab import DONE, OFFER, Lab, child_of

from gristmill.job import Attempt, End, JobFilter, Lost, Offer, Status
from gristmill.settings import Settings

OTHER = Offer("other", "face", "v1")
THIRD = Offer("third", "face", "v1")
ALL = (OFFER, OTHER, THIRD)


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(server))


@pytest.fixture
def one_server_lab(redis_url: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(redis_url, queued_jobs_per_owner=20_000))


def crowd(lab: Lab, number: int, *processes: str) -> None:
    """Many jobs of one owner, in few round trips."""
    for count in range(number):
        lab.submit("crowd", processes[count % len(processes)])


def test_ten_thousand_jobs_spread_over_processes_delay_anothers_by_at_most_one(one_server_lab: Lab) -> None:
    lab = one_server_lab
    crowd(lab, 10_000, "echo", "other", "third")
    worker = lab.worker(*ALL)
    for _ in range(50):
        lab.claim(worker, *ALL)
    for process in ("echo", "other", "third"):
        mine = lab.submit("me", process)
        before = 0
        while lab.claim(worker, *ALL).job_id != mine.id:
            before += 1
        assert before <= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_new_job_is_preceded_by_at_most_one_of_each_other_waiting_owner(lab: Lab, seed: int) -> None:
    chance = random.Random(seed)
    worker = lab.worker(*ALL)
    owners = [f"owner-{number}" for number in range(6)]
    for _ in range(80):
        lab.submit(chance.choice(owners), chance.choice(ALL).process, priority=chance.randrange(4))
        if chance.random() < 0.4:
            lab.jobs.claim(lab.child(worker), ALL)
    mine = lab.submit("me", chance.choice(ALL).process)
    before: Counter[str] = Counter()
    while (attempt := lab.claim(worker, *ALL)).job_id != mine.id:
        before[attempt.owner] += 1
        lab.submit(attempt.owner, chance.choice(ALL).process, priority=0)
    assert max(before.values(), default=0) <= 1
    lab.check()


def test_every_owner_gets_the_same_share_while_all_wait(lab: Lab) -> None:
    chance = random.Random(1)
    owners = ["a", "b", "c", "d"]
    for owner in owners:
        for _ in range(30):
            lab.submit(owner, chance.choice(ALL).process, priority=chance.randrange(4))
    worker = lab.worker(*ALL)
    taken: Counter[str] = Counter()
    for _ in range(60):
        taken[lab.claim(worker, *ALL).owner] += 1
        assert max(taken.values()) - min(taken[owner] for owner in owners) <= 1


def test_urgency_does_not_decide_between_owners_of_different_processes(lab: Lab) -> None:
    worker = lab.worker(*ALL)
    first = lab.submit("ann", "other")
    urgent = lab.submit("bob", "echo", priority=0)
    assert [lab.claim(worker, *ALL).job_id for _ in range(2)] == [first.id, urgent.id]


def test_an_owner_whose_process_is_at_its_limit_gets_its_turn_once_there_is_room(lab: Lab) -> None:
    limited = replace(OTHER, concurrent=1)
    offers = (OFFER, limited)
    worker = lab.worker(*offers)
    holder = lab.submit("crowd", "other")
    running = lab.claim(worker, *offers)
    assert running.job_id == holder.id
    mine = lab.submit("me", "other")
    for _ in range(20):
        lab.submit("crowd", "echo")
    for _ in range(10):
        assert lab.claim(worker, *offers).owner == "crowd"
    lab.finish(running)
    assert lab.claim(worker, *offers).job_id == mine.id


def test_one_that_waited_in_a_paused_process_does_not_take_more_than_one_turn_for_it(lab: Lab) -> None:
    lab.jobs.pause("other")
    for _ in range(20):
        lab.submit("me", "other")
        lab.submit("crowd", "echo")
    worker = lab.worker(*ALL)
    for _ in range(10):
        assert lab.claim(worker, *ALL).owner == "crowd"
    lab.jobs.resume("other")
    taken = [lab.claim(worker, *ALL).owner for _ in range(10)]
    assert abs(taken.count("me") - taken.count("crowd")) <= 2


def test_who_submits_and_deletes_one_after_the_other_does_not_starve_who_waits(lab: Lab) -> None:
    """An owner without jobs is forgotten, its turn too; that must not be a way around the queue."""
    worker = lab.worker()
    for _ in range(12):
        lab.submit("patient")
    attempt: Attempt | None = lab.claim(worker)
    hasty = lab.submit("hasty")
    taken: Counter[str] = Counter()
    for _ in range(20):
        assert attempt is not None
        taken[attempt.owner] += 1
        attempt = lab.finish(attempt, offers=(OFFER,))
        if lab.status(hasty).status.is_final:
            lab.jobs.delete(hasty.id)
            hasty = lab.submit("hasty")
    assert taken["patient"] >= 10


def test_a_crash_or_a_lost_worker_puts_the_job_ahead_of_all(lab: Lab) -> None:
    worker = lab.worker(*ALL)
    job = lab.submit("me", "other")
    attempt = lab.claim(worker, *ALL)
    for owner in ("a", "b"):
        for process in ("echo", "other", "third"):
            lab.submit(owner, process)
    lab.jobs.settle(child_of(attempt), Lost(End.CRASHED, "signal 11"))
    lab.check()
    assert lab.claim(worker, *ALL).job_id == job.id
    lab.lose(worker)
    lab.check()
    assert lab.claim(lab.worker(*ALL), *ALL).job_id == job.id


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from(["-", "-", "claim", "lose"])), max_size=25
)


@given(EVENTS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_position_told_is_the_number_of_claims_before(
    one_server_lab: Lab, events: list[tuple[str, int, str]]
) -> None:
    lab = one_server_lab
    worker = lab.worker()
    for owner, urgency, then in events:
        lab.submit(owner, priority=urgency)
        if then != "-":
            attempt = lab.claim(worker)
            if then == "lose":
                lab.jobs.hand_back(child_of(attempt))
    waiting = [job for job in lab.jobs.list(JobFilter()).jobs if job.status is Status.ACCEPTED]
    told = {job.id: lab.status(job).waiting.position for job in waiting}
    order = {lab.claim(worker).job_id: place for place in range(len(waiting))}
    assert told == order
    for job in lab.jobs.list(JobFilter()).jobs:
        lab.jobs.dismiss(job.id)
        lab.jobs.delete(job.id)


def test_the_first_of_a_limited_process_waits_for_the_limit_and_of_a_free_one_for_a_child(lab: Lab) -> None:
    limited = replace(OFFER, concurrent=1)
    worker = lab.worker(limited)
    job = lab.submit()
    assert lab.status(job).waiting.reason == "next"
    attempt = lab.claim(worker, limited)
    second, third = lab.submit(), lab.submit()
    assert lab.status(second).waiting.reason == "limit"
    assert (lab.status(third).waiting.reason, lab.status(third).waiting.position) == ("position", 1)
    lab.jobs.pause()
    assert lab.status(second).waiting.reason == "paused"
    lab.jobs.resume()
    lab.finish(attempt, DONE)
    assert lab.status(second).waiting.reason == "next"
    lab.jobs.leave(worker)
    assert lab.status(second).waiting.reason == "no-worker"
