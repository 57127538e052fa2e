"""The DuckDB instances of a child's runs: one made ahead, and the last one kept open for a run on the same data.

To make an instance takes some 10 ms, and as much again to attach a file, to read its blocks, and to get memory for
them. One that is kept has all that. Only runs whose statements are all ours share one: see ``reuses_workspace``. For
the others, the one that is made ahead has the last run's data set attached, and nobody has used it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import duckdb

from gristmill.processes.workspace import Attached, Workspace

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
        self._again: Attached | None = None  # what the last run had, for the next spare one
        self._kept: tuple[Wanted, Workspace] | None = None
        self._is_of_last_run = False
        self._leaving: list[Workspace] = []

    def take(self, memory_bytes: int, threads: int, name: str = "", version: str = "") -> Workspace:
        """A workspace that has not been used. name, version: the data set that it may have attached, and no other."""
        self._let_go()
        spare, self._spare = self._spare, None
        if spare is not None and self._size == (memory_bytes, threads):
            if set(spare.versions) - {(name, version)}:
                spare.detach()
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

    def give_back(self, workspace: Workspace, *, is_good: bool = True, reusable_for: Wanted | None = None) -> None:
        """A run is over, well or not; its workspace may be kept for another one."""
        self._let_go()
        self._is_of_last_run = True
        if is_good and reusable_for is not None:
            self._kept = (reusable_for, workspace)
            return
        if is_good:
            self._again = workspace.take_out()
        self._leaving.append(workspace)

    def tidy(self) -> None:
        """After each run: close what is not kept, and take from the other what the run has left there.

        One that the run has not used is not kept any longer, and none whose file the cache wants back: jobs that
        follow one another without a pause would hold a data set that is deleted, or the room that another needs.
        """
        if not self._is_of_last_run or self._is_unwanted:
            self._let_go()
        self._is_of_last_run = False
        self._detach_spare()
        self._close_leaving()
        if self._kept is not None:
            try:
                self._kept[1].clear()
            except (duckdb.Error, MemoryError):  # as where the run has left no memory
                self.close()

    def let_go_of_unwanted(self) -> None:
        """Between runs, now and then: close all where the cache wants a file back."""
        if self._is_unwanted or (self._spare is not None and self._spare.is_unwanted):
            self.close()

    def close(self) -> None:
        """Close all that runs have used, and let go of all files."""
        self._let_go()
        self._detach_spare()
        self._close_leaving()

    def renew(self) -> None:
        """Make one ahead, of the size that was wanted last, where one has been wanted before."""
        if self._size is None or self._spare is not None:
            return
        self._spare = Workspace(*self._size)
        again, self._again = self._again, None
        if again is not None:
            try:
                self._spare.put_in(again)
            except (duckdb.Error, MemoryError):  # the next run finds out what is wrong
                again.opened.file.close()
                self._leaving.append(self._spare)
                self._spare = None

    @property
    def _is_unwanted(self) -> bool:
        if self._again is not None:
            return self._again.opened.is_unwanted()
        return self._kept is not None and self._kept[1].is_unwanted

    def _let_go(self) -> None:
        if self._kept is not None:
            self._leaving.append(self._kept[1])
            self._kept = None
        if self._again is not None:
            self._again.opened.file.close()
            self._again = None

    def _detach_spare(self) -> None:
        """Let go of what the one that was made ahead has attached: the run has wanted something else."""
        if self._spare is not None and self._spare.versions:
            try:
                self._spare.detach()
            except (duckdb.Error, MemoryError):
                self._leaving.append(self._spare)
                self._spare = None

    def _close_leaving(self) -> None:
        while self._leaving:
            self._leaving.pop().close()
