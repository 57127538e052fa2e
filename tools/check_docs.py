"""Check that the documentation and the code name the same things; exit code 1 with a line for each difference.

Every route, command, setting and Make target stands in the docs; what the docs name exists: links, tests, commands,
targets; and the generated pages are current.
"""

import ast
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import typer
from write_docs import pages, unplaced

from gristmill.cli import app as command_line
from gristmill.flask_api import create_app
from gristmill.settings import Settings
from gristmill.settings_table import CLIENT_VARIABLES, rows

REPOSITORY = Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"`(test_[A-Za-z0-9_]+)`")
COMMAND = re.compile(r"(?<!from )\bgristmill ((?:[a-z]+)(?: [a-z]+)?)")
TARGET = re.compile(r"\bmake ([a-z][a-z0-9-]*)\b")
EXTERNAL = ("http:", "https:", "mailto:")


def markdown_files() -> list[Path]:
    """All pages of ours."""
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def code_in(text: str) -> str:
    """What a page shows as code: fenced blocks and spans between backquotes."""
    return "\n".join([*FENCED.findall(text), *re.findall(r"`([^`\n]+)`", FENCED.sub("", text))])


def anchor(heading: str) -> str:
    """The fragment by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")


def stale_pages() -> Iterator[str]:
    """Generated pages that are not what the code would write."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(REPOSITORY)} is not current: run `make docs`"


def unplaced_modules() -> Iterator[str]:
    """Modules that docs/architecture.md does not show."""
    for name in unplaced():
        yield f"src/gristmill/{name}.py stands in no part of docs/architecture.md: see PARTS in tools/write_docs.py"


def broken_links() -> Iterator[str]:
    """Relative links whose file or heading does not exist."""
    for page in markdown_files():
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        for link in LINK.findall(text):
            if link.startswith(EXTERNAL):
                continue
            name, _, fragment = unquote(link).partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists():
                yield f"{page.relative_to(REPOSITORY)}: {link} leads nowhere"
            elif fragment and target.suffix == ".md":
                headings = map(anchor, HEADING.findall(FENCED.sub("", target.read_text(encoding="utf-8"))))
                if fragment not in set(headings):
                    yield f"{page.relative_to(REPOSITORY)}: {link} names a heading that is not there"


def defined_tests() -> set[str]:
    """Names of all test functions, and of the test files without their ending."""
    names: set[str] = set()
    for path in (REPOSITORY / "test").rglob("test_*.py"):
        names.add(path.stem)
        names.update(
            node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        )
    return names


def missing_tests(existing: set[str]) -> Iterator[str]:
    """Tests that a page names and that do not exist, and promises that name none."""
    for page in markdown_files():
        for name in TEST.findall(page.read_text(encoding="utf-8")):
            if name not in existing:
                yield f"{page.relative_to(REPOSITORY)}: there is no test {name}"
    for line in (REPOSITORY / "docs" / "promises.md").read_text(encoding="utf-8").splitlines():
        if re.match(r"\| [^|]+ \|", line) and not line.startswith(("| promise", "| ---")) and not TEST.search(line):
            yield f"docs/promises.md: no test stands behind: {line.split('|')[1].strip()}"


def commands() -> dict[str, Any]:
    """Every command, such as ``jobs list``, with its parameters."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for part, inner in command.commands.items():
                walk(inner, f"{name} {part}".strip())
        else:
            found[name] = command

    walk(typer.main.get_command(command_line), "")
    return found


def undocumented_commands(text: str) -> Iterator[str]:
    """Commands and options that no page names; commands that pages name and that do not exist."""
    known = commands()
    code = code_in(text)
    for name, command in known.items():
        if not re.search(rf"\bgristmill {name}\b", code):
            yield f"the command `gristmill {name}` is not in the docs"
        for parameter in command.params:
            for option in [option for option in parameter.opts if option.startswith("--") and option != "--help"]:
                if option not in code:
                    yield f"the option {option} of `gristmill {name}` is not in the docs"
    groups = {name.split()[0] for name in known}
    for said in COMMAND.findall(code):
        first = said.split()[0]
        if said not in known and first not in known and not (said == first and first in groups):
            yield f"the docs name a command that does not exist: gristmill {said}"


def undocumented_targets(text: str) -> Iterator[str]:
    """Make targets that no page names, and those that pages name and that do not exist."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE))
    said = set(TARGET.findall(code_in(text)))
    yield from (f"the target `make {name}` is not in the docs" for name in sorted(known - said - {"help"}))
    yield from (f"the docs name a target that does not exist: make {name}" for name in sorted(said - known))


def undocumented_routes(text: str) -> Iterator[str]:
    """Routes of the application that no page names; parameters are compared by their place, not by their name."""
    services: Any = SimpleNamespace(settings=Settings(), draining=threading.Event(), release="0", tokens=None)
    shapes = {re.sub(r"\{[^}]*\}", "{}", word) for word in re.findall(r"/[\w{}/.-]*", code_in(text))}
    for rule in create_app(services).url_map.iter_rules():
        if re.sub(r"<[^>]*>", "{}", rule.rule) not in shapes:
            yield f"the route {rule.rule} is not in the docs"


def undocumented_settings(text: str) -> Iterator[str]:
    """Settings that no page names, and variables that pages name and that neither a setting nor a command has."""
    known = {row.variable for row in rows()}
    said = set(re.findall(r"\b(GRISTMILL_[A-Z_]*[A-Z]|REDIS_URL)\b", text))
    yield from (f"the setting {name} is not in the docs" for name in sorted(known - said))
    yield from (
        f"the docs name a setting that does not exist: {name}" for name in sorted(said - known - set(CLIENT_VARIABLES))
    )


def differences() -> Iterator[str]:
    """Everything that is wrong, one line each."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in markdown_files())
    yield from stale_pages()
    yield from unplaced_modules()
    yield from broken_links()
    yield from missing_tests(defined_tests())
    yield from undocumented_commands(text)
    yield from undocumented_targets(text)
    yield from undocumented_routes(text)
    yield from undocumented_settings(text)


def main() -> int:
    """Print the differences; 1 when there is any."""
    found = list(differences())
    for line in found:
        print(line)  # noqa: T201
    print(f"{len(markdown_files())} pages checked, {len(found)} differences")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
