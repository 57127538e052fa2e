"""A process that uses a cache: ``python cache_user.py FOLDER BYTES WHAT ...``, told by its standard input."""

import os
import random
import sys
import time
from pathlib import Path

from gristmill.datasets.cache import Cache

SIZE = 1000


def version(number: int) -> str:
    return f"{number:064x}"


def content(name: str, size: int = SIZE) -> bytes:
    return random.Random(name).randbytes(size)


def write(path: Path, name: str, size: int = SIZE) -> None:
    path.write_bytes(content(name, size))


def tell(word: str) -> None:
    print(word, flush=True)


def hold(cache: Cache, number: int) -> None:
    """Use a version until told to end."""
    name = version(number)
    with cache.open(name, lambda path: write(path, name)):
        tell("open")
        sys.stdin.readline()
    tell("closed")


def stick(cache: Cache, number: int) -> None:
    """Build the first half of a version, and no more."""

    def build(path: Path) -> None:
        path.write_bytes(content(version(number))[: SIZE // 2])
        path.with_suffix(".wal").write_bytes(b"more")
        tell("half")
        time.sleep(600)

    with cache.open(version(number), build):
        pass


def hammer(cache: Cache, turns: int, versions: int, marks: str) -> None:
    """Use versions at random; fail when a file is not what it should be, or two build the same at once."""
    chance = random.Random(os.getpid())
    built = 0

    def build(path: Path) -> None:
        nonlocal built
        mark = Path(marks, name) if marks else None
        if mark:
            mark.touch(exist_ok=False)
        with path.open("wb") as file:
            file.write(content(name)[: SIZE // 2])
            file.flush()
            time.sleep(chance.random() * 0.003)
            file.write(content(name)[SIZE // 2 :])
        built += 1
        if mark:
            mark.unlink()

    for turn in range(turns):
        name = version(chance.randrange(versions))
        with cache.open(name, build) as path:
            assert path.read_bytes() == content(name)
            time.sleep(chance.random() * 0.002)
            assert path.read_bytes() == content(name)
        if chance.random() < 0.05:
            cache.drop(version(chance.randrange(versions)))
        if chance.random() < 0.03:
            with cache.open(name, build) as path:
                cache.damaged(name)
        if turn == 0:
            tell("begun")
    tell(f"built {built}")


if __name__ == "__main__":
    folder, most_bytes, what, *rest = sys.argv[1:]
    its = Cache(Path(folder), int(most_bytes))
    {
        "hold": lambda: hold(its, int(rest[0])),
        "stick": lambda: stick(its, int(rest[0])),
        "hammer": lambda: hammer(its, int(rest[0]), int(rest[1]), rest[2]),
    }[what]()
