"""Calls of a function library written in Lua, which is loaded into the server when it is not there."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self

from redis.exceptions import RedisError, ResponseError

from gristmill.errors import StorageFullError
from gristmill.store import Client, translated
from gristmill.wire import Wire

# A full server refuses to load a library; a script that says so may run. It finds the function in the library's text.
_FIND = """#!lua flags=allow-oom
local found
local redis = setmetatable({register_function = function(it)
  if it.function_name:match('^(.*)_') == ARGV[1] then found = it.callback end
end}, {__index = redis})
"""
_CALL = "\nreturn found(KEYS, {unpack(ARGV, 2)})\n"
_WORKS_IN_A_FULL_SERVER = re.compile(r"^(?:entry|change)\('(\w+)', {'(?:allow-oom|no-writes)'}", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one version of a library. The names of the library and of its functions end in ``hash``."""

    hash: str
    code: str

    @classmethod
    def of(cls, *parts: str) -> Self:
        """Put together the parts: Lua files of the package, named without their ending, such as ``jobs``."""
        text = "\n".join(files("gristmill").joinpath(f"{part}.lua").read_text("utf-8") for part in parts)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return cls(digest, text.replace("@HASH@", digest))

    @property
    def script(self) -> str:
        """The library as a script, which calls the function that its first argument names."""
        return _FIND + self.code.partition("\n")[2] + _CALL

    def works_in_a_full_server(self, name: str) -> bool:
        """Whether a function goes on when the server has no memory left."""
        return name in _WORKS_IN_A_FULL_SERVER.findall(self.code)


ENGINE = Source.of("jobs", "jobs_ends", "jobs_attempts", "jobs_workers", "jobs_reading", "restores", "jobs_backup")


class Library:
    """The functions of one version of a library; versions of it live side by side in one server."""

    def __init__(self, client: Client, prefix: str, source: Source = ENGINE) -> None:
        self.prefix = prefix
        self.source = source
        self._wire = Wire(client)

    def call(self, name: str, *args: Any) -> Any:
        """Call one function. Raises ResponseError for its own refusals, UnavailableError, StorageFullError."""
        words = ("FCALL", f"{name}_{self.source.hash}", 1, self.prefix, *args)
        try:
            return self.command(*words)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        try:
            self.load()
        except StorageFullError:
            if not self.source.works_in_a_full_server(name):
                raise
            return self.command("EVAL", self.source.script, 1, self.prefix, name, *args)
        return self.command(*words)

    def command(self, *words: Any) -> Any:
        """Send one plain command; redis-py's errors come out as ours."""
        try:
            return self._wire.send(*words)
        except RedisError as error:
            reason = translated(error)
            if reason is error:
                raise
            raise reason from error

    def keys(self, start: str, count: int = 1000) -> Iterator[list[bytes]]:
        """The keys below the prefix that begin so, some at a time; those that stay come at least once."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", f"{self.prefix}:{start}") + "*"
        cursor = b"0"
        while True:
            cursor, found = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", count)
            if found:
                yield found
            if cursor == b"0":
                return

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._wire.close()

    def load(self) -> None:
        """Load the library; another process may have been faster."""
        try:
            self.command("FUNCTION", "LOAD", self.source.code)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    def drop_unnamed(self, older_than_seconds: int = 86400) -> None:
        """Delete versions of any library of ours that nobody has named for that long."""
        seconds = int(self.command("TIME")[0])
        named = f"{self.prefix}:libs"
        for entry in self.command("ZRANGEBYSCORE", named, "-inf", (seconds - older_than_seconds) * 1_000_000):
            try:
                self.command("FUNCTION", "DELETE", f"gristmill_{entry.decode()}")
            except ResponseError as error:
                if "not found" not in str(error).lower():
                    raise
            self.command("ZREM", named, entry)
