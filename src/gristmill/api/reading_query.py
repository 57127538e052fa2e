"""How an upload is to be read: its format by media type or ``format``, and the options in the query."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from werkzeug.datastructures import MultiDict

from gristmill.api.parameters import refuse_repeated, wrong_parameter
from gristmill.datasets.mistaken import EXPORT
from gristmill.datasets.options import FORMATS, MEDIA_TYPES, Format, ReadingOptions, encoding_labelled
from gristmill.errors import Fault, InvalidRequestError, UnsupportedFormatError

# As which browsers send CSV from a computer that has Excel; a workbook itself is known by its first bytes.
_EXCEL = "application/vnd.ms-excel"
_WORKBOOKS = {
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
}
_TEXTS = ("delimiter", "quote", "decimal", "encoding")
_ONCE = ("format", "header", *_TEXTS)
_PARAMETERS = (*_ONCE, "null", "type")
_TRUTHS = {"true": True, "false": False}
_HEADERS = {"present": "true", "absent": "false"}
_BY_THEIR_CONTENT = {"", "utf-16"}  # which is UTF-8 without the mark of UTF-16


@dataclass(frozen=True, slots=True)
class ReadingQuery:
    """What a request says about the reading of its body, not yet understood."""

    format: str
    media_type: str
    texts: dict[str, str] = field(default_factory=dict)
    header: str = "true"
    nulls: tuple[str, ...] | None = None
    types: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: MultiDict[str, str], media_type: str, told: Mapping[str, str]) -> "ReadingQuery":
        """Of a request's query, its media type, and this one's parameters: those of text/csv (RFC 4180, section 3).

        Raises InvalidRequestError for unknown parameters, for repeated ones of which there can be only one, and for a
        charset that is not read, or a header that is neither present nor absent.
        """
        if unknown := sorted(query.keys() - set(_PARAMETERS)):
            known = ", ".join(sorted(_PARAMETERS))
            raise InvalidRequestError(
                f"An upload has no parameter {unknown[0][:50]!r}; it may have {known}.",
                faults=[Fault(name, f"is none of {known}") for name in unknown],
            )
        refuse_repeated(query, _ONCE)
        return cls(
            query.get("format", ""),
            media_type,
            {"encoding": query.get("encoding") or _encoding(told.get("charset", ""))}
            | {name: query[name] for name in _TEXTS if name in query},
            query["header"] if "header" in query else _header(told.get("header", "present")),
            tuple(query.getlist("null")) if "null" in query else None,
            tuple(query.getlist("type")),
        )


def _encoding(charset: str) -> str:
    encoding = encoding_labelled("utf-8" if charset.strip().lower() in _BY_THEIR_CONTENT else charset)
    if encoding is None:
        raise InvalidRequestError(
            f"The Content-Type says charset={charset[:50]}, which is not read. Send UTF-8, UTF-16 with a byte "
            "order mark or windows-1252; encoding= in the query goes before the charset.",
        )
    return encoding


def _header(told: str) -> str:
    header = _HEADERS.get(told.strip().lower())
    if header is None:
        raise InvalidRequestError(
            f"The Content-Type says header={told[:50]}, where text/csv has header=present or header=absent; "
            "header= in the query goes before it.",
        )
    return header


def read_reading_options(asked: ReadingQuery) -> ReadingOptions:
    """The options of an upload. Raises InvalidRequestError, and UnsupportedFormatError without a known format."""
    if asked.media_type == "multipart/form-data":
        raise UnsupportedFormatError(
            "The upload came as multipart/form-data, a form with the file in it. Send the file itself, with its "
            "Content-Type: curl -T FILE -H 'Content-Type: text/csv' URL."
        )
    form = asked.format or MEDIA_TYPES.get("text/csv" if asked.media_type == _EXCEL else asked.media_type)
    if form is None:
        came = f"came as {asked.media_type}" if asked.media_type else "came without a Content-Type"
        if asked.media_type in _WORKBOOKS:
            raise UnsupportedFormatError(f"The upload {came}, a workbook, which is not read. {EXPORT}.")
        raise UnsupportedFormatError(
            f"The upload {came}, which does not say how to read it. Send one of the Content-Types "
            f"{', '.join(MEDIA_TYPES)}, or say format= with one of {', '.join(FORMATS)} in the query."
        )
    options: dict[str, Any] = dict(asked.texts)
    if asked.header not in _TRUTHS:
        raise wrong_parameter("header", "must be true or false")
    options["header"] = _TRUTHS[asked.header]
    if asked.nulls is not None:
        options["nulls"] = asked.nulls
    types: dict[str, str] = {}
    for text in asked.types:
        column, colon, type_ = text.rpartition(":")
        if not (column and colon and type_):
            raise wrong_parameter("type", f"must be COLUMN:TYPE, such as age:BIGINT; got {text[:100]!r}")
        if column in types:
            raise wrong_parameter("type", f"names the column {column[:100]!r} twice")
        types[column] = type_
    return ReadingOptions(cast("Format", form), types=types, **options)


@contextmanager
def told_by_parameter() -> Iterator[None]:
    """What is wrong with an option of reading is told by the parameter that says it: ``types/zip`` is of ``type``."""
    try:
        yield
    except InvalidRequestError as error:
        error.faults = tuple(map(_of_parameter, error.faults))
        raise


def _of_parameter(fault: Fault) -> Fault:
    option, _, column = fault.pointer.partition("/")
    if option == "types":
        return Fault("type", f"{column}: {fault.detail}")
    return Fault("null", fault.detail) if option == "nulls" else fault
