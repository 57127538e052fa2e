"""All of data sets that outlives a request: the store, the way of uploads into it, and the local cache."""

from dataclasses import dataclass

from gristmill.datasets.cache import Cache, cache_of
from gristmill.datasets.forgetter import Forgetter
from gristmill.datasets.intake import Intake
from gristmill.datasets.known import KnownVersions
from gristmill.datasets.store import Store
from gristmill.datasets.tables import Tables
from gristmill.settings import Settings
from gristmill.store import Client


@dataclass(frozen=True, eq=False, slots=True)
class Shelf:
    """Safe for use by many threads; opens no connection and starts no process before its first use."""

    store: Store
    versions: KnownVersions
    intake: Intake
    cache: Cache
    tables: Tables
    forgetter: Forgetter

    @classmethod
    def of(cls, client: Client, settings: Settings) -> "Shelf":
        """The data sets that the settings lead to."""
        store = Store(client, settings)
        cache = cache_of(settings)
        tables = Tables(store, cache, settings)
        forgetter = Forgetter(store, cache.versions, cache.drop)
        return cls(store, KnownVersions(store), Intake(store, settings), cache, tables, forgetter)

    def tidy(self) -> None:
        """Let go of what nobody uses, and of what has been deleted; for every second or so."""
        self.tables.tidy()
        if self.forgetter():
            self.tables.tidy(0)

    def close(self) -> None:
        """End the processes that read uploads, let go of all files, and close idle connections."""
        self.tables.close()
        self.intake.close()
        self.store.close()
