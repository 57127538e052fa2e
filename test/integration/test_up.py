"""``gristmill up`` as a person meets it: it starts, does a job, survives kills, says what is wrong, and stops."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import wait_until

from gristmill.lifeline import tied

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 120


class Up:
    """One ``gristmill up`` on a data folder of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._output = folder / "output.txt"
        own = {"GRISTMILL_DATA_FOLDER": str(folder / "data"), "GRISTMILL_PROCESSES": str(REPOSITORY / "processes")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", "gristmill", "up", *options], signal.SIGTERM),
                env=dict(os.environ) | own | {"GRISTMILL_CHILDREN": "1"} | environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            if not found and self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode} before {pattern!r}:\n{self.output}")
            return found

        try:
            found = wait_until(look, seconds, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        assert found is not None
        return found

    def wait(self, seconds: float = START_SECONDS) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None

    @property
    def url(self) -> str:
        return self.wait_for(r"Ready after .*(http://\S+)")[1]

    def left(self) -> dict[int, str]:
        """Processes that belong to this start: those with its data folder in their environment, or its server."""
        mark = str(self.folder / "data").encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                if mark in (entry / "environ").read_bytes() or mark in command:
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
        return {pid: command for pid, command in found.items() if command}

    def pid_of(self, part: str) -> int:
        """The main process of a part: ``api``, ``worker`` or ``valkey``."""
        children = {
            pid: command
            for pid, command in self.left().items()
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1] == str(self.process.pid)
        }
        (pid,) = [
            pid
            for pid, command in children.items()
            if command.endswith(f"gristmill {part}") or (part == "valkey" and "valkey-server" in command.split()[0])
        ]
        return pid

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Up] = []

    def go(*options: str, folder: str = "here", **environment: str) -> Up:
        started.append(Up(tmp_path / folder, *options, **environment))
        return started[-1]

    yield go
    for up in started:
        up.end()


def _echo(url: str, text: str) -> Any:
    answer = httpx.post(
        f"{url}/processes/echo/execution",
        json={"inputs": {"string": text}, "response": "document"},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def _jobs(url: str) -> dict[str, Any]:
    """The jobs as they are listed, by id, without links: those name the port."""
    listed = httpx.get(f"{url}/jobs", timeout=30, trust_env=False).json()["jobs"]
    assert listed
    return {job["jobID"]: {key: value for key, value in job.items() if key != "links"} for job in listed}


def _works(url: str, text: str) -> bool:
    try:
        return "string" in _echo(url, text)
    except (httpx.HTTPError, AssertionError):
        return False


@pytest.mark.slow
def test_the_demo_uploads_a_table_runs_jobs_on_it_shows_their_results_and_leaves_no_process(start: Start) -> None:
    up = start("--demo", "--exit-after-demo", "--port", "0")

    assert up.wait() == 0, up.output
    assert "PUT /datasets/penguins -> 201, a new version: 344 rows, 8 columns" in up.output
    assert up.output.count("successful") >= 2
    assert re.search(r"body_mass_g +integer +2 +94 +2700 +4,202 +6300", up.output), up.output
    assert re.search(r"2,700 to 3,000 +9 +█+", up.output), up.output
    assert (up.folder / "gristmill-histogram.png").read_bytes().startswith(b"\x89PNG")
    assert "curl -s http://127.0.0.1:" in up.output
    assert "Everything has stopped." in up.output
    assert up.left() == {}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_line_that_the_demo_says_to_try_works_when_pasted(start: Start) -> None:
    up = start("--demo", "--port", "0")
    up.wait_for("Ctrl-C stops everything")
    lines = re.findall(r"^ +(curl .*)$", up.output, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        result = subprocess.run(["bash", "-c", f"{line} --fail"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, (line, result)
        assert result.stdout.startswith("{"), (line, result)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_the_curl_lines_of_the_docs_work_when_pasted(start: Start, page: str) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", (REPOSITORY / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    commands = [
        line
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("curl") and "http://127.0.0.1:8000" in line
    ]
    assert commands
    url = start("--port", "0").url
    for command in commands:
        line = f"{command.replace('http://127.0.0.1:8000', url)} --fail"
        result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert result.returncode == 0, (line, result)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_within_seconds(start: Start, how: signal.Signals) -> None:
    up = start("--port", "0")
    _echo(up.url, "hello")
    uploads = up.folder / "data/uploads"
    wait_until(lambda: uploads.exists() and any(uploads.iterdir()), 20, "the API is ready for uploads")

    up.process.send_signal(how)

    assert up.wait(20) == 0, up.output
    assert up.left() == {}
    assert list(uploads.iterdir()) == []


@pytest.mark.slow
def test_a_long_job_does_not_hold_up_the_stop_and_runs_again_at_the_next_start(start: Start) -> None:
    up = start("--port", "0")
    url = up.url
    body = {"inputs": {"string": "hello", "pause": 8}}
    job = httpx.post(
        f"{url}/processes/echo/execution", json=body, headers={"Prefer": "respond-async"}, trust_env=False
    ).json()["jobID"]
    wait_until(lambda: httpx.get(f"{url}/jobs/{job}", trust_env=False).json()["status"] == "running", 30)
    up.process.send_signal(signal.SIGINT)
    assert up.wait(20) == 0, up.output
    assert up.left() == {}

    again = start("--port", "0").url

    wait_until(lambda: httpx.get(f"{again}/jobs/{job}", trust_env=False).json()["status"] == "successful", 60)


@pytest.mark.slow
def test_nothing_stays_when_the_supervisor_is_killed_and_the_next_start_has_the_jobs(start: Start) -> None:
    up = start("--port", "0")
    _echo(up.url, "hello")
    before = _jobs(up.url)

    up.process.kill()
    up.process.wait()

    wait_until(lambda: not up.left(), 20, "all parts end with their supervisor")
    again = start("--port", "0").url
    assert _jobs(again) == before


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name"), [("api", "api"), ("worker", "worker"), ("valkey", "redis")])
def test_a_part_that_is_killed_comes_back_and_nothing_is_lost(start: Start, part: str, name: str) -> None:
    up = start("--port", "0")
    url = up.url
    _echo(url, "before")
    before = _jobs(url)

    os.kill(up.pid_of(part), signal.SIGKILL)

    up.wait_for(f"{name} was ended by SIGKILL; it is started again")
    wait_until(lambda: _works(url, "after"), 60, f"jobs run again after the kill of {part}", every=0.2)
    assert before.items() <= _jobs(url).items()


@pytest.mark.slow
def test_a_second_start_is_refused_and_names_the_first(start: Start) -> None:
    first = start("--port", "0")
    url = first.url

    second = start("--port", "0")

    assert second.wait(30) == 1
    assert re.search(rf"already runs on .* \(process {first.process.pid}\) and answers at {url}", second.output)
    assert _works(url, "still there")


@pytest.mark.slow
def test_commands_in_the_same_folder_find_the_running_server(start: Start) -> None:
    up = start("--port", "0")
    _echo(up.url, "hello")
    result = subprocess.run(
        [sys.executable, "-m", "gristmill", "jobs", "list"],
        env=dict(os.environ) | {"GRISTMILL_DATA_FOLDER": str(up.folder / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "echo" in result.stdout
    assert "successful" in result.stdout


@pytest.mark.slow
def test_it_runs_over_a_server_of_ones_own(start: Start, redis_url: str, key_prefix: str) -> None:
    up = start("--port", "0", REDIS_URL=redis_url, GRISTMILL_KEY_PREFIX=key_prefix)
    assert _works(up.url, "hello")
    assert not (up.folder / "data" / "embedded").exists()


def test_a_taken_port_is_refused_with_another_to_try(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        up = start("--port", str(port))
        assert up.wait(30) == 1
    assert f"port {port} of 127.0.0.1 is taken" in up.output
    assert "--port" in up.output
    assert "Traceback" not in up.output


def test_a_folder_that_cannot_be_written_is_refused_by_name(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up = start(GRISTMILL_DATA_FOLDER=str(tmp_path / "file"))
    assert up.wait(30) == 1
    assert f"Cannot write to {tmp_path}/file/embedded" in up.output


@pytest.mark.slow
def test_a_broken_process_file_stops_the_start_and_is_named_with_its_line(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "broken.py").write_text("import math\n\ndef broken(:\n")
    up = start("--port", "0", GRISTMILL_PROCESSES=str(folder))
    assert up.wait() == 1
    assert "broken.py" in up.output
    assert "line 3" in up.output or ":3" in up.output
    assert "Traceback" not in up.output
    assert up.left() == {}
