"""Write the generated parts of the documentation: docs/settings.md, and the bench table in README.md.

``make docs`` runs it; tools/check_docs.py fails when its output is not what stands in the repository.
"""

from pathlib import Path

from gristmill.settings_table import Row, rows

REPOSITORY = Path(__file__).parents[1]
BENCH_BEGIN = "<!-- bench: written by `make docs` from bench/results/latest.md -->"
BENCH_END = "<!-- bench end -->"
NO_BENCH = "Not measured yet: `make bench` measures here, and `make docs` puts the table in this place."

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


def readme(current: str, results: Path = REPOSITORY / "bench" / "results" / "latest.md") -> str:
    """README.md with the latest bench table between its two marks."""
    before, _, rest = current.partition(BENCH_BEGIN)
    _, _, after = rest.partition(BENCH_END)
    table = results.read_text(encoding="utf-8").strip() if results.exists() else NO_BENCH
    return f"{before}{BENCH_BEGIN}\n{table}\n{BENCH_END}{after}"


def pages() -> dict[Path, str]:
    """What each generated file must hold."""
    front = REPOSITORY / "README.md"
    return {
        REPOSITORY / "docs" / "settings.md": settings_page(),
        front: readme(front.read_text(encoding="utf-8")),
    }


def _line(row: Row) -> str:
    meaning = row.help.replace("|", "\\|")
    if row.choices:
        meaning += f" One of: {', '.join(f'`{choice}`' for choice in row.choices)}."
    default = f"`{row.default}`" if row.default else "(empty)"
    return f"| `{row.variable}` | {default} | {row.unit} | {meaning} |\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
