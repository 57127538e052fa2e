"""CQL2 text to its tree, whatever the text is: checked before it is parsed, literals kept exactly.

The `cql2` parser ends its process on deep nesting, takes hours for some wrong texts, and reads numbers as doubles. So a
scanner of ours goes first: it bounds length and nesting, has the grammar checked, and puts an index in the place of
every literal and every name. The parser sees only keywords, operators and indexes; the tree refers to the table of what
was written.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import cql2

from gristmill.datasets.grammar import MOST_LISTS, Token, TooManyListsError, UnexpectedTokenError, check
from gristmill.datasets.spellings import comment_at, spelling
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
_AFTER_OPERAND = frozenset(["text", "number", "name", ")", "null", "true", "false"])


_CALL = re.compile("f([0-9]+)")  # as the parser sees a function


@dataclass(frozen=True, slots=True)
class Name:
    """A column or a function, as the filter names it."""

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
        """The name that was written: of a column."""
        value = self._at(int(index))
        if not isinstance(value, Name):
            raise fault("A column is expected here.")
        return value.name

    def function(self, operation: str) -> str | None:
        """The name of the function that is called; None where the operation is an operator."""
        called = _CALL.fullmatch(operation)
        return self.name(called[1]) if called else None

    def _at(self, index: int) -> Written:
        return self.written[index - _FIRST_INDEX]


def fault(detail: str) -> InvalidFilterError:
    """The error of a filter, with its place."""
    return InvalidFilterError(f"The filter is not usable: {detail}", faults=[Fault("filter", detail)])


def refuse_empty(text: str) -> None:
    """Let a filter pass in which something stands. InvalidFilterError."""
    if not text.strip():
        raise fault("It is empty. Leave the parameter out to have every row.")


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
    refuse_empty(text)
    shown, tokens, written = _scan(text, names)
    try:
        check(tokens)
        tree = _known_tree(shown) if len(shown) <= _LONGEST_KNOWN else _tree(shown)
    except UnexpectedTokenError as error:
        raise _unexpected(text, tokens, error.index, names) from error
    except TooManyListsError as error:
        raise fault(f"Lists stand in each other more than {MOST_LISTS} deep.") from error
    except (cql2.ParseError, cql2.ValidationError, ValueError, TypeError) as error:
        raise fault("It is not understood, though its grammar is right.") from error
    return Parsed(tree, tuple(written))


def _unexpected(text: str, tokens: Sequence[Token], index: int, names: Sequence[str]) -> InvalidFilterError:
    if index == len(tokens):
        return fault(f"Syntax error at character {len(text) + 1}, where it ends.")
    token = tokens[index]
    said = spelling(text, token.start, names)
    is_compared = any(one.kind in _COMPARISONS for one in tokens[index + 1 : index + 2])
    if token.kind in _KEYWORDS and token.kind in map(str.lower, names) and (is_compared or not said):
        said = ": that is a keyword, and a column of this name stands in double quotes"
    near = text[token.start : token.start + 20]
    return fault(f"Syntax error at character {token.start + 1}, near {near!r}{said}.")


def _tree(shown: str) -> Any:
    return cql2.parse_text(shown).to_json()


# The same filter with other values, as pages and dashboards ask it, is parsed once. A tree is read, never changed.
_known_tree = lru_cache(maxsize=256)(_tree)


def _scan(text: str, names: Sequence[str]) -> tuple[str, list[Token], list[Written]]:
    """The text for the parser, its tokens, and what was written."""
    shown: list[str] = []
    tokens: list[Token] = []
    written: list[Written] = []
    levels = _Levels()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _meaningless(text, position, names)
        kind, token = str(match.lastgroup), match[0]
        if said := comment_at(text, position):
            raise fault(f"Syntax error at character {position + 1}, near {text[position : position + 20]!r}{said}.")
        piece = token
        index = str(len(written) + _FIRST_INDEX)
        is_call = kind in {"word", "quoted"} and text[match.end() :].lstrip()[:1] == "("
        if kind == "space":
            piece = " "
        elif kind == "text":
            piece = f"'{index}'"
            written.append(token[1:-1].replace("''", "'"))
        elif kind == "number":
            piece = index
            written.append(_number(token, position))
        elif kind == "word" and token.lower() in _KEYWORDS:
            kind = piece = token.lower()
        elif is_call:
            piece, kind = f"f{index}", "function"
            written.append(Name(token))
        elif kind in {"word", "quoted"}:
            piece = f'"{index}"'
            written.append(Name(token if kind == "word" else token[1:-1].replace('""', '"')))
            kind = "name"
        elif kind == "sign":
            kind = token
        if kind != "space":
            levels.take(kind)
            tokens.append(Token(kind, position, match.end()))
        shown.append(piece)
        position = match.end()
    return "".join(shown), tokens, written


def _meaningless(text: str, position: int, names: Sequence[str]) -> InvalidFilterError:
    where = f"at character {position + 1}"
    if text[position] in "'\"":
        return fault(f"The quote {where} is never closed; one within a text is doubled: 'O''Hare'.")
    said = spelling(text, position, names)
    return fault(f"The character {text[position]!r} {where} has no meaning in CQL2 text{said}.")
