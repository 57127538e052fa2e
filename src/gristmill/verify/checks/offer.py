"""What is on offer: the API document, and the processes that the later checks run."""

from gristmill.verify.check import Topic
from gristmill.verify.run import Run

topic = Topic("offer", "What is on offer")

ROUTES = (
    "/processes/{processID}", "/processes/echo/execution", "/jobs/{jobID}", "/jobs/{jobID}/events",
    "/jobs/{jobID}/results", "/jobs/{jobID}/prov", "/datasets/{datasetName}", "/datasets/{datasetName}/rows",
)  # fmt: skip


@topic.check("openapi", "`/api` is OpenAPI 3.0 of this release, with the routes", needs="read")
def openapi(run: Run) -> str:
    """Its version is the release that answers."""
    answer = run.me.get("/api").expect(200)
    told = answer.at("openapi", kind=str)
    answer.must(told.startswith("3.0."), "openapi 3.0.x", f"openapi {told}")
    release = answer.at("info", "version", kind=str)
    if run.facts.release:
        answer.must(release == run.facts.release, f"version {run.facts.release}", f"version {release}")
    paths = answer.at("paths", kind=dict)
    missing = [route for route in ROUTES if route not in paths]
    answer.must(not missing, f"the routes {', '.join(ROUTES)}", f"without {', '.join(missing)}")
    return f"OpenAPI {told}, {len(paths)} paths"


@topic.check("processes", "The built-in processes are listed and described", needs="read")
def processes(run: Run) -> str:
    """Echo and summary are what the later checks run."""
    answer = run.me.get("/processes", params={"limit": "1000"}).expect(200)
    names = [one.get("id") for one in answer.at("processes", kind=list) if isinstance(one, dict)]
    answer.must({"echo", "summary"} <= set(names), "echo and summary among them", f"only {names}")
    answer = run.me.get("/processes/echo").expect(200)
    answer.at("inputs", "string", "schema", kind=dict)
    answer.at("inputs", "pause", "schema", kind=dict)
    answer.at("outputs", "string", "schema", kind=dict)
    modes = answer.at("jobControlOptions", kind=list)
    wanted = {"sync-execute", "async-execute", "dismiss"}
    answer.must(wanted <= set(modes), f"jobControlOptions {', '.join(sorted(wanted))}", f"jobControlOptions {modes}")
    return f"{len(names)} on offer"
