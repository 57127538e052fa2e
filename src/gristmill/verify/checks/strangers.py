"""What a caller without a token can do to what belongs to somebody: the run's own job and data set, by its token."""

from gristmill.verify.answers import Answer
from gristmill.verify.check import Skip, Topic
from gristmill.verify.checks.following import submit_async
from gristmill.verify.run import Run

topic = Topic("strangers", "What is somebody else's")

_CSV = {"Content-Type": "text/csv"}
_PATCH = {"Content-Type": "application/merge-patch+json"}


@topic.check("see_jobs", "A stranger cannot see somebody else's job, its result or where it came from", needs="token")
def see_jobs(run: Run) -> None:
    """With tokens on, each caller sees its own jobs only."""
    _unless_manage(run)
    run.facts.theirs = job = submit_async(run, "echo", {"string": run.mark})
    for path in ("", "/results", "/results/string", "/prov", "/events"):
        _refused(run.stranger.get(f"/jobs/{job}{path}"), 401, 404)
    answer = run.stranger.get("/jobs?limit=100").expect(200, 401)
    answer.must(job.encode() not in answer.body, f"a list without job {job}", f"{answer.status}, with the job in it")


@topic.check("end_jobs", "A stranger cannot dismiss or delete somebody else's job", needs="token", after=("see_jobs",))
def end_jobs(run: Run) -> None:
    """It is still there for its owner."""
    job = run.facts.theirs
    _refused(run.stranger.delete(f"/jobs/{job}"), 401, 403, 404)
    answer = run.me.get(f"/jobs/{job}").expect(200)
    status = answer.at("status", kind=str)
    answer.must(status != "dismissed", "the job as it was", f"status {status}")


@topic.check(
    "data",
    "A stranger cannot replace, describe or delete somebody else's data set",
    needs="token",
    after=("data.uploaded",),
)
def data(run: Run) -> None:
    """It is still the same for its owner."""
    _unless_manage(run)
    here = f"/datasets/{run.mark}"
    before = run.me.get(here).expect(200)
    _refused(run.stranger.ask("PUT", here, content=b"a\n1\n", headers=_CSV), 401, 403)
    _refused(run.stranger.ask("PATCH", here, content=b'{"title": "mine"}', headers=_PATCH), 401, 403)
    _refused(run.stranger.delete(here), 401, 403)
    after = run.me.get(here).expect(200)
    after.must(after.body == before.body, "the data set as it was", f"{after.status}, changed")


def _refused(answer: Answer, *statuses: int) -> None:
    answer.problem(*statuses)


def _unless_manage(run: Run) -> None:
    if run.facts.stranger == "manage":
        raise Skip("a stranger may do everything here, as `access.stranger` says")
