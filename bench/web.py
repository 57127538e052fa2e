"""A client of one server, on one connection, that takes little time of its own.

`http.client` takes some 0.7 ms of a request here, most of it for the few headers of the answer: as much as a server.
"""

import socket
from dataclasses import dataclass, field

_SECONDS = 300
_PIECE_BYTES = 2**20
_END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Web:
    """Asks what may be asked of a server of this run, and no other: answers are taken to be well-formed."""

    port: int
    headers: dict[str, str] = field(default_factory=dict, init=False)
    """Of the last answer; their names in small letters."""
    _socket: socket.socket | None = field(default=None, init=False)
    _room: bytearray = field(default_factory=lambda: bytearray(_PIECE_BYTES), init=False)
    _filled: int = field(default=0, init=False)

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """The whole answer. RuntimeError where it is none of success."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
        if body or method != "GET":
            sent["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        self._filled = 0
        status, answer = self._answer()
        if self.headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._socket = None
        if status >= 300:
            raise RuntimeError(f"{path}: {status} {answer[:500]!r}")
        return answer

    def _answer(self) -> tuple[int, bytes]:
        end = self._until(_END_OF_HEAD, 0)
        first, *lines = bytes(self._room[: end - len(_END_OF_HEAD)]).decode("latin-1").split("\r\n")
        parted = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in parted}
        status = int(first.split(" ", 2)[1])
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            return status, self._chunks(end)
        length = int(self.headers["content-length"])
        self._fill(end + length)
        return status, bytes(memoryview(self._room)[end : end + length])

    def _chunks(self, place: int) -> bytes:
        found = []
        while True:
            start = self._until(b"\r\n", place)
            length = int(self._room[place : start - 2].partition(b";")[0], 16)
            place = start + length + 2
            self._fill(place)
            if not length:
                return b"".join(found)
            found.append(bytes(memoryview(self._room)[start : start + length]))

    def _until(self, mark: bytes, start: int) -> int:
        """The place behind the next mark."""
        while (place := self._room.find(mark, start, self._filled)) < 0:
            self._read()
        return place + len(mark)

    def _fill(self, size: int) -> None:
        while self._filled < size:
            self._read()

    def _read(self) -> None:
        assert self._socket
        if len(self._room) - self._filled < _PIECE_BYTES // 2:
            self._room += bytes(len(self._room))
        with memoryview(self._room) as room:
            count = self._socket.recv_into(room[self._filled :])
        if not count:
            raise RuntimeError("the server closed the connection within an answer")
        self._filled += count
