"""A job from its acceptance to its result and where that came from, by all ways that lead there."""

import json
import re
from datetime import datetime

from gristmill.verify.answers import Answer, MismatchError, brief
from gristmill.verify.check import Topic, Warn
from gristmill.verify.checks.following import FINAL, JOB_SECONDS, follow, submit, submit_async, told
from gristmill.verify.made import job_of
from gristmill.verify.run import Run

topic = Topic("jobs", "A job from end to end")

RESULTS_REL = "http://www.opengis.net/def/rel/ogc/1.0/results"
WATCHED_SECONDS = 2
# Events that came this much closer together than the changes that they tell of were held back.
_HELD_BACK_SECONDS = 1.0
_BUSY_SECONDS = 5.0
_HASH = re.compile(r"[0-9a-f]{64}")


@topic.check(
    "accepted", "Work with `Prefer: respond-async` is answered with 201, `Location` and the job's status", needs="run"
)
def accepted(run: Run) -> str:
    """The job that the next checks follow."""
    inputs = {"string": run.mark, "number": 2.5, "array": [1, 2, 3], "object": {"of": run.mark}}
    answer = submit(run, "echo", inputs, {"Prefer": "respond-async"}).expect(201)
    job = answer.at("jobID", kind=str)
    run.facts.job, run.facts.inputs = job, inputs
    location = run.path(answer, answer.must_have("Location").header("Location"))
    answer.must(location == f"/jobs/{job}", f"Location ending in /jobs/{job}", answer.with_header("Location"))
    answer.must_have("Preference-Applied", "respond-async").must_have("Gristmill-Submission", "new")
    status, process = answer.at("status", kind=str), answer.at("processID", kind=str)
    answer.must(status in {"accepted", "running"}, "the status accepted or running", told(answer))
    answer.must(process == "echo", "processID echo", f"processID {process}")
    return f"job {job}"


@topic.check("runs", "It runs, and ends as successful", needs="run", after=("accepted",))
def runs(run: Run) -> str:
    """A worker is there, and takes it."""
    start = run.clock.passed()
    follow(run, run.facts.job, "running", "successful")
    began = run.clock.passed() - start
    answer = follow(run, run.facts.job, "successful")
    progress = answer.at("progress", kind=int)
    answer.must(progress == 100, "progress 100", f"progress {progress}")
    times = [str(answer.at(name, kind=str)) for name in ("created", "started", "finished")]
    answer.must(times == sorted(times), "created, started and finished in this order", ", ".join(times))
    rels = {one.get("rel") for one in answer.at("links", kind=list) if isinstance(one, dict)}
    answer.must(
        RESULTS_REL in rels, f"a link with rel {RESULTS_REL}", f"links with rel {brief(sorted(map(str, rels)))}"
    )
    return f"taken within {began:.1f} s"


@topic.check(
    "result",
    "Its result is what was sent, as a document and output by output, with an ETag",
    needs="run",
    after=("runs",),
)
def result(run: Run) -> None:
    """Echo gives back its inputs; an object stands in ``value``."""
    job, inputs = run.facts.job, run.facts.inputs
    answer = run.me.get(f"/jobs/{job}/results?f=json").expect(200)
    right = inputs | {"object": {"value": inputs["object"]}}
    answer.must(answer.json() == right, brief(right), brief(answer.json()))
    etag = answer.must_have("ETag").header("ETag")
    again = run.me.get(f"/jobs/{job}/results?f=json", headers={"If-None-Match": etag}).expect(304)
    again.must(not again.body, "304 without a body")
    one = run.me.get(f"/jobs/{job}/results/string").expect(200)
    one.must(one.media_type == "text/plain", "text/plain", one.media_type)
    one.must(one.body.decode("utf-8", "replace") == run.mark, run.mark)


@topic.check(
    "provenance",
    "Its provenance is complete: release, process, inputs, attempt, when, where, outputs",
    needs="run",
    after=("runs",),
)
def provenance(run: Run) -> str:
    """Every field, and of this very job."""
    job, inputs = run.facts.job, run.facts.inputs
    answer = run.me.get(f"/jobs/{job}/prov").expect(200)
    activity = ("activity", f"job:{job}")
    status = answer.at(*activity, "gristmill:status", kind=str)
    answer.must(status == "successful", "gristmill:status successful", f"gristmill:status {status}")
    releases = [answer.at(*activity, f"gristmill:{name}ByRelease", kind=str) for name in ("accepted", "run")]
    for name in ("attempt", "worker", "host"):
        answer.at(*activity, f"gristmill:{name}", kind=str)
    attempts = answer.at(*activity, "gristmill:attempts", kind=int)
    answer.must(attempts >= 1, "one attempt or more", f"{attempts} attempts")
    names = ("gristmill:accepted", "prov:startTime", "prov:endTime")
    times = [str(answer.at(*activity, name, kind=str)) for name in names]
    answer.must(times == sorted(times), f"{', '.join(names)} in this order", ", ".join(times))
    entity = ("entity", f"gristmill:inputs/{job}")
    sent = answer.at(*entity, "prov:value", kind=str)
    answer.must(_parsed(sent) == inputs, f"the inputs {brief(inputs)}", f"the inputs {brief(sent)}")
    hashed = answer.at(*entity, "gristmill:sha256", kind=str)
    answer.must(bool(_HASH.fullmatch(hashed)), "the SHA-256 of the inputs", f"gristmill:sha256 {hashed}")
    process, owner = (
        ("agent", str(answer.at("wasAssociatedWith", of, "prov:agent", kind=str))) for of in ("_:plan", "_:asked")
    )
    label = answer.at(*process, "prov:label", kind=str)
    answer.must(label == "echo", "the process echo", f"the process {label}")
    for name in ("processVersion", "interface", "sourceHash"):
        answer.at(*process, f"gristmill:{name}", kind=str)
    answer.at(*owner, "prov:label", kind=str)
    for name in inputs:
        answer.at("entity", f"job:{job}/results/{name}", "gristmill:mediaType", kind=str)
    if run.facts.release:
        ours = f"release {run.facts.release}, as /version says"
        answer.must(set(releases) == {run.facts.release}, ours, f"accepted by {releases[0]}, run by {releases[1]}")
    return f"run by release {releases[1]} on {answer.at(*activity, 'gristmill:host')}"


@topic.check(
    "listed", "It is in the job list, where the filters let it through and only there", needs="run", after=("runs",)
)
def listed(run: Run) -> None:
    """Newest first, so that it is on the first page unless others submit hundreds meanwhile."""
    for query, is_in in (("processID=echo&status=successful", True), ("processID=echo&status=failed", False)):
        answer = run.me.get(f"/jobs?{query}&limit=500").expect(200)
        found = [one.get("jobID") for one in answer.at("jobs", kind=list) if isinstance(one, dict)]
        right = (
            f"job {run.facts.job}, which is {'successful' if is_in else 'not failed'}, {'' if is_in else 'not '}listed"
        )
        answer.must(
            (run.facts.job in found) == is_in, right, f"{len(found)} jobs, this one {'not ' if is_in else ''}among them"
        )


@topic.check(
    "events",
    "Events tell of a job while it runs, until its end, and the stream ends with it",
    needs="run",
    after=("runs",),
)
def events(run: Run) -> str:
    """A proxy that holds them back until the end is found by the times that they tell of themselves."""
    job = submit_async(run, "echo", {"string": run.mark, "pause": WATCHED_SECONDS})
    answer, found = run.me.events(f"/jobs/{job}/events", seconds=JOB_SECONDS + WATCHED_SECONDS)
    answer.expect(200).must(answer.media_type == "text/event-stream", "text/event-stream", answer.media_type)
    answer.must(bool(found), "events", "a stream that ended without one")
    states = [_state(answer, event.data, job) for event in found]
    answer.must(states[-1][0] == "successful", "a last event that says successful", f"the last says {states[-1][0]}")
    seen = [state for state, _ in states]
    answer.must("running" in seen, "an event that says running", f"the states {', '.join(seen)}")
    ids = [event.id for event in found]
    rising = all(one.isdecimal() for one in ids) and [int(one) for one in ids] == sorted({int(one) for one in ids})
    answer.must(rising, "ids that are numbers and rise", f"ids {', '.join(ids)}")
    again = run.me.get(f"/jobs/{job}/events", headers={"Last-Event-ID": ids[-1]})
    again.expect(204)
    happened = (states[-1][1] - states[0][1]).total_seconds()
    came = found[-1].at - found[0].at
    held = f"events over {came:.1f} s that tell of {happened:.1f} s: held back on the way, perhaps by a proxy's buffer"
    answer.must(states[0][0] in FINAL or happened - came < _HELD_BACK_SECONDS, "each event when it happens", held)
    return f"{len(found)} events"


@topic.check("waited", "`Prefer: wait` holds the answer about a job until it has ended", needs="run", after=("runs",))
def waited(run: Run) -> str:
    """For as long as the deployment lets requests wait (GRISTMILL_WAIT_SECONDS)."""
    job = submit_async(run, "echo", {"string": run.mark, "pause": 1})
    answer = run.me.get(f"/jobs/{job}", headers={"Prefer": "wait=20"}, seconds=JOB_SECONDS).expect(200)
    answer.must_have("Preference-Applied", "wait=20")
    status = answer.at("status", kind=str)
    held = status == "successful" or (status not in FINAL and answer.seconds > 1)
    answer.must(
        held, "an answer that comes once the job is successful", f"{told(answer)}, after {answer.seconds:.1f} s"
    )
    follow(run, job, "successful")
    return f"held for {answer.seconds:.1f} s"


@topic.check(
    "synchronous", "Without a preference, the answer to an execute request is the result", needs="run", after=("runs",)
)
def synchronous(run: Run) -> str:
    """With a link to the job. A 201 after the longest wait is right too, where the workers are busy."""
    answer = submit(run, "echo", {"string": run.mark}, seconds=JOB_SECONDS).expect(200, 201)
    if answer.status == 201:
        answer.must(answer.seconds > _BUSY_SECONDS, "200 with the result", f"201 after {answer.seconds:.1f} s")
        raise Warn(f"the workers are busy: no result after {answer.seconds:.0f} s, and 201 instead")
    answer.must(answer.json() == {"string": run.mark}, brief({"string": run.mark}), brief(answer.json()))
    answer.must(bool(job_of(answer)), "Link to its job, rel=monitor", answer.with_header("Link"))
    return f"after {answer.seconds:.2f} s"


@topic.check("repeated", "The same `Idempotency-Key` and body are the same job; another body is 422", needs="run")
def repeated(run: Run) -> None:
    """So that a client may send again what had no answer."""
    headers = {"Prefer": "respond-async", "Idempotency-Key": f"{run.mark}-once"}
    first = submit(run, "echo", {"string": run.mark}, headers).expect(201)
    second = submit(run, "echo", {"string": run.mark}, headers).expect(201)
    jobs = [one.at("jobID", kind=str) for one in (first, second)]
    second.must(jobs[0] == jobs[1], f"job {jobs[0]} again", f"another job, {jobs[1]}")
    second.must_have("Gristmill-Submission", "replayed")
    other = submit(run, "echo", {"string": f"{run.mark} again"}, headers)
    other.problem(422, type_="idempotency-key-reused")


def _parsed(text: str) -> object:
    """The value of a JSON text; a text that is none as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _state(answer: Answer, data: str, job: str) -> tuple[str, datetime]:
    """The status that an event tells, and the time of it. MismatchError."""
    try:
        said = json.loads(data)
        status, updated, of = str(said["status"]), datetime.fromisoformat(said["updated"]), said["jobID"]
    except (ValueError, KeyError, TypeError):
        raise MismatchError(answer.asked, f"an event with the data {brief(data)}", "a job's status as JSON") from None
    answer.must(of == job, f"events of job {job}", f"an event of job {of}")
    return status, updated
