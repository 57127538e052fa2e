"""The modules import each other as docs/architecture.md says."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import gristmill

PACKAGE = Path(gristmill.__file__).parent
PATHS = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def _imports(path: Path) -> set[str]:
    """What a module imports when it is loaded or run; not what only its types name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & PATHS.keys() or {node.module}
    return found


IMPORTS = {name: _imports(path) for name, path in PATHS.items()}


def _importers_of(package: str) -> set[str]:
    def is_in(name: str) -> bool:
        return f"{name}.".startswith(f"{package}.")

    return {
        name.removeprefix("gristmill.") for name, found in IMPORTS.items() if not is_in(name) and any(map(is_in, found))
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: found & PATHS.keys() for name, found in IMPORTS.items()}).prepare()


def test_flask_is_known_to_the_api_alone() -> None:
    assert {name for name in _importers_of("flask") if not name.startswith("api.")} == {"flask_api"}
    assert _importers_of("gristmill.api") == {"flask_api", "callbacks"}


def test_processes_know_neither_redis_nor_flask_nor_the_engine() -> None:
    used = set().union(*(found for name, found in IMPORTS.items() if name.startswith("gristmill.processes")))

    assert not {one for one in used if one.startswith(("flask", "redis"))}
    ours = {one.removeprefix("gristmill.") for one in used & PATHS.keys()}
    assert {one for one in ours if not one.startswith("processes")} == {
        "errors", "fetch", "job", "limits", "words",
        "datasets.columns", "datasets.damage", "datasets.dataset", "datasets.descriptions",
        "datasets.first_lines", "datasets.floats", "datasets.inference", "datasets.json_numbers",
        "datasets.json_objects",
        "datasets.local_forms",
        "datasets.mapping", "datasets.mistaken", "datasets.nameless", "datasets.nesting", "datasets.options",
        "datasets.queries", "datasets.texts",
    }  # fmt: skip


def test_the_acceptance_run_knows_nothing_but_the_api_and_a_client_of_it() -> None:
    used = set().union(*(found for name, found in IMPORTS.items() if f"{name}.".startswith("gristmill.verify.")))

    ours = {one for one in used if one.partition(".")[0] == "gristmill" and not one.startswith("gristmill.verify")}
    assert ours == {"gristmill"}  # the version
    others = {one.partition(".")[0] for one in used} - set(sys.stdlib_module_names) - {"gristmill"}
    assert others == {"httpx", "rich"}
    assert _importers_of("gristmill.verify") == {"cli"}


def test_the_way_down_to_redis_is_one() -> None:
    assert _importers_of("gristmill.wire") == {"library"}
    assert _importers_of("gristmill.library") == {
        "jobs", "datasets.blobs", "datasets.store", "backup.copying", "backup.restoring",
    }  # fmt: skip
    assert _importers_of("gristmill.cli") == {"__main__"}
