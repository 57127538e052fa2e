"""The cache of versions: what happens when processes share it, are killed, fill the disk, and delete."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.leaving import client_that_leaves
from support.waiting import wait_until

from gristmill import clearing
from gristmill.datasets import locks
from gristmill.datasets.cache import MAKINGS_AT_ONCE, Cache, cache_of
from gristmill.errors import CacheBusyError, CacheUnusableError, ClientGoneError
from gristmill.settings import Settings

from .cache_user import SIZE, content, version, write

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache with room for three files."""
    return Cache(tmp_path / "cache", 3 * SIZE + SIZE // 2)


@pytest.fixture
def start(cache: Cache) -> Iterator[Start]:
    """Return a function that starts a process that uses the cache."""
    with ExitStack() as stack:

        def run(*words: object) -> "subprocess.Popen[str]":
            script = Path(__file__).with_name("cache_user.py")
            command = [sys.executable, str(script), str(cache.folder), str(cache.most_bytes), *map(str, words)]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(end, child)
            return child

        yield run


def end(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.communicate()


def said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def let_go(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    assert said(child) == "closed"


def use(cache: Cache, number: int, **more: float) -> bool:
    """Use a version; returns whether it was built now."""
    built = []

    def build(path: Path) -> None:
        write(path, version(number))
        built.append(number)

    with cache.open(version(number), build, **more) as path:
        assert path.read_bytes() == content(version(number))
    return bool(built)


def cached(cache: Cache) -> set[int]:
    return {int(name, 16) for name in cache.versions()}


def left(cache: Cache) -> set[str]:
    """Everything but ready files and their locks."""
    ready = {f"{name}.{ending}" for name in cache.versions() for ending in ("data", "lock")}
    return {path.name for path in cache.folder.iterdir()} - ready - {"making-room"}


def stored(cache: Cache) -> int:
    """Bytes of ready files, while nobody adds one."""
    total = 0
    for path in cache.folder.glob("*.data"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def never(path: Path) -> None:
    raise AssertionError("it is there already")


def test_a_file_is_built_once_and_then_found(cache: Cache) -> None:
    assert cache.versions() == frozenset()
    assert use(cache, 1)
    assert not use(cache, 1)
    assert not use(Cache(cache.folder, cache.most_bytes), 1)
    assert cached(cache) == {1}
    assert left(cache) == set()


def test_the_cache_is_in_the_data_folder(tmp_path: Path) -> None:
    made = cache_of(Settings(data_folder=tmp_path, dataset_cache_bytes=5))
    assert (made.folder, made.most_bytes) == (tmp_path / "cache", 5)


def test_what_is_no_version_is_no_way_out_of_the_folder(cache: Cache) -> None:
    for name in ("../" + version(1), "x", version(1).upper() + "A", ""):
        with pytest.raises(ValueError, match="not a key"), cache.open(name, never):
            pass


def test_the_file_that_was_not_asked_for_the_longest_goes_first(cache: Cache) -> None:
    for number in (1, 2, 3):
        use(cache, number)
    use(cache, 1)
    use(cache, 4)
    assert cached(cache) == {1, 3, 4}
    use(cache, 3)
    use(cache, 5)
    assert cached(cache) == {3, 4, 5}
    use(cache, 6)
    assert cached(cache) == {3, 5, 6}


def test_a_larger_file_makes_several_go(cache: Cache) -> None:
    for number in (1, 2, 3):
        use(cache, number)
    with cache.open(version(4), lambda path: write(path, "4", 2 * SIZE)):
        assert cached(cache) == {3, 4}


def test_a_file_that_another_process_uses_stays(cache: Cache, start: Start) -> None:
    users = [start("hold", number) for number in (1, 2)]
    assert [said(user) for user in users] == ["open", "open"]
    for number in (3, 4, 5):
        use(cache, number)
        assert cached(cache) == {1, 2, number}
    let_go(users[0])
    use(cache, 6)
    assert cached(cache) == {2, 5, 6}


def test_a_file_that_another_thread_uses_stays(cache: Cache) -> None:
    with cache.open(version(1), lambda path: write(path, version(1))) as path:
        for number in (2, 3, 4, 5):
            use(cache, number)
        assert path.read_bytes() == content(version(1))


def test_a_file_whose_user_was_killed_may_go(cache: Cache, start: Start) -> None:
    user = start("hold", 1)
    assert said(user) == "open"
    end(user)
    for number in (2, 3, 4):
        use(cache, number)
    assert cached(cache) == {2, 3, 4}


def test_with_everything_in_use_a_newcomer_waits_until_something_is_let_go(cache: Cache, start: Start) -> None:
    users = [start("hold", number) for number in (1, 2, 3)]
    assert [said(user) for user in users] == ["open"] * 3
    with pytest.raises(CacheBusyError, match="GRISTMILL_DATASET_CACHE_BYTES") as error:
        use(cache, 4, wait_seconds=0.05)
    assert (error.value.status, bool(error.value.retry_after_seconds)) == (503, True)
    assert left(cache) == set()
    waiting = start("hold", 4)
    wait_until((cache.folder / f"{version(4)}.making" / "data").exists)
    let_go(users[1])
    assert said(waiting) == "open"
    assert cached(cache) == {1, 3, 4}


def test_a_newcomer_asks_also_for_what_came_into_use_while_it_waits(cache: Cache, start: Start) -> None:
    with ExitStack() as stack:
        for number in (1, 2, 3):
            stack.enter_context(cache.open(version(number), lambda path, number=number: write(path, version(number))))
        waiting = start("hold", 4)
        wait_until(lambda: cache.is_unwanted(version(1)))
        (cache.folder / f"{version(1)}.lock").write_bytes(b"")  # as if it had gone, and somebody had made it anew
        wait_until(lambda: cache.is_unwanted(version(1)))
    assert said(waiting) == "open"


def test_what_could_never_fit_is_refused_at_once(cache: Cache) -> None:
    use(cache, 1)
    started = time.monotonic()
    with (
        pytest.raises(CacheUnusableError, match=r"takes 9000 bytes.*GRISTMILL_DATASET_CACHE_BYTES"),
        cache.open(version(2), lambda path: write(path, "2", 9000)),
    ):
        pass
    assert time.monotonic() - started < 5
    assert cached(cache) == {1}


def test_an_export_that_could_never_fit_beside_its_version_is_refused_at_once(cache: Cache) -> None:
    export = f"{version(1)}-{1:032x}"
    with (
        cache.open(version(1), lambda path: write(path, version(1), 2 * SIZE)),
        pytest.raises(CacheUnusableError, match=rf"{2 * SIZE} bytes beside the {2 * SIZE} .*raise GRISTMILL_DATASET"),
        cache.open(export, lambda path: write(path, export, 2 * SIZE)),
    ):
        pass
    with cache.open(version(1), never):
        assert left(cache) == set()


def test_others_wait_for_the_one_that_builds(cache: Cache) -> None:
    begun, go_on = threading.Event(), threading.Event()
    found: list[bool] = []

    def build(path: Path) -> None:
        begun.set()
        assert go_on.wait(30)
        write(path, version(1))

    def first() -> None:
        with cache.open(version(1), build):
            pass

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert begun.wait(30)
    with pytest.raises(CacheBusyError, match="still being read"):
        use(cache, 1, wait_seconds=0.05)
    threads += [threading.Thread(target=lambda: found.append(use(cache, 1))) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    assert found == []
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert found == [False] * 3


def test_two_files_are_made_at_a_time_and_the_next_one_waits(cache: Cache) -> None:
    go_on = threading.Event()
    begun = [threading.Event() for _ in range(MAKINGS_AT_ONCE)]

    def make(number: int) -> None:
        def build(path: Path) -> None:
            begun[number].set()
            assert go_on.wait(30)
            write(path, version(number))

        with cache.open(version(number), build):
            pass

    threads = [threading.Thread(target=make, args=(number,)) for number in range(MAKINGS_AT_ONCE)]
    for thread, event in zip(threads, begun, strict=True):
        thread.start()
        assert event.wait(30)
    with pytest.raises(CacheBusyError, match="are being made"):
        use(cache, 7, wait_seconds=0.05)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert use(cache, 7)


def test_a_version_does_not_wait_for_exports_that_are_made(cache: Cache) -> None:
    go_on, begun = threading.Event(), threading.Event()
    exports = [f"{version(1)}-{number:032x}" for number in range(MAKINGS_AT_ONCE)]

    def make(key: str) -> None:
        def build(path: Path) -> None:
            begun.set()
            assert go_on.wait(30)
            path.write_bytes(b"export")

        with cache.open(key, build):
            pass

    use(cache, 1)
    threads = [threading.Thread(target=make, args=(key,)) for key in exports]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    with pytest.raises(CacheBusyError, match="are being made"), cache.open(f"{version(1)}-{9:032x}", write, 0.05):
        pass
    assert use(cache, 7, wait_seconds=0.05)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert {cache.folder / f"{key}.data" for key in exports} <= set(cache.folder.iterdir())


def test_only_so_many_exports_wait_and_who_leaves_waits_no_longer(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.datasets.cache.EXPORTS_WAITING", 1)
    cache = Cache(cache.folder, cache.most_bytes)
    go_on, begun = threading.Event(), threading.Event()

    def build(path: Path) -> None:
        begun.set()
        assert go_on.wait(30)
        path.write_bytes(b"export")

    def made(number: int) -> str:
        with cache.open(f"{version(1)}-{number:032x}", build, 60) as path:
            return path.name

    use(cache, 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made, 1)
        assert begun.wait(30)
        with client_that_leaves(0.1), pytest.raises(ClientGoneError):
            made(2)
        third = pool.submit(made, 3)
        wait_until(lambda: not cache._wanted_exports._value)
        with pytest.raises(CacheBusyError, match="wait already"):
            made(4)
        go_on.set()
        assert first.result(30) != third.result(30)
    made(4)


def test_a_builder_that_is_killed_is_followed_by_the_next(cache: Cache, start: Start) -> None:
    stuck = start("stick", 1)
    assert said(stuck) == "half"
    with pytest.raises(CacheBusyError):
        use(cache, 1, wait_seconds=0.05)
    end(stuck)
    assert use(cache, 1)
    assert left(cache) == set()


def test_what_killed_builders_have_left_is_cleared_when_another_version_is_made(cache: Cache, start: Start) -> None:
    stuck = [start("stick", number) for number in (1, 2)]
    assert [said(child) for child in stuck] == ["half", "half"]
    end(stuck[0])
    assert use(cache, 3)
    assert left(cache) == {f"{version(2)}.lock", f"{version(2)}.making"}
    end(stuck[1])
    cache.tidy()
    assert left(cache) == set()
    assert cached(cache) == {3}


def test_a_builder_that_was_killed_right_after_its_work_leaves_nothing(cache: Cache, start: Start) -> None:
    use(cache, 1)
    (cache.folder / f"{version(1)}.making").mkdir()
    user = start("hold", 1)
    assert said(user) == "open"
    cache.tidy()
    let_go(user)
    cache.tidy()
    assert left(cache) == set()
    assert not use(cache, 1)


def test_a_lock_that_was_deleted_meanwhile_keeps_nobody_away(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another process deletes the file between the opening of its lock and the locking."""
    use(cache, 1)
    really = locks.opened
    others: list[str] = []

    def slow(path: str) -> int:
        lock = really(path)
        if not others and path.endswith(f"{version(1)}.lock"):
            others.append("deletes it, and makes it anew")
            cache.drop(version(1))
            use(cache, 1)
        return lock

    monkeypatch.setattr(locks, "opened", slow)
    with cache.open(version(1), lambda path: write(path, version(1))):
        for number in (2, 3, 4, 5):
            use(cache, number)
        assert 1 in cached(cache)


def test_a_build_that_fails_leaves_nothing_and_its_error_is_told(cache: Cache) -> None:
    def build(path: Path) -> None:
        path.write_bytes(b"half")
        raise FileNotFoundError(errno.ENOENT, "no such blob")

    with pytest.raises(FileNotFoundError, match="no such blob"), cache.open(version(1), build):
        pass
    assert cached(cache) == left(cache) == set()
    assert use(cache, 1)


def test_nobody_builds_before_what_a_failed_build_left_is_gone(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = f"{cache.folder}/{version(1)}.lock"
    others: list[int | None] = []

    def remove(folder: Path) -> None:
        others.append(locks.locked(lock, locks.ALONE))
        clearing.remove(folder)

    def build(path: Path) -> None:
        monkeypatch.setattr("gristmill.datasets.cache.remove", remove)
        raise FileNotFoundError(errno.ENOENT, "no such blob")

    with pytest.raises(FileNotFoundError, match="no such blob"), cache.open(version(1), build):
        pass
    assert others == [None]
    assert left(cache) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_and_leaves_no_half_file(cache: Cache) -> None:
    def build(path: Path) -> None:
        path.write_bytes(b"half")
        Path("/dev/full").write_bytes(b"the rest")

    with (
        pytest.raises(CacheUnusableError, match=r"disk .* is full.*GRISTMILL_DATASET_CACHE_BYTES") as error,
        cache.open(version(1), build),
    ):
        pass
    assert error.value.status == 503
    assert cached(cache) == left(cache) == set()


def test_on_a_full_disk_files_that_nobody_uses_make_room(cache: Cache) -> None:
    use(cache, 1)

    def build(path: Path) -> None:
        if 1 in cached(cache):
            raise RuntimeError(f"IO Error: Could not write: {os.strerror(errno.ENOSPC)}")  # as DuckDB says it
        write(path, version(3))

    with cache.open(version(2), lambda path: write(path, version(2))):
        with cache.open(version(3), build) as path:
            assert path.read_bytes() == content(version(3))
        assert cached(cache) == {2, 3}


@pytest.mark.parametrize("where", ["read-only", "a file"])
def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "data"
    if where == "a file":
        folder.write_text("")
    elif os.geteuid():
        folder.mkdir(mode=0o500)
    else:
        folder = Path("/proc/1")  # where not even root can make a file
        if not folder.exists():
            pytest.skip("the system's administrator may write everywhere")
    with pytest.raises(CacheUnusableError, match=r"cache cannot use the folder .*GRISTMILL_DATA_FOLDER"):
        use(Cache(folder / "cache", 1000), 1)


def test_a_dropped_version_is_gone_at_once_or_when_it_is_unused(cache: Cache, start: Start) -> None:
    use(cache, 1)
    cache.drop(version(1))
    cache.drop(version(9))
    assert cached(cache) == left(cache) == set()
    users = [start("hold", 2), start("hold", 2)]
    assert [said(user) for user in users] == ["open", "open"]
    cache.drop(version(2))
    assert not use(cache, 2)
    let_go(users[0])
    assert cached(cache) == {2}
    let_go(users[1])
    assert cached(cache) == left(cache) == set()


def test_a_dropped_version_whose_last_user_was_killed_goes_with_the_next_tidying(cache: Cache, start: Start) -> None:
    user = start("hold", 1)
    assert said(user) == "open"
    cache.drop(version(1))
    end(user)
    assert cached(cache) == {1}
    cache.tidy()
    assert cached(cache) == left(cache) == set()


def test_a_version_that_is_made_again_after_it_was_dropped_stays(cache: Cache) -> None:
    use(cache, 1)
    cache.drop(version(1))
    use(cache, 1)
    assert not use(cache, 1)
    assert cached(cache) == {1}


def test_a_damaged_file_is_made_anew_when_all_have_let_it_go(cache: Cache, start: Start) -> None:
    user = start("hold", 1)
    assert said(user) == "open"
    with cache.open(version(1), never) as path:
        cache.damaged(version(1))
        cache.damaged(version(1))
        assert path.exists()
    with pytest.raises(CacheBusyError):
        use(cache, 1, wait_seconds=0.05)
    let_go(user)
    assert use(cache, 1)
    assert not use(cache, 1)


@pytest.mark.slow
def test_four_processes_share_room_for_three_of_ten_versions(cache: Cache, start: Start, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    children = [start("hammer", 150, 10, marks) for _ in range(4)]
    assert [said(child) for child in children] == ["begun"] * 4
    most = 0
    while any(child.poll() is None for child in children):
        with cache._alone(time.monotonic() + 30):
            most = max(most, stored(cache))
        time.sleep(0.005)
    for child in children:
        assert said(child).startswith("built")
        assert child.wait() == 0
    assert 0 < most <= cache.most_bytes
    cache.tidy()
    assert left(cache) == set()
    for number in cached(cache):
        assert not use(cache, number)


@pytest.mark.slow
def test_processes_that_are_killed_at_any_moment_leave_a_cache_that_works(cache: Cache, start: Start) -> None:
    for turn in range(12):
        children = [start("hammer", 10_000, 5, "") for _ in range(2)]
        assert [said(child) for child in children] == ["begun"] * 2
        time.sleep(0.005 * turn)  # so that each turn ends elsewhere
        for child in children:
            end(child)
        cache.tidy()
        assert left(cache) == set()
        for number in cached(cache):
            assert not use(cache, number)
        assert use(cache, 100 + turn)
