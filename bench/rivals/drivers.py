"""How to fill, run and count each system in the same way."""

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.parts import Workers
from gristmill.job import NewJob, Offer, new_id
from gristmill.jobs import Jobs
from gristmill.processes import load_registry
from gristmill.settings import Settings
from gristmill.store import connect

__all__ = ["NewJob", "Offer", "new_id", "replace"]

PROCESSES = Path(__file__).parents[1] / "processes"


@dataclass
class System:
    """One job system: its workers, how to submit n no-op jobs, and how many have a stored result."""

    name: str
    workers: Workers
    jobs_per_slice: int
    submit: Callable[[int], None]
    finished: Callable[[], int]


def gristmill_jobs(url: str) -> tuple[Jobs, Offer]:
    """The engine, and the offer of the no-op process."""
    settings = Settings(redis_url=f"{url}/0", processes_folder=PROCESSES)
    jobs = Jobs(connect(settings), settings)
    return jobs, next(offer for offer in registry_offers(jobs) if offer.process == "noop")


def registry_offers(jobs: Jobs) -> tuple[Offer, ...]:
    """What the benchmark's workers offer."""
    return load_registry(PROCESSES).offers(jobs.release)


def new_noop(offer: Offer, owner: str = "127.0.0.1") -> NewJob:
    """A no-op job to submit."""
    return NewJob(new_id(), "noop", owner, b"{}", offer.interface, offer.version)


def gristmill_worker(url: str, folder: Path, children: int = 2, **more: str) -> Workers:
    """A worker as `gristmill worker` starts it."""
    env = {
        "REDIS_URL": f"{url}/0",
        "GRISTMILL_PROCESSES": str(PROCESSES),
        "GRISTMILL_CHILDREN": str(children),
        "GRISTMILL_DATA_FOLDER": str(folder),
    }
    return Workers([sys.executable, "-m", "gristmill", "worker"], env=env | more, folder=folder)


def gristmill(url: str, folder: Path) -> System:
    """Two children of one worker."""
    jobs, offer = gristmill_jobs(url)

    def submit(count: int) -> None:
        for _ in range(count):
            jobs.submit(new_noop(offer))

    def finished() -> int:
        return sum(n for (_, end, _), n in jobs.attempt_counts().items() if end == "successful")

    return System("Gristmill", gristmill_worker(url, folder), 3000, submit, finished)


def celery(url: str, folder: Path) -> System:
    """Two prefork children, acks_late, results in Redis."""
    module = _module("celery_app", url)
    command = [sys.executable, "-m", "celery", "-A", "bench.rivals.celery_app", "worker", "-c", "2", "-l", "ERROR"]
    backend = module.app.backend
    keys: list[bytes] = []

    def submit(count: int) -> None:
        keys[:] = [backend.get_key_for_task(module.noop.delay().id) for _ in range(count)]

    return System(
        "Celery",
        Workers(command, env=_env(url), folder=folder),
        600,
        submit,
        lambda: backend.client.exists(*keys) if keys else 0,
    )


def dramatiq(url: str, folder: Path) -> System:
    """Its default of 8 threads, in 2 processes, with the Results middleware."""
    module = _module("dramatiq_app", url)
    command = [sys.executable, "-m", "dramatiq", "bench.rivals.dramatiq_app", "--processes", "2", "--threads", "8"]
    results = next(one for one in module.broker.middleware if type(one).__name__ == "Results")
    keys: list[str] = []

    def submit(count: int) -> None:
        keys[:] = [results.backend.build_message_key(module.noop.send()) for _ in range(count)]

    return System(
        "Dramatiq", Workers(command, env=_env(url), folder=folder), 1500, submit,
        lambda: results.backend.client.exists(*keys) if keys else 0,
    )  # fmt: skip


def huey(url: str, folder: Path) -> System:
    """Two worker processes, results in Redis."""
    module = _module("huey_app", url)
    command = [
        sys.executable,
        "-m",
        "huey.bin.huey_consumer",
        "bench.rivals.huey_app.huey",
        "-k",
        "process",
        "-w",
        "2",
        "-q",
    ]

    def submit(count: int) -> None:
        for _ in range(count):
            module.noop()

    return System("Huey", Workers(command, env=_env(url), folder=folder), 1500, submit, module.huey.result_count)


def rq(url: str, folder: Path) -> System:
    """Two workers, each of which forks for every job."""
    module = _module("rq_app", url)
    command = [sys.executable, "-m", "rq.cli", "worker", "-u", f"{url}/4", "-q"]

    def submit(count: int) -> None:
        for _ in range(count):
            module.queue.enqueue(module.noop)

    return System(
        "RQ", Workers(command, command, env=_env(url), folder=folder), 60, submit,
        lambda: module.queue.finished_job_registry.get_job_count(cleanup=False),
    )  # fmt: skip


def _module(name: str, url: str):
    os.environ["BENCH_URL"] = url
    return importlib.import_module(f"bench.rivals.{name}")


def _env(url: str) -> dict[str, str]:
    return {"BENCH_URL": url, "PYTHONPATH": str(Path(__file__).parents[2])}


ALL = (gristmill, dramatiq, huey, celery, rq)
