"""The command line says what happened, on the right stream and with the right exit code."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.by_hand import WorkerByHand
from support.secured import Mount

from gristmill import __version__
from gristmill.job import Finish, NewJob, Offer, Status, new_id
from gristmill.jobs import Jobs, new_worker_id
from gristmill.settings import Settings
from gristmill.settings_table import rows
from gristmill.store import connect

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Run:
    """Run a command of ours on the test's server, in an empty folder."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {
            "REDIS_URL": settings.redis_url,
            "GRISTMILL_KEY_PREFIX": settings.key_prefix,
            "GRISTMILL_DATA_FOLDER": str(settings.data_folder),
            "GRISTMILL_PROCESSES": str(settings.processes_folder),
        }
        return subprocess.run(
            [sys.executable, "-m", "gristmill", *arguments],
            env=dict(os.environ) | own | environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


@pytest.fixture
def jobs(settings: Settings) -> Iterator[Jobs]:
    with connect(settings) as client, closing(Jobs(client, settings)) as engine:
        yield engine


def _submit(jobs: Jobs, process: str = "echo", owner: str = "ada") -> str:
    job = NewJob(id=new_id(), process=process, owner=owner, inputs=b"{}", interface="i", process_version="v")
    return jobs.submit(job).job.id


def test_help_lists_every_command(run: Run) -> None:
    result = run("--help")
    assert result.returncode == 0
    for command in (
        *("up", "api", "worker", "queue", "jobs", "token", "secret", "settings", "doctor", "processes", "version"),
        *("backup", "restore"),
    ):
        assert f"\n  {command} " in result.stdout


def test_help_answers_at_once_because_it_imports_nothing_large() -> None:
    large = ("duckdb", "flask", "httpx", "matplotlib", "numpy", "pydantic", "redis", "structlog")
    asked = f"""
import sys
from gristmill.cli import app
app(["--help"], standalone_mode=False)
print("large:", *(set({large}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1].split() == ["large:"]


def test_version_is_the_packages(run: Run) -> None:
    for way in ("version", "--version"):
        assert run(way).stdout.startswith(f"gristmill {__version__} (Python 3.")


def test_the_first_process_of_a_container_ends_by_sigterm_while_it_still_starts() -> None:
    told_while_it_starts = """
import os, signal, sys
own = os.getpid()
class Told:
    def find_spec(self, name, *rest):
        if name == "gristmill.cli":
            os.kill(own, signal.SIGTERM)
from gristmill import __main__
sys.meta_path.insert(0, Told())
os.getpid = lambda: 1
sys.argv = ["gristmill", "worker"]
__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", told_while_it_starts], timeout=30, check=False)
    assert done.returncode == 128 + signal.SIGTERM


def test_the_embedded_server_does_not_start_beside_secrets_of_another(run: Run, mount: Mount, tmp_path: Path) -> None:
    mount.put({"password": b"pw"})
    result = run("up", REDIS_URL="", GRISTMILL_SECRETS_FOLDER=str(mount.secrets_folder))
    assert result.returncode == 1
    assert f"{mount.folder} has secrets of a server" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_command_says_which_secret_file_it_cannot_use(run: Run, mount: Mount) -> None:
    mount.put({"username": b"ann"})
    result = run("jobs", "list", GRISTMILL_SECRETS_FOLDER=str(mount.secrets_folder))
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{mount.folder / 'username'} is there" in result.stderr


def test_a_wrong_option_is_exit_code_2_and_a_word_on_standard_error(run: Run) -> None:
    result = run("jobs", "list", "--colour", "red")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--colour" in result.stderr


def test_a_wrong_setting_is_one_paragraph_that_names_it(run: Run) -> None:
    result = run("settings", GRISTMILL_PORT="http")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("gristmill: GRISTMILL_PORT='http' is not usable:")
    assert "Traceback" not in result.stderr


def test_a_command_without_a_server_says_how_to_get_one(run: Run) -> None:
    result = run("jobs", "list", REDIS_URL="")
    assert result.returncode == 1
    assert "gristmill up" in result.stderr
    assert "REDIS_URL" in result.stderr


def test_a_server_that_does_not_answer_is_said_in_one_line(run: Run) -> None:
    result = run("queue", "show", REDIS_URL="redis://127.0.0.1:1/0")
    assert result.returncode == 1
    assert result.stderr.startswith("gristmill: Redis does not answer")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_named_without_its_password_and_with_the_reason(run: Run) -> None:
    for command in (("jobs", "list"), ("doctor",)):
        result = run(*command, REDIS_URL="redis://ada:secret@127.0.0.1:1/0")
        told = result.stdout + result.stderr
        assert result.returncode == 1
        assert "redis://ada:***@127.0.0.1:1/0" in told
        assert "refused" in told
        assert "secret" not in told


@pytest.mark.slow
@pytest.mark.parametrize("command", [("queue", "pause"), ("queue", "resume"), ("jobs", "list", "--process")])
def test_a_process_that_is_nowhere_is_refused_and_those_that_are_there_named(run: Run, jobs: Jobs, command) -> None:
    result = run(*command, "typo")
    assert result.returncode == 1
    assert result.stderr.startswith("gristmill: There is no process 'typo'; there are correlation, echo, ")
    assert not any(queue.paused for queue in jobs.queues())


@pytest.mark.parametrize(
    "arguments",
    [
        *(("queue", "pause", ""), ("queue", "resume", "")),
        *(("jobs", action, "") for action in ("show", "log", "rerun", "dismiss")),
        *(("jobs", "list", option, "") for option in ("--process", "--status", "--owner")),
        *(("token", "new", "", "--role", "run"), ("up", "--host", ""), ("api", "--host", "")),
        *(("secret", "test", "--namespace", ""), ("secret", "test", "--host", "one", "--host", "")),
        ("verify", "test", "--expect-version", ""),
    ],
    ids=" ".join,
)
def test_an_empty_text_as_of_an_unset_variable_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "it is empty" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("jobs", "list", "--owner", "\udcff"), ("jobs", "show", "\udcff"), ("up", "--host", "\udcff")]
)
def test_bytes_that_are_no_text_are_refused(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "not text in UTF-8" in result.stderr


@pytest.mark.parametrize("command", ["backup {}", "backup {}/", "backup --check {}", "restore {}"])
def test_a_file_name_that_is_too_long_is_told_in_one_line(run: Run, command: str) -> None:
    result = run(*command.format("x" * 300).split())
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"gristmill: {'x' * 300}")
    assert "File name too long." in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["version", "settings", "--help"])
def test_a_full_standard_output_is_told_in_one_line(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gristmill", command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "No space left" in done.stderr


def test_an_empty_process_pauses_nothing(run: Run, jobs: Jobs) -> None:
    _submit(jobs)
    run("queue", "pause", "")
    assert not any(queue.paused for queue in jobs.queues())
    assert run("queue", "pause").returncode == 0
    assert all(queue.paused for queue in jobs.queues())


@pytest.mark.slow
def test_a_process_that_only_has_jobs_is_known(run: Run, jobs: Jobs) -> None:
    _submit(jobs, process="gone")
    assert run("queue", "pause", "gone").returncode == 0
    assert run("jobs", "list", "--process", "gone", "--status", "failed").stdout == "No jobs.\n"
    assert run("queue", "resume", "gone").returncode == 0


@pytest.mark.slow
def test_the_log_of_a_job_is_printed_as_it_is(run: Run, jobs: Jobs) -> None:
    job_id = _submit(jobs)
    waiting = run("jobs", "log", job_id)
    assert (waiting.returncode, waiting.stdout) == (0, "")
    assert "has not ended" in waiting.stderr
    worker = new_worker_id()
    offer = Offer("echo", "i", "v")
    jobs.beat(worker, host="here", offers=(offer,), children=1, held={})
    attempt = jobs.claim(f"{worker}.1", (offer,))
    assert attempt is not None
    jobs.finish(job_id, attempt.token, Finish(log=b"one\ntwo\n"), child=f"{worker}.1")
    assert run("jobs", "log", job_id).stdout == "one\ntwo\n"
    assert run("jobs", "log", "nothing").returncode == 1


def test_settings_lists_every_variable_with_its_value_and_hides_passwords(run: Run) -> None:
    result = run("settings", REDIS_URL="redis://ada:c4n4ry@host:6379/0", GRISTMILL_PORT="8123")
    assert all(row.variable in result.stdout for row in rows())
    assert "8123" in result.stdout
    assert "redis://ada:***@host:6379/0" in result.stdout
    assert "c4n4ry" not in result.stdout


@pytest.mark.slow
def test_jobs_are_listed_newest_first_and_filtered(run: Run, jobs: Jobs) -> None:
    first, second = _submit(jobs), _submit(jobs, owner="bob")
    lines = run("jobs", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [second, first]
    assert run("jobs", "list", "--owner", "ada").stdout.splitlines()[1].startswith(first)
    assert run("jobs", "list", "--status", "running").stdout == "No jobs.\n"


def test_a_limit_may_be_larger_than_any_number_of_jobs(run: Run, jobs: Jobs) -> None:
    job_id = _submit(jobs)
    assert job_id in run("jobs", "list", "--limit", "99999999999999999999").stdout


def test_a_state_that_does_not_exist_is_refused_with_those_that_do(run: Run) -> None:
    result = run("jobs", "list", "--status", "done")
    assert result.returncode == 1
    assert "successful" in result.stderr


def test_a_waiting_job_says_why_it_waits(run: Run, jobs: Jobs) -> None:
    result = run("jobs", "show", _submit(jobs))
    assert result.returncode == 0
    assert "accepted" in result.stdout
    assert "no live worker" in result.stdout


def test_a_job_that_does_not_exist_is_exit_code_1(run: Run) -> None:
    result = run("jobs", "show", "nosuchjob")
    assert (result.returncode, result.stdout) == (1, "")
    assert "nosuchjob" in result.stderr


@pytest.mark.slow
def test_a_job_is_dismissed_and_run_again_as_a_new_one(run: Run, jobs: Jobs) -> None:
    job = _submit(jobs)
    assert run("jobs", "dismiss", job).stdout == f"Job {job} is dismissed.\n"
    assert jobs.get(job).status is Status.DISMISSED

    again = run("jobs", "rerun", job).stdout.strip()

    assert jobs.get(again).status is Status.ACCEPTED


@pytest.mark.slow
def test_stopping_a_job_that_has_ended_is_refused_but_stopping_it_twice_is_not(run: Run, jobs: Jobs) -> None:
    dismissed, done = _submit(jobs), _submit(jobs, "summary")
    WorkerByHand(jobs, (Offer("summary", "i", "v"),)).succeed()

    assert [run("jobs", "dismiss", dismissed).returncode for _ in range(2)] == [0, 0]
    result = run("jobs", "dismiss", done)

    assert (result.returncode, result.stdout) == (1, "")
    assert f"Job {done} is successful already" in result.stderr


@pytest.mark.slow
def test_a_queue_is_paused_shown_as_such_and_resumed(run: Run, jobs: Jobs) -> None:
    _submit(jobs)
    assert run("queue", "pause", "echo").stdout.startswith("Paused: echo.")
    assert "paused" in run("queue", "show").stdout
    assert run("queue", "resume", "echo").stdout == "Resumed: echo.\n"
    assert "paused" not in run("queue", "show").stdout


def test_a_new_token_is_printed_once_and_kept_as_a_hash(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    result = run("token", "new", "ada", "--role", "run", GRISTMILL_TOKEN_FILE=str(path))
    assert result.returncode == 0, result.stderr
    token = result.stdout.strip()
    assert len(token.split()) == 1
    assert token not in path.read_text()
    assert "ada" in path.read_text()


def test_a_role_that_does_not_exist_is_exit_code_2(run: Run) -> None:
    result = run("token", "new", "ada", "--role", "king")
    assert result.returncode == 2
    assert "manage" in result.stderr


@pytest.mark.slow
def test_processes_lists_the_built_in_ones(run: Run) -> None:
    result = run("processes")
    assert result.returncode == 0, result.stderr
    assert {"echo", "histogram", "summary"} <= {line.split()[0] for line in result.stdout.splitlines()}


@pytest.mark.slow
def test_doctor_names_what_is_missing_and_is_exit_code_1_when_something_is_wrong(run: Run) -> None:
    good = run("doctor")
    assert good.returncode == 0, good.stdout
    assert "start one with `gristmill worker`" in good.stdout
    assert run("doctor", REDIS_URL="redis://127.0.0.1:1/0").returncode == 1
