"""What the author of a process imports: the decorator, and the small types that its signature may use.

Light on purpose: nothing here imports Pydantic, NumPy or Matplotlib.
"""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, overload

from gristmill.errors import ConfigurationError, Fault, InvalidInputsError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

# The type of an output that takes long to make, such as a picture: the process returns a function without arguments,
# which is called where a request wants that output. ``plot: OnDemand[Figure]``, and ``plot=lambda: draw(table)``.
OnDemand = Callable[[], T]

DECLARATION = "__gristmill_process__"
_LEAST = {"seconds": 0.001, "memory_mb": 1, "disk_mb": 0, "retries": 0, "concurrent": 0, "queue_seconds": 0}
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*(; ?[a-z0-9-]+=[a-zA-Z0-9._-]+)*")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of a process may use.

    seconds: time of one attempt. memory_mb: memory of the child, on top of what it uses when idle, in MiB.
    disk_mb: size of the scratch folder, in MiB. retries: further attempts after an exception.
    concurrent: runs at once in the whole system; queue_seconds: longest wait in the queue; 0 for no limit.
    deterministic: equal inputs always give an equal result, so an earlier result may answer.
    """

    seconds: float = 30
    memory_mb: int = 1024
    disk_mb: int = 100
    retries: int = 0
    concurrent: int = 0
    queue_seconds: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if name != "seconds" and not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least:g}, not {value!r}")
        if not isinstance(self.deterministic, bool):
            raise TypeError(f"deterministic must be True or False, not {self.deterministic!r}")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the decorator said about a function. ``title`` is "" where the docstring's first line is the title."""

    title: str
    version: str
    keywords: tuple[str, ...]
    limits: Limits

    def __post_init__(self) -> None:
        for name in ("title", "version"):
            if not isinstance(value := getattr(self, name), str):
                raise TypeError(f"{name} must be a string, such as {str(value)!r}, not {value!r}")
        if not isinstance(self.keywords, tuple) or not all(isinstance(word, str) for word in self.keywords):
            raise TypeError(f"keywords must be a list of strings, not {self.keywords!r}")


@dataclass(frozen=True, slots=True)
class MediaType:
    """The media type of an input or output: ``Annotated[bytes, MediaType("image/png")]``."""

    name: str

    def __post_init__(self) -> None:
        if not _MEDIA_TYPE.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a media type, such as 'text/csv'")

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Add ``contentMediaType`` to the schema of the type that this annotates."""
        return handler(schema) | {"contentMediaType": self.name}


@dataclass(frozen=True, slots=True)
class Output:
    """Name of a function's only output: ``-> Annotated[float, Output("mean")]``; without it, that is ``result``.

    With it, a returned model or dictionary type is one JSON output, and its fields are not outputs of their own.
    """

    name: str = "result"


# What other systems call an option.
_ELSEWHERE = {
    "timeout": "seconds",
    "time": "seconds",
    "time_limit": "seconds",
    "max_retries": "retries",
    "cacheable": "deterministic",
}


@dataclass(slots=True)
class Progress:
    """Reports how far the job is: ``progress(40, "reading")``.

    Declare a parameter of this type; it is no input. In a test, pass ``Progress()`` and look at ``reports``, or pass
    a function that gets percent and message.
    """

    report: Callable[[int, str], None] | None = None
    reports: list[tuple[int, str]] = field(default_factory=list)

    def __call__(self, percent: float, message: str = "") -> None:
        """Report percent (0 to 100; values outside are brought inside) and a message of one line."""
        shown = min(100, max(0, int(percent)))
        if self.report is None:
            self.reports.append((shown, message))
        else:
            self.report(shown, message)

    def each(self, items: Iterable[T], message: str = "", *, total: int | None = None) -> Iterator[T]:
        """Go through items and report after each; total is needed where ``items`` has no length."""
        count = total if total is not None else len(items) if isinstance(items, Sized) else 0
        for number, item in enumerate(items, start=1):
            yield item
            if count:
                self(100 * number / count, message)


@overload
def process(function: F, /) -> F: ...


@overload
def process(
    *,
    title: str | None = None,
    version: str = "1",
    seconds: float = 30,
    memory_mb: int = 1024,
    disk_mb: int = 100,
    retries: int = 0,
    concurrent: int = 0,
    queue_seconds: int = 0,
    deterministic: bool = False,
    keywords: Iterable[str] = (),
) -> Callable[[F], F]: ...


def process(
    function: F | None = None,
    /,
    *,
    title: str | None = None,
    version: str = "1",
    seconds: float = 30,
    memory_mb: int = 1024,
    disk_mb: int = 100,
    retries: int = 0,
    concurrent: int = 0,
    queue_seconds: int = 0,
    deterministic: bool = False,
    keywords: Iterable[str] = (),
    **unknown: object,
) -> F | Callable[[F], F]:
    """Offer a function as a process; the function itself is returned as it was, and can be called and tested.

    The arguments are those of ``Limits``, and: title (default: the docstring's first line), version (a part of what
    names a result; raise it when results change), keywords for the process list.

    Raises ConfigurationError where an argument is wrong, TypeError for one that there is not or that has no name.
    """
    if unknown:
        options = ["title", "version", "keywords", *(one.name for one in fields(Limits))]
        close = [
            name
            for word in unknown
            for name in difflib.get_close_matches(_ELSEWHERE.get(word, word), options, n=1, cutoff=0.5)
        ]
        meant = f"did you mean {', '.join(close)}? " if close else ""
        raise TypeError(
            f"@process has no option {', '.join(map(repr, unknown))}; {meant}its options are {', '.join(options)}"
        )
    if function is not None and not callable(function):
        raise TypeError(f"@process takes its options by name, such as @process(title={function!r})")

    def declare(function: F) -> F:
        try:
            limits = Limits(seconds, memory_mb, disk_mb, retries, concurrent, queue_seconds, deterministic)
            words: Any = (
                keywords if isinstance(keywords, str) or not isinstance(keywords, Iterable) else tuple(keywords)
            )
            declaration = Declaration("" if title is None else title, version, words, limits)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{where(function)}: @process: {error}") from error
        setattr(function, DECLARATION, declaration)
        return function

    return declare if function is None else declare(function)


def wrong_input(name: str, detail: str) -> InvalidInputsError:
    """Return the error to raise where only the process can tell that an input is wrong: ``raise wrong_input(...)``.

    detail: goes on from the input's name, such as "must be a column of numbers". The job then fails as "invalid
    inputs", with the input's JSON pointer, and not as an error of the process.
    """
    return InvalidInputsError(f"/inputs/{name} {detail}", faults=[Fault(f"/inputs/{name}", detail)])


def where(function: Callable[..., object]) -> str:
    """Return file and line of a function, or of what was taken for one, as ``file.py:12``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code:
        return f"{code.co_filename}:{code.co_firstlineno}"
    if isinstance(function, type):
        return f"{inspect.getsourcefile(function)}:{inspect.getsourcelines(function)[1]}"
    return repr(function)
