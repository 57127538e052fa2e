"""Text files as bytes: their encoding, their lines, and where in them a byte stands."""

import codecs
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import duckdb

from gristmill.datasets import mistaken
from gristmill.datasets.first_lines import ONE_LINE, Start, records, start_of
from gristmill.datasets.options import DELIMITERS, ReadingLimits, ReadingOptions
from gristmill.errors import MalformedDataError, TooLargeError

_CHUNK_BYTES = 2**20
_RECORD_CHUNK_BYTES = 2**18
_RAW_BYTES_A_BYTE = 3  # of a record: each letter of its values may be a quote, which is written twice
_SHOWN_LETTERS = 200
_BEFORE_LETTERS = 40
_CURL = "With curl, use -T FILE or --data-binary @FILE: -d takes line ends away, and without @ the file's name is sent."
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def as_utf8(path: Path, encoding: str, copy: Path) -> Path:
    """The file in UTF-8 without byte order mark: itself when it is so already, else ``copy``, which is written.

    encoding: what it is without a byte order mark. Raises MalformedDataError with line, letter and byte.
    """
    with path.open("rb") as file:
        start = file.read(mistaken.START_BYTES)
        mistaken.check_start(start)
        mark, found = next(((mark, name) for mark, name in _BOMS if start.startswith(mark)), (b"", encoding))
        file.seek(len(mark))
        if found == "utf-8" and not mark:
            for _ in _decoded(file, found, 0):
                pass
            return path
        with copy.open("w", encoding="utf-8", newline="") as out:
            for text in _decoded(file, found, len(mark)):
                out.write(text)
    return copy


def _decoded(file: io.BufferedReader, encoding: str, offset: int) -> Iterator[str]:
    decode = codecs.getdecoder(encoding)
    incremental = {
        "utf-8": codecs.utf_8_decode,
        "utf-16-le": codecs.utf_16_le_decode,
        "utf-16-be": codecs.utf_16_be_decode,
    }
    place, rest = _Place(), b""
    while True:
        chunk = file.read(_CHUNK_BYTES)
        data = rest + chunk
        try:
            if encoding in incremental:
                text, used = incremental[encoding](data, "strict", not chunk)
            else:
                text, used = decode(data)
        except UnicodeDecodeError as error:
            place.pass_by(str(data[: error.start], encoding, "ignore"))
            advice = "Save the file as UTF-8"
            if encoding == "utf-8":
                advice += ", or say encoding=windows-1252, in which Excel writes its plain CSV in the West"
            raise MalformedDataError(
                f"{place} is not {encoding.upper()}: the byte 0x{data[error.start]:02x} at offset "
                f"{offset + error.start} belongs to no letter ({error.reason}). {advice}."
            ) from error
        if "\0" in text:
            place.pass_by(text[: text.index("\0")])
            raise MalformedDataError(
                f"{place} is a zero byte: this is no text file, or one in UTF-16 without byte order mark. Save it as "
                "UTF-8."
            )
        yield text
        place.pass_by(text)
        offset += used
        rest = data[used:]
        if not chunk:
            return


@dataclass
class _Place:
    """How far a text was read: its line and letter, from 1, and what stands before it in this line."""

    line: int = 1
    letter: int = 1
    before: str = ""

    def pass_by(self, text: str) -> None:
        returns = text.count("\r")
        ends = text.count("\n") + (returns - text.count("\r\n") if returns else 0)
        self.line += ends - (self.before == "\r" and text.startswith("\n"))
        begin = max(text.rfind("\n"), text.rfind("\r")) + 1
        self.letter = len(text) - begin + (1 if begin else self.letter)
        kept = "" if begin or self.before == "\r" else self.before
        self.before = "\r" if text.endswith("\r") else (kept + text[begin:])[-_BEFORE_LETTERS:]

    def __str__(self) -> str:
        after = f", after {shown(self.before)}," if self.letter > 1 else ""
        return f"Line {self.line}, letter {self.letter}{after}"


def line_at(path: Path, offset: int) -> int:
    """The number of the line, from 1, that the byte at this offset of a UTF-8 file stands in."""
    line, before = 1, b""
    with path.open("rb") as file:
        while offset > 0 and (chunk := file.read(min(offset, _CHUNK_BYTES))):
            offset -= len(chunk)
            line += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
            line -= before == b"\r" and chunk.startswith(b"\n")
            before = chunk[-1:]
    return line


def behind_line_ends(path: Path, offset: int) -> int:
    """The offset, from this one on, of the first byte that ends no line."""
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK_BYTES):
            rest = chunk.lstrip(b"\r\n")
            offset += len(chunk) - len(rest)
            if rest:
                break
    return offset


def record_at(path: Path, delimiter: str, quote: str, offset: int) -> tuple[str, list[str]]:
    """The CSV record that begins at this offset of a UTF-8 file: its text, and its values."""
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            read.append(line)
            yield line

    with path.open(encoding="utf-8", newline="") as file:
        file.seek(offset)
        values = next(iter(records(lines(), delimiter, quote)), [])
    return "".join(read).rstrip("\r\n"), values


def shown(text: str) -> str:
    """A text for a message: quoted, on one line, and not too long."""
    return repr(text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS] + "…")


def start_of_file(path: Path, options: ReadingOptions, most_bytes: int) -> Start:
    """How a CSV or TSV file begins: see ``start_of``.

    Raises TooLargeError for a first record of more than most_bytes, MalformedDataError for a file without values, for
    a header without a line end, and for a title in its place.
    """
    told = DELIMITERS.get(options.format, options.delimiter)
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    text = data.decode("utf-8", "ignore")
    start = start_of(text, told, options.quote, options.decimal, header=options.header)
    is_cut = len(data) > most_bytes
    if options.header and start.is_one_line and not is_cut:
        raise MalformedDataError(f"The file is {ONE_LINE}: {shown(text)}. {_CURL}")
    if is_cut and (start.is_one_line or sum(map(len, start.first)) >= most_bytes // 4):
        advice = f" {_CURL}" if start.is_one_line else ""
        raise TooLargeError(
            f"Line {1 + start.skipped} has more than {most_bytes // 4:,} letters. A quote may not be closed, or the "
            f"file is no table. The setting GRISTMILL_DATASET_CELL_BYTES limits each value.{advice}"
        )
    return start


def find_record(path: Path, delimiter: str, quote: str, *, number: int, width: int) -> tuple[int, list[str]]:
    """The line that a record of a valid CSV file begins in, and its values.

    number: from 0, header and ``sep=`` included. Empty lines count as records only where there is one column.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = records(file, delimiter, quote)
        line = 1
        for record in reader:
            if record or width == 1:
                if not number:
                    return line, record or [""]
                number -= 1
            line = reader.line_num + 1
    return line, []


def check_records(path: Path, delimiter: str, quote: str, most_bytes: int, *, width: int) -> None:
    """Raise TooLargeError for a record of more than most_bytes, which is at least a few chunks.

    DuckDB leaves out rows, and says nothing, where a record is longer than its buffer, and behind empty
    lines of as many bytes, which are no rows where there are several columns.
    """
    line_end = record_end = offset = filled = 0
    mark, inside = quote.encode(), False
    with path.open("rb") as file:
        while chunk := file.read(_RECORD_CHUNK_BYTES):
            ends = _ends(chunk, [chunk], 0)
            if ends:
                if offset + ends[0] - line_end > most_bytes:
                    break
                line_end = offset + ends[1]
                ends = _ends(chunk, chunk.split(mark) if mark else [chunk], inside)
            if ends:
                if offset + ends[0] - record_end > most_bytes:
                    break
                record_end = offset + ends[1]
            if mark:
                inside ^= chunk.count(mark) % 2 == 1
            text = chunk.rstrip(b"\r\n")
            if text or inside:
                filled = offset + len(text)
            offset += len(chunk)
            if width > 1 and offset - filled > most_bytes // 2:
                first = line_at(path, filled) + 1
                raise TooLargeError(
                    f"From line {first} on, {offset - filled:,} bytes and more are empty lines. Remove them."
                )
            if offset - record_end > most_bytes:
                break
        else:
            return
    _check_each_record(path, delimiter, quote, most_bytes)


def _ends(chunk: bytes, pieces: list[bytes], first: int) -> tuple[int, int] | None:
    """Where the first line end is, and the last, in every second one of the pieces that quotes part a chunk into."""
    start, stop = 0, len(chunk)
    for at, piece in enumerate(pieces):
        found = [place for place in (piece.find(b"\n"), piece.find(b"\r")) if place >= 0]
        if found and (at + first) % 2 == 0:
            start += min(found)
            break
        start += len(piece) + 1
    else:
        return None
    for at in range(len(pieces) - 1, -1, -1):
        last = max(pieces[at].rfind(b"\n"), pieces[at].rfind(b"\r"))
        if last >= 0 and (at + first) % 2 == 0:
            return start, stop - len(pieces[at]) + last
        stop -= len(pieces[at]) + 1
    return None


def _check_each_record(path: Path, delimiter: str, quote: str, most_bytes: int) -> None:
    """The exact answer, for files in which a quote stands where it has no meaning; slow."""
    line, begin, letters = 1, "", 0

    def refuse() -> NoReturn:
        raise TooLargeError(
            f"Line {line} begins a row of more than {most_bytes:,} bytes; the setting GRISTMILL_DATASET_CELL_BYTES "
            f"limits each value. It begins with {shown(begin)}. Perhaps a quote is not closed."
        )

    def lines() -> Iterator[str]:
        """Of a record no more than its values can take with their quotes and delimiters: it may have no end."""
        nonlocal begin, letters
        while text := file.readline(_RAW_BYTES_A_BYTE * most_bytes + 1):
            begin = begin or text[: _SHOWN_LETTERS + 1]
            letters += len(text)
            if letters > _RAW_BYTES_A_BYTE * most_bytes:
                refuse()
            yield text

    with path.open(encoding="utf-8", newline="") as file:
        reader = records(lines(), delimiter, quote)
        for record in reader:
            if letters > most_bytes // 4 and sum(len(value.encode()) for value in record) > most_bytes:
                refuse()
            line, begin, letters = reader.line_num + 1, "", 0


def unique_names(found: Sequence[str], most_bytes: int) -> list[str]:
    """Names for the columns of a file: an empty one becomes ``column_3``, one that is there already ``name_2``.

    DuckDB does not tell letters' cases apart in names, so neither do we. Raises MalformedDataError for control
    characters, TooLargeError for a long name.
    """
    taken = {name.casefold() for name in found}
    names: list[str] = []
    seen: set[str] = set()
    for position, given in enumerate(found, 1):
        if any(unicodedata.category(letter) == "Cc" for letter in given):
            raise MalformedDataError(
                f"The name of column {position} holds a control character: {shown(given)}. Names are one line of text."
            )
        if len(given.encode("utf-8", "surrogatepass")) > most_bytes:
            raise TooLargeError(
                f"The name of column {position} has more than {most_bytes} bytes (setting "
                f"GRISTMILL_DATASET_COLUMN_NAME_BYTES): {shown(given)}. Shorten it; for CSV without a header, say "
                "header=false."
            )
        base = given.strip() or f"column_{position}"
        name, again = base, 1
        while name.casefold() in seen or (again > 1 and name.casefold() in taken):
            again += 1
            name = f"{base}_{again}"
        seen.add(name.casefold())
        names.append(name)
    return names


def check_width(width: int, limits: ReadingLimits) -> None:
    """Raise TooLargeError for a table of too many columns."""
    if width > limits.columns:
        raise TooLargeError(
            f"The table has more than {limits.columns:,} columns, the most that a data set has (setting "
            "GRISTMILL_DATASET_COLUMNS). Make rows of what are columns, or leave some out."
        )


def first_line_of(error: duckdb.Error, path: Path) -> str:
    """DuckDB's message without the file's place on this computer."""
    return shown(str(error).partition("\n")[0].replace(f'"{path}"', "it").replace(str(path), "it"))
