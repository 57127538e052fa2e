"""Limits and measurements, on real processes; cgroups as files of the forms that kernels write."""

import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wait_until

from gristmill import limits
from gristmill.limits import MIB


def in_a_fork(function: Callable[[], object]) -> bool:
    """Whether the function returns without an exception in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not limits.IS_LINUX, reason="the limit is Linux's")
def test_memory_above_the_limit_is_refused_and_below_it_is_not() -> None:
    def take(much: int) -> None:
        limits.limit_memory(limits.OwnMemory().data_bytes() + 64 * MIB)
        mmap.mmap(-1, much, flags=mmap.MAP_PRIVATE)  # from the system: a hole in the heap would be no growth

    assert in_a_fork(lambda: take(32 * MIB))
    assert not in_a_fork(lambda: take(128 * MIB))


@pytest.mark.skipif(not limits.IS_LINUX, reason="read from Linux's /proc")
def test_a_thread_that_ends_while_children_are_listed_hides_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    read_bytes = Path.read_bytes

    def read(path: Path) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 1:
            raise ProcessLookupError(3, "No such process", str(path))
        return read_bytes(path)

    children: list[subprocess.Popen[bytes]] = []
    started, done = threading.Event(), threading.Event()

    def start_one() -> None:  # a child belongs to the thread that started it
        children.append(subprocess.Popen(["sleep", "60"]))
        started.set()
        done.wait()

    thread = threading.Thread(target=start_one)
    thread.start()
    try:
        assert started.wait(10)
        monkeypatch.setattr(Path, "read_bytes", read)
        found = limits.children_of(os.getpid())
    finally:
        done.set()
        thread.join()
        for child in children:
            child.kill()
            child.wait()
    assert children[0].pid in found


def test_a_lifted_limit_holds_no_more() -> None:
    def take() -> None:
        limits.limit_memory(limits.OwnMemory().data_bytes() + MIB)
        limits.limit_memory(None)
        bytearray(128 * MIB)

    assert in_a_fork(take)


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    def write(much: int) -> None:
        limits.limit_files(MIB)
        (tmp_path / "file").write_bytes(bytes(much))

    assert in_a_fork(lambda: write(MIB))
    assert not in_a_fork(lambda: write(2 * MIB))


def test_a_limit_never_goes_above_the_hard_one(tmp_path: Path) -> None:
    def check() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, 2 * MIB))
        limits.limit_files(8 * MIB)
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == (2 * MIB, 2 * MIB)
        limits.limit_files(None)
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == (2 * MIB, 2 * MIB)

    assert in_a_fork(check)


@pytest.mark.skipif(not limits.IS_LINUX, reason="needs /proc")
def test_the_memory_of_descendants_is_counted_and_shared_pages_once() -> None:
    code = (
        "import os, sys, time; held = b'x' * (50 * 2**20); pid = os.fork()\n"
        "if pid: print('up', flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        wait_until(lambda: len(limits.descendants_of(parent.pid)) == 1)
        assert limits.group_bytes(parent.pid) > 100 * MIB
        assert 50 * MIB < limits.group_bytes_exactly(parent.pid) < 80 * MIB
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    assert limits.group_bytes(parent.pid) == 0


def test_a_folder_is_measured_in_steps_and_links_are_not_followed(tmp_path: Path) -> None:
    big = tmp_path / "outside"
    big.write_bytes(bytes(4 * MIB))
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(b"x" * MIB)
    (folder / "link").symlink_to(big)
    (folder / "loop").symlink_to(folder)
    with (folder / "sparse").open("wb") as file:
        file.truncate(100 * MIB)
    *_, total = limits.folder_bytes(folder)
    assert MIB <= total < 2 * MIB
    for number in range(5000):
        (folder / str(number)).touch()
    assert len(list(limits.folder_bytes(folder))) > 2
    assert list(limits.folder_bytes(tmp_path / "absent")) == [0]


def cgroups(root: Path, membership: str, files: dict[str, str]) -> Path:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(membership)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_without_limits_there_are_none(tmp_path: Path) -> None:
    root = cgroups(tmp_path, "0::/\n", {"memory.max": "max", "cpu.max": "max 100000"})
    assert limits.container_memory_bytes(root) is None
    assert limits.usable_cpus(root) == limits.usable_cpus(tmp_path / "nothing")


def test_cgroup_2_limits_of_every_level_count(tmp_path: Path) -> None:
    files = {"pod/memory.max": str(512 * MIB), "pod/box/memory.max": "max", "pod/box/cpu.max": "150000 100000"}
    root = cgroups(tmp_path, "0::/pod/box\n", files)
    assert limits.container_memory_bytes(root) == 512 * MIB
    assert limits.usable_cpus(root) == 1


def test_a_container_sees_its_cgroup_1_at_the_root(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": str(256 * MIB),
        "cpu,cpuacct/cpu.cfs_quota_us": "50000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    root = cgroups(tmp_path, "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n", files)
    assert limits.container_memory_bytes(root) == 256 * MIB
    assert limits.usable_cpus(root) == 1


def test_the_largest_number_of_cgroup_1_is_no_limit(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1"}
    root = cgroups(tmp_path, "5:memory:/\n4:cpu:/\n", files)
    assert limits.container_memory_bytes(root) is None


def test_own_memory_grows_with_what_is_allocated() -> None:
    memory = limits.OwnMemory()
    before = memory.data_bytes(), memory.resident_bytes()
    # Straight from the system: what comes from the heap may fill a hole that the tests before have left there.
    with mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE) as held:
        held.write(b"x" * (32 * MIB))
        assert memory.data_bytes() - before[0] >= 30 * MIB
        assert memory.resident_bytes() - before[1] >= 30 * MIB
