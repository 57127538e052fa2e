"""The HTTP server against those that were not chosen: rate, latency, and what 1,000 idle watchers cost.

``python -m bench.server`` takes two to three minutes, prints the table and writes bench/results/server.json.
It measures gunicorn too where that is installed, and loads with wrk, or with ``bench.load`` where there is none.
"""

import importlib.util
import json
import re
import socket
import statistics
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench.load import GENERATOR, generate
from bench.measure import RESULTS, Report, machine, show
from bench.parts import FSYNC, Workers, client, scratch, server, wait_until

RUNS = 5
WATCHERS = 1000
CHOSEN = "gristmill"
# What each connection count is measured for; variants of ours only where they could differ.
HAS_GUNICORN = importlib.util.find_spec("gunicorn") is not None
RIVALS = (CHOSEN, "granian WSGI", *(("gunicorn gthread", "gunicorn ASGI + bridge") if HAS_GUNICORN else ()))
PLAN = {
    1: RIVALS,
    8: (*RIVALS, "gristmill, 2 processes", "gristmill, access log", "gristmill, asyncio's loop"),
    64: (*RIVALS, "gristmill, 2 processes", "gristmill, asyncio's loop"),
}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Candidate:
    """A running server."""

    def __init__(self, name: str, redis_url: str, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "bench.rivals.servers", name, str(self.port)]
        self.workers = Workers(command, env={"BENCH_REDIS": redis_url}, folder=folder)
        wait_until(self._answers, 30, f"{name} does not answer")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/get", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def memory_mb(self) -> float:
        """The proportional set size of all its processes."""
        found = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.workers.members())
        return sum(int(re.search(r"Pss:\s+(\d+)", text)[1]) for text in found) / 1024  # type: ignore[index]

    def watch(self, count: int, stack: ExitStack) -> None:
        """Open event streams until the stack closes."""
        watchers = []
        for _ in range(count):
            watcher = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=60))
            watcher.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            watchers.append(watcher)
        for watcher in watchers:
            data = b""
            while b"hello" not in data:
                data += watcher.recv(4096)

    def health_ms(self) -> float:
        """How long /healthz takes on a new connection."""
        started = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=60) as response:
            response.read()
        return (time.perf_counter() - started) * 1000


def medians(slices: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(part[name] for part in slices) for name in slices[0]}


def measure(url: str, folder: Path) -> Report:
    """Measure all candidates in turn, slice by slice."""
    note = f"keep-alive connections, {GENERATOR}, appendfsync {FSYNC}"
    report = Report("HTTP server: a Flask route with one Redis call", note)
    with client(url) as redis:
        redis.set("bench:key", b"x" * 100)
    candidates: dict[str, Candidate] = {}
    watched: dict[str, Candidate] = {}
    with ExitStack() as stack:
        for name in dict.fromkeys(name for names in PLAN.values() for name in names):
            candidates[name] = Candidate(name, url, folder)
            stack.callback(candidates[name].workers.end)
            generate(candidates[name].port, 8)
        found: dict[tuple[int, str], list[dict[str, float]]] = {}
        for _ in range(RUNS):
            for connections, names in PLAN.items():
                for name in names:
                    found.setdefault((connections, name), []).append(generate(candidates[name].port, connections))
        for name in RIVALS:
            watched[name] = Candidate(name, url, folder)
            stack.callback(watched[name].workers.end)
            generate(watched[name].port, 8)
        costs = {}
        for name, candidate in watched.items():
            before = candidate.memory_mb()
            candidate.watch(WATCHERS, stack)
            costs[name] = candidate.memory_mb() - before
        pairs: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(RUNS):
            for name in RIVALS:
                alone, among = generate(candidates[name].port, 8)["rate"], generate(watched[name].port, 8)["rate"]
                pairs.setdefault(name, []).append((alone, among, watched[name].health_ms()))
    for (connections, name), slices in found.items():
        figures = medians(slices)
        plural = "s" if connections > 1 else ""
        report.add(f"{name}, {connections} connection{plural}", figures["rate"], "requests/s")
        report.add(f"{name}, {connections} connection{plural}, p50", figures["p50"], "ms")
        report.add(f"{name}, {connections} connection{plural}, p99", figures["p99"], "ms")
    for name, triples in pairs.items():
        alone, among, health = (statistics.median(values) for values in zip(*triples, strict=True))
        ours = name == CHOSEN
        kept = 100 * among / alone
        report.add(
            f"{name}, rate kept with {WATCHERS:,} watchers",
            kept,
            "%",
            ">= 70 %" if ours else "",
            kept >= 70 if ours else None,
        )
        report.add(
            f"{name}, memory of {WATCHERS:,} watchers", costs[name], "MB", "<= 120 MB" if ours else "",
            costs[name] <= 120 if ours else None,
        )  # fmt: skip
        report.add(
            f"{name}, /healthz among them", health, "ms", "<= 100 ms" if ours else "", health <= 100 if ours else None
        )
    return report


def main() -> int:
    """Measure, print, write."""
    with scratch() as folder, server(Path(folder) / "server") as url:
        report = measure(url, Path(folder))
    show(report)
    RESULTS.mkdir(exist_ok=True)
    facts = {"machine": machine(), "report": asdict(report)}
    (RESULTS / "server.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0 if all(row.holds is not False for row in report.rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
