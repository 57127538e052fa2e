"""Processes that do what children must survive; the tests of the worker run them."""

import ctypes
import hashlib
import logging
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy
from pydantic import Field

from gristmill.errors import QueryLimitError
from gristmill.processes import Progress, process

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


@process(seconds=60)
def add_one(number: int = 0) -> int:
    """Add one."""
    return number + 1


@process(seconds=60)
def sleep_for(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


@process(seconds=60)
def note_and_sleep(file: str, seconds: float) -> str:
    """Append a line to a file, sleep, append another."""
    with Path(file).open("a") as notes:
        notes.write("begin\n")
    time.sleep(seconds)
    with Path(file).open("a") as notes:
        notes.write("end\n")
    return "done"


@process(seconds=1)
def spin() -> int:
    """Loop for ever in Python."""
    while True:
        pass


@process(seconds=1)
def spin_in_c() -> str:
    """Loop for ever in C, with the interpreter's lock held."""
    print("about to spin", flush=True)
    return str(re.match("(a+)+$", "a" * 64 + "b"))


@process(seconds=60)
def spin_long_in_c() -> str:
    """Loop in C with the interpreter's lock held, for longer than any test waits."""
    return str(re.match("(a+)+$", "a" * 64 + "b"))


@process(seconds=1)
def spin_without_lock() -> str:
    """Loop for hours in C, without the interpreter's lock."""
    return hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1).hex()


@process(seconds=60, memory_mb=64)
def hog_memory(by: str = "bytes") -> int:
    """Take ever more memory."""
    held: list[object] = []
    while True:
        held.append(bytearray(2**22) if by == "bytes" else numpy.ones(2**19))


@process(seconds=60, memory_mb=150)
def hog_memory_in_grandchildren() -> int:
    """Take memory in four further processes, each of them within the limit."""
    code = "import time; held = b'x' * (60 * 2**20); time.sleep(600)"
    grandchildren = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(4)]
    return sum(one.wait() for one in grandchildren)


@process(seconds=60, memory_mb=300)
def share_memory_with_grandchildren() -> int:
    """Fork processes that share their parent's memory: that is no more than it has."""
    held = numpy.ones(2**24)
    pids = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            time.sleep(1.5)
            os._exit(int(held[0]) - 1)
        pids.append(pid)
    return sum(os.waitpid(pid, 0)[1] for pid in pids)


@process(seconds=60, disk_mb=8)
def hog_disk(way: str = "files") -> int:
    """Write ever more into the working directory."""
    for number in range(10**6):
        with Path("one" if way == "file" else f"part{number}").open("ab") as file:
            file.write(bytes(2**20))
        time.sleep(0.01)
    return 0


@process()
def open_too_much() -> int:
    """Fail as a run does whose data set takes too much memory for the cache."""
    raise QueryLimitError("To read the version takes more than 512 MiB (setting GRISTMILL_DATASET_QUERY_MEMORY_MB).")


@process(seconds=60)
def leave_grandchild(end: str = "return") -> int:
    """Start a process in a session of its own, and leave it behind."""
    grandchild = subprocess.Popen(SLEEPER, start_new_session=True)
    print(grandchild.pid, flush=True)
    if end == "crash":
        os.abort()
    return grandchild.pid


@process(seconds=60)
def crash(how: str) -> int:
    """Die."""
    print("last words")
    if how == "segfault":
        ctypes.string_at(0)
    if how == "bad_alloc":
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.abort()
    if how == "kill":
        os.kill(os.getpid(), 9)
    os._exit(3)


@process(seconds=60, retries=2)
def fail_at_first(file: str, times: int) -> int:
    """Fail as many times, then work."""
    tries = len(Path(file).read_text()) if Path(file).exists() else 0
    Path(file).write_text("x" * (tries + 1))
    if tries < times:
        raise ValueError(f"try {tries}\nsecond line")
    return tries


@process(seconds=60)
def multiply() -> float:
    """Use the threads of the linear algebra library, which the template has loaded."""
    return float((numpy.ones((600, 600)) @ numpy.ones((600, 600))).sum())


@process(seconds=60)
def fail_over_an_odd_name() -> int:
    """Name a file whose name is not UTF-8, as an OSError would."""
    raise ValueError(os.fsdecode(b"caf\xe9.csv"))


@process(seconds=60)
def leave_by(how: str) -> int:
    """Raise something that is no Exception, or that cannot be printed."""
    if how == "unspeakable":
        sys.stderr.close()
        raise UnspeakableError
    raise SystemExit(4) if how == "exit" else KeyboardInterrupt


class UnspeakableError(Exception):
    """An exception as broken as what raises it."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@process(seconds=60)
def nest_folders(depth: int) -> int:
    """Leave folders within folders."""
    for _ in range(depth):
        Path("deep").mkdir()
        os.chdir("deep")
    return depth


@process(seconds=60)
def talk() -> int:
    """Say something in every way."""
    print("by print")
    sys.stderr.write("by stderr\n")
    logging.getLogger("mine").info("by logging")
    os.write(1, b"by the system\n")
    subprocess.run(["/bin/echo", "by a grandchild"], check=True)
    return 1


@process(seconds=60)
def talk_much(megabytes: int) -> int:
    """Print for long."""
    line = "x" * 1023 + "\n"
    for _ in range(megabytes):
        sys.stdout.write(line * 1024)
        time.sleep(0.05)
    print("the end")
    return 1


@process(seconds=60)
def report_progress(steps: int, seconds: float, *, progress: Progress) -> int:
    """Report often."""
    for step in range(steps):
        progress(100 * step / steps, f"step {step}")
        time.sleep(seconds / steps)
    return steps


@process(seconds=60)
def draw() -> dict[str, float | str | int]:
    """Give random numbers, and what else should differ between runs."""
    numbers = {"python": random.random(), "numpy": float(numpy.random.random()), "child": os.getpid()}
    random.seed(1)
    numpy.random.seed(1)
    return numbers


@process(seconds=60)
def leave_traces() -> dict[str, str | bool | list[str]]:
    """Say what was found at the start, and change it."""
    found = {
        "folder": str(Path.cwd()),
        "files": sorted(path.name for path in Path.cwd().iterdir()),
        "variable": os.environ.get("TRACE", ""),
        "stdout_is_open": not sys.stdout.closed,
        "threads": os.environ["OMP_NUM_THREADS"],
    }
    Path("trace").write_text("x")
    Path("folder").mkdir()
    Path("folder", "file").write_text("x")
    Path("folder").chmod(0)
    os.environ["TRACE"] = "left"
    sys.stdout = sys.stderr
    os.chdir("/")
    return found


@process(seconds=60)
def give_bytes(size: Annotated[int, Field(ge=0)]) -> bytes:
    """Give so many bytes."""
    return bytes(size)


@process(seconds=60, memory_mb=1024)
def leak(megabytes: int) -> int:
    """Keep memory after the end."""
    sys.leaked = [*getattr(sys, "leaked", []), bytearray(megabytes * 2**20)]  # type: ignore[attr-defined]
    return os.getpid()
