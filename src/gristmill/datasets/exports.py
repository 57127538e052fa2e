"""Whole exports as files of the local cache: written once by DuckDB for all who ask, and gone with their version."""

import hashlib
import io
import json
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import duckdb

from gristmill.datasets import rows
from gristmill.datasets.cache import Cache
from gristmill.datasets.mapping import WRITTEN_FORM
from gristmill.datasets.statements import Statement
from gristmill.presence import check

_PIECE_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Export:
    """The rows of a statement as one file. format: one of ``row_formats.FILE_FORMS``. coding: its content coding."""

    version: str
    statement: Statement
    format: str
    coding: Literal["", "zstd", "gzip"]

    @property
    def key(self) -> str:
        """Names the file in the cache."""
        told = [self.statement.sql, [str(value) for value in self.statement.values], self.statement.names]
        text = json.dumps([WRITTEN_FORM, self.format, self.coding, *told])
        return f"{self.version}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class ExportFile(io.FileIO):
    """An export, to be read. It is in use in the cache, and counts there, until it is closed."""

    def __init__(self, path: Path, use: ExitStack) -> None:
        self._use = use
        super().__init__(path)

    def close(self) -> None:
        """Let go of it. Safe to repeat."""
        super().close()
        self._use.close()


def open_export(cache: Cache, export: Export, connection: duckdb.DuckDBPyConnection, *, seconds: float) -> ExportFile:
    """The file of an export, from the cache.

    Raises QueryLimitError, QueryValueError, CacheBusyError, CacheUnusableError, ClientGoneError.
    """
    key = export.key

    def build(target: Path) -> None:
        most = cache.most_bytes_of(key)
        write = partial(rows.write, connection, export.statement, kind=export.format, seconds=seconds, most_bytes=most)
        if export.coding == "gzip":  # DuckDB would take ten times as long
            plain = target.with_suffix(".plain")
            write(plain)
            _gzip(plain, target, most)
            plain.unlink()
        else:
            write(target, coding=export.coding)

    with ExitStack() as use:
        path = use.enter_context(cache.open(key, build))
        return ExportFile(path, use.pop_all())


def _gzip(source: Path, target: Path, most_bytes: int, level: int = 1) -> None:
    """most_bytes: of the two files together."""
    packer = zlib.compressobj(level, wbits=zlib.MAX_WBITS | 16)
    left = most_bytes - source.stat().st_size
    with source.open("rb") as plain, target.open("wb") as packed:
        while piece := plain.read(_PIECE_BYTES):
            check()
            left -= packed.write(packer.compress(piece))
            if left < 0:
                raise rows.too_large(most_bytes)
        packed.write(packer.flush())
