"""A TCP proxy between a client and its server that loses replies, or lets everything vanish, when told to."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from support.servers import free_port


class LossyProxy:
    """Forwards every connection to ``port`` of this computer.

    ``swallow(words)``: the next request that holds these words reaches the server; its reply is thrown away and the
    connection cut. ``refuse(words)``: the next such request is cut off before it reaches the server.
    ``black_hole``: while true, connections stay open and nothing passes in either direction.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.port = free_port()
        self.black_hole = threading.Event()
        self.lost: list[bytes] = []
        self._swallow = b""
        self._refuse = b""
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def swallow(self, words: bytes) -> None:
        self._swallow = words

    def refuse(self, words: bytes) -> None:
        self._refuse = words

    def cut_all(self) -> None:
        """Break every open connection."""
        with self._lock:
            for one in self._sockets:
                _close(one)
            self._sockets.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port), 5)
            except OSError:
                _close(client)
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets |= {client, server}
            self._run(self._requests, client, server)

    def _run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        eats = threading.Event()
        self._run(self._replies, client, server, eats)
        try:
            while data := client.recv(1 << 20):
                if self.black_hole.is_set():
                    continue
                with self._lock:
                    if self._refuse and self._refuse in data:
                        self.lost.append(self._refuse)
                        self._refuse = b""
                        break
                    if self._swallow and self._swallow in data:
                        self.lost.append(self._swallow)
                        self._swallow = b""
                        eats.set()
                server.sendall(data)
        except OSError:
            pass
        finally:
            if not eats.is_set():  # else the reply is still to be read, and thrown away, by the other thread
                _close(server)
                _close(client)

    def _replies(self, client: socket.socket, server: socket.socket, eats: threading.Event) -> None:
        try:
            while data := server.recv(1 << 20):
                if self.black_hole.is_set():
                    continue
                if eats.is_set():
                    break
                client.sendall(data)
        except OSError:
            pass
        finally:
            _close(client)
            _close(server)

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self.cut_all()
        for thread in self._threads:
            thread.join(10)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
