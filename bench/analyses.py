"""The built-in processes over 336,776 flights: as jobs over HTTP, and the same computation in this bare process.

The bare one has DuckDB and NumPy imported and a connection open, and warm, to the very file that the worker reads, and
writes nothing. Once for the table alone, and once for the picture, which the bare one draws too. Every question is
another one, so that no earlier result answers it; the two answer in turn. The worker has as many children as it has by
default, each with its share of the CPUs, and the bare one has as many threads as such a child. As in a child, what was
imported before is left out by Python's collector of garbage: to look through it takes up to a third of a second, now
and then within a picture.
"""

import gc
import importlib
import json
import random
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

from bench.datasets import CARRIERS, GROUPS, MEASURED, SEED, flights, seconds
from bench.http import api
from bench.measure import Report
from bench.parts import wait_until
from bench.rivals import drivers
from bench.web import Web
from gristmill.datasets.files import TABLE
from gristmill.limits import usable_cpus
from gristmill.processes import DataSet, Progress
from gristmill.processes.workspace import Workspace

MOST_MORE_MS = 20.0
RUNS = 41
BEFORE = 3

Inputs = dict[str, Any]


class Questions:
    """Seeded inputs of each process."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self._frequent = iter(range(1, 100))

    def kinds(self) -> dict[str, Callable[[], Inputs]]:
        """How inputs of each process are made."""
        return {
            "summary": lambda: {"frequent": next(self._frequent)},
            "histogram": lambda: {"column": self._one(MEASURED), "bins": self._random.randint(5, 200)},
            "scatter": lambda: {
                **dict(zip("xy", self._some(2), strict=True)), "points": self._random.randint(1, 20_000),
            },
            "timeseries": lambda: {
                "time": "time_hour", "values": self._some(2), "resample": self._one(("day", "week", "month")),
                "aggregate": self._one(("mean", "minimum", "maximum", "sum")),
            },
            "groupby": lambda: {
                "by": self._random.sample(GROUPS[:4], 1), "metrics": f"mean({self._one(MEASURED)}), count()",
                "shown": self._random.randint(5, 100),
            },
            "correlation": lambda: {"columns": self._some(self._random.randint(3, 6))},
            "regression": lambda: dict(zip(("y", "x"), self._parted(), strict=True)),
            "sql": lambda: {
                "query": f"SELECT dest, avg({self._one(MEASURED)}) AS mean, count(*) AS n FROM flights WHERE carrier = "
                f"'{self._one(CARRIERS)}' AND distance > {self._random.randint(1, 99_999) / 1000} GROUP BY dest "
                "ORDER BY n DESC, dest LIMIT 30"
            },
        }  # fmt: skip

    def _one(self, of: tuple[str, ...]) -> str:
        return self._random.choice(of)

    def _some(self, count: int) -> list[str]:
        return self._random.sample(MEASURED, count)

    def _parted(self) -> tuple[str, list[str]]:
        first, *rest = self._some(self._random.randint(2, 5))
        return first, rest


def measure(url: str, folder: Path) -> Report:
    """Synchronous execution with all outputs asked for, the table as the answer; one job in flight."""
    report = Report("Built-in processes, 336,776 flights", f"job over HTTP and bare computation in turn, {RUNS} each")
    csv = flights(folder)
    with ExitStack() as stack:
        data = folder / "data"
        data.mkdir()
        running, port = api(url, data)
        stack.callback(running.end)
        web = Web(port)
        version = json.loads(web.ask("PUT", "/datasets/flights", csv.read_bytes(), {"Content-Type": "text/csv"}))[
            "version"
        ]
        web.ask("GET", "/datasets/flights/rows?limit=1")
        workers = drivers.gristmill_worker(url, data, children=usable_cpus())
        stack.callback(workers.end)
        jobs, _ = drivers.gristmill_jobs(url)
        wait_until(jobs.workers, 60, "the worker does not start")
        raw = stack.enter_context(duckdb.connect(config={"threads": 1}))
        raw.execute("SET TimeZone = 'UTC'")
        table = _bare_table(raw, data / "cache" / f"{version}.data", "table")
        importlib.import_module("matplotlib.figure")
        gc.collect()
        gc.freeze()
        for name, make in Questions().kinds().items():
            for output in ("table", "plot"):
                _compare(report, name, output, make, web, version, table)
    return report


def _compare(
    report: Report, name: str, output: str, make: Callable[[], Inputs], web: Web, version: str, table: DataSet
) -> None:
    found: dict[str, list[float]] = {"job": [], "bare": []}
    for number in range(BEFORE + RUNS):
        inputs = make()
        for who, run in (
            ("job", _job(web, name, output, version, inputs)),
            ("bare", _bare(name, output, table, inputs)),
        ):
            taken = seconds(run)
            if number >= BEFORE:
                found[who].append(taken * 1000)
    job, bare = (statistics.median(found[who]) for who in ("job", "bare"))
    # Pairs, as questions differ more from each other than the two ways do.
    more = statistics.median(one - other for one, other in zip(found["job"], found["bare"], strict=True))
    what = name if output == "table" else f"{name}, drawn"
    report.add(f"{what}: job, p50", job, "ms", f"at most {MOST_MORE_MS:g} ms more ({more:+.1f})", more <= MOST_MORE_MS)
    report.add(f"{what}: bare, p50", bare, "ms")
    print(f"  {what} measured", file=sys.stderr, flush=True)


def _job(web: Web, name: str, output: str, version: str, inputs: Inputs) -> Callable[[], object]:
    reference = {"dataset": "flights", "version": version}
    given = {"tables": {"flights": reference}} if name == "sql" else {"table": reference}
    body = json.dumps({"inputs": given | inputs, "outputs": {output: {}}}).encode()
    return lambda: web.ask("POST", f"/processes/{name}/execution", body, {"Content-Type": "application/json"})


def _bare(name: str, output: str, table: DataSet, inputs: Inputs) -> Callable[[], object]:
    function = getattr(importlib.import_module(f"gristmill.processes.{name}"), name)
    given: Inputs = {"tables": {"flights": table}} if name == "sql" else {"table": table}

    def run() -> object:
        made = function(**given, **inputs, progress=Progress())
        return made["plot"]() if output == "plot" else made["table"]

    return run


def _bare_table(connection: duckdb.DuckDBPyConnection, file: Path, name: str) -> DataSet:
    workspace = Workspace(connection=connection)
    columns = workspace.attach(name, file, TABLE)
    connection.execute(f"CREATE VIEW flights AS FROM {workspace.source(name)}")
    (rows,) = connection.execute(f"SELECT count(*) FROM {workspace.source(name)}").fetchone() or (0,)
    return DataSet(workspace.queries, name, columns, rows, source=workspace.source(name))
