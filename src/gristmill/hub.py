"""Who waits for which job: one Redis subscription for a whole operating-system process.

One thread owns the connection and does all its reading and writing (a TLS connection bears no two threads). Other
threads hand it the channels to subscribe to, and are told what comes in.
"""

import itertools
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gristmill.errors import UnavailableError
from gristmill.job import Status
from gristmill.jobs import Jobs
from gristmill.store import new_connection

CONFIRM_SECONDS = 3.0
PING_SECONDS = 3.0
_SHORTEST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """A job has changed to this revision. ``status`` None: something may have been missed, so read the job."""

    revision: int
    status: Status | None
    progress: int


LOOK_AGAIN = Event(0, None, 0)


class Watch:
    """One watcher of one job. It keeps the last event only: what counts is the job's state."""

    __slots__ = ("_changed", "_event", "_wake")

    def __init__(self, wake: Callable[[], None] | None) -> None:
        self._changed = threading.Condition()
        self._event: Event | None = None
        self._wake = wake

    def wait(self, timeout: float) -> Event | None:
        """The event since the last call, waiting at most ``timeout`` seconds for one; 0 never blocks."""
        with self._changed:
            if self._event is None and timeout > 0:
                self._changed.wait(timeout)
            event, self._event = self._event, None
        return event

    def tell(self, event: Event) -> None:
        """Hand over an event, from any thread."""
        with self._changed:
            self._event = event
            self._changed.notify_all()
        if self._wake is not None:
            self._wake()


class _Channel:
    __slots__ = ("confirmed", "watches")

    def __init__(self) -> None:
        self.watches: set[Watch] = set()
        self.confirmed = threading.Event()


class Hub:
    """The watchers of this operating-system process. Its thread starts with the first watch: so not before a fork."""

    def __init__(self, jobs: Jobs) -> None:
        self._client = jobs.client
        self._channel_name = jobs.event_channel
        self._lock = threading.Lock()
        self._channels: dict[bytes, _Channel] = {}
        self._commands: list[tuple[str, bytes]] = []
        # Subscriptions sent and not confirmed: a channel left and taken again in between is confirmed by the last.
        self._unconfirmed: Counter[bytes] = Counter()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._poking: socket.socket | None = None
        self._is_poked = False
        self._is_lost = False

    @property
    def watchers(self) -> int:
        """How many watches there are."""
        with self._lock:
            return sum(len(channel.watches) for channel in self._channels.values())

    @contextmanager
    def watch(self, job_id: str, wake: Callable[[], None] | None = None) -> Iterator[Watch]:
        """Watch a job: every change from the begin of the ``with`` body on is told.

        wake: called after each event, in the hub's thread; it must return at once.
        Raises UnavailableError when Redis does not confirm the subscription within 3 s.
        """
        watch = Watch(wake)
        name = self._channel_name(job_id).encode("utf-8", "surrogateescape")
        channel = self._join(name, watch)
        try:
            if not channel.confirmed.wait(CONFIRM_SECONDS):
                raise UnavailableError("Redis does not answer; try again.", retry_after_seconds=2)
            yield watch
        finally:
            self._leave(name, channel, watch)

    def close(self) -> None:
        """End the thread and its connection."""
        self._closed.set()
        with self._lock:
            self._poke()
        if self._thread is not None:
            self._thread.join()

    def _join(self, name: bytes, watch: Watch) -> _Channel:
        with self._lock:
            self._start()
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = _Channel()
                self._commands.append(("SUBSCRIBE", name))
                self._unconfirmed[name] += 1
                self._poke()
            channel.watches.add(watch)
        return channel

    def _start(self) -> None:
        if self._thread is None:
            self._poking, poked = socket.socketpair()
            self._poking.setblocking(False)
            poked.setblocking(False)
            self._thread = threading.Thread(target=self._run, args=(poked,), name="hub", daemon=True)
            self._thread.start()

    def _leave(self, name: bytes, channel: _Channel, watch: Watch) -> None:
        with self._lock:
            channel.watches.discard(watch)
            if not channel.watches:
                del self._channels[name]
                self._commands.append(("UNSUBSCRIBE", name))
                self._poke()

    def _poke(self) -> None:
        if self._poking is not None and not self._is_poked:
            self._is_poked = True
            with suppress(BlockingIOError):
                self._poking.send(b"!")

    def _run(self, poked: socket.socket) -> None:
        self._reconnect(poked)
        with self._lock:  # both ends at once: whoever pokes finds both or none
            poked.close()
            if self._poking is not None:
                self._poking.close()
                self._poking = None

    def _reconnect(self, poked: socket.socket) -> None:
        pause = _SHORTEST_PAUSE_SECONDS
        while not self._closed.is_set():
            connection: Any = new_connection(self._client)
            began = time.monotonic()
            try:
                connection.connect()
                self._serve(connection, poked)
            except (RedisError, OSError) as error:
                if not self._is_lost:
                    _log.warning("subscription lost", reason=str(error))
                self._is_lost = True
            finally:
                connection.disconnect()
            lasted = time.monotonic() - began
            pause = _SHORTEST_PAUSE_SECONDS if lasted > 10 else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._closed.wait(pause)

    def _serve(self, connection: Any, poked: socket.socket) -> None:
        self._subscribe_all()
        heard, asked = time.monotonic(), False
        with selectors.DefaultSelector() as selector:  # no select(): file descriptors go above 1023
            selector.register(connection._sock, selectors.EVENT_READ)
            selector.register(poked, selectors.EVENT_READ)
            while not self._closed.is_set():
                for words in self._take_commands(poked):
                    connection.send_command(*words, check_health=False)
                while connection.can_read(timeout=0):
                    self._hear(connection.read_response(disable_decoding=True, push_request=True))
                    heard, asked = time.monotonic(), False
                silent = time.monotonic() - heard
                if silent > 2 * PING_SECONDS:
                    raise RedisConnectionError(f"nothing heard for {silent:.0f} s")
                if silent > PING_SECONDS and not asked:
                    connection.send_command("PING", check_health=False)
                    asked = True
                selector.select(PING_SECONDS)

    def _subscribe_all(self) -> None:
        with self._lock:
            self._commands = [("SUBSCRIBE", name) for name in self._channels]
            self._unconfirmed = Counter(self._channels.keys())

    def _take_commands(self, poked: socket.socket) -> list[tuple[str | bytes, ...]]:
        with self._lock:
            commands, self._commands = self._commands, []
            if self._is_poked:
                self._is_poked = False
                with suppress(BlockingIOError):
                    poked.recv(64)
        grouped = itertools.groupby(commands, key=lambda command: command[0])
        return [(verb, *(name for _, name in group)) for verb, group in grouped]

    def _hear(self, message: Any) -> None:
        if not isinstance(message, list):
            return
        kind, name, content = message[:3]
        if kind == b"message":
            self._tell(name, _event(content))
        elif kind == b"subscribe":
            self._confirm(name)

    def _tell(self, name: bytes, event: Event) -> None:
        with self._lock:
            channel = self._channels.get(name)
            watches = tuple(channel.watches) if channel else ()
        for watch in watches:
            watch.tell(event)

    def _confirm(self, name: bytes) -> None:
        with self._lock:
            self._unconfirmed[name] -= 1
            if self._unconfirmed[name] > 0:
                return
            del self._unconfirmed[name]
            channel = self._channels.get(name)
            if channel is None:
                return
            again = channel.confirmed.is_set()
            channel.confirmed.set()
        if self._is_lost:
            self._is_lost = False
            _log.info("subscription restored")
        if again:
            self._tell(name, LOOK_AGAIN)


def _event(content: bytes) -> Event:
    try:
        revision, status, progress = content.split()
        return Event(int(revision), Status(status.decode()), int(float(progress)))
    except ValueError:  # of another release, or of somebody else: the job itself tells
        return LOOK_AGAIN
