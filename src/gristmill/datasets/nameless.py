"""A database file under a path that says nothing: DuckDB tells whoever may write SQL where its files are."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gristmill.clearing import remove

_DESCRIPTORS = Path("/proc/self/fd")
_TRIES = 3


@contextmanager
def nameless(file: Path) -> Iterator[Path]:
    """Another path of a file of the cache, for as long as the context lasts; what has been opened by it stays open.

    DuckDB follows links to a file's own name, so this is the descriptor of a name that is deleted by then. The name
    stands where the cache clears away what dead processes have left. Where there is no /proc, or no hard link can be
    made, it is the file's own path.
    """
    tries = _TRIES if _DESCRIPTORS.exists() else 0  # who makes room in the cache may clear a name away that is in use
    opened = (_opened_without_name(file) for _ in range(tries))
    descriptor = next((one for one in opened if one is not None), None)
    if descriptor is None:
        yield file
        return
    try:
        yield _DESCRIPTORS / str(descriptor)
    finally:
        os.close(descriptor)


def _opened_without_name(file: Path) -> int | None:
    folder = file.parent / f"{uuid.uuid4().hex}.making"
    try:
        folder.mkdir(mode=0o700)
        os.link(file, folder / "data")
        return os.open(folder / "data", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        with suppress(OSError):
            remove(folder)
