"""The process ``sql`` through the real API and worker, over stored data sets and tables of the request."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.system import RunningSystem

SECRET = "the words of another user"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    settings = {"DATASET_FREE_BYTES": "0", "DATA_FOLDER": "data"}
    with RunningSystem(tmp_path_factory.mktemp("system"), settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def api(system: RunningSystem) -> Iterator[httpx.Client]:
    flights = "carrier,delay\n" + "".join(f"{'AU'[i % 2]}A,{i}\n" for i in range(1000))
    with httpx.Client(base_url=system.url, timeout=60) as client:
        for name, content in (("flights", flights), ("private", f"words\n{SECRET}\n")):
            client.put(f"/datasets/{name}", content=content, headers={"Content-Type": "text/csv"}).raise_for_status()
        yield client


def ask(api: httpx.Client, query: object, **more: Any) -> httpx.Response:
    tables = {"flights": {"dataset": "flights"}, "airlines": "code,name\nAA,American\nUA,United\n"}
    inputs = {"query": query, "tables": tables} | more
    return api.post("/processes/sql/execution", json={"inputs": inputs, "response": "document"})


def test_a_stored_data_set_is_joined_with_a_table_of_the_request(api: httpx.Client) -> None:
    answer = ask(
        api,
        "SELECT name, count(*) AS n, max(delay) AS latest FROM flights JOIN airlines ON carrier = code"
        " GROUP BY name ORDER BY name",
    )

    assert answer.status_code == 200, answer.text
    outputs = answer.json()
    assert outputs["table"]["value"] == "name,n,latest\nAmerican,500,998\nUnited,500,999\n"
    assert outputs["sql"]["value"]["rows"] == 2
    assert {"plot", "plot_svg"} <= outputs.keys()


def test_a_wrong_query_is_a_wrong_input_that_says_where(api: httpx.Client) -> None:
    answer = ask(api, "SELECT carier\nFROM flights")

    assert answer.json()["type"] == "urn:gristmill:problem:invalid-inputs"
    assert 'Candidate bindings: "carrier"' in answer.text.replace('\\"', '"')
    assert "line 1, character 8" in answer.text


@pytest.mark.parametrize("query", ["", 3, None, ["SELECT 1"], "x" * 1_000_001])
def test_what_is_no_text_of_a_query_is_refused_when_it_arrives(api: httpx.Client, query: object) -> None:
    assert ask(api, query).status_code == 400


def test_a_query_needs_a_table_and_knows_its_limits(api: httpx.Client) -> None:
    for more in ({"tables": {}}, {"limit": 0}, {"limit": 1_000_001}, {"tables": {"a": 1}}):
        assert ask(api, "SELECT 1", **more).status_code == 400, more


def test_another_data_set_in_the_cache_is_out_of_reach(api: httpx.Client, system: RunningSystem) -> None:
    table = {"tables": {"t": {"dataset": "private"}}}
    assert SECRET in ask(api, "FROM t", **table).text
    cache = system.folder / "data" / "cache"
    files = sorted(cache.glob("*.data"))
    assert files
    told = ask(api, "SELECT * FROM duckdb_databases()")
    assert told.status_code == 200, told.text
    assert str(system.folder) not in told.text
    for file in files:
        for query in ("FROM '{}'", "FROM read_duckdb('{}')", "SELECT content FROM read_blob('{}')"):
            for path in (file, f"{file.name}", f"../../data/cache/{file.name}"):
                answer = ask(api, query.format(path))
                assert answer.json()["type"] == "urn:gristmill:problem:invalid-inputs", answer.text
                assert SECRET not in answer.text
                assert "does not exist" in answer.text or "no files and no network" in answer.text
