"""Standard input and output as the places of a backup, and whoever asks for them by ``-``."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gristmill.backup.format import Sink
from gristmill.backup.places import told
from gristmill.errors import BackupError

STREAM = "-"
_BUFFER = 2**20


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """The bytes of a file, or of standard input ("-"). Raises BackupError."""
    if source != STREAM:
        with told(Path(source)), Path(source).open("rb", buffering=_BUFFER) as file:
            yield file
    elif sys.stdin is None or sys.stdin.isatty():
        raise BackupError("Nothing is piped in: `gristmill backup - | gristmill restore -`, or name a file.")
    else:
        with told(Path("standard input")):
            yield sys.stdin.buffer


@contextmanager
def standard_output() -> Iterator[Sink]:
    """Standard output for the backup alone: whatever else is printed goes to standard error. Raises BackupError."""
    if sys.stdout is None or sys.stdout.isatty():
        raise BackupError("A backup is nothing for a terminal: `gristmill backup - > FILE`, or name a file or folder.")
    sys.stdout.flush()
    stream = _Pipe(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        yield stream
    except BrokenPipeError as error:
        raise BackupError("Whoever was to read the backup has gone; it is not whole.") from error
    except OSError as error:
        raise BackupError(f"Standard output cannot be written: {error.strerror}; the backup is not whole.") from error
    finally:
        os.close(stream.descriptor)


@dataclass(frozen=True, slots=True)
class _Pipe:
    """Writes at once, so that nothing is left to be written when the reader has gone."""

    descriptor: int

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
