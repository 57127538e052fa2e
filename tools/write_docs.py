"""Write the generated parts of the documentation: docs/settings.md, the modules in docs/architecture.md, the checks in
docs/verify.md, and the tables of the bench in docs/speed.md.

``make docs`` runs it; tools/check_docs.py fails when its output is not what stands in the repository.
"""

import ast
from pathlib import Path

from gristmill.settings_table import Row, rows
from gristmill.verify.catalogue import as_markdown

REPOSITORY = Path(__file__).parents[1]
BENCH_BEGIN = "<!-- bench: written by `make docs` from bench/results/latest.md -->"
BENCH_END = "<!-- bench end -->"
NO_BENCH = "Not measured yet: `make bench` measures here, and `make docs` puts the tables in this place."

MODULES_BEGIN = "<!-- modules: written by `make docs` from their docstrings -->"
MODULES_END = "<!-- modules end -->"
CHECKS_BEGIN = "<!-- checks: written by `make docs` from src/gristmill/verify/checks -->"
CHECKS_END = "<!-- checks end -->"
# Every module outside api/ and processes/ stands in one of these parts; a new one is placed here.
PARTS = {
    "The engine": "job jobs records library wire store connection credentials hub rate",
    "The worker": "worker children template child job_data slots link watch limits workplace workfolder clearing",
    "The server": "flask_api server prefork bridge exchange request_body threads streams presence",
    "Beside requests": "background callbacks readiness",
    "Health checks": "probe heartbeats running",
    "Shared": "errors settings settings_table logs fetch tokens words near_names",
    "The command line": "cli cli_jobs cli_support console doctor up supervisor embedded append_only lifeline demo",
    "Secrets": "cluster_secrets certificates",
}
FOLDERS = (
    ("The API", "api"),
    ("Processes", "processes"),
    ("Data sets", "datasets"),
    ("Backups", "backup"),
    ("The acceptance run", "verify"),
    ("Its checks", "verify/checks"),
)

SETTINGS_HEAD = """# Settings

Every setting is an environment variable, read once at the start. `gristmill settings` prints this table with the
values in force; `gristmill doctor` names variables that are set but that no setting has.

Lists are separated by commas; an empty variable counts as not set. This page is written by `make docs` from
`src/gristmill/settings.py`.

| variable | default | unit | meaning |
| --- | --- | --- | --- |
"""


def settings_page() -> str:
    """The whole of docs/settings.md."""
    return SETTINGS_HEAD + "".join(_line(row) for row in rows())


def speed_page(current: str, results: Path = REPOSITORY / "bench" / "results" / "latest.md") -> str:
    """docs/speed.md with the latest tables of the bench between its two marks."""
    before, _, rest = current.partition(BENCH_BEGIN)
    _, _, after = rest.partition(BENCH_END)
    table = results.read_text(encoding="utf-8").strip() if results.exists() else NO_BENCH
    return f"{before}{BENCH_BEGIN}\n{table}\n{BENCH_END}{after}"


def architecture(current: str, package: Path = REPOSITORY / "src" / "gristmill") -> str:
    """docs/architecture.md with the list of modules between its two marks. Raises SystemExit for one that is gone."""
    gone = [name for names in PARTS.values() for name in names.split() if not (package / f"{name}.py").exists()]
    if gone:
        raise SystemExit(f"PARTS in tools/write_docs.py names modules that are not there: {', '.join(gone)}")
    before, _, rest = current.partition(MODULES_BEGIN)
    _, _, after = rest.partition(MODULES_END)
    tables = [
        _modules(title, [package / f"{name}.py" for name in names.split()], package) for title, names in PARTS.items()
    ]
    for title, folder in FOLDERS:
        found = sorted(path for path in (package / folder).glob("*.py") if path.name != "__init__.py")
        tables.append(_modules(title, found, package))
    return f"{before}{MODULES_BEGIN}\n{chr(10).join(tables)}{MODULES_END}{after}"


def verify_page(current: str) -> str:
    """docs/verify.md with the tables of checks between its two marks."""
    before, _, rest = current.partition(CHECKS_BEGIN)
    _, _, after = rest.partition(CHECKS_END)
    return f"{before}{CHECKS_BEGIN}\n{as_markdown()}{CHECKS_END}{after}"


def unplaced(package: Path = REPOSITORY / "src" / "gristmill") -> list[str]:
    """Modules that stand in none of the PARTS."""
    placed = {name for names in PARTS.values() for name in names.split()} | {"__init__", "__main__"}
    return sorted({path.stem for path in package.glob("*.py")} - placed)


def pages() -> dict[Path, str]:
    """What each generated file must hold."""
    speed = REPOSITORY / "docs" / "speed.md"
    modules = REPOSITORY / "docs" / "architecture.md"
    checks = REPOSITORY / "docs" / "verify.md"
    return {
        REPOSITORY / "docs" / "settings.md": settings_page(),
        modules: architecture(modules.read_text(encoding="utf-8")),
        checks: verify_page(checks.read_text(encoding="utf-8")),
        speed: speed_page(speed.read_text(encoding="utf-8")),
    }


def _modules(title: str, paths: list[Path], package: Path) -> str:
    lines = []
    for path in paths:
        about = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        name = path.relative_to(package).as_posix()
        lines.append(f"| `{name}` | {' '.join(about.split()).replace('``', '`').replace('|', chr(92) + '|')} |\n")
    return f"### {title}\n\n| module | what it is |\n| --- | --- |\n{''.join(lines)}"


def _line(row: Row) -> str:
    meaning = row.help.replace("|", "\\|")
    if row.choices:
        meaning += f" One of: {', '.join(f'`{choice}`' for choice in row.choices)}."
    default = f"`{row.default}`" if row.default else "(empty)"
    return f"| `{row.variable}` | {default} | {row.unit} | {meaning} |\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
