"""The shortest way of a command to Redis and back: one packed write, one read, on a connection kept for the next.

redis-py makes and authenticates the connections and parses the replies; its client spends more time on a command than
the network does, which is why the engine's calls do not go through it (docs/decisions/0001-engine.md has the numbers).
"""

import os
import time
from typing import Any

from hiredis import pack_command
from redis.connection import ConnectionInterface
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gristmill.store import RETRY_SECONDS, Client, new_connection


class Wire:
    """Sends commands from any thread, each on a connection of its own while it is under way.

    A command whose reply is lost is sent again, until RETRY_SECONDS have gone by: use it only
    for what is safe to repeat.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._idle: list[ConnectionInterface] = []
        self._process = os.getpid()

    def send(self, *words: Any) -> Any:
        """Send a command (bytes, str, int or float words); its reply as redis-py parses it, texts as bytes.

        Raises redis-py's errors.
        """
        packed = [pack_command(words)]
        give_up = 0.0
        pause = 0.01
        while True:
            connection = self._take()
            try:
                connection.send_packed_command(packed, check_health=False)  # type: ignore[no-untyped-call]
                reply = connection.read_response(disable_decoding=True)
            except ResponseError:
                self._idle.append(connection)
                raise
            except (RedisConnectionError, RedisTimeoutError):
                connection.disconnect()  # type: ignore[no-untyped-call]
                self.close()
                now = time.monotonic()
                give_up = give_up or now + RETRY_SECONDS
                if now >= give_up:
                    raise
                time.sleep(pause)
                pause = min(pause * 3, 0.3)
            except BaseException:
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise
            else:
                self._idle.append(connection)
                return reply

    def close(self) -> None:
        """Close the connections that no command is under way on; the next command makes a new one."""
        while self._idle:
            self._idle.pop().disconnect()  # type: ignore[no-untyped-call]

    def __del__(self) -> None:
        self.close()

    def _take(self) -> ConnectionInterface:
        if self._process != os.getpid():  # forked: the parent's connections are not ours
            self._idle, self._process = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            connection: ConnectionInterface = new_connection(self._client)
            return connection
