"""What all answers of the run had in common, and the removal of what it has made."""

from gristmill.verify.answers import MismatchError
from gristmill.verify.check import Topic, Warn
from gristmill.verify.run import Run

topic = Topic("end", "The run as a whole")

CLEANED = "end.cleaned"
_TOLD = 3


@topic.check("named", "Every answer had `X-Request-Id` and `Gristmill-Version`")
def named(run: Run) -> str:
    """Errors too; one without them comes from something in front of the API."""
    found = run.heard.unnamed
    _none(f"all {run.heard.answers} requests", found, "both headers in every answer")
    return f"{run.heard.answers} answers"


@topic.check("one_release", "Every answer came from the same release")
def one_release(run: Run) -> str:
    """During a rollout, two answer: then it is too early to verify."""
    releases = run.heard.releases
    expected = run.options.expect_version or run.facts.release
    others = [f"{release} answered {asked}" for release, asked in releases.items() if release != expected]
    _none("Gristmill-Version of all answers", others, f"release {expected} everywhere")
    return f"release {expected}"


@topic.check("no_traces", "No answer showed a stack trace")
def no_traces(run: Run) -> None:
    """What went wrong inside stands in the log alone."""
    _none("all requests", [f"a stack trace in the answer to {asked}" for asked in run.heard.traces], "no stack trace")


@topic.check(
    "deleted",
    "The data set is deleted with `DELETE`, and then 404 with its rows",
    needs="run",
    after=("data.uploaded",),
)
def deleted(run: Run) -> None:
    """What has been uploaded for the checks before."""
    here = f"/datasets/{run.mark}"
    run.me.delete(here).expect(200)
    for path in ("", "/rows", "/aggregate"):
        run.me.get(f"{here}{path}").problem(404, type_="no-such-data-set")
    run.me.delete(here).problem(404, type_="no-such-data-set")
    run.made.data_sets.pop(run.mark, None)


@topic.check("cleaned", "Everything that the run has made is removed")
def cleaned(run: Run) -> str:
    """Runs always, also when the run was stopped, with time that was kept for it."""
    if run.made.is_empty:
        return "nothing was there to remove"
    run.made.leftovers = run.made.remove(run.me, run.mark)
    _none("the removal of what was made", run.made.leftovers, "nothing left")
    told = f"{run.made.removed['jobs']} jobs, {run.made.removed['data sets']} data sets"
    if run.made.lost:
        raise Warn(f"{told}; {run.made.lost} requests had no answer that names their job, and no such job was found")
    return told


def _none(asked: str, found: list[str], right: str) -> None:
    if found:
        more = f", and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        raise MismatchError(asked, "; ".join(found[:_TOLD]) + more, right)
