"""What people say about a data set: texts that a JSON merge patch (RFC 7396) changes. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gristmill.errors import Fault, InvalidRequestError, first_faults, pointer_part
from gristmill.near_names import Hints

# Longest texts, in characters.
TEXTS = {"title": 200, "description": 10_000, "licence": 500, "source": 2_000}
COLUMN_TEXTS = {"description": 2_000, "unit": 100}
MOST_BYTES = 2**20
"""Of all that is said about a data set, in UTF-8, with the names of its columns."""
_MARKS = {"description": "d ", "unit": "u "}


@dataclass(frozen=True, slots=True)
class ColumnText:
    """What is said about a column."""

    description: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """What is said about a data set; "" where nothing is. ``columns`` may name some that the newest version lacks."""

    title: str = ""
    description: str = ""
    licence: str = ""
    source: str = ""
    columns: Mapping[str, ColumnText] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """A merge patch as changes of a flat table of texts with the keys ``title`` ..., ``d <column>``, ``u <column>``."""

    set: dict[str, str] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    drop_columns: bool = False
    """Before all else, drop what is said about any column."""


def changes_of(patch: object, columns: Collection[str]) -> Changes:
    """Read a merge patch. Raises InvalidRequestError, with all that is wrong with it.

    columns: names of the columns that something can be said about. To take something back is possible for any.
    """
    if not isinstance(patch, dict):
        raise InvalidRequestError("A description is changed by a JSON object (a merge patch, RFC 7396).")
    changes = Changes()
    faults = first_faults(_add_all(changes, patch, dict.fromkeys(columns), Hints()), "")
    if faults:
        first = f"{faults[0].pointer} {faults[0].detail}"
        end = "" if first.endswith("?") else "."
        raise InvalidRequestError(f"The description cannot be changed like that: {first}{end}", faults=faults)
    return changes


def description_of(fields: Iterable[tuple[str, str]]) -> Description:
    """The description that a flat table of texts means."""
    texts: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    words = {mark: word for word, mark in _MARKS.items()}
    for name, text in fields:
        if name in TEXTS:
            texts[name] = text
        else:
            columns.setdefault(name[2:], {})[words[name[:2]]] = text
    return Description(**texts, columns={name: ColumnText(**its) for name, its in columns.items()})


def _add_all(changes: Changes, patch: Mapping[str, Any], columns: Collection[str], hints: Hints) -> Iterator[Fault]:
    for member, value in patch.items():
        if member == "columns":
            yield from _add_columns(changes, value, columns, hints)
        elif member in TEXTS:
            yield from _add(changes, member, value, TEXTS[member], f"/{pointer_part(member)}")
        else:
            yield _unknown(member, "", [*TEXTS, "columns"], hints)


def _add_columns(changes: Changes, patch: Any, columns: Collection[str], hints: Hints) -> Iterator[Fault]:
    if patch is None:
        changes.drop_columns = True
        return
    if not isinstance(patch, dict):
        yield Fault(
            "/columns", 'must be an object with the columns as members, such as {"height": {"unit": "m"}}, or null'
        )
        return
    for column, texts in patch.items():
        pointer = f"/columns/{pointer_part(column)}"
        if texts is None:
            changes.drop += [mark + column for mark in _MARKS.values()]
        elif column not in columns:
            yield _unknown(column, "/columns", columns, hints)
        elif not isinstance(texts, dict):
            yield Fault(pointer, "must be an object with description and unit, or null")
        else:
            for member, value in texts.items():
                if member in COLUMN_TEXTS:
                    key, longest = _MARKS[member] + column, COLUMN_TEXTS[member]
                    yield from _add(changes, key, value, longest, f"{pointer}/{pointer_part(member)}")
                else:
                    yield _unknown(member, pointer, COLUMN_TEXTS, hints)


def _add(changes: Changes, key: str, value: Any, longest: int, pointer: str) -> list[Fault]:
    if value is None:
        changes.drop.append(key)
    elif not isinstance(value, str):
        return [Fault(pointer, "must be a text or null")]
    elif len(value) > longest:
        return [Fault(pointer, f"has {len(value)} characters; at most {longest} are kept")]
    elif any("\ud800" <= letter <= "\udfff" for letter in value):
        return [Fault(pointer, "has half a surrogate pair in it, which is no character")]
    else:
        changes.set[key] = value
    return []


def _unknown(member: str, pointer: str, known: Collection[str], hints: Hints) -> Fault:
    return Fault(f"{pointer}/{pointer_part(member)}", f"there is no {member[:100]!r} here{hints.hint(member, known)}")
