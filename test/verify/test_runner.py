"""A run comes to its end whatever the target does, hides no failure, and says why the rest was not run."""

import re
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.acceptance import Api, Listening, named, needed_for, result_of, run
from support.meddler import Asked, Meddler, Reply
from support.servers import free_port

from gristmill.verify import session
from gristmill.verify.answers import NoAnswerError
from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import Check, Outcome, Result
from gristmill.verify.checks import following
from gristmill.verify.options import Options
from gristmill.verify.run import Run
from gristmill.verify.runner import Stopped, verify
from gristmill.verify.target import Target

Apis = Callable[..., Api]


def said(body: bytes, media_type: str = "application/json", status: int = 200) -> Callable[[Asked], Reply]:
    """Answer everything alike."""

    def ask(asked: Asked) -> Reply:
        reply = Reply(status, body=body)
        reply.set("Content-Type", media_type)
        return reply

    return ask


def test_every_check_has_a_name_of_its_own_and_builds_on_earlier_ones() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for check in CHECKS:
        assert set(check.after) <= set(names[: names.index(check.name)]), check.name
        assert not check.claim.endswith(".")
    assert names[-1] == "end.cleaned"


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"{}", b'"text"', b"7", b"\x00\xff", b"[" * 5000, b'{"links": 3, "jobs": {}, "status": []}'],
)
def test_answers_that_make_no_sense_are_failures_with_a_reason_and_no_riddle(body: bytes) -> None:
    with Meddler(ask=said(body)) as odd:
        report = run(odd.url)
    failed = named(report, Outcome.FAILED)
    assert {"service.alive", "service.version", "access.stranger"} <= set(failed)
    assert [reason for reason in failed.values() if "could not make sense" in reason] == []
    assert report.exit_code == 1


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_a_server_that_is_something_else_fails_with_what_it_says(status: int) -> None:
    with Meddler(ask=said(b"<h1>Welcome to nginx</h1>", "text/html", status)) as other:
        report = run(other.url)
    alive = result_of(report, "service.alive")
    assert alive.outcome is Outcome.FAILED
    assert "Welcome to nginx" in alive.came
    assert report.exit_code == 1
    assert report.left == ()


def test_a_target_where_nobody_listens_is_not_reached_and_nothing_is_run() -> None:
    report = run(f"http://127.0.0.1:{free_port()}")
    assert "refused" in report.unreached
    assert set(named(report, *Outcome)) == set(named(report, Outcome.NOT_RUN))
    assert report.exit_code == 3


def test_an_environment_whose_name_is_not_known_here_says_where_to_run_this() -> None:
    hint = run("http://verify.invalid", environment="prod").hint
    assert "Only the cluster knows the name verify.invalid" in hint
    assert "kubectl exec app-prod-pod-debug -- gristmill verify prod" in hint


def test_an_environment_that_refuses_the_connection_has_no_api_pod_that_is_ready() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    hint = run(url, environment="prod").hint
    assert hint.startswith("No pod of the API is ready")
    assert "kubectl get pods -l app.kubernetes.io/instance=app-prod" in hint
    assert "kubectl logs deployment/app-prod-deployment-flask" in hint
    assert run(url).hint == ""


def test_a_target_that_accepts_and_says_nothing_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REQUEST_SECONDS", 1.0)

    def ask(asked: Asked) -> None:
        silent.ended.wait(60)

    with Meddler(ask=ask) as silent:
        report = run(silent.url)
    assert report.unreached == "GET /healthz: no whole answer within 1 s"
    assert report.exit_code == 3


def test_a_target_that_falls_silent_ends_the_run_after_three_checks(
    apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REQUEST_SECONDS", 1.0)

    def ask(asked: Asked) -> None:
        if asked.path in {"/conformance", "/verify-no-such-page"}:
            silent.ended.wait(60)

    with Meddler(apis().url, ask=ask) as silent:
        report = run(
            silent.url, *(f"headers.{name}" for name in ("problems", "conditional", "head", "options", "method"))
        )
    failed, not_run = named(report, Outcome.FAILED), named(report, Outcome.NOT_RUN)
    assert set(failed) == {"headers.problems", "headers.conditional", "headers.head"}
    assert all("no whole answer within 1 s" in reason for reason in failed.values())
    assert not_run == dict.fromkeys(("headers.options", "headers.method"), "the target no longer answers")
    assert report.exit_code == 1


@pytest.mark.slow
def test_the_time_of_the_run_ends_it_with_what_was_asked_last(apis: Apis) -> None:
    def ask(asked: Asked) -> None:
        if asked.path == "/readyz":
            silent.ended.wait(60)

    api = apis()
    start = time.monotonic()
    with Meddler(api.url, ask=ask) as silent:
        report = run(silent.url, "service.ready", "limits.unknown", seconds=10)
    assert time.monotonic() - start < 15
    ready = result_of(report, "service.ready")
    assert (ready.asked, ready.came) == ("GET /readyz", "the time of the run was up (--seconds 10)")
    assert "the time of the run was up (--seconds 10)" in named(report, Outcome.NOT_RUN)["limits.unknown"]
    assert result_of(report, "end.cleaned").outcome is Outcome.PASSED


def test_a_job_that_no_worker_takes_is_given_up_with_why_it_waits(apis: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "NO_WORKER_SECONDS", 1.0)

    def answer(asked: Asked, reply: Reply) -> None:
        if (
            asked.method == "GET"
            and asked.path.startswith("/jobs/")
            and reply.status == 200
            and b'"status"' in reply.body
        ):
            message = '"status":"accepted","message":"Waiting: no worker that can run echo is there now."'
            reply.body = reply.body.replace(b'"status":"successful"', message.encode())
            reply.body = reply.body.replace(b'"status":"running"', message.encode())

    with Meddler(apis().url, answer=answer) as waiting:
        report = run(waiting.url, "jobs.runs", "jobs.events")
    result = result_of(report, "jobs.runs")
    assert re.search(r"no worker that can run echo is there now.*still, [12] s after", result.came)
    assert result.seconds < 10
    assert named(report, Outcome.SKIPPED)["jobs.events"] == "jobs.runs did not pass"


def _interrupting(name: str, error: type[BaseException], *arguments: object) -> list[Check]:
    """The checks for jobs.repeated, one of which is interrupted when it has done its work."""

    def interrupted(check: Check) -> Check:
        def function(run: Run) -> str | None:
            check.function(run)
            raise error(*arguments)

        return Check(check.name, check.claim, check.needs, check.after, check.when, function)

    checks = needed_for("jobs.accepted", "data.uploaded", "limits.depth")
    return [interrupted(check) if check.name == name else check for check in checks]


@pytest.mark.parametrize(
    ("error", "arguments", "code"), [(KeyboardInterrupt, (), 130), (Stopped, (15,), 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_run_that_is_stopped_cleans_up_and_says_what_was_not_run(apis: Apis, error, arguments, code) -> None:
    api = apis()
    checks = _interrupting("data.uploaded", error, *arguments)
    report = verify(Target(api.url), Options(), Listening(), checks)
    assert report.exit_code == code
    assert set(named(report, Outcome.NOT_RUN)) == {"data.uploaded", "limits.depth"}
    assert "1 jobs, 1 data sets" in named(report, Outcome.PASSED)["end.cleaned"]
    assert report.left == ()
    assert api.left() == []


@pytest.mark.slow
def test_what_was_under_way_when_the_run_was_stopped_is_cleaned_up_too(apis: Apis) -> None:
    def ask(asked: Asked) -> None:
        if asked.method == "PUT":
            time.sleep(2)  # the API has it later than the request to delete it, unless that is waited for

    def stopped(mine: Run) -> None:
        mine.made.data_sets[mine.mark] = None
        with suppress(NoAnswerError):
            mine.me.ask(
                "PUT", f"/datasets/{mine.mark}", content=b"a\n1\n", headers={"Content-Type": "text/csv"}, seconds=0.1
            )
        raise Stopped(2)

    api = apis()
    checks = [
        Check(one.name, one.claim, one.needs, one.after, one.when, stopped) if one.name == "data.uploaded" else one
        for one in needed_for("data.uploaded")
    ]
    with Meddler(api.url, ask=ask) as slow:
        report = verify(Target(slow.url), Options(), Listening(), checks)
        time.sleep(3)
    assert "end.cleaned" in named(report, Outcome.PASSED)
    assert api.left() == []


def test_a_signal_whose_exception_is_lost_stops_the_run_too(apis: Apis) -> None:
    """As where a finalizer runs at that moment: Python ignores what is raised there."""
    signals: list[int] = []

    class Losing(Listening):
        def ends(self, result: Result) -> None:
            if result.check.name == "data.uploaded":
                signals.append(2)
            super().ends(result)

    api = apis()
    checks = needed_for("jobs.accepted", "data.uploaded", "limits.depth")
    report = verify(Target(api.url), Options(), Losing(), checks, signals)
    assert report.exit_code == 130
    assert set(named(report, Outcome.NOT_RUN)) == {"limits.depth"}
    assert api.left() == []


@pytest.mark.parametrize("error", [BrokenPipeError, SystemExit])
@pytest.mark.parametrize("end", ["data.uploaded", "end.cleaned"])
def test_when_whoever_reads_the_output_goes_away_it_cleans_up_all_the_same(apis: Apis, error, end: str) -> None:
    class Gone(Listening):
        def ends(self, result: Result) -> None:
            if result.check.name == end:
                raise error

    api = apis()
    report = verify(Target(api.url), Options(), Gone(), needed_for("jobs.accepted", "data.uploaded", "limits.depth"))
    assert report.exit_code == (141 if end == "data.uploaded" else 0)
    assert "1 jobs, 1 data sets" in named(report, Outcome.PASSED)["end.cleaned"]
    assert api.left() == []


def test_stopped_again_while_cleaning_up_it_ends_and_names_what_it_leaves(apis: Apis) -> None:
    api = apis()

    def cleaned(run: Run) -> str:
        raise KeyboardInterrupt

    checks = needed_for("jobs.accepted")
    last = checks.pop()
    checks.append(Check(last.name, last.claim, last.needs, last.after, last.when, cleaned))
    report = verify(Target(api.url), Options(), Listening(), checks)
    assert report.exit_code == 130
    (left,) = report.left
    assert left.removeprefix("job ") in api.left()
    assert left in result_of(report, "end.cleaned").detail
    assert run(api.url, "service.alive").exit_code == 0


def test_a_fault_of_a_check_itself_is_a_failure_and_the_run_goes_on(apis: Apis) -> None:
    def broken(run: Run) -> str:
        raise KeyError("links")

    checks = [Check("service.alive", "It lives", "nothing", (), "always", broken), *needed_for("limits.parameter")]
    report = verify(Target(apis().url), Options(), Listening(), checks)
    assert "KeyError: 'links'" in result_of(report, "service.alive").detail
    assert result_of(report, "limits.parameter").outcome is Outcome.PASSED
    assert report.exit_code == 1


def test_the_token_is_in_no_reason_even_where_the_server_tells_it(apis: Apis) -> None:
    api = apis("run", tokens=True)
    token = api.tokens["run"]

    def answer(asked: Asked, reply: Reply) -> None:
        if asked.path == "/processes/echo":
            reply.status, reply.body = 500, f"Authorization was {asked.headers['Authorization']}".encode()

    with Meddler(api.url, answer=answer) as telling:
        report = run(telling.url, "offer.processes", token=token)
    assert "Authorization was Bearer ***" in result_of(report, "offer.processes").came
    assert token not in repr(report)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_token_is_in_no_reason_where_a_stranger_is_told_it(encoding: str) -> None:
    """By a server that has kept it, and writes it so that only who reads JSON sees it."""
    token = "gm_kept_by_the_server"
    escaped = "".join(f"\\u{ord(one):04x}" for one in token) if encoding == "utf-8" else token

    def ask(asked: Asked) -> Reply:
        reply = Reply(500, body=f'{{"detail": "{"." * 260}{escaped}"}}'.encode(encoding))
        reply.set("Content-Type", token.upper())
        reply.set("Content-Encoding", token if asked.path == "/version" else "")
        return reply

    with Meddler(ask=ask) as telling:
        report = run(telling.url, token=token)
    assert "gm_k" not in repr(report).lower()


def test_a_release_that_was_not_expected_fails(apis: Apis) -> None:
    report = run(apis().url, "end.one_release", expect_version="9.8.7")
    assert result_of(report, "service.version").right == "release 9.8.7 (--expect-version)"
    assert "release 9.8.7 everywhere" in result_of(report, "end.one_release").right


def test_production_over_plain_http_from_outside_is_a_warning(apis: Apis) -> None:
    check = next(check for check in CHECKS if check.name == "service.https")

    def outside(environment: str, url: str) -> dict[str, str]:
        def function(run: Run) -> str | None:
            run.facts.environment, run.target = environment, Target(url)
            return check.function(run)

        checks = [Check(check.name, check.claim, check.needs, (), "always", function)]
        return named(verify(Target(apis().url), Options(), Listening(), checks), Outcome.WARNED)

    assert "plain http" in outside("prod", "http://data.example.org")["service.https"]
    assert outside("prod", "https://data.example.org") == {}
    assert outside("test", "http://data.example.org") == {}
    assert outside("prod", "http://app-prod-service-flask") == {}
