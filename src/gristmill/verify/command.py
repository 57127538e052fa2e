"""The command ``gristmill verify``: from what was typed to the exit code."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from rich.console import Console

from gristmill.verify.options import Options
from gristmill.verify.runner import Stopped, verify
from gristmill.verify.target import Target, UsageError
from gristmill.verify.terminal import Terminal
from gristmill.verify.written import as_json, as_junit

STDOUT = Path("-")
_WIDE = 10_000


def run_verify(target: Target, options: Options, *, junit: Path | None, json: Path | None, quiet: bool) -> int:
    """Verify, print, write the reports; returns the exit code. UsageError, before anything is sent.

    A report on standard output has it for itself: then everything else goes to standard error.
    """
    if junit and junit == json:
        raise UsageError(f"--junit and --json cannot both go to {'standard output' if junit == STDOUT else junit}.")
    with ExitStack() as stack:
        files = [(path, _opened(stack, path), form) for path, form in ((junit, as_junit), (json, as_json)) if path]
        terminal = Terminal(_console(sys.stderr if STDOUT in {junit, json} else sys.stdout), quiet=quiet)
        terminal.begin(target, has_token=bool(options.token))
        with _asked_to_stop() as signals:
            report = verify(target, options, terminal, signals=signals)
        with suppress(OSError, SystemExit):  # nobody reads it any more; rich makes a SystemExit of a broken pipe
            terminal.finish(report)
        unwritten = [path for path, file, form in files if not _is_written(path, file, form(report))]
    return report.exit_code or (1 if unwritten else 0)


def _is_written(path: Path, file: TextIO, text: str) -> bool:
    try:
        with file if path != STDOUT else nullcontext():
            file.write(text)
            file.flush()
    except OSError as error:
        sys.stderr.write(f"gristmill: the report {path} could not be written: {error}\n")
        return False
    return True


def _opened(stack: ExitStack, path: Path) -> TextIO:
    if path == STDOUT:
        return sys.stdout
    try:
        return stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The report {path} cannot be written: {error}.") from error


def _console(file: TextIO) -> Console:
    return Console(file=file, width=None if file.isatty() else _WIDE, highlight=False, soft_wrap=not file.isatty())


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """SIGTERM asks to stop as Ctrl-C does, so that a pod that is deleted cleans up too. Gives the signals that come."""
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signals.append(number)
        raise Stopped(number)

    # Ctrl-C is ignored where a shell has put the command into the background, and stays so.
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
