"""The model: what a data set and its versions are, and which names there may be. Pure."""

import re
from dataclasses import dataclass, field

from gristmill.datasets.blobs import Blob
from gristmill.datasets.descriptions import Description
from gristmill.errors import Fault, InvalidRequestError, NoSuchDataSetError

LONGEST_NAME = 64
NAME_PATTERN = r"[a-z0-9]([a-z0-9_-]|\.(?=[a-z0-9])){0,63}"
_NAME = re.compile(NAME_PATTERN)


def check_name(name: str) -> str:
    """The name, when a data set may have it; InvalidRequestError otherwise.

    1 to 64 lower-case letters (a to z), digits, ``-``, ``_`` and ``.``, with a letter or digit at the start and after
    each dot. So no name is hidden, a way to another folder, or an option of a command.
    """
    if not (len(name) <= LONGEST_NAME and _NAME.fullmatch(name)):
        raise InvalidRequestError(
            f"{name[:100]!r} cannot be the name of a data set: it must be 1 to {LONGEST_NAME} lower-case letters, "
            "digits, '-', '_' and '.', with a letter or a digit at the start and after each dot.",
            faults=(Fault("name", "not a name that a data set may have"),),
        )
    return name


@dataclass(frozen=True, slots=True)
class Edition:
    """A version in the list of a data set's versions. ``since`` (us): when it became the newest, last."""

    version: str
    since: int
    rows: int
    stored_bytes: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class DataSet:
    """A named table. ``revision`` is the time (us) of its last change, greater at every change."""

    name: str
    owner: str
    created: int
    revision: int
    editions: tuple[Edition, ...]
    """Newest first; never empty."""
    description: Description = field(default_factory=Description)

    @property
    def newest(self) -> Edition:
        """The version that the name alone means."""
        return self.editions[0]


def no_such_data_set(name: str) -> NoSuchDataSetError:
    """The error of a name that no data set has."""
    return NoSuchDataSetError(
        f"There is no data set {name[:100]!r}; GET /datasets lists those there are. It may have been deleted."
    )


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What an upload has become. ``facts`` and ``reading`` (options) are kept as they are."""

    id: str
    rows: int
    read_bytes: int
    facts: bytes
    reading: bytes = b""


@dataclass(frozen=True, slots=True)
class Version:
    """One version with all that is known of it, and where its bytes are."""

    edition: Edition
    blob: Blob
    facts: bytes
    reading: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """A version that is kept for a job, and what was said about its data set at that moment."""

    version: str
    description: Description


@dataclass(frozen=True, slots=True)
class Stored:
    """The end of an upload. ``how``: "new"; "same", as the newest version was already; "again", as an older one was.

    facts: those of the version, which may be gone by now.
    """

    how: str
    data_set: DataSet
    facts: bytes


@dataclass(frozen=True, slots=True)
class Conditions:
    """Entity tags of If-Match and If-None-Match (RFC 9110), without quotes; None: not asked for.

    A tag is a data set's revision, its newest version, or ``*``.
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None


UNCONDITIONAL = Conditions()


@dataclass(frozen=True, slots=True)
class Page:
    """Data sets in the order of their names, without what is said about columns; ``cursor`` is "" at the end."""

    data_sets: tuple[DataSet, ...]
    cursor: str
