"""How fast no-op jobs are drained, and submitted, against RQ, Celery, Dramatiq and Huey."""

import time
from pathlib import Path

from bench.measure import Report, interleaved
from bench.parts import FSYNC, wait_until
from bench.rivals import drivers
from gristmill.store import connect


def measure(url: str, folder: Path) -> Report:
    """Drain: workers are frozen, the queue filled, then the time from their thaw to the last stored result."""
    systems = [make(url, folder) for make in drivers.ALL]
    submit_rates: dict[str, list[float]] = {system.name: [] for system in systems}
    try:
        for system in systems:  # warm: every worker has run something
            before = system.finished()
            system.submit(20)
            wait_until(lambda s=system, b=before: _grown(s, b, 20), 60, f"{system.name} does not work")
            system.workers.stop()

        def slice_of(system: drivers.System) -> float:
            before = 0 if system.name in {"Celery", "Dramatiq"} else system.finished()
            started = time.perf_counter()
            system.submit(system.jobs_per_slice)
            submit_rates[system.name].append(system.jobs_per_slice / (time.perf_counter() - started))
            system.workers.go_on()
            started = time.perf_counter()
            # Counting costs Redis and a core more for some systems than for others, so it is done seldom.
            wait_until(
                lambda: system.finished() - before >= system.jobs_per_slice,
                60,
                f"{system.name} did not drain",
                every=0.01,
            )
            rate = system.jobs_per_slice / (time.perf_counter() - started)
            system.workers.stop()
            return rate

        rates = interleaved({system.name: lambda s=system: slice_of(s) for system in systems})
    finally:
        for system in systems:
            system.workers.end()
    report = Report(
        "No-op jobs drained", f"2 children or processes each, results stored, appendfsync {FSYNC}, medians of 5"
    )
    ours = rates["Gristmill"]
    for name, rate in rates.items():
        bar, holds = "", None
        if name == "Dramatiq":
            bar, holds = f"Gristmill >= 2 x ({ours / rate:.2f} x)", ours >= 2 * rate
        elif name == "Huey":
            bar, holds = f"Gristmill above ({ours / rate:.2f} x)", ours > rate
        report.add(name, rate, "jobs/s", bar, holds)
    for name, values in submit_rates.items():
        report.add(f"{name}, submitting", sorted(values)[len(values) // 2], "jobs/s")
    return report


def _grown(system: drivers.System, before: int, by: int) -> bool:
    return system.finished() - (0 if system.name in {"Celery", "Dramatiq"} else before) >= by


_FIVE_COMMANDS = """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[4], 'owner', ARGV[2])
return redis.call('LLEN', KEYS[5])
"""


def measure_submit(url: str) -> Report:
    """The engine's submit, one client, against a raw EVALSHA of five commands by redis-py."""
    jobs, offer = drivers.gristmill_jobs(url)
    raw = connect(drivers.Settings(redis_url=f"{url}/5"))
    sha = raw.script_load(_FIVE_COMMANDS)
    count = 1500
    made = 0

    def submit() -> float:
        started = time.perf_counter()
        for _ in range(count):
            jobs.submit(drivers.new_noop(offer, owner=f"bench-{made}"))
        return count / (time.perf_counter() - started)

    def evalsha() -> float:
        nonlocal made
        made += 1
        started = time.perf_counter()
        for number in range(count):
            raw.evalsha(
                sha, 5, f"j{number}", "all", "mine", "owners", "wake", "x" * 90, number, f"1m83kq3cvg7ks4{number}"
            )
        return count / (time.perf_counter() - started)

    rates = interleaved({"submit": submit, "evalsha": evalsha})
    ratio = rates["submit"] / rates["evalsha"]
    report = Report("Submit rate, one client", f"appendfsync {FSYNC}, medians of 5")
    report.add("Gristmill's submit", rates["submit"], "jobs/s", f">= 70 % of the EVALSHA ({ratio:.0%})", ratio >= 0.7)
    report.add("EVALSHA of five commands, redis-py", rates["evalsha"], "calls/s")
    return report
