"""Jobs over data sets, through the real API and worker: on exactly the version that they were accepted for."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import wait_until
from support.system import RunningSystem

from gristmill.jobs import Jobs
from gristmill.limits import IS_LINUX, descendants_of
from gristmill.settings import Settings
from gristmill.store import connect

PROCESSES = Path(__file__).parent / "data_set_processes"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    settings = {
        "PROCESSES": str(PROCESSES),
        "DATASET_FREE_BYTES": "0",
        "DATASET_VERSIONS": "1",
        "CHILDREN": "2",
        "DATA_FOLDER": "data",  # relative, as by default: a child runs in another folder
    }
    with RunningSystem(tmp_path_factory.mktemp("system"), settings=settings) as running:
        yield running


@pytest.fixture
def api(system: RunningSystem) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=system.url, timeout=60) as client:
        yield client


@pytest.fixture
def jobs(system: RunningSystem) -> Iterator[Jobs]:
    settings = Settings(redis_url=system.server.url)
    made = Jobs(connect(settings), settings)
    yield made
    made.close()


def upload(api: httpx.Client, name: str, *values: int) -> str:
    """Upload a table with one column ``x``; returns its version."""
    content = "x\n" + "".join(f"{value}\n" for value in values)
    answer = api.put(f"/datasets/{name}", content=content, headers={"Content-Type": "text/csv"})
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["version"])


def run(api: httpx.Client, process: str, **inputs: Any) -> httpx.Response:
    return api.post(f"/processes/{process}/execution", json={"inputs": inputs})


def submit(api: httpx.Client, process: str, **inputs: Any) -> str:
    """Submit a job; returns its id."""
    answer = api.post(f"/processes/{process}/execution", json={"inputs": inputs}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobID"])


def ended(api: httpx.Client, job: str) -> dict[str, Any]:
    status: dict[str, Any] = api.get(f"/jobs/{job}", headers={"Prefer": "wait=30"}).json()
    return status


def versions_of(api: httpx.Client, name: str) -> list[str]:
    return [one["version"] for one in api.get(f"/datasets/{name}").json()["versions"]]


def test_a_job_runs_on_the_version_that_was_newest_when_it_was_accepted(api: httpx.Client, jobs: Jobs) -> None:
    first = upload(api, "pinned", 1, 2, 3)
    jobs.pause("total")
    job = submit(api, "total", table={"dataset": "pinned"}, column="x")
    second = upload(api, "pinned", 10, 20)
    kept = versions_of(api, "pinned")
    jobs.resume("total")

    assert ended(api, job)["status"] == "successful"
    assert api.get(f"/jobs/{job}/results").json()["total"] == 6
    assert kept == [second, first], "kept for the job, though only one version is to be kept"
    used = api.get(f"/jobs/{job}/prov").json()
    entity = used["entity"][f"gristmill:pinned/{first}"]
    assert entity["prov:location"] == f"{str(api.base_url).rstrip('/')}/datasets/pinned/versions/{first}"
    assert f"gristmill:pinned/{first}" in {one["prov:entity"] for one in used["used"].values()}

    api.delete(f"/jobs/{job}")
    assert versions_of(api, "pinned") == [second]


def test_a_data_set_is_given_by_name_version_link_or_value(api: httpx.Client) -> None:
    version = upload(api, "given", 4, 5)
    here = f"{str(api.base_url).rstrip('/')}/datasets/given"
    ways = [
        {"dataset": "given"},
        {"dataset": "given", "version": version},
        {"href": here},
        {"href": f"{here}/versions/{version}"},
        {"columns": ["x"], "rows": [[4], [5]]},
        {"x": [4, 5]},
        [{"x": 4}, {"x": 5}],
        "x\n4\n5\n",
        {"value": "x\n4\n5\n", "mediaType": "text/csv"},
    ]

    assert [run(api, "total", table=way, column="x").json()["total"] for way in ways] == [9] * len(ways)
    assert [run(api, "total_in_memory", table=way, column="x").json() for way in ways] == [9.0] * len(ways)


def test_several_data_sets_are_tables_of_one_database(api: httpx.Client) -> None:
    upload(api, "several", 1, 2, 3)

    answer = run(api, "rows_of_each", tables={"one": {"dataset": "several"}, 'the "other"': {"x": [1]}})

    assert answer.json() == {"one": 3, 'the "other"': 1}


def test_equal_work_is_done_once_until_the_data_or_what_is_said_of_a_column_changes(api: httpx.Client) -> None:
    upload(api, "equal", 1)

    def how() -> tuple[str, str]:
        answer = run(api, "total", table={"dataset": "equal"}, column="x")
        return answer.headers["Gristmill-Submission"], answer.json()["unit"]

    assert [how(), how()] == [("new", ""), ("copied", "")]
    api.patch("/datasets/equal", json={"columns": {"x": {"unit": "km"}}})
    assert [how(), how()] == [("new", "km"), ("copied", "km")]
    api.patch("/datasets/equal", json={"columns": {"x": {"description": "By road"}}})
    assert [how(), how()] == [("new", "km"), ("copied", "km")]
    upload(api, "equal", 2)
    assert how() == ("new", "km")


def test_a_picture_is_drawn_only_where_it_is_wanted(api: httpx.Client) -> None:
    upload(api, "drawn", 1, 2, 2)
    inputs = {"table": {"dataset": "drawn"}, "column": "x"}

    def asked(**outputs: dict[str, str]) -> tuple[str, list[str]]:
        answer = api.post(
            "/processes/histogram/execution", json={"inputs": inputs, "outputs": outputs, "response": "document"}
        )
        assert answer.status_code == 200, answer.text
        job = answer.headers["Link"].split("/jobs/")[1].split("/")[0].split(">")[0]
        there = [name for name in ("table", "plot", "plot_svg") if api.get(f"/jobs/{job}/results/{name}").is_success]
        return answer.headers["Gristmill-Submission"], there

    assert asked(table={}) == ("new", ["table"])
    assert asked(histogram={}) == ("copied", ["table"])
    assert asked(table={}, plot={}) == ("new", ["table", "plot"])
    assert asked() == ("new", ["table", "plot", "plot_svg"])
    assert asked(plot={"transmissionMode": "value"}) == ("copied", ["table", "plot"])


@pytest.mark.skipif(not IS_LINUX, reason="needs /proc")
@pytest.mark.parametrize(("process", "more"), [("total", {"column": "x"}), ("groupby", {"by": ["x"]})])
def test_an_idle_child_lets_a_data_set_go_that_is_deleted(
    system: RunningSystem, api: httpx.Client, process: str, more: dict[str, Any]
) -> None:
    version = upload(api, "closed", 1, 2)
    assert run(api, process, table={"dataset": "closed"}, **more).status_code == 200

    api.delete("/datasets/closed").raise_for_status()

    wait_until(lambda: not is_open(system, version), 10, "no child has the version open")


@pytest.mark.slow
@pytest.mark.skipif(not IS_LINUX, reason="needs /proc")
@pytest.mark.parametrize(("process", "more"), [("total", {"column": "x"}), ("groupby", {"by": ["x"]})])
def test_a_child_keeps_a_data_set_open_for_a_while_and_lets_it_go_once_it_rests(
    system: RunningSystem, api: httpx.Client, process: str, more: dict[str, Any]
) -> None:
    version = upload(api, "rested", 3, 4)
    assert run(api, process, table={"dataset": "rested"}, **more).status_code == 200

    time.sleep(6)  # as who looks at a picture
    assert is_open(system, version)
    wait_until(lambda: not is_open(system, version), 60, "no child has the version open")


@pytest.mark.skipif(not IS_LINUX, reason="needs /proc")
def test_no_child_keeps_a_data_set_open_through_a_run_that_may_take_long(
    system: RunningSystem, api: httpx.Client
) -> None:
    version = upload(api, "let-go-early", 481, 482)
    assert run(api, "groupby", table={"dataset": "let-go-early"}, by=["x"]).status_code == 200

    long_ones = [submit(api, "patient", seconds=8) for _ in range(2)]  # one for each child

    wait_until(lambda: not is_open(system, version), 5, "no child has the version open")
    assert {api.get(f"/jobs/{job}").json()["status"] for job in long_ones} == {"running"}
    for job in long_ones:
        api.delete(f"/jobs/{job}")


def is_open(system: RunningSystem, version: str) -> bool:
    """Whether a child of the worker has a version's file open."""
    (worker,) = (part for part in system.parts if part.name == "worker")
    found = []
    for pid in descendants_of(worker.process.pid):
        with suppress(OSError):  # it may have ended meanwhile
            found += [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    return any(version in one for one in found)


def test_a_request_that_is_repeated_is_answered_though_its_data_set_has_gone(api: httpx.Client) -> None:
    version = upload(api, "once", 1)
    body = {"inputs": {"table": {"dataset": "once", "version": version}, "column": "x"}}
    headers = {"Idempotency-Key": "a-key-of-my-own", "Prefer": "respond-async"}
    first = api.post("/processes/total/execution", json=body, headers=headers)
    ended(api, first.json()["jobID"])
    api.delete("/datasets/once")

    body["inputs"]["table"] = {"version": version, "dataset": "once"}
    again = api.post("/processes/total/execution", json=body, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["jobID"] == first.json()["jobID"]
    assert again.headers["Gristmill-Submission"] == "replayed"


def test_what_is_not_there_is_refused_before_a_job_is_made(api: httpx.Client) -> None:
    version = upload(api, "there", 1)
    here = str(api.base_url).rstrip("/")
    before = len(api.get("/jobs?limit=1000").json()["jobs"])
    refused = {
        "/inputs/table/dataset": [{"dataset": "absent"}, {"href": f"{here}/datasets/absent"}, {"dataset": "No name"}],
        "/inputs/table/version": [{"dataset": "there", "version": "0" * 64}, {"dataset": "there", "version": "new"}],
        "/inputs/table/rows": [{"dataset": "there", "version": version, "rows": []}],
        "/inputs/table/href": [{"href": f"{here}/datasets/there/rows?filter=x%3D1"}],
    }

    for pointer, tables in refused.items():
        for table in tables:
            answer = run(api, "total", table=table, column="x")
            assert answer.status_code == 400, table
            assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer], table
    assert len(api.get("/jobs?limit=1000").json()["jobs"]) == before


def test_a_refused_request_keeps_no_version_of_the_data_sets_that_there_are(api: httpx.Client) -> None:
    # Rows of its own: a version that other tests have too may be held by their jobs.
    upload(api, "let-go", 471)

    answer = run(api, "rows_of_each", tables={"one": {"dataset": "let-go"}, "two": {"dataset": "absent"}})
    newest = upload(api, "let-go", 472)

    assert answer.status_code == 400
    assert versions_of(api, "let-go") == [newest]


def test_a_job_whose_data_set_is_deleted_meanwhile_says_so(api: httpx.Client, jobs: Jobs) -> None:
    upload(api, "gone", 1)
    jobs.pause("total")
    job = submit(api, "total", table={"dataset": "gone"}, column="x")
    api.delete("/datasets/gone")
    jobs.resume("total")

    status = ended(api, job)

    assert status["status"] == "failed"
    assert "There is no data set 'gone'" in status["message"]
    assert status["problem"]["type"] == "urn:gristmill:problem:invalid-inputs"


@pytest.mark.slow
def test_a_version_is_opened_that_is_larger_than_the_files_that_the_run_may_write(
    api: httpx.Client, system: RunningSystem
) -> None:
    count = 3_000_000
    version = upload(api, "large", *(number * 2_654_435_761 % 2**31 for number in range(count)))

    answer = run(api, "total", table={"dataset": "large"}, column="x")

    assert answer.status_code == 200, answer.text
    made = system.folder / "data" / "cache" / f"{version}.data"
    assert made.stat().st_size > 8 * 2**20
    api.delete("/datasets/large")
    wait_until(lambda: not made.exists(), 10, "the file is gone from the cache")
