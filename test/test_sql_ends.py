"""Queries that ask for too much, run by a real worker: each hurts its own job alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import why_missing
from support.workers import WorkerUnderTest

from gristmill.job import End, Job, Status

PROCESSES = Path(__file__).parent / "support" / "sql_processes"
HUNGRY = {
    "a list of 20 GB": "SELECT list(range) FROM range(3_000_000_000)",
    "a text of 20 GB": "SELECT string_agg(repeat('x', 1_000_000), '') FROM range(20_000)",
    "a text of 4 GB": "SELECT length(repeat('x', 4_000_000_000))",
    "rows of 10 GB": "SELECT repeat('x', 1_000_000) FROM range(10_000)",
    "a growing recursion": "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 1 FROM r, range(9)) SELECT count(*) FROM r",
    "a billion groups": "SELECT count(*) FROM (SELECT range, count(*) FROM range(1_000_000_000) GROUP BY range)",
    "a billion rows in order": "SELECT range FROM range(1_000_000_000) ORDER BY hash(range) OFFSET 500_000_000 LIMIT 1",
    "a join of many": "SELECT count(*) FROM range(300_000_000) a JOIN range(300_000_000) b USING (range)",
    "a text of a format": "SELECT printf('%1000000000d', 1)",
    "a statement of 10 MB": "SELECT " + ",".join(f"'{number:050d}'" for number in range(190_000)),
    "5 million semicolons": ";" * 5_000_000,
    "nested calls": "SELECT " + "abs(" * 100_000 + "1" + ")" * 100_000,
    "nested brackets": "SELECT " + "(" * 200_000 + "1" + ")" * 200_000,
}
ENDLESS = {
    "a cross join": "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE (a.range + b.range) % 7 = 3",
    "a sum over 10^12 numbers": "SELECT sum(range * 1.5) FROM range(1_000_000_000_000)",
    "an endless recursion": "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r",
    "one slow function": "SELECT levenshtein(repeat('a', 1_000_000), repeat('b', 1_000_000))",
    "a pause": "SELECT sleep_ms(100_000)",
}
TOO_DEEP = {
    "signs": "SELECT " + "- " * 100_000 + "1",
    "sums": "SELECT " + "1+" * 20_000 + "1",
    "casts": "SELECT 1" + "::INT" * 20_000,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 2_000 + "t" + ")" * 2_000,
    "types": "SELECT NULL::INT" + "[]" * 50_000,
    "lambdas": "SELECT " + "list_transform([1], lambda x: " * 2_000 + "1" + ")" * 2_000,
    "repetitions": "SELECT regexp_matches(repeat('a', 100_000), '(((a{0,1000}){0,1000}){0,1000})b')",
}


@pytest.fixture(scope="module")
def worker(backend_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerUnderTest]:
    url = backend_url("valkey" if why_missing("redis") else "redis")
    folder = tmp_path_factory.mktemp("worker")
    with WorkerUnderTest(folder, url, processes_folder=PROCESSES) as running:
        yield running


def ask(worker: WorkerUnderTest, query: str, process: str = "ask") -> Job:
    return worker.run(process, query=query, tables={"t": {"a": [1, 2, 3]}})


def text(worker: WorkerUnderTest, job: Job) -> str:
    assert job.status is Status.SUCCESSFUL, (job.end, job.detail)
    return b"".join(worker.jobs.output_chunks(job.outputs[0])).decode()


@pytest.fixture(autouse=True)
def _goes_on(worker: WorkerUnderTest) -> Iterator[None]:
    """After each test, the worker answers the next query."""
    yield
    assert text(worker, ask(worker, "SELECT sum(a) AS total FROM t")) == "total\n6\n"


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for name, query in HUNGRY.items()])
def test_a_query_that_needs_too_much_memory_is_out_of_memory(worker: WorkerUnderTest, query: str) -> None:
    job = ask(worker, query, "ask_at_length")

    assert (job.status, job.end) == (Status.FAILED, End.OUT_OF_MEMORY), job.detail
    assert job.attempts == 1


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for name, query in ENDLESS.items()])
def test_a_query_without_end_is_timed_out(worker: WorkerUnderTest, query: str) -> None:
    job = ask(worker, query)

    assert (job.status, job.end) == (Status.FAILED, End.TIMED_OUT), job.detail


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for name, query in TOO_DEEP.items()])
def test_a_query_that_is_too_deep_is_refused_or_ends_alone(worker: WorkerUnderTest, query: str) -> None:
    job = ask(worker, query)

    assert job.end in {End.INVALID_INPUTS, End.OUT_OF_MEMORY, End.CRASHED}, job.detail


def test_a_wrong_query_is_a_wrong_input_with_its_place(worker: WorkerUnderTest) -> None:
    job = ask(worker, "SELECT a\nFROM t\nWHERE nope = 1")

    assert job.end is End.INVALID_INPUTS
    assert job.detail.startswith("/inputs/query: cannot be run: Binder Error")
    assert "(line 3, character 7, at 'nope')" in job.detail
