"""Secrets as `gristmill secret` makes them, mounted as Kubernetes does it, and a Redis that has them."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
import yaml

from support.servers import RedisServer

Files = Mapping[str, bytes]
# The keys that each pod mounts.
OF_CLIENTS = ("username", "password", "ca.crt")
OF_SERVER = ("redis.conf", "tls.crt", "tls.key", "probe-password")


def run_secret(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run ``gristmill secret``."""
    return subprocess.run(
        [sys.executable, "-m", "gristmill", "secret", *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def printed(text: str) -> dict[str, dict[str, bytes]]:
    """The files of each Secret in what the command prints, by the Secret's name."""
    return {
        it["metadata"]["name"]: {key: base64.b64decode(value, validate=True) for key, value in it["data"].items()}
        for it in yaml.safe_load_all(text)
    }


def redis_secret(*options: str) -> dict[str, bytes]:
    """The files of a new Secret for Redis."""
    done = run_secret("test", "--redis", *options)
    assert done.returncode == 0, done.stderr
    return printed(done.stdout)["app-test-secret-redis"]


class Mount:
    """A folder as the kubelet mounts a Secret: each file is a link through ``..data``, a link that is swapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def secrets_folder(self) -> Path:
        """The setting by which this folder is found."""
        return self.folder.parent

    def put(self, files: Files) -> None:
        """Make these the files, all at once; none: as if there were no Secret."""
        self._number += 1
        made = self.folder / f"..2026_11_28.{self._number}"
        made.mkdir()
        for name, content in files.items():
            (made / name).write_bytes(content)
        data, beside = self.folder / "..data", self.folder / "..data_tmp"
        before = data.resolve() if data.exists() else None
        beside.symlink_to(made.name)
        beside.replace(data)
        for name in files:
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        for link in self.folder.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if before is not None:
            shutil.rmtree(before)


def for_clients(files: Files) -> dict[str, bytes]:
    """What a client's pod mounts of a Secret."""
    return {name: files[name] for name in OF_CLIENTS if name in files}


class SecuredServer(RedisServer):
    """A real Redis with the arguments of its pod, including what a Secret has for it; port and folder are the test's.

    ``secret`` counts at the next start; without one, Redis lets everybody in, without TLS. Beside the users of the
    Secret there is one for the test, who may do anything.
    """

    def __init__(self, folder: Path, secret: Files | None = None, configuration: dict[str, str] | None = None) -> None:
        self._mount = Mount(folder / "secret")
        of_the_pod = {"appendfsync": "always", "maxmemory": "200mb", "maxmemory-policy": "noeviction"}
        super().__init__(
            "redis", folder, of_the_pod | (configuration or {}) | {"include": str(self._mount.folder / "*.conf")}
        )
        self.secret = secret

    def start(self, seconds: float = 30) -> "SecuredServer":
        """Start, or start again, with what the Secret holds now."""
        secret = self.secret or {}
        files = {name: secret[name] for name in OF_SERVER if name in secret}
        if "redis.conf" in files:
            text = files["redis.conf"].decode() + "user of-the-test on >of-the-test ~* &* +@all\n"
            text = text.replace("/run/secrets/redis", str(self._mount.folder)).replace("6379", str(self.port))
            files["redis.conf"] = text.encode()
        self._mount.put(files)
        super().start(seconds)
        return self

    def client(self) -> redis.Redis:
        """Return a client that may do anything."""
        options: dict[str, Any] = {"username": "of-the-test", "password": "of-the-test"} if self.secret else {}
        if self.secret and "tls.crt" in self.secret:
            options |= {"ssl": True, "ssl_cert_reqs": "none"}  # some tests have wrong certificates
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, **options)
