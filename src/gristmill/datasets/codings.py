"""The compression of an upload, gzip or zstd, undone a piece at a time.

What is sent may be made to give nothing for long, so whoever decodes is asked between all steps whether to go on
(``look``, which raises an error where not), and the members of gzip and the frames of zstd are limited in number.
"""

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator

import zstandard

from gristmill.errors import MalformedDataError, UnsupportedFormatError

MOST_MEMBERS = 100_000
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # behind a byte from 0x50 to 0x5f: of frames that pzstd begins with
_PIECE_BYTES = 256 * 1024
_GZIP_INPUT_BYTES = 16 * 1024  # what is left of it at the end of a member is copied
# A block of zstd is at most 128 KiB and takes at least 4 bytes, so a kilobyte gives at most 32 MiB at once.
_ZSTD_INPUT_BYTES = 1024
_ZSTD_WINDOW_BYTES = 8 * 2**20  # what RFC 9659 allows
_CODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_COMPRESSED_MEDIA_TYPES = {
    "application/gzip": "gzip",
    "application/x-gzip": "gzip",
    "application/zstd": "zstd",
}

Look = Callable[[], None]


def coding_named(coding: str) -> str:
    """What ``decoded`` calls a value of Content-Encoding. Raises UnsupportedFormatError."""
    known = _CODINGS.get(coding.strip().lower())
    if known is None:
        raise UnsupportedFormatError(
            f"Content-Encoding {coding.strip()!r} is not read here. Send the file as it is, or with gzip or zstd."
        )
    return known


def decoded(pieces: Iterable[bytes], coding: str, look: Look) -> Iterator[bytes]:
    """What was compressed; coding: "gzip", "zstd" or "" for none. Raises MalformedDataError, and what ``look`` does."""
    if coding == "gzip":
        return _ungzipped(pieces, look)
    if coding == "zstd":
        return _unzstd(pieces, look)
    return iter(pieces)


def own_content(pieces: Iterable[bytes], media_type: str, look: Look) -> Iterator[bytes]:
    """The table in a file that may itself be compressed, which its first bytes tell.

    Raises MalformedDataError, also where the media type promises another compression, and what ``look`` does.
    """
    rest = iter(pieces)
    start = b""
    for piece in rest:
        start += piece
        if len(start) >= len(_ZSTD_MAGIC):
            break
    found = _coding_found(start)
    named = _COMPRESSED_MEDIA_TYPES.get(media_type.strip().lower(), "")
    if named and found != named:
        raise MalformedDataError(
            f"The upload is said to be a {named} file, but does not start like one. Send it with the media type of "
            "what it is, such as text/csv."
        )
    return decoded(itertools.chain([start], rest), found, look)


def _coding_found(start: bytes) -> str:
    if start.startswith(_ZSTD_MAGIC) or (start[1:4] == _ZSTD_SKIPPABLE_MAGIC and start[0] & 0xF0 == 0x50):
        return "zstd"
    return "gzip" if start.startswith(_GZIP_MAGIC) else ""


def _ungzipped(pieces: Iterable[bytes], look: Look) -> Iterator[bytes]:
    """RFC 1952: one member after another. Zero bytes after the last are padding, as gzip itself takes them."""
    decoder = None
    members = 0
    padding = False
    first = b""
    for piece in pieces:
        data = memoryview(first + piece)
        first = b""
        while data:
            if decoder is None:
                if members and (padding or data[0] == 0):
                    padding = True
                    if bytes(data).strip(b"\0"):
                        raise _trailing("gzip")
                    break
                if members and data == _GZIP_MAGIC[:1]:
                    first = bytes(data)
                    break
                if members and data[: len(_GZIP_MAGIC)] != _GZIP_MAGIC:
                    raise _trailing("gzip")
                decoder, members = zlib.decompressobj(wbits=31), _one_more(members, "gzip", "members")
            look()
            given = data[:_GZIP_INPUT_BYTES]
            try:
                content = decoder.decompress(given, _PIECE_BYTES)
            except zlib.error as error:
                raise MalformedDataError(f"The gzip data is damaged ({error}). Compress the file anew.") from error
            data = data[len(given) - len(decoder.unused_data if decoder.eof else decoder.unconsumed_tail) :]
            if decoder.eof:
                decoder = None
            if content:
                yield content
    if first:
        raise _trailing("gzip")
    if decoder is not None or not members:
        raise _truncated("gzip")


def _unzstd(pieces: Iterable[bytes], look: Look) -> Iterator[bytes]:
    """RFC 8878: one frame after another; skippable frames give nothing."""
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    decoder = None
    frames = 0
    for piece in pieces:
        data = memoryview(piece)
        while data:
            if decoder is None:
                decoder, frames = context.decompressobj(), _one_more(frames, "zstd", "frames")
            look()
            given = data[:_ZSTD_INPUT_BYTES]
            try:
                content = decoder.decompress(given)
            except zstandard.ZstdError as error:
                raise MalformedDataError(_why_no_zstd(str(error))) from error
            data = data[len(given) - len(decoder.unused_data) :]
            if decoder.eof:
                decoder = None
            if content:
                yield content
    if decoder is not None or not frames:
        raise _truncated("zstd")


def _one_more(count: int, coding: str, parts: str) -> int:
    if count == MOST_MEMBERS:
        raise MalformedDataError(
            f"The {coding} data has more than {MOST_MEMBERS:,} {parts} after each other. Compress the file as a whole."
        )
    return count + 1


def _why_no_zstd(said: str) -> str:
    if "too much memory" in said:
        return (
            f"The zstd data needs a window of more than {_ZSTD_WINDOW_BYTES // 2**20} MiB (RFC 9659). Compress the "
            "file with a level up to 19, and without --long."
        )
    return f"The zstd data is damaged, or followed by something else ({said}). Compress the file anew."


def _truncated(coding: str) -> MalformedDataError:
    return MalformedDataError(f"The {coding} data ends too early: the upload is not complete. Send the file again.")


def _trailing(coding: str) -> MalformedDataError:
    return MalformedDataError(f"The {coding} data is followed by something else. Compress the file anew.")
