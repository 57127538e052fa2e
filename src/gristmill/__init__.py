"""Gristmill puts a data set, and the analyses over it, online as an HTTP API.

To write a process, import what you need from here::

    from gristmill import Progress, process
"""

import importlib

TYPE_CHECKING = False  # known to type checkers by its name; importing it would double the time of this import

if TYPE_CHECKING:
    from gristmill.errors import InvalidInputsError
    from gristmill.processes.authoring import MediaType, OnDemand, Output, Progress, process, wrong_input
    from gristmill.processes.column import Column
    from gristmill.processes.dataset import DataSet
    from gristmill.processes.table import Table
    from gristmill.processes.types import BoundingBox
    from gristmill.processes.workspace import DataColumn

    __version__: str

__all__ = [
    "BoundingBox",
    "Column",
    "DataColumn",
    "DataSet",
    "InvalidInputsError",
    "MediaType",
    "OnDemand",
    "Output",
    "Progress",
    "Table",
    "__version__",
    "process",
    "wrong_input",
]

_HOMES = {
    "BoundingBox": "gristmill.processes.types",
    "Column": "gristmill.processes.column",
    "DataColumn": "gristmill.processes.workspace",
    "DataSet": "gristmill.processes.dataset",
    "InvalidInputsError": "gristmill.errors",
    "MediaType": "gristmill.processes.authoring",
    "OnDemand": "gristmill.processes.authoring",
    "Output": "gristmill.processes.authoring",
    "Progress": "gristmill.processes.authoring",
    "Table": "gristmill.processes.table",
    "process": "gristmill.processes.authoring",
    "wrong_input": "gristmill.processes.authoring",
}


def __getattr__(name: str) -> object:
    """Find what is asked for for the first time only then, so that ``import gristmill`` stays light."""
    if name == "__version__":
        found: object = _version()
    elif name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _version() -> str:
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version(__name__))
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
