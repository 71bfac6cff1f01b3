"""Figures of the queues on the hub's own /hub/metrics, for Prometheus. docs/operations.md tells what to watch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from . import fleet, health
from .job import JobState
from .jobqueue import Entry

QUEUE_WAIT = Histogram(
    "hpcspawner_queue_wait_seconds",
    "Seconds from the submit until the job ran.",
    ["cluster"],
    buckets=(5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, float("inf")),
)

_STARTED = time.time()

_GAUGES = {
    "query_age": ("query_age_seconds", "Age of the last good answer about jobs; 0 while there are none to ask about."),
    "query_seconds": ("query_duration_seconds", "What the last status query took."),
    "orphans": ("orphans", "Jobs of this hub that no server knows and that were left alone."),
    "in_line": ("submits_in_line", "Jobs that wait to be submitted."),
    "lost_submits": ("lost_submits", "Submits without an answer whose job is being looked for."),
    "cancels_wanted": ("cancels_wanted", "Jobs that are being ended."),
}


class Figures(Collector):
    """Asked by Prometheus at each scrape; reads memory."""

    def collect(self) -> Iterator[Any]:
        """All metrics with a label for the cluster."""
        clusters = {name: health.cluster(one, name) for one in fleet.fleets() for name in one.queues}
        for key, (name, words) in _GAUGES.items():
            yield _gauge(name, words, {cluster: figures[key] for cluster, figures in clusters.items()})
        drained = {cluster: int(bool(figures["drained"])) for cluster, figures in clusters.items()}
        yield _gauge("drained", "1 where no new servers start.", drained)
        ages = {cluster: figures["inventory_age"] for cluster, figures in clusters.items()}
        known = {cluster: age for cluster, age in ages.items() if age is not None}
        yield _gauge("inventory_age_seconds", "Age of what is known of partitions and free nodes.", known)
        failing = {cluster: int(bool(figures["inventory_trouble"])) for cluster, figures in clusters.items()}
        yield _gauge("inventory_failing", "1 where partitions cannot be read.", failing)
        broken = {cluster: int(bool(figures["journal_trouble"])) for cluster, figures in clusters.items()}
        yield _gauge("journal_failing", "1 where the journal cannot be written.", broken)
        yield from _counted(clusters)


def _counted(clusters: dict[str, dict[str, Any]]) -> Iterator[Any]:
    jobs = GaugeMetricFamily("hpcspawner_jobs", "Living jobs.", labels=["cluster", "state"])
    errors = CounterMetricFamily("hpcspawner_query_errors", "Status queries without a good answer.", labels=["cluster"])
    submits = CounterMetricFamily("hpcspawner_submits", "Jobs that the scheduler took.", labels=["cluster"])
    failures = CounterMetricFamily(
        "hpcspawner_submit_failures", "Submits that failed, by cause.", labels=["cluster", "cause"]
    )
    for cluster, figures in clusters.items():
        for state in JobState:
            if state is not JobState.ENDED:
                jobs.add_metric([cluster, state.value], figures["jobs"].get(state.value, 0))
        errors.add_metric([cluster], figures["query_errors"])
        submits.add_metric([cluster], figures["submits"])
        for cause, number in figures["submit_failures"].items():
            failures.add_metric([cluster, cause], number)
    yield from (jobs, errors, submits, failures)


def _gauge(name: str, words: str, values: Mapping[str, float]) -> Any:
    made = GaugeMetricFamily(f"hpcspawner_{name}", words, labels=["cluster"])
    for cluster, value in values.items():
        made.add_metric([cluster], value)
    return made


def job_changed(before: Entry, after: Entry) -> None:
    """Counts how long a job waited, once it runs for the first time."""
    waited = before.state in (JobState.PENDING, JobState.HELD, JobState.STARTING, JobState.UNKNOWN)
    if after.state is not JobState.RUNNING or not waited or before.reported or after.run:
        return
    started = after.status.started if after.status and after.status.started else time.time()
    if started >= _STARTED:  # what ran before this process began was counted by the former one
        QUEUE_WAIT.labels(after.cluster).observe(max(0.0, started - after.submitted))


def install() -> None:
    """Once in a process."""
    if not _installed:
        REGISTRY.register(Figures())
        _installed.append(True)


_installed: list[bool] = []
