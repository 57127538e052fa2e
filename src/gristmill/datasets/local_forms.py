"""Numbers and dates in the form of a country, which stay texts: how they are read after all. Pure."""

import re

from gristmill.datasets.columns import WithEnds
from gristmill.datasets.mapping import quoted

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]+)?")
_DIGITS_OF_YEAR = 4
_DATE = re.compile(r"[0-9]{1,2}([./-])[0-9]{1,2}\1([0-9]{4}|[0-9]{2})(?: .*)?")


def local_form(column: object) -> str:
    """What to do, behind what is wrong, about a column of texts where an end is such a number or date; else nothing."""
    if not isinstance(column, WithEnds):
        return ""
    forms = (_of_thousands, _of_decimals, _of_dates)
    told = (form(end, column.name) for form in forms for end in _ends(column))
    return next(filter(None, told), "")


def local_number(text: str, name: str) -> str:
    """The same of one text of a column, where it is such a number."""
    return _of_thousands(text, name) or _of_decimals(text, name)


def local_date(column: object) -> str:
    """An end of the column that is a date whose texts have another order; empty where none is."""
    return next(filter(is_local_date, _ends(column)), "")


def is_local_date(text: str) -> bool:
    """Whether a text is a date that begins with its day or month, and no version such as 1.2.10."""
    found = _DATE.fullmatch(text)
    return found is not None and len(found[2]) == _DIGITS_OF_YEAR


def _ends(column: object) -> tuple[str, ...]:
    if not isinstance(column, WithEnds) or column.kind != "text":
        return ()
    return tuple(end for end in (column.minimum, column.maximum) if isinstance(end, str))


def _of_thousands(text: str, name: str) -> str:
    if not _THOUSANDS.fullmatch(text):
        return ""
    told = (
        "thousands separators are not read: take them out of the file, or ask as a job of the process sql: "
        f"replace(replace({quoted(name)}, '.', ''), ',', '.')::DOUBLE"
    )
    if text.count(".") > 1 or "," in text:
        return f"; it has {text!r}: {told}"
    return (
        f"; it has {text!r}: if the dot parts thousands, {told}; if it is a decimal point, say which other texts mean "
        "NULL when it is uploaded (null=)"
    )


def _of_decimals(text: str, _: str) -> str:
    if not _DECIMAL_COMMA.fullmatch(text):
        return ""
    return (
        f"; it has {text!r}: if that is a number, upload the file with decimal=, in the query, and without thousands "
        "separators"
    )


def _of_dates(text: str, name: str) -> str:
    found = _DATE.fullmatch(text)
    if not found:
        return ""
    form = found[1].join(["%d", "%m", "%Y" if len(found[2]) == _DIGITS_OF_YEAR else "%y"])
    return (
        f"; it has {text!r}: dates are read as 2024-12-31: write them so in the file, or ask as a job of the process "
        f"sql: strptime({quoted(name)}, '{form}')"
    )
