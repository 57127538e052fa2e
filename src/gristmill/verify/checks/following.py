"""Sends work and follows its job, for the checks of several topics."""

from collections.abc import Mapping
from typing import Any

from gristmill.verify.answers import Answer, MismatchError, brief
from gristmill.verify.clock import TimeUpError
from gristmill.verify.run import Run

FINAL = ("successful", "failed", "dismissed")
POLL_SECONDS = 0.2
# How long a small job may take, the wait for a worker included.
JOB_SECONDS = 60.0
# How long there may be no worker: one may just be starting.
NO_WORKER_SECONDS = 10.0


def submit(
    run: Run, process: str, inputs: Mapping[str, Any], headers: Mapping[str, str] | None = None, **options: Any
) -> Answer:
    """Send an execute request whose inputs hold the run's mark; its job is remembered, to be removed."""
    run.made.expect_job()
    answer = run.me.post(
        f"/processes/{process}/execution",
        headers=headers,
        body={"inputs": dict(inputs), "response": "document"},
        **options,
    )
    run.made.learn(answer)
    return answer


def submit_async(run: Run, process: str, inputs: Mapping[str, Any]) -> str:
    """The same with ``Prefer: respond-async``; returns the job's id. MismatchError."""
    answer = submit(run, process, inputs, {"Prefer": "respond-async"}).expect(201)
    return str(answer.at("jobID", kind=str))


def follow(run: Run, job: str, *until: str, seconds: float = JOB_SECONDS) -> Answer:
    """Ask for the status until it is one of ``until``. MismatchError when it takes longer, or ends otherwise.

    A job that waits for a worker, while there is none, is given up earlier.
    """
    start = worker_seen = run.clock.passed()
    while True:
        answer = run.me.get(f"/jobs/{job}").expect(200)
        status = answer.at("status", kind=str)
        if status in until:
            return answer
        now = run.clock.passed()
        if status != "accepted" or "no worker" not in told(answer):
            worker_seen = now
        if status in FINAL or now - start > seconds or now - worker_seen > NO_WORKER_SECONDS:
            break
        try:
            run.clock.pause(POLL_SECONDS)
        except TimeUpError as error:
            raise TimeUpError(f"{answer.asked}, again and again: still {told(answer)}") from error
    late = "" if status in FINAL else f", still, {now - start:.0f} s after it was accepted"
    raise MismatchError(answer.asked, told(answer) + late, f"the status {' or '.join(until)}")


def told(answer: Answer) -> str:
    """A job's status in words: the state, and why it waits or how it ended."""
    said = answer.json()
    message = said.get("message") or said.get("problem")
    return f"the status {said.get('status')}{': ' if message else ''}{brief(message) if message else ''}"
