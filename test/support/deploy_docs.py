"""docs/deploy.md as tests run it: the commands that edit the files, and the files that it shows."""

import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


def edits(word: str) -> list[str]:
    """The commands of the page that edit the files and name this."""
    return [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("sed ") and word in line]


def edit(folder: Path, word: str, own: dict[str, str]) -> None:
    """Run these commands where ``folder`` holds ``kubernetes/``. own: what to write for which of the page's names."""
    commands = edits(word)
    assert commands, f"docs/deploy.md has no command with {word}"
    for name, ours in own.items():
        assert any(name in command for command in commands), f"no command of docs/deploy.md with {word} names {name}"
        commands = [command.replace(name, ours) for command in commands]
    subprocess.run("\n".join(["set -e", *commands]), shell=True, check=True, cwd=folder)
    for left in (folder / "kubernetes").rglob("*.bak"):
        left.unlink()


def shown(kind: str) -> str:
    """The one file of a kind that the page shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (only,) = [block for block in blocks if f"\nkind: {kind}\n" in block]
    return str(only)
