"""Runs the checks, one after the other, and always removes what they have made."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from gristmill.verify.answers import MismatchError, NoAnswerError, shown
from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import NEEDED_ROLE, ROLES, Check, Outcome, Result, Skip, Warn
from gristmill.verify.checks.ending import CLEANED
from gristmill.verify.clock import TimeUpError
from gristmill.verify.options import TOKEN_VARIABLE, Options
from gristmill.verify.report import Report
from gristmill.verify.run import Run
from gristmill.verify.target import Target

# After so many checks in a row without an answer, the target counts as gone.
_SILENT_CHECKS = 3


class Stopped(KeyboardInterrupt):
    """A signal asks the run to stop. number: which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Listener(Protocol):
    """Who hears how a run goes on."""

    def starts(self, check: Check) -> None:
        """A check begins."""

    def ends(self, result: Result) -> None:
        """A check is over, or is not run."""


class _Nobody:
    """A listener after the one that has gone."""

    def starts(self, check: Check) -> None:
        """Say nothing."""

    def ends(self, result: Result) -> None:
        """Say nothing."""


def verify(
    target: Target,
    options: Options,
    listener: Listener,
    checks: Sequence[Check] = CHECKS,
    signals: Sequence[int] = (),
) -> Report:
    """Run the checks that there are for this target; never raises for anything that the target does.

    signals: those that have asked to stop, added to meanwhile by handlers which raise Stopped too: that alone would
    be lost where a finalizer runs at that moment.
    """
    return _Runner(Run.begin(target, options), listener, _for_target(checks, target), signals).go()


def _for_target(checks: Sequence[Check], target: Target) -> tuple[Check, ...]:
    kinds = {"always", "environment" if target.environment else "url"}
    return tuple(check for check in checks if check.when in kinds)


class _Runner:
    def __init__(self, run: Run, listener: Listener, checks: Sequence[Check], signals: Sequence[int]) -> None:
        self._run, self._listener, self._signals = run, listener, signals
        self._checks = [check for check in checks if check.name != CLEANED]
        self._cleaning = [check for check in checks if check.name == CLEANED]
        self._results: list[Result] = []
        self._passed: set[str] = set()
        self._silent = 0
        self._stop = ""
        self._is_ending = False

    def go(self) -> Report:
        run, started, stopped, unreached, hint = self._run, datetime.now(UTC), 0, "", ""
        try:
            unreached, hint = self._why_unreached()
            self._stop = "nothing answers at the target" if unreached else ""
            for check in self._checks + (self._cleaning if unreached else []):
                if self._signals:
                    raise Stopped(self._signals[0])
                self._add(self._not_run(check) if self._stop else self._one(check))
        except KeyboardInterrupt as error:
            stopped = getattr(error, "number", signal.SIGINT)
            self._stop, self._is_ending = "the run was stopped", True
            for check in self._checks[len(self._results) :]:
                self._add(self._not_run(check))
        stopped = (0 if unreached else self._clean_up()) or stopped
        run.close()
        left = tuple(run.made.leftovers)
        notes = []
        if run.heard.slowed:
            notes.append(f"The rate limit (429) made the run wait {run.heard.slowed} times, as long as it was told.")
        return Report(
            run.target, started, run.clock.passed(), tuple(self._results), run.facts.release, run.facts.environment,
            unreached, hint, stopped, left, tuple(notes),
        )  # fmt: skip

    def _why_unreached(self) -> tuple[str, str]:
        """Why the target does not answer at all, and what to try; "" when it does, whatever it says."""
        try:
            self._run.stranger.get("/healthz")
        except NoAnswerError as error:
            return str(error), self._run.target.hint(error)
        except TimeUpError:
            return "GET /healthz: no answer before the time of the run was up", ""
        return "", ""

    def _clean_up(self) -> int:
        """Remove what was made; returns the number of a signal that came meanwhile."""
        run, self._is_ending = self._run, True
        run.clock.clean_up()
        run.me.renew()
        try:
            run.settle()
            for check in self._cleaning:
                self._add(self._one(check))
        except KeyboardInterrupt as error:
            run.made.leftovers = [*(f"job {job}" for job in run.made.jobs), *run.made.data_sets]
            for check in self._cleaning:
                told = f"stopped while cleaning up; left: {', '.join(run.made.leftovers)}"
                self._add(Result(check, Outcome.FAILED, detail=told))
            return int(getattr(error, "number", signal.SIGINT))
        return 0

    def _add(self, result: Result) -> None:
        if result.outcome in {Outcome.PASSED, Outcome.WARNED}:
            self._passed.add(result.check.name)
        self._results.append(result)
        with self._told():
            self._listener.ends(result)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """When whoever reads what is printed goes away (`| head`), the run is over, and still has to clean up."""
        try:
            yield
        except (OSError, SystemExit) as error:  # rich makes a SystemExit of a broken pipe
            self._listener = _Nobody()
            if not self._is_ending:
                raise Stopped(signal.SIGPIPE) from error

    def _not_run(self, check: Check) -> Result:
        return Result(check, Outcome.NOT_RUN, detail=self._stop)

    def _one(self, check: Check) -> Result:
        """Run one check, whatever it meets."""
        if reason := self._why_skipped(check):
            return Result(check, Outcome.SKIPPED, detail=reason)
        with self._told():
            self._listener.starts(check)
        start = time.monotonic()
        result, is_silent = self._judged(check)
        self._silent = self._silent + 1 if is_silent else 0
        if self._silent >= _SILENT_CHECKS:
            self._stop = "the target no longer answers"
        return replace(result, seconds=time.monotonic() - start)

    def _judged(self, check: Check) -> tuple[Result, bool]:
        """The result, and whether the target was silent."""
        silent = False
        try:
            result = Result(check, Outcome.PASSED, detail=check.function(self._run) or "")
        except Warn as error:
            result = Result(check, Outcome.WARNED, detail=str(error))
        except Skip as error:
            result = Result(check, Outcome.SKIPPED, detail=str(error))
        except MismatchError as error:
            result = Result(check, Outcome.FAILED, asked=error.asked, came=error.came, right=error.right)
        except NoAnswerError as error:
            silent = True
            result = Result(check, Outcome.FAILED, asked=error.asked, came=error.why, right="an answer")
        except TimeUpError as error:
            self._stop = f"the time of the run was up (--seconds {self._run.options.seconds:.0f})"
            result = Result(check, Outcome.FAILED, asked=str(error), came=self._stop, right="an answer in time")
        except Exception as error:  # noqa: BLE001  a deployment may answer anything; the run goes on and says so
            told = f"the check could not make sense of an answer: {type(error).__name__}: {shown(str(error))}"
            result = Result(check, Outcome.FAILED, detail=told)
        return result, silent

    def _why_skipped(self, check: Check) -> str:
        missing = [name for name in check.after if name not in self._passed]
        return self._why_not_allowed(check) or (f"{missing[0]} did not pass" if missing else "")

    def _why_not_allowed(self, check: Check) -> str:
        facts, token = self._run.facts, self._run.options.token
        give = f"give one by --token-file or {TOKEN_VARIABLE}"
        if check.needs == "token" and not token:
            return f"needs a token, so that there is somebody beside the stranger; {give}"
        role = NEEDED_ROLE[check.needs]
        if role == "none":
            return ""
        if facts.mine is None:
            return f"needs the role {role}, and it is not known which role the {'token' if token else 'stranger'} has"
        if ROLES.index(facts.mine) >= ROLES.index(role):
            return ""
        if token:
            return f"needs the role {role}; the token has {facts.mine}"
        return f"needs a token with the role {role}; without one, the role here is {facts.mine}. {give.capitalize()}"
