"""The DuckDB instances of a child's runs: one made ahead, and the last one kept open for a run on the same data.

To make an instance takes some 10 ms, and as much again to attach a file, to read its blocks, and to get memory for
them. One that is kept has all that. Only runs whose statements are all ours share one: see ``reuses_workspace``.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import duckdb

from gristmill.processes.workspace import Workspace

_REUSES = "__gristmill_reuses_workspace__"

F = TypeVar("F", bound=Callable[..., Any])
Wanted = tuple[str, str, int, int]
"""A data set's name in the run, its version, and the bytes of memory and threads that the run has."""


def reuses_workspace(function: F) -> F:
    """Mark a process of ours: it takes one data set, and no SQL of a user's; it makes nothing but temporary tables."""
    setattr(function, _REUSES, function)
    return function


def is_reusing(function: Callable[..., Any]) -> bool:
    """Whether a process is marked. One that wraps another (``functools.wraps``) has its mark, but is not it."""
    return getattr(function, _REUSES, None) is function


class Workspaces:
    """Of one child. Closing one takes some 10 ms, so nothing is closed before ``tidy``."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None  # the bytes and threads that were wanted last
        self._spare: Workspace | None = None
        self._kept: tuple[Wanted, Workspace] | None = None
        self._is_of_last_run = False
        self._leaving: list[Workspace] = []

    def take(self, memory_bytes: int, threads: int) -> Workspace:
        """A workspace that has not been used."""
        self._let_go()
        spare, self._spare = self._spare, None
        if spare is not None and self._size == (memory_bytes, threads):
            return spare
        if spare is not None:
            self._leaving.append(spare)
        self._size = memory_bytes, threads
        return Workspace(memory_bytes, threads)

    def take_kept(self, wanted: Wanted) -> Workspace | None:
        """The one that is kept, when it is just as it is wanted."""
        if self._kept is None or self._kept[0] != wanted:
            return None
        workspace, self._kept = self._kept[1], None
        return workspace

    def give_back(self, workspace: Workspace, reusable_for: Wanted | None = None) -> None:
        """A run is over; its workspace may be kept for another one."""
        self._let_go()
        if reusable_for is None:
            self._leaving.append(workspace)
        else:
            self._kept = (reusable_for, workspace)
            self._is_of_last_run = True

    def tidy(self) -> None:
        """After each run: close what is not kept, and take from the other what the run has left there.

        One that the run has not used is not kept any longer, and none whose file the cache wants back: jobs that
        follow one another without a pause would hold a data set that is deleted, or the room that another needs.
        """
        if self._kept is not None and (not self._is_of_last_run or self._kept[1].is_unwanted):
            self._let_go()
        self._is_of_last_run = False
        self._close_leaving()
        if self._kept is not None:
            try:
                self._kept[1].clear()
            except (duckdb.Error, MemoryError):  # as where the run has left no memory
                self.close()

    def close(self) -> None:
        """Close all that runs have used."""
        self._let_go()
        self._close_leaving()

    def renew(self) -> None:
        """Make one ahead, of the size that was wanted last, where one has been wanted before."""
        if self._size is not None and self._spare is None:
            self._spare = Workspace(*self._size)

    def _let_go(self) -> None:
        if self._kept is not None:
            self._leaving.append(self._kept[1])
            self._kept = None

    def _close_leaving(self) -> None:
        while self._leaving:
            self._leaving.pop().close()
