"""Metrics in Prometheus' text format.

Requests are counted by the API process that serves them. Queues, attempts, workers and Redis are read when the
metrics are asked for, so every API process tells the same about them: take their maximum, not their sum.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from redis.exceptions import RedisError

from gristmill.api import access
from gristmill.api.services import EXTENSION, Services
from gristmill.errors import GristmillError
from gristmill.store import mapped_errors

_EXTENSION = "gristmill.metrics"
_BEGAN = "gristmill.began"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

blueprint = Blueprint("metrics", __name__)


class _Metrics:
    """The metrics of one application."""

    def __init__(self, serving: Services) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter(
            "gristmill_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "gristmill_request_seconds",
            "Time from a request to the start of its response, waits included.",
            ("route",),
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 30),
            registry=self.registry,
        )
        waiting = Gauge("gristmill_waiting_requests", "Requests that wait for a job.", registry=self.registry)
        waiting.set_function(lambda: serving.places.taken)
        info = Gauge("gristmill_info", "The release that answers.", ("release",), registry=self.registry)
        info.labels(serving.release).set(1)
        self.registry.register(_Engine(serving))
        # Looking up a metric by its labels costs more than counting.
        self.counters = cache(self.requests.labels)
        self.timers = cache(self.seconds.labels)


class _Engine:
    """What Redis knows, read at every collection; without Redis, only that it is away."""

    def __init__(self, serving: Services) -> None:
        self._serving = serving

    def collect(self) -> Iterator[Metric]:
        """Read the queues, the attempts, the workers and Redis' memory."""
        up = GaugeMetricFamily("gristmill_redis_up", "Whether Redis answers.")
        jobs = self._serving.jobs
        try:
            began = time.perf_counter()
            with mapped_errors():
                jobs.client.ping()
            took = time.perf_counter() - began
            found = [*_queues(self._serving), *_attempts(self._serving), *_workers(self._serving)]
            found += [*_redis(self._serving, took)]
        except (GristmillError, RedisError):
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


@blueprint.record_once
def _install(state: object) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    app: Flask = state.app  # type: ignore[attr-defined]
    app.extensions[_EXTENSION] = _Metrics(app.extensions[EXTENSION])


@blueprint.before_app_request
def _begin() -> None:
    request.environ[_BEGAN] = time.perf_counter()


@blueprint.after_app_request
def _count(response: Response) -> Response:
    metrics: _Metrics = current_app.extensions[_EXTENSION]
    rule, environ = request.url_rule, request.environ
    route = rule.rule if rule else "none"
    method = environ["REQUEST_METHOD"]
    metrics.counters(method if method in _METHODS else "other", route, response.status_code).inc()
    if _BEGAN in environ:
        metrics.timers(route).observe(time.perf_counter() - environ[_BEGAN])
    return response


def count_unseen(app: Flask, method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that Flask has not seen."""
    metrics: _Metrics = app.extensions[_EXTENSION]
    metrics.counters(method, route, status).inc()
    metrics.timers(route).observe(seconds)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Everything, for Prometheus."""
    access.require("manage")
    made: _Metrics = current_app.extensions[_EXTENSION]
    return Response(generate_latest(made.registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _queues(serving: Services) -> Iterator[Metric]:
    gauges = {
        "ready": GaugeMetricFamily("gristmill_jobs_ready", "Jobs that wait to run.", labels=["process"]),
        "running": GaugeMetricFamily("gristmill_jobs_running", "Jobs that run.", labels=["process"]),
        "delayed": GaugeMetricFamily("gristmill_jobs_delayed", "Jobs that wait for a retry.", labels=["process"]),
        "oldest_seconds": GaugeMetricFamily(
            "gristmill_oldest_job_seconds", "How long the oldest ready job has waited.", labels=["process"]
        ),
        "paused": GaugeMetricFamily("gristmill_queue_paused", "Whether the queue is paused.", labels=["process"]),
        "workers": GaugeMetricFamily("gristmill_process_workers", "Workers that run the process.", labels=["process"]),
    }
    for queue in serving.jobs.queues():
        for name, gauge in gauges.items():
            gauge.add_metric([queue.process], float(getattr(queue, name)))
    yield from gauges.values()


def _attempts(serving: Services) -> Iterator[Metric]:
    ends = CounterMetricFamily("gristmill_attempts", "Attempts by how they ended.", labels=["process", "end"])
    seconds = HistogramMetricFamily("gristmill_attempt_seconds", "How long attempts took.", labels=["process"])
    by_end: defaultdict[tuple[str, str], int] = defaultdict(int)
    by_bound: defaultdict[str, defaultdict[float, int]] = defaultdict(lambda: defaultdict(int))
    microseconds: dict[str, int] = {}
    for (process, end, bound), count in serving.jobs.attempt_counts().items():
        if end == "us":
            microseconds[process] = count
        else:
            by_end[process, end] += count
            by_bound[process][float(bound)] += count
    for (process, end), count in sorted(by_end.items()):
        ends.add_metric([process, end], count)
    bounds = sorted({edge for counts in by_bound.values() for edge in counts} | {float("inf")})
    for process, counts in sorted(by_bound.items()):
        total, buckets = 0, []
        for edge in bounds:
            total += counts[edge]
            buckets.append(("+Inf" if edge == float("inf") else f"{edge:g}", float(total)))
        seconds.add_metric([process], buckets, microseconds.get(process, 0) / 1_000_000)
    yield ends
    yield seconds


def _workers(serving: Services) -> Iterator[Metric]:
    states = serving.jobs.workers()
    yield GaugeMetricFamily("gristmill_workers", "Live workers.", len(states))
    yield GaugeMetricFamily("gristmill_children", "Children of live workers.", sum(one.children for one in states))
    yield GaugeMetricFamily("gristmill_children_busy", "Children that run a job.", sum(one.running for one in states))


def _redis(serving: Services, ping_seconds: float) -> Iterator[Metric]:
    memory = serving.jobs.client.info("memory")
    yield GaugeMetricFamily("gristmill_redis_ping_seconds", "Round trip to Redis.", ping_seconds)
    yield GaugeMetricFamily("gristmill_redis_memory_bytes", "Memory that Redis uses.", memory["used_memory"])
    yield GaugeMetricFamily("gristmill_redis_memory_limit_bytes", "Its maxmemory; 0: none.", memory["maxmemory"])
