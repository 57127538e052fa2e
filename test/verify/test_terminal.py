"""What a person sees of a run fits the terminal, tells reasons, and is quiet where that was asked for."""

import io
from datetime import UTC, datetime

from rich.console import Console

from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import Outcome, Result
from gristmill.verify.report import Report
from gristmill.verify.target import Target, read_target
from gristmill.verify.terminal import Terminal

RESULTS = (
    Result(CHECKS[0], Outcome.PASSED, 0.25, detail="found [it]"),
    Result(CHECKS[1], Outcome.WARNED, 0.5, detail="no limit"),
    Result(CHECKS[2], Outcome.FAILED, 12.0, asked="GET /version", came="500", right="200"),
    Result(CHECKS[3], Outcome.SKIPPED, detail="needs a token"),
    Result(CHECKS[-1], Outcome.NOT_RUN, detail="the time was up"),
)


def _printed(target: Target, *, quiet: bool = False, width: int = 160, **changes: object) -> list[str]:
    out = io.StringIO()
    terminal = Terminal(Console(file=out, width=width), quiet=quiet)
    terminal.begin(target, has_token=True)
    for result in RESULTS:
        terminal.starts(result.check)
        terminal.ends(result)
    given = {"results": RESULTS, "release": "1.2.3", "environment": "prod", **changes}
    terminal.finish(Report(target, datetime.now(UTC), 12.75, **given))  # type: ignore[arg-type]
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_each_check_is_a_line_with_its_time_and_what_is_not_right_has_its_reason_below() -> None:
    lines = _printed(Target("http://127.0.0.1:8000"))
    assert lines[0] == "Verifying http://127.0.0.1:8000, with a token"
    passed = next(line for line in lines if "service.alive" in line)
    assert passed.split()[:3] == ["ok", "0.25", "s"]
    assert passed.endswith("(found [it])")
    failed = next(number for number, line in enumerate(lines) if line.startswith("  FAILED"))
    assert [line.strip() for line in lines[failed + 1 : failed + 4]] == [
        "asked: GET /version",
        "came:  500",
        "right: 200",
    ]
    assert lines[-2] == "Failed: service.version"
    assert lines[-1] == (
        "Not accepted: 5 checks of http://127.0.0.1:8000 (prod 1.2.3) in 12.8 s: "
        "1 passed, 1 with a warning, 1 failed, 1 skipped, 1 not run."
    )


def test_on_a_narrow_terminal_a_claim_is_folded_below_itself() -> None:
    lines = _printed(Target("http://127.0.0.1:8000"), width=80)
    start = next(line for line in lines if "service.ready" in line)
    column = start.index("/readyz")
    below = lines[lines.index(start) + 1]
    assert below[:column].strip() == ""
    assert below[column] != " "
    assert max(map(len, lines[1:-1])) <= 80


def test_quiet_prints_only_what_is_not_right_and_the_last_line() -> None:
    text = "\n".join(_printed(Target("http://127.0.0.1:8000"), quiet=True))
    assert "service.alive" not in text
    assert "needs a token" not in text
    for word in ("no limit", "GET /version", "the time was up", "Not accepted"):
        assert word in text


def test_quiet_does_not_list_what_was_not_run_where_nothing_answers() -> None:
    lines = _printed(Target("http://127.0.0.1:8000"), quiet=True, unreached="GET /healthz: Name or service not known")
    assert "Not reached: GET /healthz: Name or service not known" in lines
    assert not any("the time was up" in line for line in lines)


def test_what_was_left_behind_is_named() -> None:
    lines = _printed(Target("http://127.0.0.1:8000"), left=("job 1: no answer",), stopped=2)
    assert "Left behind: job 1: no answer" in lines
    assert "Stopped before the end." in lines


def test_a_target_that_does_not_answer_is_told_with_what_to_try() -> None:
    lines = _printed(read_target("prod"), unreached="GET /healthz: [Errno 111] refused", hint="Look at [the] pods.")
    assert lines[-2:] == ["Not reached: GET /healthz: [Errno 111] refused", "Look at [the] pods."]
