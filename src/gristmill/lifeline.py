"""Run a command that ends when the one who started it does, even by SIGKILL.

On Linux the kernel sends the signal (PR_SET_PDEATHSIG, which survives exec); elsewhere a small process stays
between the two and watches. Run as a file in isolated mode, so it costs one bare interpreter start.

The kernel watches the *thread* that started the command: start it from one that lives as long as you do.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
WATCH_SECONDS = 0.5


def tied(command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL) -> list[str]:
    """Return the command line that runs ``command`` and sends it ``death_signal`` when we die."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal)), *command]


def main(arguments: Sequence[str]) -> int:
    """Become the command (Linux), or run and watch it (elsewhere); returns its exit code."""
    parent, death_signal, command = int(arguments[0]), signal.Signals(int(arguments[1])), list(arguments[2:])
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            return 1
        os.execvp(command[0], command)  # noqa: S606  becoming the command is the point
    return watch(command, parent, death_signal)


def watch(command: Sequence[str], parent: int, death_signal: signal.Signals) -> int:
    """Run the command, hand signals on to it, and send it ``death_signal`` once ``parent`` has died."""
    process = subprocess.Popen(command, close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: process.send_signal(received))
    told = False
    while process.poll() is None:
        if not told and os.getppid() != parent:
            process.send_signal(death_signal)
            told = True
        time.sleep(WATCH_SECONDS)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
