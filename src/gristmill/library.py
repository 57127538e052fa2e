"""Calls of the function library of ``jobs.lua`` and its parts, which is loaded into the server when it is not there."""

import hashlib
import re
from importlib.resources import files
from typing import Any

from redis.exceptions import RedisError, ResponseError

from gristmill.errors import StorageFullError
from gristmill.store import Client, translated
from gristmill.wire import Wire

_PARTS = ("jobs", "jobs_ends", "jobs_attempts", "jobs_workers", "jobs_reading")
SOURCE = "\n".join(files("gristmill").joinpath(f"{part}.lua").read_text("utf-8") for part in _PARTS)
HASH = hashlib.sha256(SOURCE.encode()).hexdigest()[:10]
_CODE = SOURCE.replace("@HASH@", HASH)

# A full server refuses to load a library; a script that says so may run. It finds the function in the library's text.
_WORKING_IN_A_FULL_SERVER = frozenset(re.findall(r"^entry\('(\w+)', {'(?:allow-oom|no-writes)'}", SOURCE, re.MULTILINE))
_FIND = """#!lua flags=allow-oom
local found
local redis = setmetatable({register_function = function(it)
  if it.function_name:match('^(.*)_') == ARGV[1] then found = it.callback end
end}, {__index = redis})
"""
_CALL = "\nreturn found(KEYS, {unpack(ARGV, 2)})\n"
_SCRIPT = _FIND + _CODE.partition("\n")[2] + _CALL


class Library:
    """The functions of this version of the library; versions of it live side by side in one server."""

    def __init__(self, client: Client, prefix: str) -> None:
        self.prefix = prefix
        self._wire = Wire(client)

    def call(self, name: str, *args: Any) -> Any:
        """Call one function. Raises ResponseError for its own refusals, UnavailableError, StorageFullError."""
        words = ("FCALL", f"{name}_{HASH}", 1, self.prefix, *args)
        try:
            return self.command(*words)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        try:
            self.load()
        except StorageFullError:
            if name not in _WORKING_IN_A_FULL_SERVER:
                raise
            return self.command("EVAL", _SCRIPT, 1, self.prefix, name, *args)
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

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._wire.close()

    def load(self) -> None:
        """Load the library; another process may have been faster."""
        try:
            self.command("FUNCTION", "LOAD", _CODE)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    def drop_unnamed(self, older_than_seconds: int = 86400) -> None:
        """Delete the library's other versions that no heartbeat has named for that long."""
        seconds = int(self.command("TIME")[0])
        named = f"{self.prefix}:libs"
        for entry in self.command("ZRANGEBYSCORE", named, "-inf", (seconds - older_than_seconds) * 1_000_000):
            try:
                self.command("FUNCTION", "DELETE", f"gristmill_{entry.decode()}")
            except ResponseError as error:
                if "not found" not in str(error).lower():
                    raise
            self.command("ZREM", named, entry)
