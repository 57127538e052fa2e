"""Logging: structlog for our lines and the standard library's alike; readable on a terminal, else JSON lines.

Ids of the request, job and attempt come from ``structlog.contextvars``: bind them once where the work begins.
"""

import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor

from gristmill.settings import Settings

# Libraries that say at "info" what we say ourselves, or what nobody needs.
_QUIET = ("_granian", "httpcore", "httpx", "matplotlib", "urllib3", "werkzeug")

# Done where a line is written; the rest is the handler's, so that a second configure() reaches every logger.
_AT_THE_CALL: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
)


def configure(settings: Settings, *, component: str = "", stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (standard error by default), as the settings say.

    component: such as ``api`` or ``worker``; stands in each JSON line.
    Safe to call again; the last call counts.
    """
    stream = stream or sys.stderr
    console = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_AT_THE_CALL,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_AT_THE_CALL, structlog.stdlib.ExtraAdder()],
            processors=_for_console(stream) if console else _for_machines(component),
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _for_console(stream: TextIO) -> list[Processor]:
    colors = stream.isatty() or bool(os.environ.get("FORCE_COLOR"))
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="time"),
        structlog.dev.ConsoleRenderer(
            colors=colors,
            timestamp_key="time",
            pad_event_to=0,
            pad_level=False,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _for_machines(component: str) -> list[Processor]:
    def add_component(_logger: object, _method: str, event: EventDict) -> EventDict:
        if component:
            event.setdefault("component", component)
        return event

    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        add_component,
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
