"""What a child may use, and what it uses: limits set in the child, measurements taken from outside, and the
CPUs and memory of the container (cgroup v1 and v2).

Limits of the kernel are soft ones, so that a child can set others for its next job. Where there is no ``/proc``
(macOS), memory is measured with ``ps`` and the kernel's limit on it does not hold.
"""

import contextlib
import ctypes
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

IS_LINUX = sys.platform == "linux"
MIB = 2**20

_PAGE = os.sysconf("SC_PAGE_SIZE")
_UNLIMITED = resource.RLIM_INFINITY
_NO_LIMIT_BYTES = 2**60  # cgroup v1 says "none" as the largest number of pages
_ENTRIES_A_STEP = 2000
# mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 128 * MIB
_KEPT_BLOCK_BYTES = 32 * MIB  # the most that mallopt takes

_libc = ctypes.CDLL(None)


# Set in the child


def no_core_dumps() -> None:
    """Let a crash write no core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(data_bytes: int | None) -> None:
    """Limit the data of this process and of each that it starts (Linux: RLIMIT_DATA); None lifts the limit.

    Above it, allocations fail: MemoryError in Python.
    """
    if IS_LINUX:
        _limit(resource.RLIMIT_DATA, data_bytes)


def limit_files(file_bytes: int | None) -> None:
    """Limit the size of any one file that is written: above it, OSError with EFBIG. None lifts the limit."""
    _limit(resource.RLIMIT_FSIZE, file_bytes)


def _limit(what: int, most: int | None) -> None:
    hard = resource.getrlimit(what)[1]
    known = [limit for limit in (most, hard) if limit not in {None, _UNLIMITED}]
    resource.setrlimit(what, (min(known, default=_UNLIMITED), hard))


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next that want some: else arrays of some MB are given back and
    taken anew, a page at a time, which is a third of the time of some analyses. Where there is glibc alone.
    """
    with contextlib.suppress(AttributeError):
        _libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        _libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCK_BYTES)


def give_freed_memory_back() -> None:
    """Give the system back what the C library has kept."""
    with contextlib.suppress(AttributeError):
        _libc.malloc_trim(0)


class OwnMemory:
    """What this process has allocated, as the kernel counts it; cheap enough to ask after each job."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if IS_LINUX else -1

    def data_bytes(self) -> int:
        """Private writable memory, touched or not: what RLIMIT_DATA counts, and the stack."""
        if self._statm < 0:
            return self.resident_bytes()
        return int(os.pread(self._statm, 128, 0).split()[5]) * _PAGE

    def resident_bytes(self) -> int:
        """Memory in use that is not a file's; elsewhere than on Linux the most that it ever was."""
        if self._statm < 0:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fields = os.pread(self._statm, 128, 0).split()
        return (int(fields[1]) - int(fields[2])) * _PAGE


# Measured from outside


def children_of(pid: int) -> list[int]:
    """The processes that this one has started and not yet reaped (Linux; elsewhere none are found)."""
    found: list[int] = []
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/task") as threads:
        for thread in threads:
            with contextlib.suppress(OSError):  # this thread ended meanwhile: the others' children count all the same
                found += map(int, Path(thread.path, "children").read_bytes().split())
    return found


def descendants_of(pid: int) -> list[int]:
    """The processes that this one has started, and those that they have started, and so on."""
    found = []
    todo = children_of(pid)
    while todo:
        found.append(todo.pop())
        todo += children_of(found[-1])
    return found


def group_bytes(leader: int) -> int:
    """Memory of a child and of all that it has started: resident, without files.

    Pages that the processes share are counted once where the cheap sum is not enough to say so: see
    ``group_bytes_exactly``.
    """
    if not IS_LINUX:
        return _group_bytes_by_ps(leader)
    return sum(_fields(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:")) for pid in (leader, *descendants_of(leader)))


def group_bytes_exactly(leader: int) -> int:
    """The same, with pages that several processes have in common counted once; slow for large processes."""
    if not IS_LINUX:
        return _group_bytes_by_ps(leader)
    names = (b"Pss_Anon:", b"Pss_Shmem:")
    return sum(_fields(f"/proc/{pid}/smaps_rollup", names) for pid in (leader, *descendants_of(leader)))


def _fields(path: str, names: tuple[bytes, ...]) -> int:
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def _group_bytes_by_ps(leader: int) -> int:
    try:
        rows = subprocess.run(["ps", "-A", "-o", "pgid=,rss="], capture_output=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    pairs = (line.split() for line in rows.splitlines())
    return sum(int(resident) * 1024 for group, resident in pairs if int(group) == leader)


def folder_bytes(folder: Path) -> Iterator[int]:
    """Measure what a folder holds, in steps: yields the bytes found so far, and last the sum.

    Takes the space on disk, so a sparse file counts by what is written in it. Never follows a link.
    """
    total = steps = 0
    todo = [os.fspath(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    try:
                        about = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    total += about.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    steps += 1
                    if steps % _ENTRIES_A_STEP == 0:
                        yield total
        except OSError:
            continue
    yield total


# The container


def usable_cpus(root: Path = Path("/")) -> int:
    """How many CPUs this process may keep busy: the affinity, and the quota of its cgroups rounded down; at least 1."""
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _cgroups(root, ""):
        quota = _words(folder / "cpu.max")
        if len(quota) == 2 and quota[0] != "max":
            cpus = min(cpus, int(quota[0]) / int(quota[1]))
    for folder in _cgroups(root, "cpu"):
        quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
        if quota and period and int(quota[0]) > 0:
            cpus = min(cpus, int(quota[0]) / int(period[0]))
    return max(1, math.floor(cpus))


def container_memory_bytes(root: Path = Path("/")) -> int | None:
    """The smallest memory limit of the cgroups that this process is in, or None where there is none."""
    limits = []
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for folder in _cgroups(root, controller):
            words = _words(folder / name)
            if words and words[0] != "max" and int(words[0]) < _NO_LIMIT_BYTES:
                limits.append(int(words[0]))
    return min(limits, default=None)


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of those around it, as far as they are mounted.

    controller: "" for cgroup v2. A container often sees its own cgroup as the root, under a path that is not there.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        for mount in {controller, controllers, controller or "unified"}:
            top = root / "sys/fs/cgroup" / mount
            here = top / path.lstrip("/")
            yield from (folder for folder in (here, *here.parents) if folder.is_relative_to(top) and folder.is_dir())


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
