"""Processes: how they are written, described, checked, run, and found.

``authoring`` and ``types`` are for those who write processes; ``registry`` and ``loading`` for the API and the worker.
Reading a request and writing a result do no I/O but fetching inputs given by reference.
"""

from gristmill.processes.authoring import Limits, MediaType, OnDemand, Output, Progress, process, wrong_input
from gristmill.processes.column import Column
from gristmill.processes.dataset import DataSet
from gristmill.processes.loading import load_registry, preload
from gristmill.processes.outputs import ProducedOutput
from gristmill.processes.registry import Process, Registry, RunContext
from gristmill.processes.table import Table
from gristmill.processes.types import BoundingBox
from gristmill.processes.workspace import DataColumn

__all__ = [
    "BoundingBox",
    "Column",
    "DataColumn",
    "DataSet",
    "Limits",
    "MediaType",
    "OnDemand",
    "Output",
    "Process",
    "ProducedOutput",
    "Progress",
    "Registry",
    "RunContext",
    "Table",
    "load_registry",
    "preload",
    "process",
    "wrong_input",
]
