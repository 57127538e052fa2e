"""The application over a real server and the real processes, with a worker loop in a thread where jobs must run."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gristmill.api.services import Services, build_services
from gristmill.errors import GristmillError
from gristmill.fetch import Fetcher
from gristmill.flask_api import create_app
from gristmill.job import End, Finish
from gristmill.jobs import Jobs, new_worker_id
from gristmill.processes import RunContext
from gristmill.settings import Settings
from gristmill.store import connect

PROCESSES = Path(__file__).parent / "processes"


@dataclass
class Api:
    """An application, its services and a client of it."""

    services: Services
    app: Flask
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def execute(self, process: str = "echo", *, headers: dict[str, str] | None = None, **request: Any) -> Any:
        """Send an execute request; without ``inputs``, echo's only required one."""
        body = {"inputs": {"string": "hello"}} | request
        return self.client.post(f"/processes/{process}/execution", json=body, headers=headers)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


MakeApi = Callable[..., Api]


@pytest.fixture
def make_api(redis_url: str, make_settings: Callable[..., Settings]) -> Iterator[MakeApi]:
    """Return a function that makes an application: ``make_api(wait_seconds=1)``; ``places=`` replaces the cap."""
    made: list[Services] = []

    def make(*, processes: Path = PROCESSES, services: dict[str, Any] | None = None, **changes: Any) -> Api:
        settings = make_settings(redis_url, **{"processes_folder": processes, "host": "0.0.0.0"} | changes)
        serving = build_services(settings, threading.Event())
        made.append(serving)
        serving = replace(serving, **services or {})
        return Api(serving, create_app(serving))

    yield make
    for serving in made:
        serving.hub.close()
        serving.jobs.close()


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    return make_api()


@pytest.fixture
def work() -> Iterator[Callable[[Api], None]]:
    """Return a function that starts a worker for an application: one child, in a thread of the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(api: Api) -> None:
        thread = threading.Thread(target=_work, args=(api.services, stop), daemon=True)
        threads.append(thread)
        thread.start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(20)


def _work(serving: Services, stop: threading.Event) -> None:
    client = connect(serving.settings)
    jobs = Jobs(client, serving.settings)
    worker = new_worker_id()
    child = f"{worker}.1"
    offers = serving.registry.offers(serving.release)
    held: dict[str, str] = {}
    beating = threading.Thread(target=_beat, args=(jobs, worker, offers, held, stop), daemon=True)
    jobs.beat(worker, host="test", offers=offers, children=1, held={})
    beating.start()
    attempt = None
    while not stop.is_set():
        attempt = attempt or jobs.wait_and_claim(child, offers, 0.2)
        if attempt is None:
            continue
        held[child] = attempt.token
        try:
            how = _run(serving, jobs, attempt)
            attempt = jobs.finish(attempt.job_id, attempt.token, how, child=child, offers=offers)
        except GristmillError:
            attempt = None
        held.clear()
    beating.join()
    jobs.leave(worker)
    jobs.close()


def _run(serving: Services, jobs: Jobs, attempt: Any) -> Finish:
    def progress(percent: int, message: str) -> None:
        jobs.progress(attempt.job_id, attempt.token, percent, message)

    context = RunContext(progress, Path, Fetcher(serving.settings))
    try:
        produced = serving.registry[attempt.process].run(json.loads(attempt.inputs), context)
    except Exception as error:
        return Finish(end=End.EXCEPTION, detail=f"{type(error).__name__}: {error}")
    return Finish(
        outputs=tuple(
            jobs.put_output(attempt.token, attempt.job_id, one.name, one.media_type, one.data) for one in produced
        )
    )


def _beat(jobs: Jobs, worker: str, offers: Any, held: dict[str, str], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        jobs.beat(worker, host="test", offers=offers, children=1, held=dict(held))
