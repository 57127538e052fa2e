"""All inputs of a process, read from an execute request. ``signature`` reads them off a function."""

from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.errors import Fault, InvalidInputsError, pointer_part
from gristmill.processes.input import ChangeDataSet, Fetch, Input
from gristmill.processes.input_faults import sentence
from gristmill.processes.run_data import RunData


class Inputs:
    """All inputs of a process, and the parameters that the run fills in itself."""

    def __init__(self, inputs: tuple[Input, ...], progress: str = "", scratch: str = "") -> None:
        self.all = inputs
        self.progress = progress
        self.scratch = scratch
        self._by_name = {one.name: one for one in inputs}
        self._required = tuple(one.name for one in inputs if one.required)

    def read(self, given: Mapping[str, object], fetch: Fetch | None, data: RunData | None = None) -> dict[str, Any]:
        """Return the values that the function is called with; raises InvalidInputsError with every fault.

        data: makes the run's data sets.
        """
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, raw in given.items():
            one = self._by_name.get(name)
            if one is None:
                known = ", ".join(self._by_name) or "none"
                faults.append(
                    Fault(f"/inputs/{pointer_part(name)}", f"is not an input of this process; its inputs are: {known}")
                )
                continue
            try:
                values[name] = one.read(raw, fetch, data)
            except InvalidInputsError as error:
                faults.extend(error.faults)
        faults += [
            Fault(f"/inputs/{pointer_part(name)}", "is required") for name in self._required if name not in given
        ]
        if faults:
            raise InvalidInputsError(sentence(faults), faults=faults)
        return values

    def with_data_sets(self, given: Mapping[str, object], change: ChangeDataSet) -> dict[str, object]:
        """Return given inputs with each value that may be a reference to a data set changed."""
        return {
            name: self._by_name[name].with_data_sets(raw, change) if name in self._by_name else raw
            for name, raw in given.items()
        }

    def references(self, given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        """The JSON pointers of the links in given inputs that are fetched, each with its URL."""
        for name, raw in given.items():
            if name in self._by_name:
                yield from self._by_name[name].references(raw)
