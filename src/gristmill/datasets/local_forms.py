"""Numbers and dates in the form of a country, which stay texts: how they are read after all. Pure."""

import re
from collections.abc import Sequence

from gristmill.datasets.columns import WithEnds
from gristmill.datasets.mapping import quoted
from gristmill.datasets.number_signs import SURE, is_number, signs_of, sql_without, unit_of, without

_SQL = "ask as a job of the process sql (other texts become NULL):"
_DOTS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+")
_GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_COMMAS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+\.[0-9]+|(?:,[0-9]{3}){2,})")
_DOT = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_COMMA = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_DECIMAL_COMMA = re.compile(rf"(?!{_COMMA.pattern}\Z)[+-]?[0-9]+,[0-9]+")
_DIGITS = re.compile(r"[0-9][0-9./:TZ+ -]*(?: [AP]M)?")  # dates and times, and what they begin with
_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_NULLS = "say which other texts mean NULL when it is uploaded (null=)"
_LAST_MONTH = 12
_DATE = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2[0-9]{4}(?: (.*))?")
_CLOCKS = tuple(
    (re.compile(clock), form)
    for clock, form in (
        ("", ""),
        ("[0-9]{1,2}:[0-9]{2}", " %H:%M"),
        ("[0-9]{1,2}:[0-9]{2}:[0-9]{2}", " %H:%M:%S"),
        ("[0-9]{1,2}:[0-9]{2} [AP]M", " %I:%M %p"),
        ("[0-9]{1,2}:[0-9]{2}:[0-9]{2} [AP]M", " %I:%M:%S %p"),
    )
)


def local_form(column: object) -> str:
    """What to do, behind what is wrong, about a column of texts where an end is such a number or date; else nothing."""
    if not isinstance(column, WithEnds):
        return ""
    return _of_numbers(_ends(column), column.name) or _of_dates(_ends(column), column.name)


def local_number(text: str, name: str, *, decimals: bool, point: str = "") -> str:
    """The same of a text in a file, where it is such a number.

    decimals: whether decimal=, could be the way. point: what to do where its dot is a decimal point, if that is known.
    """
    return _of_numbers([text], name, decimals=decimals, point=point)


def has_another_order(column: object, text: str) -> bool:
    """Whether the column has such dates and the text is of digits, or such numbers and the text is one.

    What may be a code (552 100 554), version, address or list (1,2,3) is no such number: its order is that of letters.
    """
    ends = _ends(column)
    if any(map(is_local_date, ends)):
        return _DIGITS.fullmatch(text) is not None
    return is_number(text) and any(map(_is_surely_number, ends))


def _is_surely_number(text: str) -> bool:
    if not is_number(text) or _ADDRESS.fullmatch(text):
        return False
    bare = without(text, signs_of([text]))
    forms = (_DOTS, _GROUPS, _COMMAS, _COMMA, _DECIMAL_COMMA)
    return any(sign in text for sign in SURE) or any(form.fullmatch(bare) for form in forms)


def is_local_date(text: str) -> bool:
    """Whether a text is a date that begins with its day or month, and no version such as 1.2.10."""
    return _DATE.fullmatch(text) is not None


def _ends(column: object) -> tuple[str, ...]:
    if not isinstance(column, WithEnds) or column.kind != "text":
        return ()
    return tuple(end for end in (column.minimum, column.maximum) if isinstance(end, str))


def _of_numbers(texts: Sequence[str], name: str, *, decimals: bool = True, point: str = "") -> str:
    """What is said of the text that tells most: two marks say which one parts thousands, three digits do not."""
    signs = signs_of(texts)
    column, unit = sql_without(quoted(name), signs), unit_of(signs)
    what = f"{unit!r} and thousands separators" if unit else "thousands separators"
    separators = f"{what} are not read: take them out of the file, or {_SQL}"
    dots = f"{separators} TRY_CAST(replace(replace({column}, '.', ''), ',', '.') AS DOUBLE)"
    commas = f"{separators} TRY_CAST(replace({column}, ',', '') AS DOUBLE)"
    plain = f"{separators} TRY_CAST({column} AS DOUBLE)"
    comma = f"TRY_CAST(replace({column}, ',', '.') AS DOUBLE)"
    if decimals:
        way = "upload the file with decimal=, in the query (then the delimiter is another one) and without"
        comma = f"{way} {what}, or {_SQL} {comma}"
    else:
        comma = f"{separators} {comma}"
    of_dot, of_comma = f"if the dot parts thousands, {dots}", f"if the comma parts thousands, {commas}"
    if decimals:
        of_dot += f"; if it is a decimal point, {point or (plain if signs else _NULLS)}"
        of_comma += f"; if it is a decimal comma, {comma}"
    sayings = {
        _DOTS: dots,
        _GROUPS: f"if that is a number, {dots}",
        _COMMAS: commas,
        _DOT: of_dot,
        _DECIMAL_COMMA: f"if that is a number, {comma}" if decimals or signs else "",
        _COMMA: of_comma,
        _PLAIN: plain if unit else f"if that is a number, {plain}",
    }
    pairs = [(text, without(text, signs)) for text in texts]
    found = (
        (text, said)
        for form, said in sayings.items()
        for text, bare in pairs
        if said and form.fullmatch(bare) and (form is not _PLAIN or bare != text)
    )
    return next((f"; it has {text!r}: {said}" for text, said in found), "")


def _of_dates(texts: Sequence[str], name: str) -> str:
    dates = [found for found in map(_DATE.fullmatch, texts) if found]
    if not dates:
        return ""
    told = f"; it has {dates[0][0]!r}: dates are read as 2024-12-31: write them so in the file"
    clocks = [next((form for clock, form in _CLOCKS if clock.fullmatch(found[4] or "")), None) for found in dates]
    if None in clocks:
        return told
    cast = "" if any(clocks) else "::DATE"
    day_first, month_first = (
        f"try_strptime({quoted(name)}, {_list_of(forms)})" + cast
        for order in (("%d", "%m", "%Y"), ("%m", "%d", "%Y"))
        for forms in [[f"{found[2].join(order)}{clock}" for found, clock in zip(dates, clocks, strict=True)]]
    )
    is_day_first = any(int(found[1]) > _LAST_MONTH for found in dates)
    is_month_first = any(int(found[3]) > _LAST_MONTH for found in dates)
    if is_day_first != is_month_first:
        return f"{told}, or {_SQL} {day_first if is_day_first else month_first}"
    if not is_day_first and all(found[2] == "." for found in dates):
        return f"{told}, or {_SQL} {day_first}"
    return f"{told}, or {_SQL} {day_first} where the day stands first, {month_first} where the month does"


def _list_of(forms: Sequence[str]) -> str:
    """One format of dates as SQL, or a list of several."""
    texts = [f"'{form}'" for form in dict.fromkeys(forms)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
