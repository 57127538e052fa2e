"""CQL2 text to its tree, whatever the text is: bounded before it is parsed, literals kept exactly.

The `cql2` parser ends its process on deep nesting and reads every number as a double. So a scanner of ours goes first:
it bounds length and nesting, and puts an index in the place of every literal and every name. The parser sees only
keywords, functions, operators and indexes; the tree refers to the table of what was written.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import cql2

from gristmill.datasets.spellings import spelling
from gristmill.errors import Fault, InvalidFilterError

MOST_BYTES = 8_000
MOST_LEVELS = 100
_LARGEST_EXPONENT = 400
_LONGEST_KNOWN = 500  # letters of a filter whose tree is kept: all of them take some megabytes at most
_FIRST_INDEX = 2  # 1 is left to the parser, which writes -x as -1 * x

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)
    |(?P<word>(?!\d)\w[\w.:]*)
    |(?P<sign><=|>=|<>|!=|[-+*/%^=<>(),])""",
    re.VERBOSE,
)
_KEYWORDS = frozenset(["and", "or", "not", "like", "between", "in", "is", "null", "true", "false", "div"])
_COMPARISONS = frozenset(["=", "<>", "!=", "<", ">", "<=", ">=", "like", "in", "between", "is"])
_AFTER_OPERAND = frozenset(["text", "quoted", "number", "name", ")", "null", "true", "false"])


@dataclass(frozen=True, slots=True)
class Name:
    """A column, as the filter names it."""

    name: str


Written = Decimal | str | Name


@dataclass(frozen=True, slots=True)
class Parsed:
    """The parser's tree, in which numbers, texts and properties are indexes into what was written."""

    tree: Any
    written: tuple[Written, ...]

    def number(self, index: float) -> Decimal:
        """The number that was written; a negative index is its negative."""
        if index == -1:
            return Decimal(-1)
        value = self._at(int(abs(index)))
        if not isinstance(value, Decimal):
            raise fault("A number is expected here.")
        return value if index > 0 else value.copy_negate()  # which keeps all digits, as minus does not

    def text(self, index: str) -> str:
        """The text that was written."""
        value = self._at(int(index))
        if not isinstance(value, str):
            raise fault("A text is expected here.")
        return value

    def name(self, index: str) -> str:
        """The name that was written."""
        if not index.isdecimal():
            raise fault(f"The keyword {index!r} stands where a column is expected; a column is then in double quotes.")
        value = self._at(int(index))
        if not isinstance(value, Name):
            raise fault("A column is expected here.")
        return value.name

    def _at(self, index: int) -> Written:
        return self.written[index - _FIRST_INDEX]


def fault(detail: str) -> InvalidFilterError:
    """The error of a filter, with its place."""
    return InvalidFilterError(f"The filter is not usable: {detail}", faults=[Fault("filter", detail)])


class _Levels:
    """How deep the parser would recurse, never less: brackets, prefixes in a row, comparisons of comparisons."""

    def __init__(self) -> None:
        self.outer: list[tuple[int, int, int]] = []
        self.prefixes = self.comparisons = self.betweens = 0
        self.above = 0
        self.last = ""

    def take(self, token: str) -> None:
        prefix = self.last not in _AFTER_OPERAND
        if token == "(":  # noqa: S105  a bracket is no password
            self.outer.append((self.prefixes, self.comparisons, self.betweens))
            self.above += 1 + self.prefixes + self.comparisons
            self.prefixes = self.comparisons = self.betweens = 0
        elif token == ")" and self.outer:  # noqa: S105
            self.prefixes, self.comparisons, self.betweens = self.outer.pop()
            self.above -= 1 + self.prefixes + self.comparisons
            self.prefixes = 0
        elif token in {"not", "-", "+"} and prefix:
            self.prefixes += 1
        elif token in _COMPARISONS:
            self.comparisons += 1
            self.prefixes = 0
            self.betweens += token == "between"  # noqa: S105
        elif token == "and" and self.betweens:  # noqa: S105
            self.betweens -= 1
        elif token in {"and", "or", ","}:
            self.comparisons = self.prefixes = 0
        elif token in _AFTER_OPERAND:
            self.prefixes = 0
        self.last = token
        if self.above + self.prefixes + self.comparisons > MOST_LEVELS:
            raise fault(f"It is nested more than {MOST_LEVELS} levels deep.")


def _number(text: str, position: int) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("Infinity")
    if len(text) > 1000 or not value.is_finite() or (value and abs(value.adjusted()) > _LARGEST_EXPONENT):
        raise fault(f"The number at character {position + 1} is too large or too small.")
    return value


def parse(text: str, names: Sequence[str] = ()) -> Parsed:
    """The tree of a filter. Raises InvalidFilterError, which says at what character.

    names: of the columns, by which an error tells what may be meant.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise fault(f"Character {error.start + 1} is half of a surrogate pair.") from error
    if size > MOST_BYTES:
        raise fault(f"It has {size:,} bytes; at most {MOST_BYTES:,} are allowed.")
    if not text.strip():
        raise fault("It is empty. Leave the parameter out to have every row.")
    shown, places, written = _scan(text, names)
    try:
        tree = _known_tree(shown) if len(shown) <= _LONGEST_KNOWN else _tree(shown)
    except (cql2.ParseError, cql2.ValidationError, ValueError, TypeError) as error:
        column = re.search(r"--> 1:(\d+)", str(error))
        position = places[min(int(column[1]) - 1, len(places) - 1)] if column else 0
        rest = text[position : position + 20]
        what = f"near {rest!r}" if rest.strip() else "where it ends"
        raise fault(f"Syntax error at character {position + 1}, {what}{spelling(text, position, names)}.") from error
    return Parsed(tree, tuple(written))


def _tree(shown: str) -> Any:
    return cql2.parse_text(shown).to_json()


# The same filter with other values, as pages and dashboards ask it, is parsed once. A tree is read, never changed.
_known_tree = lru_cache(maxsize=256)(_tree)


def _scan(text: str, names: Sequence[str]) -> tuple[str, list[int], list[Written]]:
    """The text for the parser, the place in the original of each of its characters, and what was written."""
    shown: list[str] = []
    places: list[int] = []
    written: list[Written] = []
    levels = _Levels()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            where = f"at character {position + 1}"
            if text[position] in "'\"":
                raise fault(f"The quote {where} is never closed; one within a text is doubled: 'O''Hare'.")
            said = spelling(text, position, names)
            raise fault(f"The character {text[position]!r} {where} has no meaning in CQL2 text{said}.")
        kind, token = str(match.lastgroup), match[0]
        piece = token
        index = str(len(written) + _FIRST_INDEX)
        if kind == "space":
            piece = " "
        elif kind == "text":
            piece = f"'{index}'"
            written.append(token[1:-1].replace("''", "'"))
        elif kind == "number":
            piece = index
            written.append(_number(token, position))
        elif kind == "quoted":
            piece = f'"{index}"'
            written.append(Name(token[1:-1].replace('""', '"')))
        elif kind == "word" and token.lower() in _KEYWORDS:
            kind = piece = token.lower()
        elif kind == "word" and text[match.end() :].lstrip()[:1] != "(":
            piece, kind = f'"{index}"', "name"
            written.append(Name(token))
        elif kind == "sign":
            kind = token
        if kind == "in" and text[match.end() :].lstrip()[:1] not in {"", "("}:
            raise fault(f"IN at character {position + 1} has no list behind it: write IN ('a', 'b'), with brackets.")
        if kind != "space":
            levels.take(kind)
        shown.append(piece)
        places += [position] * len(piece)
        position = match.end()
    return "".join(shown), [*places, len(text)], written
