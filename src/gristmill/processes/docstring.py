"""Reads a docstring: title, description, and what it says of each parameter and attribute (Google or NumPy style)."""

import inspect
import re
from dataclasses import dataclass, field

_PARAMETERS = {"args", "arguments", "parameters", "params"}
_SECTIONS = _PARAMETERS | {"attributes", "fields", "outputs"}
_OTHERS = {"returns", "return", "raises", "yields", "example", "examples", "note", "notes", "see also", "references"}
_NAMES = r"(\**\w+(?:\s*,\s*\**\w+)*)"  # several share a type and a description
_GOOGLE_ITEM = re.compile(_NAMES + r"\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_ITEM = re.compile(_NAMES + r"\s*(?::.*)?")
_REMARKS = {"Note", "Notes", "Warning", "Example", "Examples", "Tip", "Hint", "Todo", "TODO", "Default", "Defaults"}


@dataclass(slots=True)
class Docstring:
    """The parts of a docstring; ``items`` maps the name of a parameter or attribute to its description.

    parameters: those of the names that stand for parameters.
    """

    title: str = ""
    description: str = ""
    items: dict[str, str] = field(default_factory=dict)
    parameters: list[str] = field(default_factory=list)


def parse_docstring(text: str | None) -> Docstring:
    """Read a docstring; what is no known section belongs to the description."""
    lines = inspect.cleandoc(text or "").splitlines()
    parsed = Docstring(title=lines[0].strip().rstrip(".") if lines else "")
    prose: list[str] = []
    index = 1
    while index < len(lines):
        heading = lines[index].strip().rstrip(":").lower()
        underlined = index + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[index + 1]) is not None
        starts_google = lines[index].strip().endswith(":") and not lines[index].startswith(" ")
        if heading in _SECTIONS | _OTHERS and (underlined or starts_google):
            body, index = _section(lines, index + (2 if underlined else 1), indented=not underlined)
            if heading in _SECTIONS:
                items = _items(body, _NUMPY_ITEM if underlined else _GOOGLE_ITEM)
                parsed.items |= items
                parsed.parameters += items if heading in _PARAMETERS else ()
        else:
            prose.append(lines[index])
            index += 1
    parsed.description = "\n".join(prose).strip()
    return parsed


def _section(lines: list[str], start: int, *, indented: bool) -> tuple[list[str], int]:
    """Return the lines of a section, and where the text goes on."""
    end = start
    while end < len(lines):
        line = lines[end]
        underlined = end + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[end + 1]) is not None
        if (indented and line.strip() and not line.startswith(" ")) or (not indented and underlined):
            break
        end += 1
    return inspect.cleandoc("\n" + "\n".join(lines[start:end])).splitlines(), end


def _items(lines: list[str], head: re.Pattern[str]) -> dict[str, str]:
    """The descriptions by name; a remark among them belongs to the one before it."""
    items: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        found = head.fullmatch(line) if line and not line.startswith(" ") else None
        if found and found[1] not in _REMARKS:
            current = [found[2]] if found.lastindex and found.lastindex > 1 else []
            items |= dict.fromkeys(re.findall(r"\w+", found[1]), current)
        elif current is not None:
            current.append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in items.items()}
