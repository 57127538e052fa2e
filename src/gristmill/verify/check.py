"""What a check is: a claim about a deployment, what it needs, and the function that finds out whether it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gristmill.verify.run import Run

Role = Literal["none", "read", "run", "manage"]
# What the caller must be: nobody, one with a role, or one with a token of the role run, beside whom there are others.
Need = Literal["nothing", "read", "run", "token"]
When = Literal["always", "url", "environment"]

ROLES: tuple[Role, ...] = ("none", "read", "run", "manage")
NEEDED_ROLE: dict[Need, Role] = {"nothing": "none", "read": "read", "run": "run", "token": "run"}

# Returns what was found, in a few words, or nothing. Raises MismatchError, NoAnswerError, TimeUpError, Skip, Warn.
Function = Callable[["Run"], str | None]


class Outcome(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    WARNED = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


class Skip(Exception):  # noqa: N818  not an error: it says why there was nothing to check
    """There is nothing to check here; says why."""


class Warn(Exception):  # noqa: N818  not an error: the claim holds as far as it must
    """Something that whoever runs the deployment should know, but that is no failure; says what."""


@dataclass(frozen=True, slots=True)
class Check:
    """One claim. after: checks that must have passed, by name. when: for which targets there is such a check."""

    name: str
    claim: str
    needs: Need
    after: tuple[str, ...]
    when: When
    function: Function

    @property
    def topic(self) -> str:
        """The topic that it belongs to."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one check. detail: what was found, or why it did not hold or was not run.

    asked, came, right: of a failure, the request, its answer, and what would have been right.
    """

    check: Check
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    asked: str = ""
    came: str = ""
    right: str = ""


@dataclass(slots=True)
class Topic:
    """Checks on one subject, in the order in which they run."""

    name: str
    title: str
    checks: list[Check] = field(default_factory=list)

    def check(
        self, name: str, claim: str, *, needs: Need = "nothing", after: tuple[str, ...] = (), when: When = "always"
    ) -> Callable[[Function], Function]:
        """Make a function a check of this topic; checks of the same topic in ``after`` stand without their topic."""

        def add(function: Function) -> Function:
            earlier = tuple(one if "." in one else f"{self.name}.{one}" for one in after)
            self.checks.append(Check(f"{self.name}.{name}", claim, needs, earlier, when, function))
            return function

        return add
