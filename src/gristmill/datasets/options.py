"""How a file is to be read, and under which limits; and the identity that follows from the first."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from gristmill.errors import Fault, InvalidRequestError
from gristmill.limits import MIB
from gristmill.settings import Settings

Format = Literal["csv", "tsv", "json", "ndjson", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Of uploads, and of tables behind a link or in a request: whoever reads them matches all (``assert_never``)."""
MEDIA_TYPES: Mapping[str, Format] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
ENDINGS: Mapping[str, Format] = {
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "json": "json",
    "ndjson": "ndjson",
    "jsonl": "ndjson",
    "parquet": "parquet",
}
"""Of the names of files, where no media type is known."""
DELIMITERS: Mapping[Format, str] = {"tsv": "\t"}
"""Of texts whose format says what parts values."""
ENCODINGS = ("utf-8", "windows-1252")
# As browsers read them: what is said to be Latin-1 is windows-1252, which has letters where Latin-1 has control
# characters (WHATWG Encoding Standard, https://encoding.spec.whatwg.org/#names-and-labels). ASCII is UTF-8 too.
ENCODING_LABELS = {
    **dict.fromkeys(("utf-8", "utf8", "us-ascii", "ascii"), "utf-8"),
    **dict.fromkeys(
        ("windows-1252", "cp1252", "x-cp1252", "iso-8859-1", "iso8859-1", "latin-1", "latin1"), "windows-1252"
    ),
}

_OF_CSV = frozenset({"delimiter", "quote", "header", "nulls", "decimal", "encoding", "types"})
_OPTIONS: Mapping[Format, frozenset[str]] = {
    "csv": _OF_CSV,
    "tsv": _OF_CSV - {"delimiter"},
    "json": frozenset({"encoding", "types"}),
    "ndjson": frozenset({"encoding", "types"}),
    "parquet": frozenset(),
}
_RULES = 9  # counts up when the same file with the same options would give another table
_TYPE = re.compile(
    r"BOOLEAN|U?(?:TINYINT|SMALLINT|INTEGER|BIGINT)|FLOAT|DOUBLE|VARCHAR|DATE|TIME|TIMESTAMP(?: WITH TIME ZONE)?|"
    r"UUID|DECIMAL\((?P<width>[1-9]|[12][0-9]|3[0-8]),(?P<scale>[0-9]|[12][0-9]|3[0-8])\)"
)
_ALIASES = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE", "TEXT": "VARCHAR", "INT": "INTEGER", "REAL": "FLOAT"}


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What the person who uploads a file says about it. Raises InvalidRequestError for what makes no sense.

    delimiter: one letter; empty: found in the first lines. nulls: texts that mean NULL when they are not quoted.
    encoding: by one of its labels. types: DuckDB types by column name; other columns' types follow from their values.
    What a format does not have is refused: it would be ignored.
    """

    format: Format
    delimiter: str = ""
    quote: str = '"'
    header: bool = True
    nulls: tuple[str, ...] = ("",)
    decimal: str = "."
    encoding: str = "utf-8"
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        types = {name: _type_named(name, text) for name, text in sorted(self.types.items())}
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "nulls", tuple(sorted(set(self.nulls))))
        if self.format not in FORMATS:
            raise _fault("format", f"{self.format!r} is none of {', '.join(FORMATS)}")
        self._check_that_all_are_of_the_format()
        object.__setattr__(self, "encoding", encoding_labelled(self.encoding) or self.encoding)
        if self.encoding not in ENCODINGS:
            raise _fault("encoding", f"{self.encoding!r} is none of {', '.join(ENCODINGS)}; UTF-16 is known by its BOM")
        for name, letter in (("delimiter", self.delimiter), ("quote", self.quote)):
            if letter and (len(letter) > 1 or not letter.isascii() or letter.isalnum() or letter in "\r\n\0. -+_"):
                raise _fault(name, f"{letter!r} is not one punctuation mark or tab of ASCII")
        if self.quote and self.quote == self.delimiter:
            raise _fault("quote", "the quote and the delimiter are the same")
        if self.decimal not in {".", ","}:
            raise _fault("decimal", f"{self.decimal!r} is neither a point nor a comma")
        if self.decimal == self.delimiter:
            raise _fault("decimal", "the decimal mark and the delimiter are the same")
        if any(set(text) & set('\r\n\0"') or len(text) > 100 for text in self.nulls) or len(self.nulls) > 100:
            raise _fault(
                "nulls", "a text for NULL has at most 100 letters, no quote and no line end; at most 100 texts"
            )

    def _check_that_all_are_of_the_format(self) -> None:
        for one in fields(self):
            default = {} if one.name == "types" else one.default
            if one.name in _OPTIONS[self.format] | {"format"} or getattr(self, one.name) == default:
                continue
            if one.name == "delimiter" and self.delimiter == DELIMITERS.get(self.format):
                continue
            known = ", ".join(form for form in FORMATS if one.name in _OPTIONS[form])
            why = "; it has its own types" if (self.format, one.name) == ("parquet", "types") else ""
            raise _fault(one.name, f"it is for {known}, and the format is {self.format}{why}")

    def canonical(self) -> str:
        """A text that is equal for options which read every file equally."""
        kept = _OPTIONS[self.format] | {"format"}
        told: dict[str, Any] = {name: value for name, value in asdict(self).items() if name in kept}
        return json.dumps(told | {"rules": _RULES}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def encoding_labelled(label: str) -> str | None:
    """Which of ENCODINGS a label means, if it means one."""
    return ENCODING_LABELS.get(label.strip().lower())


def version_id(sha256: str, options: ReadingOptions) -> str:
    """The identity of a version, in 64 hexadecimal digits: of the decompressed content and how it is read."""
    return hashlib.sha256(f"{sha256}\n{options.canonical()}".encode()).hexdigest()


def _type_named(name: str, text: str) -> str:
    upper = re.sub(r" ?([(),]) ?", r"\1", " ".join(text.upper().split()))
    upper = _ALIASES.get(upper, upper)
    match = _TYPE.fullmatch(upper)
    if not match or (match["width"] and int(match["scale"]) > int(match["width"])):
        detail = f"{text!r} cannot be given as a type; such as BIGINT, DOUBLE, DECIMAL(18,3), VARCHAR, DATE can"
        raise InvalidRequestError(f"Column {name!r}: {detail}.", faults=[Fault(f"types/{name}", detail)])
    return upper


def _fault(pointer: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"The reading option {pointer} is wrong: {detail}.", faults=[Fault(pointer, detail)])


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """What reading one file may take, and how large the table may be."""

    rows: int
    columns: int
    cell_bytes: int
    column_name_bytes: int
    stored_bytes: int
    memory_bytes: int
    threads: int
    seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "ReadingLimits":
        """As the settings say."""
        return cls(
            rows=settings.dataset_rows,
            columns=settings.dataset_columns,
            cell_bytes=settings.dataset_cell_bytes,
            column_name_bytes=settings.dataset_column_name_bytes,
            stored_bytes=settings.dataset_stored_bytes,
            memory_bytes=settings.dataset_reading_memory_mb * MIB,
            threads=settings.dataset_reading_threads,
            seconds=settings.dataset_reading_seconds,
        )
