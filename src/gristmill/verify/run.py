"""One run: who asks, what has been found out so far, what has been made, and how much time is left."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from gristmill.verify.answers import Answer
from gristmill.verify.check import Role
from gristmill.verify.clock import Clock
from gristmill.verify.made import Made
from gristmill.verify.mask import Mask
from gristmill.verify.options import Options
from gristmill.verify.redis_door import Door
from gristmill.verify.session import Heard, Session
from gristmill.verify.target import Target


@dataclass(slots=True)
class Facts:
    """What checks have found out and later ones build on.

    base: what the API's links begin with. stranger, mine: roles, None until they are known. tokens_on: None where it
    cannot be told from outside. job, inputs: the job that is followed from its acceptance to its deletion; summary,
    dismissed, theirs: jobs of later checks. version: of the data set. door: how Redis receives strangers.
    """

    release: str = ""
    environment: str = ""
    base: str = ""
    stranger: Role | None = None
    mine: Role | None = None
    tokens_on: bool | None = None
    job: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    summary: str = ""
    dismissed: str = ""
    theirs: str = ""
    door: Door | None = None


@dataclass(slots=True)
class Run:
    """What the checks work with. me: the caller with the token, where one was given; stranger: one without.

    mark: a name of the run's own, which its data set has, and which stands in the inputs of its jobs.
    """

    target: Target
    options: Options
    clock: Clock
    me: Session
    stranger: Session
    heard: Heard
    mark: str
    facts: Facts = field(default_factory=Facts)
    made: Made = field(default_factory=Made)

    @classmethod
    def begin(cls, target: Target, options: Options) -> "Run":
        """Start the clock."""
        clock, heard, mask = Clock(options.seconds), Heard(), Mask(options.token)
        suffix = "without a token" if options.token else ""
        stranger = Session(target.url, clock, heard, tls=options.tls, suffix=suffix, mask=mask)
        me = stranger
        if options.token:
            me = Session(target.url, clock, heard, token=options.token, tls=options.tls)
        return cls(target, options, clock, me, stranger, heard, f"verify-{secrets.token_hex(5)}")

    def settle(self) -> None:
        """Wait for requests that were left to themselves."""
        self.me.settle()
        self.stranger.settle()

    def close(self) -> None:
        """Close all connections."""
        self.me.close()
        self.stranger.close()

    def path(self, answer: Answer, url: str) -> str:
        """The path below the target of a URL that an answer holds. MismatchError where it leads elsewhere."""
        bases = [base for base in (self.facts.base, self.target.url) if base]
        for base in bases:
            if url.startswith(f"{base}/"):
                return url.removeprefix(base)
        answer.must(condition=False, right=f"a URL below {' or '.join(bases)}", came=f"the URL {url}")
        raise AssertionError("unreachable")
