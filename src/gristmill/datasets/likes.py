"""LIKE as SQL that goes through a text once, however long the pattern.

DuckDB does so without `_` and ESCAPE; with them, it tries the pattern anew at every character, and looks at a time
limit only after 2,048 texts of a megabyte each, perhaps.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from gristmill.datasets.cql import fault
from gristmill.datasets.terms import Term, joined

SWAP_WEIGHT = 10  # letter by letter, and of letters beyond ASCII slower
TRIED_WEIGHT = 2  # of each character behind the first % of a pattern with _: all may be looked at for each of a text
_CHARACTER = re.compile(r"\\?.", re.DOTALL)
_PRIVATE = range(0xE000, 0xF900)  # no function changes these letters, and no filter has room for all of them


def like(text: Term, pattern: Term) -> Term:
    """The condition that a text is like a pattern. Raises InvalidFilterError."""
    written = pattern.made_of
    if written is None:
        raise fault(
            "Behind LIKE stands a text in single quotes, as it is or in casei, accenti, lower or upper, and not "
            f"{pattern.called()}: contains(x, y), starts_with and ends_with take any."
        )
    if (len(written) - len(written.rstrip("\\"))) % 2:
        raise fault("A LIKE pattern ends in a backslash that makes nothing plain; write two of them.")
    characters = _CHARACTER.findall(written)
    if "_" in characters:
        behind = len(characters) - characters.index("%") - 1 if "%" in characters else 0
        return joined(r"({} LIKE {} ESCAPE '\')", "boolean", [text, pattern], 1 + TRIED_WEIGHT * behind)
    return _like_pieces(text, pattern, _pieces(characters))


def _pieces(characters: Sequence[str]) -> list[str]:
    """The plain texts before, between and behind the wildcards `%`."""
    pieces = [""]
    for character in characters:
        if character == "%":
            pieces.append("")
        else:
            pieces[-1] += character[-1]
    return pieces


def _like_pieces(text: Term, pattern: Term, pieces: Sequence[str]) -> Term:
    match pieces:
        case [whole]:
            sql, value = "({} = {})", whole
        case [start, ""]:
            sql, value = "starts_with({}, {})", start
        case ["", end]:
            sql, value = "ends_with({}, {})", end
        case ["", inner, ""]:
            sql, value = "contains({}, {})", inner
        case _:
            sql, value = "({} LIKE {})", "%".join(pieces)
            if any("%" in piece or "_" in piece for piece in pieces):
                # In text and pattern, the plain ones change places with letters that the pattern has not.
                others = "".join([one for one in map(chr, _PRIVATE) if one not in value][:2])
                swapped = str.maketrans("%_", others)
                value = "%".join(piece.translate(swapped) for piece in pieces)
                text = joined(f"translate({{}}, '%_{others}', '{others}%_')", "text", [text], SWAP_WEIGHT)
    return joined(sql, "boolean", [text, replace(pattern, values=(value,))], 1)
