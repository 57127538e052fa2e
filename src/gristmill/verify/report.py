"""What came of a run, and the exit code that it means."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from gristmill.verify.check import Outcome, Result
from gristmill.verify.target import Target

PASSED, FAILED, USAGE, NOT_REACHED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Report:
    """A run that is over. stopped: the number of the signal that ended it, or 0. unreached: why nothing answered.

    hint: what to try then. left: what could not be removed. notes: what a reader should know beside the results.
    """

    target: Target
    started: datetime
    seconds: float
    results: tuple[Result, ...]
    release: str = ""
    environment: str = ""
    unreached: str = ""
    hint: str = ""
    stopped: int = 0
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def counts(self) -> Counter[Outcome]:
        """How many checks had each outcome."""
        return Counter(result.outcome for result in self.results)

    @property
    def exit_code(self) -> int:
        """0: all that was to be checked holds; 1: not so; 3: nothing answered; 128 + n: stopped by signal n."""
        if self.stopped:
            return 128 + self.stopped
        if self.unreached:
            return NOT_REACHED
        counts = self.counts
        nothing = not (counts[Outcome.PASSED] or counts[Outcome.WARNED])
        return FAILED if nothing or counts[Outcome.FAILED] or counts[Outcome.NOT_RUN] else PASSED
