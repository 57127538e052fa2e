"""Jobs through HTTP: how fast they are accepted, and how long one takes from POST to its result."""

import asyncio
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

from bench.load import GENERATOR, GET, Request, generate, load
from bench.measure import Report, interleaved
from bench.parts import FSYNC, Workers, wait_until
from bench.rivals import drivers
from bench.server import Candidate, free_port

CONNECTIONS = 8
SLICE_SECONDS = 1.8


def post(*headers: tuple[str, str]) -> Request:
    """An execute request of the no-op process."""
    path = "/processes/noop/execution"
    return Request(path, "POST", (("Content-Type", "application/json"), *headers), json.dumps({"inputs": {}}))


def api(url: str, folder: Path) -> tuple[Workers, int]:
    """``gristmill api`` on a port of its own, without limits that a single client would meet."""
    port = free_port()
    env = {
        "REDIS_URL": f"{url}/0",
        "GRISTMILL_PROCESSES": str(drivers.PROCESSES),
        "GRISTMILL_PORT": str(port),
        "GRISTMILL_QUEUED_JOBS_PER_OWNER": "10000000",
        "GRISTMILL_RATE_PER_SECOND": "0",
        "GRISTMILL_DATA_FOLDER": str(folder),
    }
    running = Workers([sys.executable, "-m", "gristmill", "api"], env=env, folder=folder)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.URLError):
            return False

    wait_until(answers, 30, "the API does not answer")
    return running, port


def measure(url: str, folder: Path) -> Report:
    """Async execution against a bare Flask route with one Redis call; POST and wait, one job in flight."""
    running, port = api(url, folder)
    bare = Candidate("gristmill", f"{url}/6", folder)
    report = Report("Jobs through HTTP", f"appendfsync {FSYNC}, {CONNECTIONS} connections, {GENERATOR}, medians of 5")
    try:
        execute = post(("Prefer", "respond-async"))

        def rate(at: int, request: Request) -> float:
            return generate(at, CONNECTIONS, request)["rate"]

        rates = interleaved(
            {
                "execution, respond-async": lambda: rate(port, execute),
                "bare route": lambda: rate(bare.port, GET),
            }
        )
        share = rates["execution, respond-async"] / rates["bare route"]
        report.add("POST execution, respond-async", rates["execution, respond-async"], "jobs/s",
                   f">= 50 % of the bare route ({share:.0%})", share >= 0.5)  # fmt: skip
        report.add("bare Flask route with one Redis call", rates["bare route"], "requests/s")
    finally:
        running.end()
        bare.workers.end()
    jobs, _ = drivers.gristmill_jobs(url)
    jobs.client.flushall()
    workers = drivers.gristmill_worker(url, folder)
    running, port = api(url, folder)
    try:
        wait_until(jobs.workers, 30, "the worker does not start")
        asyncio.run(load(port, 1, 1.0, post()))
        found = [asyncio.run(load(port, 1, SLICE_SECONDS, post())) for _ in range(5)]
        p50, p99 = (sorted(one[name] for one in found)[2] for name in ("p50", "p99"))
        report.add("POST to result, p50", p50, "ms", "<= 6 ms", p50 <= 6)
        report.add("POST to result, p99", p99, "ms", "<= 20 ms", p99 <= 20)
    finally:
        running.end()
        workers.end()
    return report
