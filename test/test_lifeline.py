"""A command that is tied to its parent ends with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import wait_until

from gristmill import lifeline


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


PARENT = """
import os, subprocess, sys
from gristmill import lifeline
command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
if sys.argv[1] == "watch":
    code = "import signal, sys; from gristmill import lifeline; "
    code += "lifeline.watch(sys.argv[2:], int(sys.argv[1]), signal.SIGKILL)"
    line = [sys.executable, "-c", code, str(os.getpid()), *command]
else:
    line = lifeline.tied(command)
subprocess.Popen(line).wait()
"""


@pytest.mark.parametrize("way", ["tied", "watch"])
def test_a_tied_command_ends_when_its_parent_is_killed(way: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, way], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _alive(child)

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: not _alive(child), 20, "the child ends with its parent")


def test_a_tied_command_is_the_command_itself_and_hands_back_its_exit_code() -> None:
    result = subprocess.run(lifeline.tied([sys.executable, "-c", "raise SystemExit(7)"]), check=False)
    assert result.returncode == 7


def test_a_watched_command_gets_the_signals_of_its_watcher() -> None:
    code = (
        "import os, signal, sys; from gristmill import lifeline;"
        "raise SystemExit(lifeline.watch(sys.argv[1:], os.getppid(), signal.SIGKILL))"
    )
    sleeper = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    watcher = subprocess.Popen([sys.executable, "-c", code, *sleeper], stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    watcher.stdout.readline()

    watcher.terminate()

    assert watcher.wait(20) == 128 + signal.SIGTERM
    watcher.stdout.close()
