"""Names that come near to a mistyped one, found in little time however many and however long the names are."""

import difflib
from collections.abc import Collection
from heapq import nsmallest

_END = 16  # letters of a name, at its begin and at its end
_COMPARED = 200  # names at most, those of about the same length: a slip changes it by little
_HINTS = 5


def near(name: str, names: Collection[str], most: int = 3, *, likeness: float = 0.6) -> list[str]:
    """The names that are most alike, the best first; only those that are the same but for case where there are any.

    likeness: the least that counts, from 0 to 1 (``difflib``'s ratio). Of long names, both ends are compared, and of
    many, those of about the same length.
    """
    same = [one for one in names if len(one) == len(name) and one.lower() == name.lower()]
    if same:
        return same[:most]
    compared: dict[str, str] = {}
    for one in nsmallest(_COMPARED, names, key=lambda one: abs(len(one) - len(name))):
        compared.setdefault(_ends(one), one)
    return [compared[ends] for ends in difflib.get_close_matches(_ends(name), compared, most, likeness)]


def _ends(name: str) -> str:
    return (name[:_END] + name[_END:][-_END:]).lower()


class Hints:
    """Hints for the first few mistyped names of one request: a request can hold a million of them."""

    def __init__(self) -> None:
        self._left = _HINTS

    def hint(self, name: str, names: Collection[str]) -> str:
        """The end of a message that says there is no such name: which one may be meant, or nothing."""
        if not self._left:
            return ""
        self._left -= 1
        found = near(name, names, 1)
        return f"; did you mean {found[0]!r}?" if found else ""
