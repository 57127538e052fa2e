"""The life of a worker: start, stop, lost parts, Redis away; real processes and real signals."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import RedisServer, wait_until, why_missing
from support.workers import MISBEHAVING, WorkerUnderTest, is_alive

from gristmill import limits
from gristmill.errors import ConfigurationError
from gristmill.job import End, Status
from gristmill.worker import check_memory

pytestmark = pytest.mark.slow

MIB = 2**20


@pytest.fixture
def url(backend_url: Callable[[str], str]) -> str:
    return backend_url("valkey" if why_missing("redis") else "redis")


@pytest.fixture
def make_worker(tmp_path: Path, url: str) -> Iterator[Callable[..., WorkerUnderTest]]:
    made: list[WorkerUnderTest] = []

    def make(redis_url: str = url, folder: str = "worker", **changes: object) -> WorkerUnderTest:
        made.append(WorkerUnderTest(tmp_path / folder, redis_url, **changes))
        return made[-1]

    yield make
    for worker in made:
        worker.__exit__(AssertionError, AssertionError(), None)


def work_folders(worker: WorkerUnderTest) -> list[Path]:
    return [path for path in Path(worker.settings.worker_folder).iterdir() if path.is_dir()]


# Start


def test_the_supervisor_imports_no_numpy_and_no_processes() -> None:
    code = (
        "import sys, gristmill.worker; print(sorted({'numpy', 'matplotlib', 'gristmill.processes'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_broken_process_file_stops_the_start_and_names_the_line(
    make_worker: Callable[..., WorkerUnderTest], tmp_path: Path
) -> None:
    worker = make_worker()
    broken = tmp_path / "processes"
    broken.mkdir()
    (broken / "bad.py").write_text("x = 1\ndef f(:\n")
    worker.settings = worker.settings.model_copy(update={"processes_folder": broken})
    worker.start(wait=False)
    assert worker.process is not None
    assert worker.process.wait(60) != 0
    assert "bad.py:2" in worker.log
    assert "Traceback" not in worker.log


def test_a_container_that_is_too_small_is_refused_with_the_sum() -> None:
    check_memory(2048 * MIB, 100 * MIB, 1, 1024 * MIB, "histogram")
    with pytest.raises(ConfigurationError) as refused:
        check_memory(2048 * MIB, 100 * MIB, 2, 1024 * MIB, "histogram")
    assert "100 MiB for the worker itself + 2 children x 1024 MiB" in refused.value.detail
    assert "= 2470 MiB" in refused.value.detail
    assert "GRISTMILL_CHILDREN=1" in refused.value.detail


def test_check_tells_a_worker_that_lives_from_one_that_hangs_and_from_none(
    make_worker: Callable[..., WorkerUnderTest],
) -> None:
    worker = make_worker()
    environment = os.environ | {"GRISTMILL_WORKER_FOLDER": worker.settings.worker_folder}

    def check() -> tuple[int, str]:
        command = [sys.executable, "-m", "gristmill", "worker", "--check"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert check()[0] == 1
    worker.start()
    assert check()[0] == 0
    (folder,) = work_folders(worker)
    os.kill(worker.pid, signal.SIGSTOP)
    (folder / "heartbeat").write_text(f"{time.monotonic() - 60:.1f}\n")
    code, text = check()
    os.kill(worker.pid, signal.SIGCONT)
    assert code == 1
    assert "has been stuck for" in text
    wait_until(lambda: check()[0] == 0, 20)
    worker.stop()
    code, text = check()
    assert code == 1
    assert "No worker runs" in text


def test_the_next_start_removes_what_a_killed_worker_has_left(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker().start()
    worker.wait_running(worker.submit("sleep_for", seconds=30))
    (left,) = work_folders(worker)
    worker.kill()
    assert left.exists()
    worker.start(wait=False)
    wait_until(lambda: not left.exists(), 20)
    wait_until(lambda: len(work_folders(worker)) == 1, 20)


# Stop


def test_a_stop_lets_running_jobs_finish_and_claims_no_more(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(children=2).start()
    running = worker.submit("sleep_for", seconds=2)
    worker.wait_running(running)
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    wait_until(lambda: len(worker.children()) == 1, 1.5, "the idle child leaves")
    later = worker.submit("add_one")
    assert worker.end() == 0
    assert 1 < time.monotonic() - began < 10
    assert worker.jobs.get(running).status is Status.SUCCESSFUL
    assert worker.jobs.get(later).status is Status.ACCEPTED
    assert worker.jobs.workers() == ()
    assert work_folders(worker) == []


def test_what_does_not_finish_within_the_grace_time_is_handed_back(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(workers_grace_seconds=1).start()
    identity = worker.submit("sleep_for", seconds=50)
    worker.wait_running(identity)
    children = worker.children()
    assert worker.stop() == 0
    job = worker.jobs.get(identity)
    assert (job.status, job.hand_backs) == (Status.ACCEPTED, 1)
    assert not any(is_alive(pid) for pid in children)


def test_the_second_signal_ends_at_once_and_hands_back(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(workers_grace_seconds=60).start()
    identity = worker.submit("sleep_for", seconds=50)
    worker.wait_running(identity)
    worker.process.send_signal(signal.SIGINT)
    wait_until(lambda: worker.says("worker stops"), 10)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 3
    job = worker.jobs.get(identity)
    assert (job.status, job.hand_backs) == (Status.ACCEPTED, 1)


def test_a_stop_before_the_worker_is_ready_works_too(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker().start(wait=False)
    wait_until(lambda: worker.says("worker starts"), 30)
    assert worker.stop() == 0
    assert work_folders(worker) == []


# Lost parts


def test_a_killed_supervisor_takes_template_children_and_grandchildren_along(
    make_worker: Callable[..., WorkerUnderTest],
) -> None:
    worker = make_worker(children=2).start()
    worker.wait_running(worker.submit("hog_memory_in_grandchildren"))
    worker.wait_running(worker.submit("spin_without_lock"))
    family = limits.descendants_of(worker.pid)
    assert len(family) >= 3
    worker.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in family), 2, "all end within a second or so")


def test_a_killed_template_is_replaced_and_its_children_settled(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(children=2).start()
    identity = worker.submit("sleep_for", seconds=2)
    worker.wait_running(identity)
    template = worker.template()
    os.kill(template, signal.SIGKILL)
    job = worker.wait(identity)
    assert (job.status, job.crashes, job.attempts) == (Status.SUCCESSFUL, 1, 2)
    assert worker.template() != template
    assert worker.value(worker.run("add_one", number=1)) == 2
    assert not worker.says("Traceback")


def test_a_stopped_template_is_continued_so_that_limits_go_on_to_hold(
    make_worker: Callable[..., WorkerUnderTest],
) -> None:
    worker = make_worker(children=2).start()
    over_time = worker.submit("spin_without_lock")
    worker.wait_running(over_time)
    os.kill(worker.template(), signal.SIGSTOP)
    job = worker.wait(over_time)
    assert (job.end, job.attempts) == (End.TIMED_OUT, 1)
    assert worker.value(worker.run("add_one", number=1)) == 2
    assert worker.says("template was stopped; it is continued")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_a_killed_supervisor_takes_a_stopped_template_along(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker().start()
    worker.wait_running(worker.submit("sleep_for", seconds=60))
    family = limits.descendants_of(worker.pid)
    os.kill(worker.pid, signal.SIGSTOP)
    os.kill(worker.template(), signal.SIGSTOP)
    worker.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in family), 5, "all end")


def test_a_child_killed_from_outside_is_replaced_and_its_job_runs_again(
    make_worker: Callable[..., WorkerUnderTest],
) -> None:
    worker = make_worker().start()
    identity = worker.submit("sleep_for", seconds=1.5)
    worker.wait_running(identity)
    os.kill(worker.children()[0], signal.SIGKILL)
    job = worker.wait(identity)
    assert (job.status, job.crashes) == (Status.SUCCESSFUL, 1)


def test_a_child_at_work_is_not_ended_by_the_signal_for_idle_ones(
    make_worker: Callable[..., WorkerUnderTest],
) -> None:
    worker = make_worker().start()
    assert worker.value(worker.run("add_one", number=1)) == 2
    identity = worker.submit("sleep_for", seconds=1.5)
    worker.wait_running(identity)
    os.kill(worker.children()[0], signal.SIGTERM)
    job = worker.wait(identity)
    assert (job.status, job.attempts) == (Status.SUCCESSFUL, 1)


def test_an_idle_child_killed_from_outside_is_replaced(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker().start()
    (child,) = wait_until(worker.children, 10)
    os.kill(child, signal.SIGKILL)
    assert worker.value(worker.run("add_one", number=1)) == 2


@pytest.mark.parametrize(("process", "inputs"), [("spin_long_in_c", {}), ("sleep_for", {"seconds": 50})])
def test_a_dismissed_job_is_gone_within_a_second(
    make_worker: Callable[..., WorkerUnderTest], process: str, inputs: dict[str, float]
) -> None:
    worker = make_worker().start()
    identity = worker.submit(process, **inputs)
    worker.wait_running(identity)
    (child,) = worker.children()
    began = time.monotonic()
    worker.jobs.dismiss(identity)
    wait_until(lambda: not is_alive(child), 5)
    assert time.monotonic() - began < 1
    assert worker.jobs.get(identity).status is Status.DISMISSED
    assert worker.value(worker.run("add_one", number=1)) == 2


def test_a_child_is_replaced_after_so_many_jobs(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(child_jobs=2).start()
    children = [worker.value(worker.run("draw"))["child"] for _ in range(4)]
    assert children[0] == children[1] != children[2] == children[3]
    assert not worker.says("crashed")


def test_the_threads_of_libraries_are_shared_between_the_children(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(children=1).start()
    assert worker.value(worker.run("leave_traces"))["threads"] == str(limits.usable_cpus())


def test_threaded_linear_algebra_works_in_forked_children(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(children=1, child_jobs=1).start()
    for _ in range(3):
        assert worker.value(worker.run("multiply")) == 600.0**3


def test_log_lines_name_worker_child_job_and_attempt(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(log_level="info").start()
    job = worker.run("leave_by", how="exit")
    (line,) = wait_until(lambda: [line for line in worker.lines() if line["message"] == "attempt ended"], 10)
    assert line["job_id"] == job.id
    assert line["attempt"].startswith("1.")
    assert line["child"].startswith(f"{line['worker']}.")
    assert (line["process"], line["end"], line["detail"]) == ("leave_by", "process-failed", "SystemExit: 4")
    assert worker.run("add_one").id not in worker.log


# Redis


def test_a_no_op_job_costs_one_call(
    make_worker: Callable[..., WorkerUnderTest], start_server: Callable[..., RedisServer]
) -> None:
    server = start_server()
    worker = make_worker(server.url).start()
    worker.run("add_one")
    worker.jobs.pause()
    identities = [worker.submit("add_one", number=number) for number in range(200)]
    with server.client() as client:
        client.config_resetstat()
        worker.jobs.resume()
        wait_until(lambda: client.zcard(f"{worker.jobs.prefix}:all") and _calls(client) >= 200, 30)
        assert all(worker.wait(identity).status is Status.SUCCESSFUL for identity in identities)
        assert _calls(client) < 200 + 60


def _calls(client: object) -> int:
    stats = client.info("commandstats")  # type: ignore[attr-defined]
    return int(stats.get("cmdstat_fcall", {}).get("calls", 0))


def test_a_result_survives_a_restart_of_redis_and_the_job_runs_once(
    make_worker: Callable[..., WorkerUnderTest], own_server: RedisServer, tmp_path: Path
) -> None:
    worker = make_worker(own_server.url).start()
    notes = tmp_path / "notes"
    identity = worker.submit("note_and_sleep", file=str(notes), seconds=1.5)
    worker.wait_running(identity)
    time.sleep(1.2)  # the append-only file is flushed every second
    own_server.kill()
    wait_until(lambda: notes.read_text().count("end") == 1, 10)
    time.sleep(8)  # longer than the lease
    own_server.start()
    job = worker.wait(identity)
    assert (job.status, job.attempts) == (Status.SUCCESSFUL, 1)
    assert notes.read_text() == "begin\nend\n"
    assert worker.value(worker.run("add_one", number=1)) == 2
    assert worker.says("Redis is away")
    wait_until(lambda: worker.says("Redis is back"), 10)


@pytest.mark.slow
def test_nobody_loses_a_job_to_a_redis_that_stalls(
    make_worker: Callable[..., WorkerUnderTest], own_server: RedisServer, tmp_path: Path
) -> None:
    workers = [make_worker(own_server.url, folder=f"w{n}", key_prefix="{stall}", children=2).start() for n in range(2)]
    files = [tmp_path / f"notes{n}" for n in range(4)]
    lengths = (1, 5, 9, 16)
    jobs = [
        workers[0].submit("note_and_sleep", file=str(file), seconds=seconds)
        for file, seconds in zip(files, lengths, strict=True)
    ]
    for identity in jobs:
        workers[0].wait_running(identity)
    own_server.pause()
    time.sleep(12)  # twice the lease
    own_server.resume()
    for identity, file in zip(jobs, files, strict=True):
        job = workers[0].wait(identity)
        assert (job.status, job.attempts) == (Status.SUCCESSFUL, 1)
        assert file.read_text() == "begin\nend\n"


def test_a_time_limit_holds_while_redis_is_away(
    make_worker: Callable[..., WorkerUnderTest], own_server: RedisServer
) -> None:
    worker = make_worker(own_server.url).start()
    identity = worker.submit("spin_without_lock")
    worker.wait_running(identity)
    time.sleep(0.2)
    (child,) = worker.children()
    own_server.pause()
    wait_until(lambda: not is_alive(child), 5, "the child is killed")
    own_server.resume()
    job = worker.wait(identity)
    assert job.end is not None
    assert job.end.value == "timed-out"


def test_a_worker_waits_for_a_redis_that_is_not_there_yet(
    make_worker: Callable[..., WorkerUnderTest], own_server: RedisServer
) -> None:
    own_server.stop()
    worker = make_worker(own_server.url).start(wait=False)
    wait_until(lambda: worker.says("Redis is away"), 60)
    own_server.start()
    assert worker.value(worker.run("add_one", number=1)) == 2


@pytest.mark.slow
def test_an_idle_worker_uses_next_to_no_cpu(make_worker: Callable[..., WorkerUnderTest]) -> None:
    worker = make_worker(children=2, log_level="info").start()
    time.sleep(2)
    before = _cpu_seconds(worker)
    time.sleep(15)
    assert _cpu_seconds(worker) - before <= 0.15


def _cpu_seconds(worker: WorkerUnderTest) -> float:
    total = 0
    for pid in (worker.pid, *limits.descendants_of(worker.pid)):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def test_a_template_that_cannot_start_again_is_tried_again_later(
    make_worker: Callable[..., WorkerUnderTest], tmp_path: Path
) -> None:
    folder = tmp_path / "processes"
    shutil.copytree(MISBEHAVING, folder)
    worker = make_worker(processes_folder=folder).start()
    (folder / "broken.py").write_text("1 +\n")
    os.kill(worker.template(), signal.SIGKILL)
    wait_until(lambda: worker.says("template failed"), 30)
    (folder / "broken.py").unlink()
    assert worker.value(worker.run("add_one", number=1)) == 2
    assert worker.log.count("template failed") <= 2
