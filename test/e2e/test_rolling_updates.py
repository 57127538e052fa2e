"""Releases replace each other under load, there and back, and no user notices.

Twenty requests a second on ten connections that stay open, half by NodePort and half by Ingress: pages, jobs of 0 to
20 s, results that are waited for, uploads of 20 MB and their rows; beside them users who watch a job each. Nothing is
asked twice, and everything that is refused, broken off, timed out or 5xx is a failure.
"""

from collections.abc import Callable

import pytest

from e2e.environment import Environment
from e2e.images import Images
from e2e.kubectl import Kubectl
from e2e.rollouts import UPDATED, containers, doors_of, update, versions
from e2e.seen import Notes
from e2e.traffic.audit import audit
from e2e.traffic.doors import Door
from e2e.traffic.ledger import Ledger
from e2e.traffic.traffic import Traffic

RECONNECT_SECONDS = 5.0
REQUESTS_PER_SECOND = 15.0
"""The least with which the rest means something; a fast cluster gets 20."""


@pytest.fixture(scope="module")
def environment(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    """Production, with its two pods of API and workers each."""
    made = new_environment(new_namespace("rolling"), "prod")
    made.start()
    return made


def test_no_request_fails_and_no_job_is_lost_or_doubled_while_releases_replace_each_other(
    environment: Environment, images: Images, seen: Notes
) -> None:
    first, later = images.first, images.later
    redis = containers(environment, "redis")
    doors = doors_of(environment)
    with Traffic(doors) as traffic:
        for version in (later, first, later):
            with seen.timed(f"{' and '.join(UPDATED)} updated to {version}") as sight:
                update(environment, version)
                sight.seen = f"{traffic.ledger.answered.total()} requests so far, {len(traffic.ledger.failures)} failed"
            assert versions(environment) == {version}
    ledger = traffic.ledger
    assert ledger.failures == []
    assert ledger.refusals == []
    assert ledger.per_second > REQUESTS_PER_SECOND
    assert ledger.reconnects
    assert max(ledger.reconnects) < RECONNECT_SECONDS
    assert containers(environment, "redis") == redis, "Redis was restarted"
    with doors[0].client() as http:
        assert audit(http, ledger) == []
    _note(seen, doors, ledger)


def _note(seen: Notes, doors: list[Door], ledger: Ledger) -> None:
    ways = " and ".join(door.name for door in doors)
    seen.add(f"requests by {ways}", f"{ledger.answered.total()} answered, 0 failed; {ledger.per_second:.1f} a second")
    for what, count in sorted(ledger.answered.items()):
        seen.add(f"... {what}", f"{count}", ledger.slowest[what])
    seen.add("jobs acknowledged", f"{len(ledger.promises)}, each once, successful, with its own result")
    seen.add("event streams ended and taken up again", f"{len(ledger.reconnects)}", max(ledger.reconnects))
    seen.add("Redis", "the same container, never restarted")
