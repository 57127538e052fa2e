"""What a person sees of a run: a line for each check with its time, reasons below, and a summary."""

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gristmill.verify.catalogue import CHECKS, TOPICS
from gristmill.verify.check import Check, Outcome, Result
from gristmill.verify.report import Report
from gristmill.verify.target import Target

_STYLES = {
    Outcome.PASSED: "green",
    Outcome.WARNED: "yellow",
    Outcome.FAILED: "bold red",
    Outcome.SKIPPED: "dim",
    Outcome.NOT_RUN: "red",
}
_WORDS = {Outcome.PASSED: "ok", Outcome.FAILED: "FAILED"}
_TITLES = {topic.name: topic.title for topic in TOPICS}
_NAME_WIDTH = max(len(check.name) for check in CHECKS)


class Terminal:
    """Prints a run as it goes on. quiet: only what is not as it should be, and the last line."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._topic = ""
        self._not_run: list[Result] = []
        self._status = console.status("") if console.is_terminal and not quiet else None

    def begin(self, target: Target, *, has_token: bool) -> None:
        """Say what is going to be verified, and as whom."""
        if not self._quiet:
            self._print(f"Verifying {target.url}, {'with a token' if has_token else 'without a token'}")

    def starts(self, check: Check) -> None:
        """Show what is being checked, on a terminal."""
        if self._status:
            self._status.update(f"[dim]{escape(check.name)}: {escape(check.claim.replace('`', ''))}[/]")
            self._status.start()

    def ends(self, result: Result) -> None:
        """Print the result."""
        if self._status:
            self._status.stop()
        if self._quiet and result.outcome is Outcome.NOT_RUN:
            self._not_run.append(result)  # one line says why, where nothing answers at all
        elif not self._quiet or result.outcome in {Outcome.FAILED, Outcome.WARNED}:
            self._show(result)

    def finish(self, report: Report) -> None:
        """Print what came of it all."""
        if report.unreached:
            self._print(f"\n[bold red]Not reached[/]: {escape(report.unreached)}")
            if report.hint:
                self._print(escape(report.hint))
            return
        for result in self._not_run:
            self._show(result)
        counts = report.counts
        told = [f"{counts[one]} {word}" for one, word in _counted(counts) if counts[one] or one is Outcome.PASSED]
        if not self._quiet:
            self._print("")
        for note in report.notes:
            self._print(note)
        failed = [result.check.name for result in report.results if result.outcome is Outcome.FAILED]
        if failed:
            self._print(f"[bold red]Failed[/]: {', '.join(failed)}")
        for one in report.left:
            self._print(f"[bold red]Left behind[/]: {escape(one)}")
        if report.stopped:
            self._print("Stopped before the end.")
        about = escape(" ".join(filter(None, (report.environment, report.release))))
        verdict = "[green]All that was checked holds[/]" if report.exit_code == 0 else "[bold red]Not accepted[/]"
        self._print(
            f"{verdict}: {len(report.results)} checks of {escape(report.target.url)}{f' ({about})' if about else ''} "
            f"in {report.seconds:.1f} s: {', '.join(told)}."
        )

    def _show(self, result: Result) -> None:
        check = result.check
        if check.topic != self._topic and not self._quiet:
            self._topic = check.topic
            self._print(f"\n[bold]{_TITLES[check.topic]}[/]")
        ran = result.outcome not in {Outcome.SKIPPED, Outcome.NOT_RUN}
        word = Text(_WORDS.get(result.outcome, result.outcome.value), _STYLES[result.outcome])
        told = Text(check.claim.replace("`", ""))
        below = _below(result)
        if result.outcome is Outcome.PASSED and below:
            told.append(f" ({below.pop()})", "dim")
        self._row(word, f"{result.seconds:5.2f} s" if ran else "", check.name, told)
        for one in below:
            self._row("", "", "", one)

    def _row(self, *cells: str | Text) -> None:
        """A row in columns; the last is folded below itself where the terminal is narrow."""
        line = Table.grid(padding=(0, 2, 0, 0))
        for width in (7, 7, _NAME_WIDTH):
            line.add_column(width=width, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(*cells)
        self._console.print(Padding(line, (0, 0, 0, 2), expand=False))

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, highlight=False, soft_wrap=True)


def _counted(counts: Counter[Outcome]) -> list[tuple[Outcome, str]]:
    warnings = "with a warning" if counts[Outcome.WARNED] == 1 else "with warnings"
    return [
        (Outcome.PASSED, "passed"),
        (Outcome.WARNED, warnings),
        (Outcome.FAILED, "failed"),
        (Outcome.SKIPPED, "skipped"),
        (Outcome.NOT_RUN, "not run"),
    ]


def _below(result: Result) -> list[str]:
    """The lines below a result: the reason, or what was found."""
    if result.asked:
        return [f"asked: {result.asked}", f"came:  {result.came}", f"right: {result.right}"]
    return [result.detail] if result.detail else []
