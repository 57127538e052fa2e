"""All checks, in the order in which they run, and the table of them for the documentation."""

from gristmill.verify.check import Check
from gristmill.verify.checks import (
    access,
    datasets,
    ending,
    ends,
    environment,
    headers,
    jobs,
    limits,
    offer,
    service,
    strangers,
)

TOPICS = (
    service.topic,
    access.topic,
    environment.topic,
    offer.topic,
    jobs.topic,
    ends.topic,
    datasets.topic,
    limits.topic,
    headers.topic,
    strangers.topic,
    ending.topic,
)
CHECKS: tuple[Check, ...] = tuple(check for topic in TOPICS for check in topic.checks)

_NEEDS = {"nothing": "", "read": "read", "run": "run", "token": "a token, run"}
_WHEN = {"always": "", "url": " (for a URL)", "environment": " (for `test` and `prod`)"}


def as_markdown() -> str:
    """A table for each topic: name, claim, and what the caller must be."""
    parts = []
    for topic in TOPICS:
        lines = [f"| `{one.name}` | {one.claim}{_WHEN[one.when]} | {_NEEDS[one.needs]} |\n" for one in topic.checks]
        parts.append(f"### {topic.title}\n\n| check | claim | needs |\n| --- | --- | --- |\n{''.join(lines)}")
    return "\n".join(parts)
