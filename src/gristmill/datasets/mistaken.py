"""Files that are sent as text by mistake: what their first bytes tell that they are, and what to do with them. Pure."""

from gristmill.errors import MalformedDataError

EXPORT = "Export the sheet as CSV (UTF-8), and send that as text/csv"
_KINDS = {
    b"PK\x03\x04": f"an Excel workbook or another ZIP archive. {EXPORT}; of an archive, the file that is in it",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": f"an old Excel workbook (.xls). {EXPORT}",
    b"%PDF-": "a PDF document. Send the table that it was made from",
    b"PAR1": "Parquet. Send it as application/vnd.apache.parquet, or with format=parquet",
    b"\x1f\x8b": "still compressed with gzip. Compress it once, and send it with Content-Encoding: gzip",
    b"\x28\xb5\x2f\xfd": "still compressed with zstd. Compress it once, and send it with Content-Encoding: zstd",
}
_HTML = (b"<!doctype html", b"<html")
START_BYTES = 1024


def check_start(start: bytes) -> None:
    """Raise MalformedDataError for a file that is no text, or is a page. start: its first START_BYTES."""
    kind = next((told for mark, told in _KINDS.items() if start.startswith(mark)), "")
    if not kind and start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_HTML):
        kind = (
            "an HTML page: perhaps the page about the file, or that of a login, was saved in its place. Download the "
            "file itself, and look into it before you send it"
        )
    if kind:
        raise MalformedDataError(f"The file is {kind}.")
