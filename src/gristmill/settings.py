"""The one typed table of settings: name, default, unit and help of each, read from ``GRISTMILL_*`` variables.

The help of ``gristmill settings``, docs/settings.md and the validation all come from here.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Role = Literal["none", "read", "run", "manage"]
Network = IPv4Network | IPv6Network
ProxyHeaders = Literal["x-forwarded", "forwarded"]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _public_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise ValueError("must be a URL without query, such as https://example.org/gristmill")
    return text


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#]+", origin):
            raise ValueError(f"{origin!r} is no origin: scheme and host without a path, such as https://example.org")
    return origins


Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Seconds = Annotated[float, Field(le=365 * 86400)]  # clocks and locks overflow beyond some 300 years


class Settings(BaseSettings):
    """Settings of every component; each field's description is its help text."""

    model_config = SettingsConfigDict(
        env_prefix="GRISTMILL_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    environment: Literal["dev", "test", "prod"] = Field("dev", description="Name of the deployment environment.")
    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        repr=False,  # it may hold a password
        description="Redis or Valkey to use, such as redis://redis:6379/0 or rediss://user@host. Empty: the embedded server.",
    )
    key_prefix: str = Field("{g0}", description="Start of every key in Redis.")
    data_folder: Path = Field(Path("data"), description="Where the embedded server and the cache keep their files.")
    processes_folder: Path = Field(
        Path("processes"), validation_alias="GRISTMILL_PROCESSES", description="Folder with the team's own processes."
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port that the API listens on.")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="How log lines look; auto: console on a terminal, else json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important log lines that are written."
    )
    embedded_memory_mb: int = Field(
        1024, gt=0, description="Most memory that the embedded server uses for data, in MB."
    )
    embedded_fsync: Literal["always", "everysec"] = Field(
        "everysec",
        description="When the embedded server flushes its append-only file to disk; always: no acknowledged write is lost in a power cut.",
    )
    title: str = Field("Gristmill", description="Name of this installation, as its users see it.")
    description: str = Field(
        "Analyses as an HTTP API.", description="What this installation is for, in a sentence for its users."
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        description="Scheme, host and path prefix that links start with; empty: from the request.",
    )
    anonymous: Role = Field("manage", description="What a caller without a token may do.")
    local_names_only: bool = Field(
        False,
        description="Whether the API answers under IP addresses and localhost alone, as it always does where it listens for this computer alone and anybody may run jobs; for one that a container publishes on the loopback address.",
    )
    wait_seconds: Seconds = Field(30, gt=0, description="Longest time a request may wait for a job, in seconds.")
    drain_seconds: Seconds = Field(0, ge=0, description="How long the API goes on answering after SIGTERM, in seconds.")
    workers_grace_seconds: Seconds = Field(
        60, ge=0, description="How long a stopping worker lets running jobs finish, in seconds."
    )
    children: int = Field(0, ge=0, description="Children of one worker; 0: as many as there are CPUs to use.")
    child_jobs: int = Field(10_000, gt=0, description="After how many jobs a child is replaced by a new one.")
    child_growth_mb: int = Field(
        256, gt=0, description="A child that uses so much more memory than at first, when idle, is replaced, in MiB."
    )
    worker_folder: str = Field(
        "",
        description="Folder for the scratch files of running jobs and the worker's heartbeat file; empty: a folder in the system's temporary folder.",
    )
    retention_seconds: int = Field(
        7 * 86400, gt=0, description="How long finished jobs and results are kept, in seconds."
    )
    lease_seconds: Seconds = Field(
        6.0, gt=0, description="How long a worker keeps its jobs without a heartbeat, in seconds."
    )
    beat_seconds: Seconds = Field(1.5, gt=0, description="Time between two heartbeats of a worker, in seconds.")
    queued_jobs_per_owner: int = Field(10_000, gt=0, description="Most unfinished jobs of one owner.")
    stored_bytes_per_owner: int = Field(
        2**30, gt=0, description="Most bytes of inputs and results that one owner may have stored."
    )
    output_bytes: int = Field(16 * 2**20, gt=0, description="Largest single output, in bytes.")
    result_bytes: int = Field(
        64 * 2**20, gt=0, description="Largest result of one job, all outputs together, in bytes."
    )
    no_worker_seconds: int = Field(
        3600, gt=0, description="How long a job waits for a worker that can take it, in seconds."
    )
    trusted_proxies: Networks = Field(
        (), description="Networks whose forwarding headers are believed, separated by commas, such as 10.0.0.0/8."
    )
    proxy_headers: ProxyHeaders = Field(
        "x-forwarded",
        description="Which headers the trusted proxies write: X-Forwarded-For, -Proto, -Host, -Port and -Prefix, or Forwarded (RFC 7239).",
    )
    token_file: Path | None = Field(
        None,
        description="File of the bearer tokens, one a line: name, role, hash; `gristmill token new` writes it. None: there are no tokens.",
    )
    secrets_folder: Path | None = Field(
        None,
        description="Folder of the secrets, each a file that may be missing: redis/username, redis/password, redis/ca.crt, tokens/tokens (docs/security.md). None: there are no secrets.",
    )
    rate_per_second: float = Field(
        0, ge=0, description="Most requests a second of one owner, over all API processes, on average; 0: no limit."
    )
    rate_burst: int = Field(200, gt=0, description="Most requests of one owner at once, before rate_per_second counts.")
    call_back_allow: Networks = Field(
        (),
        description="Networks that call-backs may go to although they are private, separated by commas, such as 10.1.0.0/16.",
    )
    cors_origins: Annotated[Words, AfterValidator(_origins)] = Field(
        (),
        description="Origins whose pages may use the API, separated by commas, such as https://example.org; * for all.",
    )
    waiting_requests: int = Field(
        2048,
        gt=0,
        description="Most requests of one API process that wait at a time: synchronous execution, Prefer: wait, event streams.",
    )
    waiting_requests_per_owner: int = Field(
        0, ge=0, description="Most of these that one owner may have, so that nobody takes all places; 0: half of them."
    )
    api_processes: int = Field(
        1, gt=0, le=64, description="Processes of one API that serve requests; one makes use of one CPU."
    )
    connections: int = Field(
        4096, gt=0, description="Most open connections of one API process; further ones wait until one closes."
    )
    idle_seconds: Seconds = Field(
        75,
        gt=0,
        description="How long a connection may be silent between two requests, and how long the headers of one may take, in seconds.",
    )
    access_log: bool = Field(False, description="Whether every request is logged: method, path, status, duration, id.")
    body_bytes: int = Field(8 * 2**20, gt=0, description="Largest request body, in bytes.")
    json_depth: int = Field(64, gt=0, description="Deepest nesting of arrays and objects in a request body.")
    inputs_per_job: int = Field(100, gt=0, description="Most inputs of one execute request.")
    hand_backs: int = Field(
        5, gt=0, description="How often a job may be handed back at a worker's stop before it fails."
    )
    fetch_allow: Networks = Field(
        (),
        description="Networks that inputs by reference may come from although they are private, separated by commas, such as 10.1.0.0/16; for API and workers alike.",
    )
    fetch_bytes: int = Field(64 * 2**20, gt=0, description="Largest input by reference, in bytes after decompression.")
    fetch_seconds: Seconds = Field(
        60, gt=0, description="Longest time that fetching one input by reference may take, in seconds."
    )
    dataset_sent_bytes: int = Field(2**30, gt=0, description="Largest upload of a data set as it is sent, in bytes.")
    dataset_read_bytes: int = Field(
        2**30, gt=0, description="Largest upload of a data set when decompressed, in bytes."
    )
    dataset_uploads_bytes: int = Field(
        0,
        ge=0,
        description="Most bytes that all uploads on their way through one API process have on its disk, when decompressed; 0: no limit.",
    )
    dataset_free_bytes: int = Field(
        2**30, ge=0, description="Space that uploads leave free on the disk of the data folder, in bytes."
    )
    dataset_rows: int = Field(100_000_000, gt=0, description="Most rows of a data set.")
    dataset_columns: int = Field(2000, gt=0, description="Most columns of a data set.")
    dataset_cell_bytes: int = Field(
        2**20, gt=0, description="Largest text in one cell of a data set, in bytes of UTF-8."
    )
    dataset_column_name_bytes: int = Field(256, gt=0, description="Longest name of a column, in bytes of UTF-8.")
    dataset_readings: int = Field(
        0, ge=0, description="Most uploads that one API process reads at a time; 0: as many as there are CPUs to use."
    )
    dataset_reading_seconds: Seconds = Field(
        300,
        gt=0,
        description="Longest time that reading one uploaded file, reading one version into the cache, or writing all "
        "rows as one file, may take, in seconds.",
    )
    dataset_reading_memory_mb: int = Field(
        2048, ge=256, description="Most memory that reading one uploaded file may use, in MiB."
    )
    dataset_reading_threads: int = Field(2, gt=0, description="Threads that read one uploaded file.")
    dataset_query_seconds: Seconds = Field(
        5, gt=0, description="Longest time that a request may compute on a data set, in seconds."
    )
    dataset_query_memory_mb: int = Field(
        512, ge=64, description="Most memory that all queries of an API process use together, in MiB."
    )
    dataset_memory_percent: int = Field(
        50, gt=0, le=100, description="Share of the server's memory limit that all data sets together may take."
    )
    dataset_memory_bytes: int = Field(
        2**30, gt=0, description="Most bytes of all data sets together where the server has no memory limit."
    )
    dataset_stored_bytes: int = Field(
        256 * 2**20, gt=0, description="Largest version of a data set as it is stored, compressed, in bytes."
    )
    dataset_stored_bytes_per_owner: int = Field(
        2**30,
        gt=0,
        description="Most bytes that one owner's data sets may take, in all their versions, with what is said about them.",
    )
    dataset_versions: int = Field(
        10, gt=0, description="How many versions of a data set are kept, besides those that jobs use."
    )
    dataset_upload_seconds: int = Field(
        600,
        gt=0,
        description="Longest time that receiving one upload may take, and then writing it to the server, in seconds.",
    )
    dataset_cache_bytes: int = Field(
        4 * 2**30,
        gt=0,
        description="Most bytes of data sets in the local cache, in bytes; one that is being made comes on top.",
    )

    @property
    def is_here_only(self) -> bool:
        """Whether the API listens for this computer alone."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False
