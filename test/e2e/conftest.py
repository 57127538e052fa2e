"""The cluster, the images, and environments to try: each module has namespaces of its own."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e import options
from e2e.cluster import Cluster
from e2e.environment import Environment
from e2e.files import Files
from e2e.images import Images
from e2e.kubectl import Kubectl
from e2e.names import Names
from e2e.seen import Notes, Seen

Start = Callable[..., Environment]
TABLE = pytest.StashKey[Seen]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is here where there is no cluster, or where several processes would share it."""
    if reason := options.why_not():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster(_table: Seen) -> Iterator[Cluster]:
    """The cluster. SIGTERM ends a run as Ctrl-C does, with the namespaces."""
    try:
        wanted = options.read()
    except ValueError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = Names()
    with names.known():
        made = Cluster(wanted, names)
        _table.about |= {"kubernetes": made.version}
        yield made
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def _table(request: pytest.FixtureRequest) -> Seen:
    """The table of this run."""
    return request.config.stash.setdefault(TABLE, Seen())


@pytest.fixture(scope="session")
def images(cluster: Cluster, _table: Seen) -> Images:
    """The releases, and Redis, where the cluster gets them from."""
    made = Images(cluster.options, cluster.kubectl)
    notes = Notes(_table, "images")
    with notes.timed("built, and brought to the cluster") as sight:
        made.deliver_redis()
        sight.seen = made.first
    return made


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest, _table: Seen) -> Notes:
    """Where the tests of a module note what they saw."""
    return Notes(_table, request.path.stem.removeprefix("test_").replace("_", " "))


@pytest.fixture(scope="module")
def new_namespace(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Callable[[str], Kubectl]]:
    """Return a function that makes a namespace, by a short name; it goes with the module."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(cluster.namespace(name))


@pytest.fixture(scope="module")
def new_environment(
    cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Kubectl, str], Environment]:
    """Return a function that makes the files of an environment for a namespace, and applies nothing yet."""

    def make(kubectl: Kubectl, name: str) -> Environment:
        hosts = {one: cluster.host(kubectl, one) for one in ("test", "prod")}
        files = Files(
            tmp_path_factory.mktemp(name),
            repository=images.repository,
            hosts=hosts,
            ingress_class=cluster.ingress_class,
        )
        files.set_release(name, images.first)
        return Environment(cluster, kubectl, files, name, hosts[name])

    return make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of what was seen, and write it where E2E_JSON says."""
    seen = config.stash.get(TABLE, None)
    if seen is None or not seen.sights:
        return
    terminalreporter.section("seen on the cluster")
    for line in seen.lines():
        terminalreporter.write_line(line)
    if path := os.environ.get("E2E_JSON"):
        seen.write(Path(path))
