"""What the views work with, and how a serving process gets it."""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from flask import current_app

from gristmill import __version__
from gristmill.api.offerings import Offering, offer
from gristmill.api.places import Places
from gristmill.api.rendered import Rendered
from gristmill.datasets.shelf import Shelf
from gristmill.hub import Hub
from gristmill.jobs import Jobs
from gristmill.processes import Registry, load_registry
from gristmill.rate import RateLimit
from gristmill.readiness import Readiness
from gristmill.settings import Settings
from gristmill.store import connect
from gristmill.tokens import TokenFile

EXTENSION = "gristmill"


@dataclass(frozen=True, eq=False)
class Services:
    """Everything that outlives a request.

    draining: set when the server was told to stop; ``/readyz`` then says 503 and waiting requests end early.
    release: the version of this code, as in ``Gristmill-Version``.
    places: the cap on requests that wait.
    """

    settings: Settings
    jobs: Jobs
    registry: Registry
    hub: Hub
    tokens: TokenFile
    draining: threading.Event
    places: Places
    release: str = __version__
    rendered: Rendered = field(default_factory=Rendered)

    @cached_property
    def datasets(self) -> Shelf:
        """The data sets."""
        return Shelf.of(self.jobs.client, self.settings)

    @cached_property
    def rate(self) -> RateLimit:
        """The limit on the requests of one owner."""
        return RateLimit(self.jobs.client, self.settings)

    @cached_property
    def readiness(self) -> Readiness:
        """What this process knows about Redis."""
        return Readiness(self.jobs.client, self.settings)

    @cached_property
    def offerings(self) -> dict[str, Offering]:
        """The processes of the registry as they are offered here, by id, in the order of their ids."""
        wait_seconds = self.settings.wait_seconds
        return {id_: offer(self.registry[id_], self.release, wait_seconds) for id_ in sorted(self.registry)}


def services() -> Services:
    """The services of the application that handles the current request."""
    return cast("Services", current_app.extensions[EXTENSION])


def build_services(settings: Settings, draining: threading.Event) -> Services:
    """Load the processes and tokens. Connections and the hub's thread come with their first use, so after a fork.

    Raises ConfigurationError for a broken process file, token file or Redis URL.
    """
    jobs = Jobs(connect(settings), settings)
    return Services(
        settings=settings,
        jobs=jobs,
        registry=load_registry(settings.processes_folder),
        hub=Hub(jobs),
        tokens=TokenFile.of(settings),
        draining=draining,
        places=Places(
            settings.waiting_requests,
            settings.waiting_requests_per_owner or max(1, settings.waiting_requests // 2),
        ),
    )
