"""What other languages write in a filter or for a metric, or leave out, and how it is written here."""

import re
from collections.abc import Iterable

_CONDITION = "a filter is the condition alone, without WHERE; sortby, properties, limit are parameters beside it"
_CAST = "types are changed by functions: text(x), number(x), integer(x), date(x)"
_NO_COMMENT = "a filter has no comments"
_POWER, _REMAINDER = "x ^ 2", "x % 2"
_TODAY = (
    "A filter does not know what day it is: write it, as DATE('2024-12-31'), or the time, as "
    "TIMESTAMP('2024-12-31T23:59:59Z')."
)
_FORMS_OF_DATES = (
    "Texts such as 2024-12-31 become dates by date(x), others in a job of the process sql: try_strptime(x, '%d.%m.%Y')."
)
_NOW = ("now", "today", "current_date", "current_timestamp", "curdate", "getdate", "localtimestamp", "sysdate")
# What stands before the place where the parser stops, without the blanks between; what is found there; what is said.
_SPELLINGS: tuple[tuple[re.Pattern[str], re.Pattern[str], str], ...] = tuple(
    (re.compile(f"(?:{before})$", re.IGNORECASE), re.compile(found, re.IGNORECASE), said)
    for before, found, said in (
        (r"^\s*select(?:\s+[^-+/%^=<>!\s][\s\S]*)?", r"[^-+*/%^=<>!]", _CONDITION),
        (r"^\s*where", r"[^-+*/%^=<>!]", _CONDITION),
        (r"^\s*(?:order|group)", r"by\b", _CONDITION),
        ("", r"(?:(?:order|group)\s+by|limit|offset|having)\b", _CONDITION),
        (r"\bcast\s*\([^()]*", r"as\b", _CAST),
        ("", "::", _CAST),
        ("/", r"\*", _NO_COMMENT),
        (r"\*", r"\*", f"a power is written {_POWER}"),
        ("", r"mod\b", f"a remainder is written {_REMAINDER}"),
        ("", "==", "equal is written ="),
        ("(?<![<>!=])=+", "=", "equal is written ="),
        ("(?<![<>!])=", ">", "at least is written >="),
        ("(?<![<>!])=", "<", "at most is written <="),
        ("", "≥", "at least is written >="),
        ("", "≤", "at most is written <="),
        ("", "≠", "unequal is written <>"),
        ("", "&(?:amp|gt|lt|quot);", "signs are written as they are, not as in HTML"),
        ("", "&", "and is written AND"),
        ("", r"\|", "or is written OR; texts are not joined here"),
        ("", "!", "not is written NOT, unequal <>"),
        ("", ";", "a filter is one condition, and ends without a semicolon"),
        (r"\bin", r"\S", "the values of IN stand in round brackets: IN ('a', 'b')"),
        (r"\bbetween", r"\[", "BETWEEN is written BETWEEN 1 AND 5"),
        ("", r"[`\[]", "a name with other signs than letters and digits stands in double quotes"),
        ("", "[\u2018\u2019\u201c\u201d\u00b4]", "texts stand in straight single quotes, '...', names in double ones"),
        ("", r"(?:not\s+)?ilike", "to overlook case, write casei(column) LIKE casei('...')"),
        ("", r"(?:is\s+)?not\s+null", "without a value is written IS NULL, with one IS NOT NULL"),
        ("", r"not\s*[=<>'\d]", "unequal is written <>"),
        ("", "contains|~", "a text that holds another is found by LIKE '%...%'"),
        (r"\b(?:and|or)", r"[<>=]|\w", "each side of AND and OR is a whole comparison"),
        (r"\bis(?:\s+not)?", r"\S", "IS has NULL or NOT NULL behind it"),
        (r"\b(?:date|timestamp)", "'", "dates and times are written DATE('2024-12-31')"),
        (r"\d", r"-?\d", "between two values stands a comma or an operator; there are no geometries"),
        ("", r",\s*\d", "decimals have a point, and BETWEEN has AND"),
    )
)
_METRICS = {
    **dict.fromkeys(("avg", "average"), "mean"),
    **dict.fromkeys(("std", "stdev", "stddev_samp"), "stddev"),
    **dict.fromkeys(("var", "var_samp"), "variance"),
    "nunique": "count_distinct",
}
_OWN_METRICS = ("count", "count_distinct", "sum", "mean", "min", "max", "median", "stddev", "variance", "quantile")
_FUNCTIONS = {
    **dict.fromkeys(("coalesce", "ifnull", "nvl"), "A missing value is found by IS NULL: x = 0 OR x IS NULL."),
    **dict.fromkeys(("left", "substr", "substring"), "How a text begins is told by starts_with(x, 'a'), or LIKE 'a%'."),
    "right": "How a text ends is told by ends_with(x, 'a'), or LIKE '%a'.",
    **dict.fromkeys(("power", "pow"), f"A power is written {_POWER}."),
    "sqrt": "A root is written x ^ 0.5.",
    **dict.fromkeys(("mod", "fmod"), f"A remainder is written {_REMAINDER}."),
    **dict.fromkeys(("isnull", "is_null", "isna"), "A missing value is found by x IS NULL."),
    **dict.fromkeys(("isnotnull", "is_not_null", "notnull", "notna"), "What is not missing is found by x IS NOT NULL."),
    **dict.fromkeys(_NOW, _TODAY),
    **dict.fromkeys(("strptime", "try_strptime", "to_date", "str_to_date", "to_timestamp"), _FORMS_OF_DATES),
    **{
        name: f"A filter looks at one row at a time; aggregate reckons with many: aggregate?metrics={called}."
        for name, metric in (*_METRICS.items(), *((own, own) for own in _OWN_METRICS))
        for called in [{"count": "count()", "quantile": "quantile(x, 0.9)"}.get(metric, f"{metric}(x)")]
    },
}
_COMMENT = re.compile(r"--(?:\s|$)")
_PLAIN = re.compile(r"(?!\d)\w+")


def spelling(text: str, position: int, names: Iterable[str] = ()) -> str:
    """What to write in the place of what is found there, after a colon; empty where nobody can tell.

    names: of the columns, of which one may stand there without its quotes.
    """
    around = max((name for name in names if _stands_around(name, text, position)), key=len, default="")
    if around:
        name = around.replace('"', '""')
        return f': a name with blanks or other signs stands in double quotes: "{name}"'
    before = text[:position].rstrip()
    found = (said for left, right, said in _SPELLINGS if right.match(text, position) and left.search(before))
    return next((f": {said}" for said in found), "")


def function_spelling(name: str) -> str:
    """A sentence on what to write in the place of another language's function; empty where nobody can tell."""
    return _FUNCTIONS.get(name.lower(), "")


def metric_spelling(name: str) -> str:
    """What a metric of another language is called here, as a sentence behind a blank; else nothing."""
    called = _METRICS.get(name.lower())
    return f" {name} is called {called} here." if called else ""


def column_spelling(name: str) -> str:
    """The same of what is written behind a column's name, around it, or in its place."""
    if "::" in name:
        return f" In a filter, {_CAST}."
    return f" {_TODAY}" if name.lower() in _NOW else ""


def comment_at(text: str, position: int) -> str:
    """What to say, after a colon, where a comment of SQL begins; `--` before a term is two minus signs."""
    return f": {_NO_COMMENT}" if _COMMENT.match(text, position) else ""


def _stands_around(name: str, text: str, position: int) -> bool:
    """Whether a name that needs quotes stands at the position without them, whatever the case."""
    if _PLAIN.fullmatch(name):
        return False
    return name.lower() in text[max(0, position - len(name) + 1) : position + len(name)].lower()
