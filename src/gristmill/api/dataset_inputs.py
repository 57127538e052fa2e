"""Data sets as inputs of a job: links to this API understood, and the version fixed, and kept for the job."""

import hashlib
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from gristmill import presence
from gristmill.api import bodies
from gristmill.datasets.descriptions import Description
from gristmill.datasets.store import Store
from gristmill.errors import Fault, InvalidInputsError, NoSuchDataSetError, NoSuchVersionError, UnavailableError
from gristmill.processes import Process
from gristmill.processes.references import Reference, is_data_set, is_reference, reference_of
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
    """The versions that are kept for one job to be; a context, at whose end they are let go if there is no job.

    inputs: as given, with the version of each data set. kept: what each reference means, with the version, and the
    hash of what is said about the data set's columns. are_of_job: whether the job has come to be, or may have.
    """

    store: Store
    job: str
    inputs: Mapping[str, object]
    kept: dict[Reference, tuple[Reference, bytes]] = field(default_factory=dict)
    are_of_job: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if not self.are_of_job:
            self.let_go()

    def let_go(self) -> None:
        """The job did not come to be. What is not let go here because Redis is away goes by itself, later."""
        with suppress(UnavailableError):
            for held, _ in self.kept.values():
                self.store.let_go(held.version, self.job)

    @property
    def mark(self) -> bytes:
        """Differs where what is said about the data sets does, so that pictures with other units are other work."""
        if not self.kept:
            return b""
        said = sorted((held.dataset, hashed) for held, hashed in self.kept.values())
        return hashlib.sha256(b"".join(name.encode() + b" " + hashed for name, hashed in said)).digest()

    def hold(self, reference: Reference, until: int) -> Reference:
        """Keep what a reference means until then (us), and return it. Raises NoSuchDataSetError, NoSuchVersionError."""
        if reference not in self.kept:
            held = self.store.hold(reference.dataset, reference.version, self.job, until)
            self.kept[reference] = Reference(reference.dataset, held.version), _hashed(held.description)
        return self.kept[reference][0]


def _hashed(description: Description) -> bytes:
    """The hash of what a process sees of a description."""
    said = sorted((name, text.unit, text.description) for name, text in description.columns.items())
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
        presence.check()
        try:
            return holds.hold(reference_of(value, at), until).as_json()
        except NoSuchDataSetError as error:
            faults.append(Fault(f"{at}/dataset", error.detail))
        except NoSuchVersionError as error:
            faults.append(Fault(f"{at}/version", error.detail))
        return value

    try:
        holds.inputs = process.with_data_sets(inputs, change)
        _refuse(faults)
    except BaseException:
        holds.let_go()
        raise
    return holds


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise InvalidInputsError(f"{faults[0].pointer} {faults[0].detail}", faults=faults)
