"""What ``gristmill backup`` does, and tells on standard error, since standard output may be the backup."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gristmill.backup import places
from gristmill.backup.checking import checked
from gristmill.backup.contents import Contents
from gristmill.backup.copying import Copier
from gristmill.backup.format import Reader, Sink, Writer
from gristmill.backup.progress import Progress, say, size_of
from gristmill.backup.streams import STREAM, opened, standard_output
from gristmill.errors import BackupError, DamagedBackupError
from gristmill.settings import Settings
from gristmill.store import connect


def back_up(settings: Settings, target: str, keep: int | None) -> None:
    """Write a backup to standard output ("-"), a file, or a new file in a folder.

    Raises BackupError: it could not be written; or it was, but of some things parts are missing in Redis.
    """
    if not target:
        raise BackupError("The name is empty. Name a file, a folder, or - for standard output.")
    if target == STREAM:
        _keep_needs_a_folder(keep)
        with standard_output() as sink:
            damaged = _write(settings, sink)[1]
        _complain(damaged, "The backup")
    elif Path(target).is_dir() or target.endswith("/"):
        _into_folder(settings, Path(target), keep)
    else:
        _keep_needs_a_folder(keep)
        _complain(_into_file(settings, Path(target)), target)


def check(source: str) -> Iterator[str]:
    """Read a backup to its end, and say what is in it. Raises DamagedBackupError, before anything is said."""
    contents = Contents()
    with opened(source) as file:
        reader = Reader(file)
        for _ in contents.counted(checked(reader)):
            pass
    name = "The stream" if source == STREAM else source
    yield f"{name} is whole: {size_of(reader.bytes)}, format {reader.format}"
    yield from contents.lines()
    yield f"SHA-256      {reader.digest}"


def _into_folder(settings: Settings, folder: Path, keep: int | None) -> None:
    if not folder.is_dir():
        raise BackupError(f"There is no folder {folder}; make it, or name one that is there.")
    places.remove_unfinished(folder, settings.environment)
    path = folder / places.new_name(settings.environment)
    damaged = _into_file(settings, path)
    _complain(damaged, f"{path} (so no older backup was removed)")
    for old in places.remove_old(folder, settings.environment, keep, path) if keep else ():
        say(f"Removed {old}.")


def _into_file(settings: Settings, path: Path) -> list[str]:
    """Write, read back, and then name the file; returns what of it parts are missing in Redis."""
    with places.NewFile(path) as new:
        digest, damaged = _write(settings, new)
        reader = Reader(new.rewind())
        with places.told(path):
            for _ in reader:
                pass
        if reader.digest != digest:
            raise DamagedBackupError(f"The disk gave back something else than was written to {path}.")
        new.keep()
    say(f"Checked: {path} can be read and is what was written.")
    return damaged


def _write(settings: Settings, sink: Sink) -> tuple[str, list[str]]:
    started = time.monotonic()
    with connect(settings) as client, closing(Copier(client, settings)) as copier:
        writer, contents = Writer(sink), Contents()
        progress = Progress(lambda: f"{contents.summary()}, {size_of(writer.bytes)} so far")
        for entry in progress.watched(contents.counted(copier.entries())):
            writer.write(*entry)
        digest = writer.finish()
        say(
            f"Copied {contents.summary()}: {size_of(writer.bytes)} in {time.monotonic() - started:.1f} s, "
            f"SHA-256 {digest}."
        )
        return digest, copier.damaged


def _complain(damaged: list[str], where: str) -> None:
    if damaged:
        raise BackupError(
            f"{where} is whole, but lacks what is damaged in Redis: {', '.join(damaged[:10])}"
            f"{f' and {len(damaged) - 10} more' if len(damaged) > 10 else ''}. Delete these; upload or run them again."
        )


def _keep_needs_a_folder(keep: int | None) -> None:
    if keep is not None:
        raise BackupError("--keep says how many backups stay in a folder; name a folder that is there.")
