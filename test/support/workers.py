"""A real worker, as a process of its own, and jobs for it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gristmill import __version__
from gristmill.job import Job, NewJob, Status, new_id
from gristmill.jobs import Jobs
from gristmill.lifeline import tied
from gristmill.limits import descendants_of
from gristmill.processes import Registry, load_registry
from gristmill.settings import Settings
from gristmill.store import connect
from support.waiting import wait_until

MISBEHAVING = Path(__file__).parent / "worker_processes"


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class WorkerUnderTest:
    """Runs ``gristmill worker`` with these settings; its log goes to ``folder``."""

    def __init__(self, folder: Path, url: str, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(
            **{
                "redis_url": url,
                "key_prefix": f"{{w{os.getpid()}-{new_id()[-6:]}}}",
                "processes_folder": MISBEHAVING,
                "worker_folder": str(folder / "work"),
                "children": 1,
                "workers_grace_seconds": 20,
                "log_format": "json",
                "log_level": "debug",
            }
            | changes
        )
        self.log_file = folder / "worker.log"
        self.jobs = Jobs(connect(self.settings), self.settings)
        self.registry: Registry = load_registry(self.settings.processes_folder)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and return once it has told Redis."""
        names = {"redis_url": "REDIS_URL", "processes_folder": "GRISTMILL_PROCESSES"}
        told = {
            names.get(name, f"GRISTMILL_{name.upper()}"): str(getattr(self.settings, name))
            for name in self.settings.model_fields_set
        }
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", "gristmill", "worker"]),
                env=os.environ | told,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            wait_until(lambda: self.says("worker is ready") or self.process.poll() is not None, 60, "it is ready")
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def says(self, words: str) -> bool:
        return any(words in line["message"] for line in self.lines())

    def template(self) -> int:
        """The template's process id."""
        return descendants_of(self.pid)[0]

    def children(self) -> list[int]:
        """The children's process ids."""
        return descendants_of(self.template())

    def submit(self, process: str, **inputs: Any) -> str:
        """Submit a job; returns its id."""
        known = self.registry[process]
        job = NewJob(
            id=new_id(),
            process=process,
            owner="tester",
            inputs=json.dumps(inputs).encode(),
            interface=known.interface,
            process_version=known.version_hash(__version__),
        )
        return self.jobs.submit(job).job.id

    def wait(self, job_id: str, seconds: float = 60) -> Job:
        """The job once it is final."""

        def final() -> Job | None:
            job = self.jobs.get(job_id)
            return job if job.status.is_final else None

        return wait_until(final, seconds, f"job {job_id} ends")

    def wait_running(self, job_id: str, seconds: float = 60) -> Job:
        """The job once its process's code runs."""
        wait_until(lambda: self.jobs.get(job_id).status is Status.RUNNING, seconds, f"job {job_id} runs")
        time.sleep(0.1)
        return self.jobs.get(job_id)

    def run(self, process: str, **inputs: Any) -> Job:
        """Submit a job and wait for its end."""
        return self.wait(self.submit(process, **inputs))

    def value(self, job: Job) -> Any:
        """The only output of a successful job."""
        assert job.status is Status.SUCCESSFUL, (job.end, job.detail, self.jobs.log(job))
        return json.loads(b"".join(self.jobs.output_chunks(job.outputs[0])))

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM (a second one, when it stops already); returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.end(seconds)

    def end(self, seconds: float = 30) -> int:
        """Wait for its end; returns the exit code."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the worker did not end within {seconds} s:\n{self.log}") from None

    def kill(self) -> None:
        """SIGKILL to the supervisor alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            if error is None:
                self.stop()
            else:
                self.kill()
        self.jobs.close()
