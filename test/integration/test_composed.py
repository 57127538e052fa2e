"""A whole system that runs in containers, from outside: uploads, rows, jobs, events, pictures, dismissal.

TEST_URL names it (`make test-image` does). Everything here bears a name of its own, and is removed afterwards.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import wait_until

from gristmill import __version__
from gristmill.job import new_id
from gristmill.processes import load_registry
from gristmill.samples import penguins

pytestmark = pytest.mark.skipif("TEST_URL" not in os.environ, reason="TEST_URL names no system (make test-image does)")

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=os.environ["TEST_URL"], timeout=60) as client:
        yield client


@pytest.fixture
def table(api: httpx.Client) -> Iterator[str]:
    """A data set of 344 penguins; its name."""
    name = f"penguins-{new_id().lower()}"
    path = f"/datasets/{name}?null=NA&null="
    answer = api.put(path, content=penguins().encode(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 201, answer.text
    yield name
    assert api.delete(f"/datasets/{name}").status_code in {200, 204}


def submit(api: httpx.Client, process: str, **inputs: Any) -> str:
    answer = api.post(f"/processes/{process}/execution", json={"inputs": inputs}, headers=ASYNC)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobID"])


def ended(api: httpx.Client, job: str) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        answer: dict[str, Any] = api.get(f"/jobs/{job}", headers={"Prefer": "wait=20"}).json()
        return answer if answer["status"] in {"successful", "failed", "dismissed"} else {}

    return wait_until(status, 90, f"job {job} has ended")


def test_the_release_of_the_image_is_the_one_that_answers(api: httpx.Client) -> None:
    assert api.get("/version").json()["release"] == __version__
    assert api.get("/readyz").json()["status"] == "ready"
    assert api.get("/").headers["Gristmill-Version"] == __version__


def test_redis_is_set_up_as_the_promises_want_it(api: httpx.Client) -> None:
    assert api.get("/readyz").json()["findings"] == []


def test_the_processes_of_the_team_are_in_the_image(api: httpx.Client) -> None:
    offered = {one["id"] for one in api.get("/processes", params={"limit": 1000}).json()["processes"]}
    assert set(load_registry(Path(__file__).parents[2] / "processes")) <= offered


def test_an_upload_is_read_back_row_by_row(api: httpx.Client, table: str) -> None:
    about = api.get(f"/datasets/{table}").json()
    rows = api.get(
        f"/datasets/{table}/rows",
        params={"filter": "island = 'Dream' AND body_mass_g > 4000", "sortby": "-body_mass_g", "limit": 5, "f": "json"},
    )
    whole = api.get(f"/datasets/{table}/rows", params={"f": "csv"})
    assert about["versions"][0]["rows"] == 344
    assert rows.status_code == 200, rows.text
    heaviest = [row["body_mass_g"] for row in rows.json()["rows"]]
    assert heaviest == sorted(heaviest, reverse=True)
    assert len(heaviest) == 5
    assert len(whole.text.splitlines()) == 345
    assert api.get(rows.request.url, headers={"If-None-Match": rows.headers["ETag"]}).status_code == 304


def test_a_job_draws_a_picture_of_an_upload_and_says_what_made_it(api: httpx.Client, table: str) -> None:
    job = submit(api, "histogram", table={"dataset": table}, column="body_mass_g")
    status = ended(api, job)
    results = api.get(f"/jobs/{job}/results", params={"f": "json"}).json()
    pictures = [api.get(f"/jobs/{job}/results/{name}") for name in results]
    kinds = {picture.headers["Content-Type"].partition(";")[0]: picture for picture in pictures}
    made_by = api.get(f"/jobs/{job}/prov").text
    api.delete(f"/jobs/{job}")
    assert status["status"] == "successful", status
    assert kinds["image/png"].content.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"<svg" in kinds["image/svg+xml"].content
    assert __version__ in made_by
    assert table in made_by


def test_watchers_are_told_of_every_change_of_a_job(api: httpx.Client) -> None:
    job = submit(api, "echo", string="watched", pause=2)
    seen: list[dict[str, Any]] = []
    with api.stream("GET", f"/jobs/{job}/events", timeout=60) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        seen.extend(json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:"))
    api.delete(f"/jobs/{job}")
    states = list(dict.fromkeys(one["status"] for one in seen))
    assert states[-2:] == ["running", "successful"]


def test_a_running_job_is_gone_within_a_second_of_its_dismissal(api: httpx.Client) -> None:
    job = submit(api, "echo", string="dismissed", pause=20)
    wait_until(lambda: api.get(f"/jobs/{job}").json()["status"] == "running", 60)
    began = time.monotonic()
    status = api.delete(f"/jobs/{job}").json()["status"]
    took = time.monotonic() - began
    after = submit(api, "echo", string="next")
    assert status == "dismissed"
    assert took < 1
    assert ended(api, after)["status"] == "successful"
    api.delete(f"/jobs/{after}")


def test_two_hundred_jobs_at_once_each_end_once_with_their_own_result(api: httpx.Client) -> None:
    texts = [f"job {number}" for number in range(200)]
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda text: submit(api, "echo", string=text), texts))
        states = Counter(one["status"] for one in pool.map(lambda job: ended(api, job), ids))
        results = pool.map(lambda job: api.get(f"/jobs/{job}/results", params={"f": "json"}).json()["string"], ids)
        assert list(results) == texts
        list(pool.map(lambda job: api.delete(f"/jobs/{job}"), ids))
    assert states == {"successful": 200}


def test_a_query_of_a_user_reaches_no_file_of_the_container(api: httpx.Client, table: str) -> None:
    query = "SELECT * FROM read_text('/etc/passwd')"
    answer = api.post(
        "/processes/sql/execution", json={"inputs": {"query": query, "tables": {"t": {"dataset": table}}}}
    )
    assert answer.status_code == 400, answer.text
    assert "root:" not in answer.text


def test_an_upload_above_the_limit_is_refused_and_leaves_the_api_well(api: httpx.Client) -> None:
    piece = b"x" * 2**20
    name = f"large-{new_id().lower()}"

    def pieces() -> Iterator[bytes]:
        yield b"column\n"
        for _ in range(300):
            yield piece + b"\n"

    try:
        answer = api.put(f"/datasets/{name}", content=pieces(), headers={"Content-Type": "text/csv"}, timeout=120)
    except httpx.WriteError:  # the answer came, and the connection was closed, while pieces were still on their way
        answer = None
    assert answer is None or answer.status_code == 413, answer.text
    assert api.get(f"/datasets/{name}").status_code == 404
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "api"])
def test_the_api_answers_to_no_name_of_others(api: httpx.Client, name: str) -> None:
    assert api.get("/jobs", headers={"Host": name}).status_code == 403
