"""The supervisor starts parts again, prints what they say, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import wait_until

from gristmill.supervisor import Part, Supervisor


class Said(list[tuple[str, str]]):
    def __call__(self, part: str, line: str) -> None:
        self.append((part, line))

    def count(self, text: str) -> int:  # type: ignore[override]
        return sum(text in line for _, line in self)


def part(name: str, code: str) -> Part:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return Part(name, start)


@contextmanager
def meanwhile(supervisor: Supervisor, act: Callable[[], object]) -> Iterator[None]:
    """Do ``act`` in another thread, and stop the supervisor when it has returned."""

    def go() -> None:
        try:
            act()
        finally:
            supervisor.stop()

    thread = threading.Thread(target=go)
    thread.start()
    yield
    thread.join()


SLEEPER = "import os, time; print('pid', os.getpid()); time.sleep(600)"


@pytest.fixture
def said() -> Said:
    return Said()


def _pids(said: Said) -> list[int]:
    return [int(line.split()[1]) for _, line in said if line.startswith("pid ")]


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_part_that_is_killed_is_started_again_and_the_log_says_so(said: Said) -> None:
    def kill_it() -> None:
        wait_until(lambda: _pids(said))
        os.kill(_pids(said)[0], signal.SIGKILL)
        wait_until(lambda: len(_pids(said)) == 2)

    with Supervisor([part("api", SLEEPER)], said, 5) as supervisor, meanwhile(supervisor, kill_it):
        assert supervisor.run() == 0

    assert ("", "api was ended by SIGKILL; it is started again in 0.5 s.") in said


def test_each_further_end_waits_longer(said: Said) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        Supervisor([part("api", code)], said, 5) as supervisor,
        meanwhile(supervisor, lambda: wait_until(lambda: said.count("started again") == 3)),
    ):
        supervisor.run()

    assert [line.split()[-2] for _, line in said] == ["0.5", "1", "2"]


def test_a_part_that_refuses_to_start_ends_everything_with_exit_code_1(said: Said) -> None:
    refusing = part("worker", "print('cannot, because'); raise SystemExit(1)")
    with Supervisor([part("api", SLEEPER), refusing], said, 5) as supervisor:
        assert supervisor.run() == 1

    assert ("worker", "cannot, because") in said
    assert said.count("worker refused to start") == 1
    wait_until(lambda: all(map(_gone, _pids(said))), 10)


def test_what_a_dead_part_left_in_its_group_is_killed(said: Said) -> None:
    code = (
        "import os, signal, subprocess, sys;"
        f"child = subprocess.Popen([sys.executable, '-u', '-c', {SLEEPER!r}]);"
        "sys.stdin.read(0); import time; time.sleep(600)"
    )
    parent = part("api", code)

    def kill_the_parent() -> None:
        wait_until(lambda: _pids(said))
        assert parent.process is not None
        parent.process.kill()
        wait_until(lambda: _gone(_pids(said)[0]), 10)

    with Supervisor([parent], said, 5) as supervisor, meanwhile(supervisor, kill_the_parent):
        supervisor.run()


def test_a_part_that_does_not_stop_is_killed_in_time(said: Said) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
    with (
        Supervisor([part("redis", SLEEPER), part("api", code)], said, 0.5) as supervisor,
        meanwhile(supervisor, lambda: wait_until(lambda: len(_pids(said)) == 2)),
    ):
        supervisor.run()

    assert said.count("api is killed") == 1
    assert all(map(_gone, _pids(said)))


def test_a_signal_stops_it_and_the_first_part_stops_last(said: Said) -> None:
    goodbye = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye') or 0)); "
    parts = [part("redis", goodbye + SLEEPER), part("api", goodbye + SLEEPER), part("worker", goodbye + SLEEPER)]

    def interrupt() -> None:
        wait_until(lambda: len(_pids(said)) == 3)
        os.kill(os.getpid(), signal.SIGINT)

    with Supervisor(parts, said, 10) as supervisor:
        thread = threading.Thread(target=interrupt)
        thread.start()
        assert supervisor.run() == 0
        thread.join()

    goodbyes = [name for name, line in said if line == "bye"]
    assert sorted(goodbyes) == ["api", "redis", "worker"]
    assert goodbyes[-1] == "redis"


def test_lines_are_printed_whole_and_the_last_one_without_an_end_too(said: Said) -> None:
    code = "import time; print('a' * 100_000); print('half', end='', flush=True); time.sleep(0.1); print(' whole');"
    code += "print('last', end='')"
    with (
        Supervisor([part("api", code)], said, 5) as supervisor,
        meanwhile(supervisor, lambda: wait_until(lambda: said.count("last"))),
    ):
        supervisor.run()

    lines = [line for name, line in said if name == "api"]
    assert "".join(lines[:-2]) == "a" * 100_000
    assert lines[-2:] == ["half whole", "last"]
