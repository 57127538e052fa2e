"""The command, as people and CI servers run it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.acceptance import Api
from support.meddler import Asked, Meddler, Reply
from support.servers import free_port
from support.waiting import wait_until

from gristmill.verify import command as command_module
from gristmill.verify.catalogue import CHECKS
from gristmill.verify.runner import Stopped

Apis = Callable[..., Api]
Verify = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gristmill", "verify", *arguments]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Run the command in an empty folder."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            env=dict(os.environ) | environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return call


@pytest.mark.slow
def test_a_whole_run_prints_each_check_writes_both_reports_and_leaves_nothing(
    apis: Apis, verify: Verify, tmp_path: Path
) -> None:
    api = apis("none", tokens=True)
    (tmp_path / "token").write_text(api.tokens["run"])
    result = verify(api.url, "--token-file", "token", "--junit", "report.xml", "--json", "report.json")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    there = [check.name for check in CHECKS if check.when != "environment"]
    printed = [line.split()[3] for line in result.stdout.splitlines() if line.startswith(("  ok", "  warning"))]
    assert printed == there
    assert result.stdout.splitlines()[-1].startswith(
        f"All that was checked holds: {len(there)} checks of {api.url} (dev"
    )
    suite = ET.parse(tmp_path / "report.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["failures"]) == (str(len(there)), "0")
    document = json.loads((tmp_path / "report.json").read_text())
    assert [one["name"] for one in document["checks"]] == there
    assert document["environment"] == "dev"
    assert api.tokens["run"] not in result.stdout + (tmp_path / "report.xml").read_text()
    assert api.left() == []


def test_the_token_may_come_by_the_environment_and_quiet_prints_the_last_line_alone(apis: Apis, verify: Verify) -> None:
    api = apis("none", tokens=True)
    result = verify(api.url, "-q", GRISTMILL_TOKEN=api.tokens["read"])
    assert result.returncode == 0, result.stdout
    assert "skipped" in result.stdout.splitlines()[-1]
    assert not [line for line in result.stdout.splitlines() if line.startswith("  ok")]


@pytest.mark.parametrize("form", ["junit", "json"])
def test_a_report_on_standard_output_has_it_for_itself(apis: Apis, verify: Verify, form: str) -> None:
    result = verify(apis("none", tokens=True).url, f"--{form}", "-")
    assert result.returncode == 0
    assert "All that was checked holds" in result.stderr
    if form == "junit":
        assert ET.fromstring(result.stdout).tag == "testsuites"
    else:
        assert json.loads(result.stdout)["exitCode"] == 0


@pytest.mark.slow
def test_a_failure_is_exit_code_1_with_its_reason_on_the_terminal_and_in_the_reports(
    apis: Apis, verify: Verify, tmp_path: Path
) -> None:
    def answer(asked: Asked, reply: Reply) -> None:
        if asked.method == "OPTIONS":
            reply.set("Allow", "")

    with Meddler(apis("none", tokens=True).url, answer=answer) as broken:
        result = verify(broken.url, "--junit", "report.xml")
    assert result.returncode == 1
    for line in (
        "asked: OPTIONS /",
        "came:  200, Allow: (none)",
        "right: Allow: GET, OPTIONS",
        "Failed: headers.options",
    ):
        assert line in result.stdout
    failures = ET.parse(tmp_path / "report.xml").getroot().findall(".//failure")
    assert [failure.attrib["message"] for failure in failures] == ["OPTIONS /: 200, Allow: (none)"]


def test_nobody_there_is_exit_code_3_in_one_line(verify: Verify, tmp_path: Path) -> None:
    result = verify(f"http://127.0.0.1:{free_port()}", "--junit", "report.xml")
    assert result.returncode == 3
    assert "Not reached: GET /healthz: [Errno 111] Connection refused" in result.stdout
    assert "Traceback" not in result.stderr
    assert ET.parse(tmp_path / "report.xml").getroot()[0].attrib["errors"] != "0"


def test_an_environment_that_is_not_known_here_says_where_to_run_it(verify: Verify) -> None:
    result = verify("test", "--seconds", "20")
    assert result.returncode == 3
    assert "kubectl exec app-test-pod-debug -- gristmill verify test" in result.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_report_that_cannot_be_written_is_told_after_all_that_was_found(verify: Verify) -> None:
    result = verify("http://127.0.0.1:1", "--json", "/dev/full")
    assert result.returncode == 3
    assert "the report /dev/full could not be written" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "TARGET"),
        (("localhost:8000",), "http://localhost:8000"),
        (("http://127.0.0.1:1", "--junit", "-", "--json", "-"), "standard output"),
        (("http://127.0.0.1:1", "--junit", "report", "--json", "report"), "both"),
        (("http://127.0.0.1:1", "--junit", "missing/report.xml"), "missing/report.xml"),
        (("http://127.0.0.1:1", "--token-file", "missing"), "missing"),
        (("http://127.0.0.1:1", "--ca", "missing"), "missing"),
        (("http://127.0.0.1:1", "--seconds", "1"), "--seconds"),
        (("http://127.0.0.1:1", "--token", "gm_secret"), "--token"),
    ],
)
def test_wrong_use_is_exit_code_2_and_sends_nothing(verify: Verify, arguments: tuple[str, ...], word: str) -> None:
    result = verify(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_help_says_why_no_option_takes_the_token(verify: Verify) -> None:
    told = " ".join(verify("--help").stdout.split())
    assert "GRISTMILL_TOKEN" in told
    assert "`ps`" in told
    assert "Exit code 0" in told


def test_ctrl_c_stays_ignored_where_a_shell_has_put_it_into_the_background() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with suppress(Stopped), command_module._asked_to_stop() as signals:
            os.kill(os.getpid(), signal.SIGINT)
        assert (signals, signal.getsignal(signal.SIGINT)) == ([], signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_and_it_cleans_up(apis: Apis, tmp_path: Path, number: int, code: int) -> None:
    api = apis()
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*command(api.url)], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path
        )
    try:
        wait_until(lambda: "ends.deleted" in out.read_text(), 90, "the run is in the middle", every=0.02)
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
    told = out.read_text()
    assert "Stopped before the end." in told
    assert "the run was stopped" in told
    assert "Traceback" not in told
    assert "ok" in next(line for line in told.splitlines() if "end.cleaned" in line)
    assert api.left() == []
