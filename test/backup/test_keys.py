"""No key is forgotten by a backup."""

import re
from importlib.resources import files
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"


def keys_of(library: str) -> set[str]:
    """The keys in the table at the top of a library."""
    text = files("gristmill").joinpath(library).read_text("utf-8")
    _, _, table = text.partition("\nkey  ")
    lines = table.partition("\n\n")[0].splitlines()[1:]
    return {line.split()[0] for line in lines if line.startswith(":")}


def test_every_key_is_copied_made_anew_or_left_behind() -> None:
    table = PAGE.read_text("utf-8").partition("### Key by key")[2].partition("\n## ")[0]
    said = {word.replace("\\|", "|") for word in re.findall(r"`(:[^`]+)`", table)}
    known = keys_of("jobs.lua") | keys_of("datasets/datasets.lua")
    assert len(known) > 40
    assert said == known
