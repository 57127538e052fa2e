"""Loads processes: the built-in ones, and the files and packages of the team's folder.

Each file is a module of a package of its own for the folder, so ``from . import _helpers`` works; the folder is also on
the import path, so ``import _helpers`` does. Names that start with ``_`` or ``.`` are not loaded for themselves.
"""

import ast
import difflib
import hashlib
import importlib
import importlib.machinery
import inspect
import logging
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from gristmill.errors import ConfigurationError
from gristmill.processes import correlation, echo, groupby, histogram, regression, scatter, sql, summary, timeseries
from gristmill.processes.authoring import DECLARATION, where
from gristmill.processes.docstring import parse_docstring
from gristmill.processes.registry import Process, Registry
from gristmill.processes.signature import ParameterError

BUILT_IN: tuple[ModuleType, ...] = (
    correlation,
    echo,
    groupby,
    histogram,
    regression,
    scatter,
    sql,
    summary,
    timeseries,
)
_PACKAGE_PREFIX = "gristmill_team_"
_log = logging.getLogger(__name__)


def load_registry(folder: Path) -> Registry:
    """Load the built-in processes and those of a folder; a folder that is not there adds none, and is logged.

    Raises ConfigurationError that names file and line, and what would be right: a file that cannot be imported or has
    no process, a signature that cannot be offered, two processes of one id.
    """
    ours = _hash_files(_own_files())
    processes = [one for module in BUILT_IN for one in _processes_of(module, ours)]
    if not folder.exists():
        _log.warning(
            "There is no folder %s for your own processes: only the built-in ones are offered.", folder.absolute()
        )
        return Registry(processes)
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} must be a folder with Python files; GRISTMILL_PROCESSES names it")
    folder = folder.resolve()
    package = _package_of(folder)
    shared = _hash_files(sorted(folder.glob("*.py")))
    for path in _entries(folder):
        source_hash = _hash_files(sorted(path.rglob("*.py"))) if path.is_dir() else shared
        module = _import(f"{package}.{path.stem}", path, folder)
        found = _processes_of(module, source_hash)
        _refuse_methods(module)
        if not found:
            raise ConfigurationError(
                f"{path}:1: no process is in this file; put @process on a function, or let the file's name start "
                "with _ if it only helps others"
            )
        processes += found
    return Registry(processes)


def preload() -> None:
    """Import what the built-in processes need when they run, and let Matplotlib find its fonts: about a second."""
    pictures = importlib.import_module("gristmill.processes.pictures")
    pictures.draw(pictures.Bars("warm-up", [1], categories=["a"]))


def _own_files() -> list[Path]:
    """What the built-in processes are made of: they share how data sets are asked, counted and drawn."""
    here = Path(__file__).parent
    return [path for folder in (here, here.parent / "datasets") for path in sorted(folder.glob("*.py"))]


def _entries(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists()):
            if not path.stem.isidentifier():
                raise ConfigurationError(
                    f"{path}:1: the file's name must be a Python name, such as {_identifier(path.stem)}.py"
                )
            yield path


def _identifier(text: str) -> str:
    made = "".join(letter if letter.isalnum() else "_" for letter in text)
    return made if made.isidentifier() else f"process_{made}"


def _package_of(folder: Path) -> str:
    """Make the package that a folder's files are modules of, anew, and put the folder on the import path."""
    name = _PACKAGE_PREFIX + hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    for loaded in [one for one in sys.modules if one == name or one.startswith(name + ".")]:
        del sys.modules[loaded]
    package = ModuleType(name, f"The processes of {folder}.")
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    return name


def _import(name: str, path: Path, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        raise ConfigurationError(
            f"{error.filename or path}:{error.lineno or 1}: this is not Python: {error.msg}"
        ) from error
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and not _has_temporary_folder():
            raise ConfigurationError(
                f"No folder for temporary files can be written, and {path.name} needs one: mount one at /tmp, as "
                f"`docker run --read-only --tmpfs /tmp` does, or name one by TMPDIR ({error})"
            ) from error
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(folder))]
        at = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else f"{path}:1"
        missing = isinstance(error, ModuleNotFoundError)
        hint = f"; check the name, or run `{sys.executable} -m pip install` for it" if missing else ""
        raise ConfigurationError(
            f"{at}: importing the file failed with {type(error).__name__}: {error}{hint}"
        ) from error


def _has_temporary_folder() -> bool:
    try:
        return bool(tempfile.gettempdir())
    except FileNotFoundError:
        return False


def _processes_of(module: ModuleType, source_hash: str) -> list[Process]:
    functions = {
        id(one): one
        for one in vars(module).values()
        if callable(one) and hasattr(one, DECLARATION) and _is_from(module, one)
    }
    return [_process(function, source_hash) for function in functions.values()]


def _is_from(module: ModuleType, one: Any) -> bool:
    """Whether a class or function of a module was made there, or in a part of it, and not brought in from elsewhere."""
    return f"{one.__module__}.".startswith(f"{module.__name__}.")


def _refuse_methods(module: ModuleType) -> None:
    """Raise ConfigurationError where ``@process`` stands on a method of a class."""
    for owner in vars(module).values():
        if not isinstance(owner, type) or not _is_from(module, owner):
            continue
        for name, method in vars(owner).items():
            is_declared = any(hasattr(one, DECLARATION) for one in (method, getattr(method, "__func__", None)))
            if is_declared and method.__qualname__ == f"{owner.__qualname__}.{name}":
                raise ConfigurationError(
                    f"{where(method)}: @process stands on {name!r}, a method of the class {owner.__name__!r}; "
                    "put it on a function outside of classes"
                )


def _process(function: Callable[..., Any], source_hash: str) -> Process:
    if not inspect.isfunction(function):
        raise ConfigurationError(f"{where(function)}: @process stands above a function, and this is {function!r}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(f"{where(function)}: a process is an ordinary function: no async, no yield")
    _refuse_hidden(function)
    try:
        made = Process(function, source_hash)
    except ParameterError as error:
        line = _parameter_line(function, error.parameter)
        raise ConfigurationError(
            f"{function.__code__.co_filename}:{line}: process {function.__name__!r}: {error.detail}"
        ) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{where(function)}: process {function.__name__!r}: {error.detail}") from error
    _warn_of_misspelt(function)
    return made


def _warn_of_misspelt(function: Callable[..., Any]) -> None:
    """Log what the docstring describes as a parameter and is none: users would not see it."""
    file, name = inspect.getsourcefile(inspect.unwrap(function)), function.__name__
    parameters = list(inspect.signature(function).parameters)
    for entry in parse_docstring(function.__doc__).parameters:
        if entry not in parameters:
            lines, first = inspect.getsourcelines(function)
            written = re.compile(rf"\s*\**{entry}\b")
            line = next((number for number, text in enumerate(lines, first) if written.match(text)), first)
            hint = "".join(f"; did you mean {one!r}?" for one in difflib.get_close_matches(entry, parameters, 1))
            _log.warning(
                "%s:%d: process %r: the docstring describes %r, which is no parameter%s", file, line, name, entry, hint
            )


def _refuse_hidden(function: Callable[..., Any]) -> None:
    """Raise ConfigurationError where Python has silently replaced a process by a later one of the same name."""
    file = function.__code__.co_filename
    same = [
        node
        for node in _parsed(function).body
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__ and node.decorator_list
    ]
    if len(same) > 1:
        lines = " and ".join(str(node.lineno) for node in same)
        raise ConfigurationError(
            f"{file}:{same[-1].lineno}: {function.__name__!r} is defined more than once, in lines {lines}, and "
            "only the last would be offered; give each a name of its own"
        )


def _parsed(function: Callable[..., Any]) -> ast.Module:
    return ast.parse(Path(function.__code__.co_filename).read_text(encoding="utf-8"))


def _parameter_line(function: Callable[..., Any], parameter: str) -> int:
    """Return the line in which a parameter stands."""
    for node in ast.walk(_parsed(function)):
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            for argument in every:
                if argument is not None and argument.arg == parameter:
                    return argument.lineno
    return function.__code__.co_firstlineno


def _hash_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
