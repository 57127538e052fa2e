"""How jobs end before their time: dismissed while they run, deleted when they have ended."""

from gristmill.verify.check import Topic
from gristmill.verify.checks.following import follow, submit_async, told
from gristmill.verify.run import Run

topic = Topic("ends", "Dismissal and deletion of jobs")

# As long as echo may run: the job ends long before, or was not stopped.
LONG_SECONDS = 25
_DISMISSED_WITHIN_SECONDS = 5.0


@topic.check("dismissed", "`DELETE` stops a running job at once; it says so, and its result is 410", needs="run")
def dismissed(run: Run) -> str:
    """It runs for 25 s if nobody stops it."""
    job = submit_async(run, "echo", {"string": run.mark, "pause": LONG_SECONDS})
    follow(run, job, "running")
    answer = run.me.delete(f"/jobs/{job}").expect(200)
    answer.must(answer.at("status", kind=str) == "dismissed", "the status dismissed", told(answer))
    answer.must(
        answer.seconds < _DISMISSED_WITHIN_SECONDS,
        f"an answer within {_DISMISSED_WITHIN_SECONDS:.0f} s",
        f"{told(answer)}, after {answer.seconds:.1f} s",
    )
    after = run.me.get(f"/jobs/{job}").expect(200)
    after.must(after.at("status", kind=str) == "dismissed", "the status dismissed", told(after))
    run.me.get(f"/jobs/{job}/results").problem(410, type_="job-dismissed")
    run.facts.dismissed = job
    return f"after {answer.seconds:.2f} s"


@topic.check("forgotten", "A second `DELETE` forgets the dismissed job: it is 404", needs="run", after=("dismissed",))
def forgotten(run: Run) -> None:
    """And it is in no list any more."""
    _delete(run, run.facts.dismissed)


@topic.check(
    "deleted", "`DELETE` of a job that has ended deletes it with its result: all of it is 404",
    needs="run", after=("jobs.runs",),
)  # fmt: skip
def deleted(run: Run) -> None:
    """The job that was followed."""
    _delete(run, run.facts.job)


def _delete(run: Run, job: str) -> None:
    run.me.delete(f"/jobs/{job}").expect(200)
    for path in ("", "/results", "/prov", "/events"):
        run.me.get(f"/jobs/{job}{path}").problem(404, type_="no-such-job")
    run.me.delete(f"/jobs/{job}").problem(404, type_="no-such-job")
    run.made.jobs.pop(job, None)
