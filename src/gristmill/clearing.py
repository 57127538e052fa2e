"""Deletes what jobs leave in their folders: also what they made unwritable, and however deep they nested it."""

import os
import uuid
from contextlib import suppress
from pathlib import Path


def empty(folder: Path) -> bool:
    """Delete what a folder holds; returns whether nothing is left. Never follows a link.

    Folders within folders are moved up to this one and deleted here, so neither recursion nor the longest path that
    the system takes sets a limit.
    """
    with suppress(OSError):
        folder.chmod(0o700)
    while True:
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if not found:
            return True
        if not sum(_delete(entry, folder) for entry in found):
            return False


def remove(folder: Path) -> None:
    """Delete a folder with all that it holds."""
    empty(folder)
    with suppress(OSError):
        folder.rmdir()


def _delete(entry: os.DirEntry[str], top: Path) -> bool:
    """Delete a file, or a folder, whose own folders move up to ``top``; returns whether it is gone."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)
            return True
        Path(entry.path).chmod(0o700)
        with os.scandir(entry.path) as inside:
            for inner in inside:
                if inner.is_dir(follow_symlinks=False):
                    Path(inner.path).chmod(0o700)
                    Path(inner.path).rename(top / uuid.uuid4().hex)
                else:
                    Path(inner.path).unlink(missing_ok=True)
        Path(entry.path).rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
