"""Whether the tokens of a filter are an expression of CQL2 text, in one pass over them.

The `cql2` parser tries a bracket that does not parse in another way, and another one within it again: text that is
wrong, and lists in lists, take it twice as long with every level, for hours with forty. It is given only what is right.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass

MOST_LISTS = 4
"""Lists within each other: the parser reads what stands in a list twice."""

_ARITHMETIC = frozenset(["+", "-", "*", "/", "%", "^", "div"])
_OPERATORS = _ARITHMETIC | {"and", "or", "=", "<>", "!=", "<", "<=", ">", ">=", "like", "in"}
_VALUES = frozenset(["text", "number", "name", "null", "true", "false"])
_NEGATED = frozenset(["like", "in"])
_NOT = frozenset(["not"])
_SIGNS = frozenset(["+", "-"])


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter. kind: text, number, name, function, a keyword or a sign. start, end: its place."""

    kind: str
    start: int
    end: int


class UnexpectedTokenError(Exception):
    """A token stands where none or another one belongs. index: which; the number of all of them for the end."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class TooManyListsError(Exception):
    """Lists stand in lists, deeper than the parser reads in good time."""


def check(tokens: Sequence[Token]) -> None:
    """Raises UnexpectedTokenError, TooManyListsError. Brackets must not be nested deeper than Python can recurse."""
    reader = _Reader(tokens)
    reader.expression()
    if reader.kind():
        raise UnexpectedTokenError(reader.index)


class _Reader:
    """Each method that reads returns how deep lists stand in each other there."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.index = 0

    def kind(self, ahead: int = 0) -> str:
        """The kind of the next token; empty at the end."""
        place = self.index + ahead
        return self.tokens[place].kind if place < len(self.tokens) else ""

    def take(self, kinds: Container[str]) -> bool:
        """Go on where the next token is one of these."""
        is_one = self.kind() in kinds
        self.index += is_one
        return is_one

    def expect(self, kinds: Container[str]) -> None:
        """Raises UnexpectedTokenError where the next token is none of these."""
        if not self.take(kinds):
            raise UnexpectedTokenError(self.index)

    def expression(self) -> int:
        """Operands with operators between them."""
        lists = 0
        while True:
            self.signs()
            while self.take(_NOT):
                pass
            self.own_sign()
            lists = max(lists, self.operand(), self.after_operand())
            if self.kind() == "not" and self.kind(1) in _NEGATED:
                self.index += 1
            if self.kind() == "in" and self.kind(1) != "(":
                raise UnexpectedTokenError(self.index + 1)
            if not self.take(_OPERATORS):
                return lists

    def after_operand(self) -> int:
        """IS NULL, or BETWEEN and its ends."""
        if self.take({"is"}):
            self.take(_NOT)
            self.expect({"null"})
        elif self.kind() == "between" or (self.kind() == "not" and self.kind(1) == "between"):
            self.take(_NOT)
            self.take({"between"})
            low = self.arithmetic()
            self.expect({"and"})
            return max(low, self.arithmetic())
        return 0

    def arithmetic(self) -> int:
        """An end of BETWEEN."""
        lists = 0
        while True:
            self.signs()
            lists = max(lists, self.operand())
            if not self.take(_ARITHMETIC):
                return lists

    def signs(self) -> None:
        """Minus any number of times, and a number's own sign."""
        while self.take({"-"}):
            pass
        self.own_sign()

    def own_sign(self) -> None:
        """A sign that touches the number behind it."""
        if self.kind() in _SIGNS and self.kind(1) == "number":
            sign, number = self.tokens[self.index : self.index + 2]
            self.index += sign.end == number.start

    def operand(self) -> int:
        """A value, a call, or what stands in brackets: an expression, or several as a list."""
        if self.take(_VALUES):
            return 0
        if self.take({"function"}):
            self.expect({"("})
            return 0 if self.take({")"}) else self.several()
        self.expect({"("})
        lists = self.expression()
        if self.take({","}):
            lists = 1 + max(lists, self.several())
            if lists > MOST_LISTS:
                raise TooManyListsError
        else:
            self.expect({")"})
        return lists

    def several(self) -> int:
        """Expressions with commas between them, and the closing bracket."""
        lists = self.expression()
        while self.take({","}):
            lists = max(lists, self.expression())
        self.expect({")"})
        return lists
