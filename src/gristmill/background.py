"""What an API process does beside its requests: it sweeps, sends call-backs, and looks at Redis for ``/readyz``."""

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import structlog

from gristmill.callbacks import CallBacks
from gristmill.datasets import rows
from gristmill.errors import UnavailableError
from gristmill.store import kind_of, reason_of

if TYPE_CHECKING:
    from gristmill.api.services import Services

CALL_BACK_SECONDS = 1.0
LOOK_SECONDS = 10.0
LET_GO_SECONDS = 1.0
MAKE_LINES_SECONDS = 1.0
PREPARE_SECONDS = 60.0
TIDY_SECONDS = 3600.0
STUCK_LOOKS = 6  # a minute

_log = structlog.get_logger(__name__)


def _end_where_stuck() -> None:
    """End this process as if told to, so that another takes its place: what does not end holds a turn, and a CPU."""
    if rows.look_for_stuck() == STUCK_LOOKS:
        _log.error("A query of a data set does not end, long after it was stopped; this process ends")
        os.kill(os.getpid(), signal.SIGTERM)


class Background:
    """The threads of an API process. They hold no connection before ``start``: start after a fork."""

    def __init__(self, serving: "Services") -> None:
        jobs, settings = serving.jobs, serving.settings
        self._call_backs = CallBacks(jobs, settings)
        self._stop = threading.Event()
        self._threads = [
            self._every(settings.beat_seconds, jobs.sweep),
            self._every(CALL_BACK_SECONDS, self._call_backs.send_due),
            self._every(LOOK_SECONDS, serving.readiness.look),
            self._every(PREPARE_SECONDS, serving.datasets.intake.prepare),
            self._every(TIDY_SECONDS, jobs.drop_old_libraries),
            self._every(TIDY_SECONDS, serving.datasets.intake.remove_dead),
            self._every(settings.beat_seconds, serving.datasets.store.sweep),
            self._every(LET_GO_SECONDS, serving.datasets.tidy),
            self._every(MAKE_LINES_SECONDS, serving.datasets.tables.make_lines),
            self._every(LOOK_SECONDS, _end_where_stuck),
        ]

    def start(self) -> Self:
        """Start the threads; they end with the process, or with ``stop``."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End the threads, and wait for the call-backs that are under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._call_backs.close()

    def _every(self, seconds: float, do: Callable[[], object]) -> threading.Thread:
        name = do.__qualname__

        def loop() -> None:
            said = ""
            while not self._stop.is_set():
                try:
                    do()
                    said = ""
                except UnavailableError as error:
                    if said != kind_of(error):
                        _log.warning("Redis is away", task=name, reason=reason_of(error))
                    said = kind_of(error)
                except Exception:  # noqa: BLE001 -- one failure must not end the task for the process's lifetime
                    _log.exception("background task failed", task=name)
                self._stop.wait(seconds)

        return threading.Thread(target=loop, name=name, daemon=True)
