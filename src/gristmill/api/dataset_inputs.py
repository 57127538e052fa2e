"""Data sets as inputs of a job: links to this API understood, and the version fixed, and kept for the job."""

import hashlib
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from gristmill.api import bodies
from gristmill.datasets.dataset import Held
from gristmill.datasets.store import Store
from gristmill.errors import Fault, InvalidInputsError, NoSuchDataSetError, NoSuchVersionError, UnavailableError
from gristmill.processes import Process
from gristmill.processes.inputs import is_reference
from gristmill.processes.references import Reference, is_data_set, reference_of
from gristmill.settings import Settings

_PATH = re.compile(r"/datasets/([^/]+)(?:/versions/([^/]+))?/?")


def localised(process: Process, inputs: Mapping[str, object], base_url: str) -> dict[str, object]:
    """Given inputs with links to data sets of this API as references to them. Raises InvalidInputsError."""

    def change(at: str, value: object) -> object:
        if not is_reference(value) or not value["href"].startswith(f"{base_url}/datasets/"):
            return value
        parts = urlsplit(value["href"].removeprefix(base_url))
        found = _PATH.fullmatch(parts.path)
        if not found or parts.query:
            detail = (
                f"must be the link of a data set or of a version here, such as {base_url}/datasets/flights; "
                "choose rows and columns in the process"
            )
            raise InvalidInputsError(f"{at}/href {detail}", faults=[Fault(f"{at}/href", detail)])
        return Reference(unquote(found[1]), unquote(found[2] or "")).as_json()

    return process.with_data_sets(inputs, change)


@dataclass(slots=True)
class Holds:
    """The versions that are kept for one job to be. inputs: as given, with the version of each data set."""

    store: Store
    job: str
    inputs: Mapping[str, object]
    held: list[tuple[str, Held]] = field(default_factory=list)

    def let_go(self) -> None:
        """The job did not come to be. What is not let go here because Redis is away goes by itself, later."""
        with suppress(UnavailableError):
            for _, held in self.held:
                self.store.let_go(held.version, self.job)

    @property
    def mark(self) -> bytes:
        """Differs where what is said about columns does, which processes draw and read."""
        if not self.held:
            return b""
        said = sorted(
            (name, sorted((key, text.unit, text.description) for key, text in held.description.columns.items()))
            for name, held in self.held
        )
        return hashlib.sha256(bodies.canonical(said, sorted_levels=0)).digest()


def hold(store: Store, settings: Settings, process: Process, inputs: Mapping[str, object], job: str) -> Holds:
    """Fix and keep the version of every data set in the inputs of a job to be.

    Raises InvalidInputsError, with every data set or version that there is not, and then keeps none.
    """
    faults: list[Fault] = []
    holds = Holds(store, job, inputs)
    # Until the job runs; it says then how much longer.
    until = time.time_ns() // 1000 + 2 * settings.retention_seconds * 1_000_000

    def change(at: str, value: object) -> object:
        if not is_data_set(value) or not isinstance(value, dict):
            return value
        reference = reference_of(value, at)
        try:
            held = store.hold(reference.dataset, reference.version, job, until)
        except NoSuchDataSetError as error:
            faults.append(Fault(f"{at}/dataset", error.detail))
            return value
        except NoSuchVersionError as error:
            faults.append(Fault(f"{at}/version", error.detail))
            return value
        holds.held.append((reference.dataset, held))
        return Reference(reference.dataset, held.version).as_json()

    holds.inputs = process.with_data_sets(inputs, change)
    if faults:
        holds.let_go()
        raise InvalidInputsError(f"{faults[0].pointer} {faults[0].detail}", faults=faults)
    return holds
