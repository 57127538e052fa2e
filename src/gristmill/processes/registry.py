"""The processes on offer, each ready to describe itself, to check a request and to run."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import duckdb

from gristmill.errors import ConfigurationError, Fault, InvalidInputsError
from gristmill.fetch import Fetcher
from gristmill.job import Offer
from gristmill.limits import MIB
from gristmill.processes.authoring import DECLARATION, Declaration, Limits, Progress, where
from gristmill.processes.docstring import parse_docstring
from gristmill.processes.input import ChangeDataSet
from gristmill.processes.outputs import TRANSMISSIONS, ProducedOutput, declare_outputs
from gristmill.processes.run_data import Opener, RunData, no_data_sets
from gristmill.processes.signature import declare_inputs
from gristmill.processes.workspaces import Workspaces, is_reusing

EXECUTION_MODES = ("sync-execute", "async-execute")
_HASH_LETTERS = 16
# Of the memory that a run may use; the rest is for what the function makes of the answers, and for DuckDB's overshoot.
_DUCKDB_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run may use: progress(percent, message), the scratch folder (made by the call), the fetcher, data sets.

    threads: how many DuckDB may use. workspaces: where its instance comes from; None: a new one, closed at the end.
    outputs: those that are wanted; () for all.
    """

    progress: Callable[[int, str], None]
    scratch: Callable[[], Path]
    fetcher: Fetcher
    opener: Opener = no_data_sets
    threads: int = 1
    workspaces: Workspaces | None = None
    outputs: Collection[str] = ()


class Process:
    """One process on offer.

    interface: hash of the input and output schemas. source_hash: hash of the files that the process is made of.
    Raises ConfigurationError where the function's signature cannot be offered.
    """

    def __init__(self, function: Callable[..., Any], source_hash: str) -> None:
        declaration: Declaration = getattr(function, DECLARATION)
        doc = parse_docstring(function.__doc__)
        self.function = function
        self.id: str = function.__name__
        self.title = declaration.title or doc.title or self.id
        self.description = (
            doc.description if not declaration.title else "\n\n".join(filter(None, (doc.title, doc.description)))
        )
        self.version = declaration.version
        self.keywords = declaration.keywords
        self.limits: Limits = declaration.limits
        self.source_hash = source_hash
        self._reuses_workspace = is_reusing(function)
        try:
            hints = get_type_hints(function, include_extras=True)
        except (NameError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"a type hint cannot be resolved: {error}; import the type where it is used"
            ) from error
        if "return" not in hints or hints["return"] is type(None):
            raise ConfigurationError("declare what the process returns, such as `-> float`")
        self._inputs = declare_inputs(function, hints, doc)
        self._outputs = declare_outputs(hints["return"])
        self.interface = _digest(
            {
                "inputs": {one.name: [one.schema, one.required] for one in self._inputs.all},
                "outputs": {one.name: [one.schema, one.media_type] for one in self._outputs.all},
            }
        )

    def version_hash(self, release: str) -> str:
        """Return the hash that names what a result was made with: sources, declared version and release."""
        return _digest([self.source_hash, self.version, release])

    @cached_property
    def _summary(self) -> dict[str, object]:
        summary: dict[str, object] = {"id": self.id, "version": self.version, "title": self.title}
        if self.description:
            summary["description"] = self.description
        if self.keywords:
            summary["keywords"] = list(self.keywords)
        return summary | {"jobControlOptions": list(EXECUTION_MODES), "outputTransmission": list(TRANSMISSIONS)}

    def summary(self) -> dict[str, object]:
        """Return the standard's processSummary, without links."""
        return dict(self._summary)

    def describe(self) -> dict[str, object]:
        """Return the standard's process description, without links."""
        return self._summary | {
            "inputs": {one.name: one.describe() for one in self._inputs.all},
            "outputs": {one.name: one.describe() for one in self._outputs.all},
        }

    @cached_property
    def input_names(self) -> frozenset[str]:
        """The names of the inputs."""
        return frozenset(one.name for one in self._inputs.all)

    @cached_property
    def takes_data_sets(self) -> bool:
        """Whether an input can be a data set of this API."""
        return any(one.takes_data_sets for one in self._inputs.all)

    @property
    def media_types(self) -> dict[str, str]:
        """The media type of each output."""
        return {one.name: one.media_type for one in self._outputs.all}

    def check(self, inputs: Mapping[str, object], outputs: Mapping[str, object] | None = None) -> None:
        """Check the ``inputs`` and ``outputs`` of an execute request; references are checked in form, not fetched.

        Raises InvalidInputsError with every fault.
        """
        faults: list[Fault] = []
        try:
            self._inputs.read(inputs, None)
        except InvalidInputsError as error:
            faults += error.faults
        faults += self._outputs.check(outputs or {})
        if faults:
            raise InvalidInputsError(f"{faults[0].pointer} {faults[0].detail}", faults=faults)

    def left_out(self, outputs: Collection[str]) -> frozenset[str]:
        """The outputs that a run does not make where these are wanted; () wants all."""
        return self._outputs.left_out(outputs)

    def run(self, inputs: Mapping[str, object], context: RunContext) -> list[ProducedOutput]:
        """Read the inputs, fetch references, call the function and write what it returns.

        Raises InvalidInputsError, TypeError where the function returned something else than it declares, MemoryError
        where DuckDB has no more memory, and whatever the function raises.
        """
        memory_bytes = int(self.limits.memory_mb * MIB * _DUCKDB_SHARE)
        with RunData(
            context.opener,
            memory_bytes=memory_bytes,
            threads=context.threads,
            workspaces=context.workspaces,
            reuses=self._reuses_workspace,
        ) as data:
            arguments = self._inputs.read(inputs, context.fetcher.get, data)
            data.lock()
            if self._inputs.progress:
                arguments[self._inputs.progress] = Progress(context.progress)
            if self._inputs.scratch:
                arguments[self._inputs.scratch] = context.scratch()
            try:
                return self._outputs.encode(self.function(**arguments), context.outputs)
            except InvalidInputsError as error:
                self._refuse_unknown(error)
                raise
            except duckdb.OutOfMemoryException as error:
                raise MemoryError(str(error)) from error

    def _refuse_unknown(self, error: InvalidInputsError) -> None:
        """Raise ValueError where the function's own error is about an input that it does not have."""
        for fault in error.faults:
            name = fault.pointer.removeprefix("/inputs/").partition("/")[0]
            if name not in self.input_names:
                raise ValueError(
                    f"the process raised wrong_input({name!r}, ...), and has no such input; "
                    f"its inputs are: {', '.join(sorted(self.input_names)) or 'none'}"
                ) from error

    def with_data_sets(self, inputs: Mapping[str, object], change: ChangeDataSet) -> dict[str, object]:
        """Return given inputs with each value that may be a reference to a data set changed."""
        return self._inputs.with_data_sets(inputs, change)

    def references(self, inputs: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        """The JSON pointers of the links in given inputs that are fetched, each with its URL."""
        return self._inputs.references(inputs)


class Registry(Mapping[str, Process]):
    """All processes, by id, in the order of their ids."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self._processes: dict[str, Process] = {}
        for process in sorted(processes, key=lambda one: one.id):
            if other := self._processes.get(process.id):
                raise ConfigurationError(
                    f"{where(process.function)}: there is another process {process.id!r}, at {where(other.function)}; "
                    "rename one of the functions"
                )
            self._processes[process.id] = process

    def __getitem__(self, process_id: str) -> Process:
        return self._processes[process_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._processes)

    def __len__(self) -> int:
        return len(self._processes)

    def offers(self, release: str) -> tuple[Offer, ...]:
        """Return what a worker of this release can run."""
        return tuple(
            Offer(one.id, one.interface, one.version_hash(release), one.limits.concurrent, one.source_hash, one.version)
            for one in self._processes.values()
        )


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LETTERS]
