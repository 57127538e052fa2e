"""The values of a column that a picture tells apart by colour: the most frequent ones, and the others together."""

from dataclasses import dataclass

from gristmill.processes.dataset import DataSet
from gristmill.processes.workspace import DataColumn

MOST_GROUPS = 8
_NONE, _OTHERS = "(none)", "(others)"


@dataclass(frozen=True, slots=True)
class ColorGroups:
    """The groups, the largest first.

    values: as text, None for the missing one, without those that are taken together. names: of the groups, no two
    alike; with ``has_others``, the last is that of the others.
    """

    values: list[str | None]
    names: list[str]
    has_others: bool

    def place(self, value: str) -> str:
        """The place in ``names`` of the group of a value, both as SQL. It binds ``values``."""
        last = len(self.names) - 1
        missing = self.values.index(None) if None in self.values else last
        found = f"coalesce(list_position(CAST(? AS VARCHAR[]), {value}) - 1, {last})"
        return f"CASE WHEN {value} IS NULL THEN {missing} ELSE {found} END"


def as_text(column: DataColumn) -> str:
    """The values of a column as groups have them, as SQL."""
    return f"CAST({column.sql} AS VARCHAR)"


def color_groups(table: DataSet, value: str, rows: str) -> ColorGroups:
    """The groups of a value, in rows that follow FROM, both as SQL: all values where they are few, else seven."""
    found = table.query(
        f"SELECT {value} FROM {rows} GROUP BY 1 ORDER BY count(*) DESC, 1 NULLS LAST LIMIT {MOST_GROUPS + 1}"
    ).fetchall()
    has_others = len(found) > MOST_GROUPS
    values: list[str | None] = [text for (text,) in found[: MOST_GROUPS - 1 if has_others else None]]
    names = [_free(_NONE, values) if text is None else text for text in values]
    return ColorGroups(values, [*names, _free(_OTHERS, names)] if has_others else names, has_others)


def _free(name: str, taken: list[str | None] | list[str]) -> str:
    while name in taken:
        name = f"({name})"
    return name
