"""Every check can fail: what a deployment may get wrong is got wrong, a thing at a time, before the real system."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.acceptance import Api, named, result_of, run
from support.meddler import Asked, Meddler, Reply, nothing

from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import Outcome

pytestmark = pytest.mark.slow

Apis = Callable[..., Api]
Change = Callable[[Asked, Reply], None]


@dataclass(frozen=True)
class Breakage:
    """What is got wrong. api: arguments of the API behind. came: what the reason must name."""

    came: str
    answer: Change = nothing
    ask: Callable[[Asked], Reply | None] = nothing
    streams: bool = True
    anonymous: str = "manage"
    token: bool = False
    environment: str = ""


def on(path: str, change: Callable[[Reply], None], *, method: str = "GET", status: int = 200) -> Change:
    """Change answers to requests of this path (a pattern, with the query) and status."""

    def answer(asked: Asked, reply: Reply) -> None:
        if asked.method == method and reply.status == status and re.fullmatch(path, asked.path):
            change(reply)

    return answer


def without(path: str, name: str, *, method: str = "GET", status: int = 200) -> Change:
    """Leave a header out."""
    return on(path, lambda reply: reply.set(name, ""), method=method, status=status)


def says(path: str, old: str, new: str, *, method: str = "GET", status: int = 200) -> Change:
    """Change the body."""
    return on(path, lambda reply: reply.replace(old, new), method=method, status=status)


def at_last(path: str, old: str, new: str) -> Change:
    """Change the body once it says so: a status that is asked for again and again."""

    def change(reply: Reply) -> None:
        if b'"successful"' in reply.body:
            reply.replace(old, new)

    return on(path, change)


def sends(path: str, name: str, value: str, *, method: str = "GET", status: int = 200) -> Change:
    """Send another value in a header."""
    return on(path, lambda reply: reply.set(name, value), method=method, status=status)


def holds(path: str, body: bytes) -> Change:
    """Send another body."""
    return on(path, lambda reply: setattr(reply, "body", body))


def answers(path: str, becomes: int, *, method: str = "GET", status: int = 200) -> Change:
    """Change the status."""
    return on(path, lambda reply: setattr(reply, "status", becomes), method=method, status=status)


def member(path: str, name: str, value: Any, *, method: str = "GET", status: int = 200) -> Change:
    """Put another value into a member of the JSON body."""

    def change(reply: Reply) -> None:
        reply.body = json.dumps(json.loads(reply.body) | {name: value}).encode()

    return on(path, change, method=method, status=status)


def swallowed(method: str, path: str, said: bytes = b"{}") -> Callable[[Asked], Reply | None]:
    """Answer 200 to a request that the API never gets."""

    def ask(asked: Asked) -> Reply | None:
        if asked.method != method or not re.fullmatch(path, asked.path):
            return None
        reply = Reply(200, body=said)
        reply.set("Content-Type", "application/json")
        return reply

    return ask


def leaves_out(name: str, path: str = ".*") -> Callable[[Asked], None]:
    """Take a header out of requests, so that the API does not know of it."""
    return lambda asked: asked.set(name, "") if re.fullmatch(path, asked.path) else None


def lets_in(method: str, path: str) -> Callable[[Asked], None]:
    """Give the stranger's requests somebody's token."""
    seen: list[str] = []

    def ask(asked: Asked) -> None:
        if asked.token and "wrong" not in asked.token:
            seen.append(asked.token)
        elif asked.method == method and re.fullmatch(path, asked.path) and not asked.token:
            asked.set("Authorization", f"Bearer {seen[0]}")

    return ask


def echoes_origin(asked: Asked, reply: Reply) -> None:
    if origin := asked.headers.get("Origin"):
        reply.set("Access-Control-Allow-Origin", origin)


JOB, DATA = r"/jobs/[0-9a-z]{20,}", r"/datasets/verify-[0-9a-f]{10}"
HTML = "text/html"

BREAKAGES: dict[str, list[Breakage]] = {
    "service.alive": [
        Breakage("500", answers("/healthz", 500)),
        Breakage("status dying", says("/healthz", "alive", "dying")),
        Breakage("Cache-Control: (none)", without("/healthz", "Cache-Control")),
    ],
    "service.ready": [
        Breakage("503", answers("/readyz", 503)),
        Breakage("Redis away", says("/readyz", "reached", "away")),
        Breakage("lost", member("/readyz", "findings", [{"level": "error", "subject": "jobs", "detail": "lost"}])),
    ],
    "service.version": [
        Breakage("null", member("/version", "release", None)),
        Breakage("Gristmill-Version: 9", sends("/version", "Gristmill-Version", "9")),
    ],
    "service.links": [
        Breakage("links with rel", says("/", '"data"', '"dust"')),
        Breakage("/elsewhere", says("/", "/processes", "x/elsewhere")),
    ],
    "service.conformance": [Breakage("without callback", says("/conformance", "conf/callback", "conf/backcall"))],
    "access.stranger": [
        Breakage("manage", says("/version", '"dev"', '"prod"')),
        Breakage("500", answers("/metrics", 500)),
        Breakage("404", answers(r"/processes\?limit=1", 403)),
    ],
    "access.token": [Breakage("401", ask=leaves_out("Authorization"), anonymous="none", token=True)],
    "access.refused": [
        Breakage(HTML, sends("/metrics", "Content-Type", HTML, status=403), anonymous="run"),
        Breakage("(none)", without("/metrics", "WWW-Authenticate", status=401), anonymous="none", token=True),
    ],
    "access.wrong_token": [Breakage("200", ask=leaves_out("Authorization"))],
    "environment.name": [Breakage("environment dev", environment="prod")],
    "offer.openapi": [
        Breakage("version 0", says("/api", '"version":"', '"version":"0')),
        Breakage("openapi 3.1.0", says("/api", '"openapi":"3.0.3"', '"openapi":"3.1.0"')),
        Breakage("without /jobs/{jobID}/prov", says("/api", '"/jobs/{jobID}/prov"', '"/jobs/{jobID}/prove"')),
    ],
    "offer.processes": [
        Breakage("only", says(r"/processes\?limit=1000", '"summary"', '"summery"')),
        Breakage("jobControlOptions", says("/processes/echo", '"dismiss"', '"miss"')),
    ],
    "jobs.accepted": [
        Breakage("Location: (none)", without(".*/execution", "Location", method="POST", status=201)),
        Breakage("processID", says(".*/execution", '"echo"', '"each"', method="POST", status=201)),
        Breakage("200", ask=leaves_out("Prefer"), answer=without(".*/execution", "Preference-Applied", method="POST")),
    ],
    "jobs.runs": [
        Breakage("the status failed", at_last(JOB, '"successful"', '"failed"')),
        Breakage("progress 99", at_last(JOB, '"progress":100', '"progress":99')),
        Breakage("links with rel", at_last(JOB, "ogc/1.0/results", "ogc/1.0/result")),
    ],
    "jobs.result": [
        Breakage("2.75", says(rf"{JOB}/results\?f=json", "2.5", "2.75")),
        Breakage("ETag: (none)", without(rf"{JOB}/results\?f=json", "ETag")),
        Breakage("200", ask=leaves_out("If-None-Match", f"{JOB}/results.*")),
        Breakage("image/png", sends(f"{JOB}/results/string", "Content-Type", "image/png")),
    ],
    "jobs.provenance": [
        Breakage(f"gristmill:{name}:", says(f"{JOB}/prov", f'"gristmill:{name}"', f'"gristmill:no-{name}"'))
        for name in ("acceptedByRelease", "runByRelease", "attempts", "worker", "host", "sha256", "sourceHash")
    ]
    + [
        Breakage("the inputs", says(f"{JOB}/prov", r'\"number\":2.5', r'\"number\":3.5')),
        Breakage("the process", says(f"{JOB}/prov", '"prov:label":"echo"', '"prov:label":"sql"')),
        Breakage("without activity/job:", says(f"{JOB}/prov", '"activity":{"job:', '"activity":{"job:x')),
    ],
    "jobs.listed": [Breakage("not among them", member(r"/jobs\?.*", "jobs", []))],
    "jobs.events": [
        Breakage("held back", streams=False),
        Breakage("running", says(f"{JOB}/events", '"successful"', '"running"'), streams=False),
        Breakage("an event of job", says(f"{JOB}/events", '"jobID":"', '"jobID":"x'), streams=False),
        Breakage("text/plain", sends(f"{JOB}/events", "Content-Type", "text/plain"), streams=False),
    ],
    "jobs.waited": [Breakage("Preference-Applied: (none)", ask=leaves_out("Prefer", JOB))],
    "jobs.synchronous": [
        Breakage("Link: (none)", without(".*/execution", "Link", method="POST")),
        Breakage("verified", says(".*/execution", "verify", "verified", method="POST")),
    ],
    "jobs.repeated": [
        Breakage("another job", ask=leaves_out("Idempotency-Key")),
        Breakage("new", sends(".*/execution", "Gristmill-Submission", "new", method="POST", status=201)),
        Breakage("201", answers(".*/execution", 201, method="POST", status=422)),
    ],
    "ends.dismissed": [
        Breakage("the status running", ask=swallowed("DELETE", JOB, b'{"status": "running"}')),
        Breakage("the status running", ask=swallowed("DELETE", JOB, b'{"status": "dismissed"}')),
    ],
    "ends.forgotten": [Breakage("200", answers(JOB, 200, status=404))],
    "ends.deleted": [Breakage("200", ask=swallowed("DELETE", JOB))],
    "data.uploaded": [
        Breakage("200", answers(DATA, 200, method="PUT", status=201)),
        Breakage("31 rows", member(DATA, "rows", 31, method="PUT", status=201)),
        Breakage("Location: (none)", without(DATA, "Location", method="PUT", status=201)),
        Breakage("whole", says(DATA, '"integer"', '"whole"', method="PUT", status=201)),
    ],
    "data.same": [Breakage("201", answers(DATA, 201, method="PUT"))],
    "data.rows": [
        Breakage("rows", says(rf"{DATA}/rows", "alder", "elder")),
        Breakage("beech", says(rf"{DATA}/rows\?filter.*", "birch", "beech")),
        Breakage("words of CSV", says(rf"{DATA}/rows\?f=csv", "alder", "elder")),
        Breakage("text/plain", sends(rf"{DATA}/rows\?f=csv", "Content-Type", "text/plain")),
    ],
    "data.etag": [
        Breakage('W/"', sends(f"{DATA}/versions/.*", "ETag", 'W/"1"')),
        Breakage("Vary", without(f"{DATA}/versions/.*", "Vary")),
        Breakage("200", ask=leaves_out("If-None-Match", f"{DATA}/.*")),
    ],
    "data.aggregate": [Breakage("elder", says(f"{DATA}/aggregate.*", "alder", "elder"))],
    "data.analysed": [
        Breakage("image/gif", sends(f"{JOB}/results/plot", "Content-Type", "image/gif")),
        Breakage("that are none", holds(f"{JOB}/results/plot", b"GIF89a")),
        Breakage("without entity/gristmill:verify-", says(f"{JOB}/prov", '"gristmill:verify-', '"gristmill:verity-')),
    ],
    "data.guarded": [
        Breakage("X-Content-Type-Options: (none)", without(f"{JOB}/results/plot_svg", "X-Content-Type-Options")),
        Breakage("Content-Security-Policy: (none)", without(f"{JOB}/results/table", "Content-Security-Policy")),
    ],
    "data.malformed": [
        Breakage("201", answers(f"{DATA}-malformed", 201, method="PUT", status=422)),
        Breakage("200", answers(f"{DATA}-malformed", 200, status=404)),
    ],
    "limits.body": [
        Breakage(HTML, sends(".*/execution", "Content-Type", HTML, method="POST", status=413)),
        Breakage("502", answers(".*/execution", 502, method="POST", status=413)),
    ],
    "limits.depth": [Breakage("500", answers(".*/execution", 500, method="POST", status=400))],
    "limits.not_json": [Breakage("200", answers(".*/execution", 200, method="POST", status=415))],
    "limits.inputs": [
        Breakage("/inputs/x", says(".*/execution", '"/inputs/number"', '"/inputs/x"', method="POST", status=400))
    ],
    "limits.process": [Breakage("no-process", says("/processes/verify.*", "such-process", "process", status=404))],
    "limits.unknown": [Breakage("200", answers("/datasets/verify-no-such-data-set", 200, status=404))],
    "limits.parameter": [Breakage("200", answers(r"/conformance\?f=verify", 200, status=400))],
    "headers.request_id": [
        Breakage("fixed", sends("/version", "X-Request-Id", "fixed")),
        Breakage("two words", sends("/version", "X-Request-Id", "two words")),
    ],
    "headers.problems": [
        Breakage(HTML, sends("/verify-no-such-page", "Content-Type", HTML, status=404))
    ],
    "headers.conditional": [Breakage("200", ask=leaves_out("If-None-Match"))],
    "headers.head": [
        Breakage("Content-Type: (none)", without("/", "Content-Type", method="HEAD")),
        Breakage("405", answers("/version", 405, method="HEAD")),
    ],
    "headers.options": [Breakage("Allow: (none)", without("/jobs", "Allow", method="OPTIONS"))],
    "headers.method": [Breakage("Allow: (none)", without("/conformance", "Allow", method="POST", status=405))],
    "headers.origins": [
        Breakage("https://verify.invalid", echoes_origin),
        Breakage("Credentials: true", sends("/conformance", "Access-Control-Allow-Credentials", "true")),
    ],
    "strangers.see_jobs": [
        Breakage("200", ask=lets_in("GET", f"{JOB}/prov"), anonymous="run", token=True),
        Breakage("with the job in it", ask=lets_in("GET", r"/jobs\?limit=100"), anonymous="run", token=True),
    ],
    "strangers.end_jobs": [Breakage("200", ask=lets_in("DELETE", JOB), anonymous="run", token=True)],
    "strangers.data": [
        Breakage("200", ask=lets_in("PATCH", DATA), anonymous="run", token=True),
        Breakage("200", ask=lets_in("DELETE", DATA), anonymous="run", token=True),
    ],
    "end.named": [Breakage("without X-Request-Id", without(r"/processes\?limit=1", "X-Request-Id"))],
    "end.one_release": [Breakage("9.9.9 answered", sends("/metrics", "Gristmill-Version", "9.9.9"))],
    "end.no_traces": [
        Breakage("a stack trace", holds("/metrics", b"Traceback (most recent call last):"))
    ],
    "end.deleted": [Breakage("200", ask=swallowed("DELETE", DATA))],
    "end.cleaned": [Breakage("is still there", ask=swallowed("DELETE", DATA))],
}  # fmt: skip
# Only warns; or is about Redis and tokens, as test_environment.py shows.
ELSEWHERE = {"service.https", "environment.redis_password", "environment.redis_tls", "environment.tokens"}
NEEDED = {"end.cleaned": ("data.uploaded",)}
LEAVES = {"ends.dismissed", "ends.deleted", "end.deleted", "end.cleaned"}

CASES = [
    pytest.param(name, breakage, id=f"{name}-{number}")
    for name, found in BREAKAGES.items()
    for number, breakage in enumerate(found)
]


def test_every_check_is_broken_here_or_elsewhere() -> None:
    assert BREAKAGES.keys() | ELSEWHERE == {check.name for check in CHECKS}


@pytest.mark.parametrize(("name", "breakage"), CASES)
def test_a_check_fails_where_its_claim_does_not_hold_and_says_what_came(
    apis: Apis, name: str, breakage: Breakage
) -> None:
    api = apis(breakage.anonymous, tokens=breakage.token)
    with Meddler(api.url, ask=breakage.ask, answer=breakage.answer, streams=breakage.streams) as broken:
        report = run(
            broken.url,
            *NEEDED.get(name, (name,)),
            token=api.tokens.get("run", ""),
            environment=breakage.environment,
        )
    result = result_of(report, name)
    assert result.outcome is Outcome.FAILED, named(report, *Outcome)
    assert breakage.came in result.came, result
    assert result.asked
    assert result.right
    assert report.exit_code == 1
    if name in LEAVES:
        assert report.left
    else:
        assert report.left == ()
