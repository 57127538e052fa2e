"""Gristmill puts a data set, and the analyses over it, online as an HTTP API.

To write a process, import what you need from here::

    from gristmill import Progress, process
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gristmill.errors import InvalidInputsError
    from gristmill.processes.authoring import MediaType, Output, Progress, process, wrong_input
    from gristmill.processes.dataset import DataSet
    from gristmill.processes.table import Column, Table
    from gristmill.processes.types import BoundingBox
    from gristmill.processes.workspace import DataColumn

try:
    __version__ = version("gristmill")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"

__all__ = [
    "BoundingBox",
    "Column",
    "DataColumn",
    "DataSet",
    "InvalidInputsError",
    "MediaType",
    "Output",
    "Progress",
    "Table",
    "__version__",
    "process",
    "wrong_input",
]

_HOMES = {
    "BoundingBox": "gristmill.processes.types",
    "Column": "gristmill.processes.table",
    "DataColumn": "gristmill.processes.workspace",
    "DataSet": "gristmill.processes.dataset",
    "InvalidInputsError": "gristmill.errors",
    "MediaType": "gristmill.processes.authoring",
    "Output": "gristmill.processes.authoring",
    "Progress": "gristmill.processes.authoring",
    "Table": "gristmill.processes.table",
    "process": "gristmill.processes.authoring",
    "wrong_input": "gristmill.processes.authoring",
}


def __getattr__(name: str) -> object:
    """Import what a process's author uses when it is first asked for, so that ``import gristmill`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
