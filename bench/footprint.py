"""What jobs and idle workers cost: bytes of Redis, CPU time, and whether time grows with the number of jobs."""

import time
from pathlib import Path

from bench.measure import Report, percentile
from bench.parts import client
from bench.rivals import drivers
from gristmill.job import Finish, Idempotency, JobFilter, Output
from gristmill.jobs import Jobs, new_worker_id

_ONE = Finish((Output("result", "application/json", b"1", "", 1),))


def _drain(jobs: Jobs, offer: drivers.Offer, worker: str) -> None:
    jobs.beat(worker, host="bench", offers=[offer], children=1, held={})
    attempt = jobs.claim(f"{worker}.1", [offer])
    while attempt:
        attempt = jobs.finish(attempt.job_id, attempt.token, _ONE, child=f"{worker}.1", offers=[offer])


def fill(jobs: Jobs, offer: drivers.Offer, worker: str, count: int) -> None:
    """Finish so many no-op jobs of 50 owners."""
    for made in range(0, count, 5000):
        for number in range(min(5000, count - made)):
            jobs.submit(drivers.new_noop(offer, owner=f"owner-{number % 50}"))
        _drain(jobs, offer, worker)


def measure_bytes(url: str) -> Report:
    """Memory of Redis per finished no-op job, and what an Idempotency-Key and an equal-work digest add."""
    _, offer = drivers.gristmill_jobs(url)
    server = client(url)
    worker = new_worker_id()
    count = 4000

    def used() -> int:
        return server.info("memory")["used_memory"]

    def added(submit) -> float:
        server.flushall()  # hash tables grow by doubling, so each variant starts from nothing
        jobs, _ = drivers.gristmill_jobs(url)
        jobs.submit(drivers.new_noop(offer))
        _drain(jobs, offer, worker)
        before = used()
        for _ in range(5):
            for _ in range(count):
                submit(jobs)
            _drain(jobs, offer, worker)
        return (used() - before) / (5 * count)

    plain = added(lambda jobs: jobs.submit(drivers.new_noop(offer)))
    keyed = added(
        lambda jobs: jobs.submit((new := drivers.new_noop(offer)), idempotency=Idempotency("bench", new.id, "body"))
    )
    equal = added(lambda jobs: jobs.submit(drivers.replace(drivers.new_noop(offer), equal_work=drivers.new_id() * 2)))
    report = Report("Bytes of Redis per finished no-op job", f"mean of {5 * count:,} jobs each")
    report.add("job, result and index entries", plain, "bytes", "<= 620", plain <= 620)
    report.add("more with an Idempotency-Key", keyed - plain, "bytes", "<= 200", keyed - plain <= 200)
    report.add("more with an equal-work digest", equal - plain, "bytes", "<= 200", equal - plain <= 200)
    return report


def measure_idle(url: str, folder: Path) -> Report:
    """CPU time of an idle worker with two children in 30 s."""
    workers = drivers.gristmill_worker(url, folder)
    try:
        time.sleep(8)
        before = _cpu_seconds(workers.members())
        time.sleep(30)
        used = _cpu_seconds(workers.members()) - before
    finally:
        workers.end()
    report = Report("Idle worker with two children")
    report.add("CPU time in 30 s", used, "s", "<= 0.3 s", used <= 0.3)
    return report


def _cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def measure_growth(url: str, sizes: tuple[int, ...]) -> Report:
    """Submit, claim and finish, status and list, with so many finished jobs already there (times in µs, p50)."""
    jobs, offer = drivers.gristmill_jobs(url)
    worker = new_worker_id()
    child = f"{worker}.1"
    made = 0
    report = Report("With many jobs in Redis", "p50 of 500 calls each")
    first: dict[str, float] = {}
    for size in sizes:
        fill(jobs, offer, worker, size - made)
        made = size
        times: dict[str, list[float]] = {"submit": [], "claim and finish": [], "status": [], "list": []}
        jobs.beat(worker, host="bench", offers=[offer], children=1, held={})
        for _ in range(500):
            new = drivers.new_noop(offer)
            marks = [time.perf_counter()]
            jobs.submit(new)
            marks.append(time.perf_counter())
            attempt = jobs.claim(child, [offer])
            if attempt is None:
                message = "the queue was empty"
                raise RuntimeError(message)
            jobs.finish(attempt.job_id, attempt.token, _ONE, child=child)
            marks.append(time.perf_counter())
            jobs.status(new.id)
            marks.append(time.perf_counter())
            jobs.list(JobFilter(owner="owner-7"), limit=10)
            marks.append(time.perf_counter())
            for name, start, end in zip(times, marks, marks[1:], strict=False):
                times[name].append(end - start)
        made += 500
        for name, values in times.items():
            micro = percentile(values, 50) * 1e6
            base = first.setdefault(name, micro)
            last = size == sizes[-1]
            report.add(
                f"{name} at {size:,} jobs", micro, "µs",
                f"flat ({micro / base:.2f} x)" if last else "", micro <= 1.5 * base if last else None,
            )  # fmt: skip
    return report
