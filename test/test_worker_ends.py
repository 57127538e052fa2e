"""Each end of an attempt, with real children: what a process does hurts that job alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import wait_until, why_missing
from support.workers import WorkerUnderTest, is_alive

from gristmill.job import End, Job, NewJob, Status, new_id


@pytest.fixture(scope="module")
def worker(backend_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerUnderTest]:
    url = backend_url("valkey" if why_missing("redis") else "redis")
    with WorkerUnderTest(tmp_path_factory.mktemp("worker"), url, output_bytes=8 * 2**20) as running:
        yield running


def ended(job: Job) -> tuple[Status, End | None]:
    return job.status, job.end


@pytest.fixture(autouse=True)
def _goes_on(worker: WorkerUnderTest) -> Iterator[None]:
    """After each test, the worker does its next job."""
    yield
    assert worker.value(worker.run("add_one", number=41)) == 42


@pytest.mark.parametrize("process", ["spin", "spin_in_c", "spin_without_lock"])
def test_a_job_over_its_time_is_timed_out_also_in_c_code(worker: WorkerUnderTest, process: str) -> None:
    job = worker.run(process)
    assert ended(job) == (Status.FAILED, End.TIMED_OUT)
    assert "1 s" in job.detail
    assert (job.finished or 0) - (job.started or 0) < 10_000_000
    if process == "spin_in_c":
        assert worker.jobs.log(job) == b"about to spin\n"


@pytest.mark.parametrize("by", ["bytes", "numpy"])
def test_a_job_over_its_memory_is_out_of_memory(worker: WorkerUnderTest, by: str) -> None:
    job = worker.run("hog_memory", by=by)
    assert ended(job) == (Status.FAILED, End.OUT_OF_MEMORY)
    assert "64 MiB" in job.detail


def test_the_memory_of_grandchildren_counts(worker: WorkerUnderTest) -> None:
    job = worker.run("hog_memory_in_grandchildren")
    assert ended(job) == (Status.FAILED, End.OUT_OF_MEMORY)


def test_memory_that_forked_grandchildren_share_counts_once(worker: WorkerUnderTest) -> None:
    assert worker.value(worker.run("share_memory_with_grandchildren")) == 0


@pytest.mark.parametrize("way", ["files", "file"])
def test_a_job_over_its_disk_is_out_of_disk(worker: WorkerUnderTest, way: str) -> None:
    job = worker.run("hog_disk", way=way)
    assert ended(job) == (Status.FAILED, End.OUT_OF_DISK)
    assert "8 MiB" in job.detail


@pytest.mark.parametrize(("how", "words"), [("segfault", "SIGSEGV"), ("exit", "exit code 3"), ("kill", "SIGKILL")])
def test_a_crash_is_tried_once_more_and_then_fails(worker: WorkerUnderTest, how: str, words: str) -> None:
    job = worker.run("crash", how=how)
    assert ended(job) == (Status.FAILED, End.CRASHED)
    assert (job.attempts, job.crashes) == (2, 2)
    assert words in job.detail
    log = worker.jobs.log(job)
    assert b"last words" in log
    if how == "segfault":
        assert b"Segmentation fault" in log
        assert b"misbehaving.py" in log


def test_an_abort_for_want_of_memory_is_out_of_memory(worker: WorkerUnderTest) -> None:
    assert ended(worker.run("crash", how="bad_alloc")) == (Status.FAILED, End.OUT_OF_MEMORY)


def test_a_data_set_that_takes_too_much_memory_for_the_cache_is_out_of_memory(worker: WorkerUnderTest) -> None:
    job = worker.run("open_too_much")
    assert ended(job) == (Status.FAILED, End.OUT_OF_MEMORY)
    assert "GRISTMILL_DATASET_QUERY_MEMORY_MB" in job.detail


@pytest.mark.slow
def test_an_exception_fails_with_one_line_and_its_traceback_in_the_log(worker: WorkerUnderTest, tmp_path: Path) -> None:
    job = worker.run("fail_at_first", file=str(tmp_path / "tries"), times=9)
    assert ended(job) == (Status.FAILED, End.EXCEPTION)
    assert job.detail == "ValueError: try 2 second line"
    assert job.attempts == 3
    log = worker.jobs.log(job).decode()
    assert "misbehaving.py" in log
    assert "child.py" not in log


def test_an_exception_is_retried_as_often_as_the_process_says(worker: WorkerUnderTest, tmp_path: Path) -> None:
    job = worker.run("fail_at_first", file=str(tmp_path / "tries"), times=2)
    assert worker.value(job) == 2
    assert job.attempts == 3


def test_a_message_with_half_a_character_is_told_with_an_escape(worker: WorkerUnderTest) -> None:
    job = worker.run("fail_over_an_odd_name")
    assert ended(job) == (Status.FAILED, End.EXCEPTION)
    assert job.detail == "ValueError: caf\\udce9.csv"


@pytest.mark.parametrize(
    ("how", "words"),
    [("exit", "SystemExit: 4"), ("interrupt", "KeyboardInterrupt"), ("unspeakable", "UnspeakableError")],
)
def test_leaving_by_another_exception_is_a_failure_too(worker: WorkerUnderTest, how: str, words: str) -> None:
    job = worker.run("leave_by", how=how)
    assert ended(job) == (Status.FAILED, End.EXCEPTION)
    assert job.detail == words


def test_folders_left_within_folders_cost_nobody_the_result(worker: WorkerUnderTest) -> None:
    assert worker.value(worker.run("nest_folders", depth=2000)) == 2000


def test_a_result_that_is_too_large_is_not_stored(worker: WorkerUnderTest) -> None:
    job = worker.run("give_bytes", size=9 * 2**20)
    assert ended(job) == (Status.FAILED, End.RESULT_NOT_STORED)
    assert "8,388,608" in job.detail


def test_a_large_result_is_stored_in_chunks(worker: WorkerUnderTest) -> None:
    job = worker.run("give_bytes", size=3 * 2**20)
    assert job.status is Status.SUCCESSFUL
    assert b"".join(worker.jobs.output_chunks(job.outputs[0])) == bytes(3 * 2**20)


def test_inputs_that_do_not_fit_this_release_end_as_process_changed(worker: WorkerUnderTest) -> None:
    job = NewJob(new_id(), "add_one", "tester", b'{"number": "many"}', "another-interface", "old")
    old = type(worker.jobs)(worker.jobs.client, worker.settings, "0.0.1")
    done = worker.wait(old.submit(job).job.id)
    assert ended(done) == (Status.FAILED, End.PROCESS_CHANGED)
    assert "number" in done.detail


@pytest.mark.parametrize("end", ["return", "crash"])
def test_a_grandchild_in_another_session_ends_with_the_attempt(worker: WorkerUnderTest, end: str) -> None:
    job = worker.run("leave_grandchild", end=end)
    grandchild = int(worker.jobs.log(job).split()[0])
    wait_until(lambda: not is_alive(grandchild), 5, "the grandchild ends")


def test_everything_that_a_job_says_is_in_its_log(worker: WorkerUnderTest) -> None:
    log = worker.jobs.log(worker.run("talk")).decode()
    for way in ("by print", "by stderr", "INFO mine: by logging", "by the system", "by a grandchild"):
        assert way in log
    assert worker.run("add_one").log is None


def test_the_log_of_a_talkative_job_is_bounded_and_keeps_its_end(worker: WorkerUnderTest) -> None:
    identity = worker.submit("talk_much", megabytes=40)
    files: list[int] = []
    folder = Path(worker.settings.worker_folder)

    def over() -> bool:
        files.extend(path.stat().st_size for path in folder.glob("*/*.log"))
        return worker.jobs.get(identity).status.is_final

    wait_until(over, 60)
    log = worker.jobs.log(worker.wait(identity))
    assert len(log) <= 64 * 1024
    assert log.endswith(b"the end\n")
    assert max(files) < 30 * 2**20


def test_seeds_are_fresh_and_the_child_is_the_same(worker: WorkerUnderTest) -> None:
    first, second = (worker.value(worker.run("draw")) for _ in range(2))
    assert first["child"] == second["child"]
    assert first["python"] != second["python"]
    assert first["numpy"] != second["numpy"]


def test_a_job_finds_nothing_of_the_one_before(worker: WorkerUnderTest) -> None:
    first, second = (worker.value(worker.run("leave_traces")) for _ in range(2))
    assert first == second
    assert first["files"] == []
    assert first["variable"] == ""


def test_a_child_that_has_grown_is_replaced(worker: WorkerUnderTest) -> None:
    first = worker.value(worker.run("leak", megabytes=100))
    assert worker.value(worker.run("leak", megabytes=200)) == first
    assert worker.value(worker.run("leak", megabytes=1)) != first


def test_progress_is_seen_and_thinned_out(worker: WorkerUnderTest) -> None:
    identity = worker.submit("report_progress", steps=500, seconds=3)
    seen = set()

    def over() -> bool:
        job = worker.jobs.get(identity)
        if not job.status.is_final:
            seen.add((job.progress, job.message))
        return job.status.is_final

    wait_until(over, 30)
    percents = sorted(percent for percent, _ in seen)
    assert percents[-1] > 50
    assert 3 <= len(seen) <= 20
    assert all(message in {"", f"step {5 * percent}"} or message.startswith("step ") for percent, message in seen)
    assert worker.jobs.get(identity).revision < 25
