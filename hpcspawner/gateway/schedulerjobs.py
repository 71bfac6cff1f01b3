"""The jobs of Dask schedulers: submitted, watched, and failed with a reason that their owner reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask_gateway_server.backends.db_base import Cluster, JobStatus

from ..job import JobState
from ..jobqueue import Entry, SubmitError
from .answers import one_line

if TYPE_CHECKING:
    from .backend import HPCBackend

KIND = "dask-scheduler"
NEVER_RAN = ("refused", "failed", "lost", "unsubmitted")
"""Ends of jobs that the batch system never had: whoever submitted them hears of it."""


def never_ran(entry: Entry | None) -> bool:
    """Whether there was no such job."""
    return entry is None or (entry.ending is not None and entry.ending.source in NEVER_RAN)


class SchedulerJobs:
    """One job for each Dask cluster."""

    def __init__(self, backend: HPCBackend) -> None:
        self.backend = backend

    def entry(self, cluster: Cluster) -> Entry | None:
        """What the queue knows of the job."""
        tag = str((cluster.state or {}).get("tag", ""))
        return self.backend.queue_of(cluster).entry(tag) if tag else None

    def resume(self, cluster: Cluster) -> None:
        """The gateway has started again while the cluster was on its way."""
        if cluster.status != JobStatus.SUBMITTED or cluster.scheduler_address:
            return
        entry = self.entry(cluster)
        if entry is None or never_ran(entry):
            self.start(cluster)
        elif entry.ended:
            self.backend.task_pool.spawn(self.ended(cluster, entry))

    def start(self, cluster: Cluster) -> dict[str, Any]:
        """Begins the submit; the state that tells of it. Time in line or in the queue is no failure."""
        state = {"tag": self.backend.queue_of(cluster).new_tag()}
        # In the database before anything reaches the batch system: after a crash it is found again.
        self.backend.db.update_cluster(cluster, state=state)
        self.backend.task_pool.spawn(self._submit(cluster, state["tag"]))
        return state

    async def _submit(self, cluster: Cluster, tag: str) -> None:
        backend = self.backend
        queue = backend.queue_of(cluster)
        try:
            fields = await backend.fields(cluster, KIND)
            fields["environment"]["HPCSPAWNER_DASK_TOKEN"] = cluster.token
            fields["dask"].update(
                api_url=backend.api_url,
                heartbeat=backend.cluster_heartbeat_period,
                adaptive=cluster.config.adaptive_period,
                idle=cluster.config.idle_timeout,
            )
            if cluster.is_active():
                await queue.submit(tag, backend.account_of(cluster), fields, backend.owner_key(cluster))
                queue.stored(tag)
        except SubmitError as error:
            self.fail(cluster, f"The scheduler's job was not accepted: {getattr(error, 'text', '') or error}")
        except Exception as error:
            backend.log.error("Submit of cluster %s", cluster.name, exc_info=error)
            self.fail(cluster, f"The scheduler's job could not be submitted: {type(error).__name__}")

    def fail(self, cluster: Cluster, reason: str) -> None:
        """Ends a cluster; the reason is what its owner reads."""
        if cluster.target > JobStatus.RUNNING:
            return
        self.backend.log.warning("Cluster %s of %s failed: %s", cluster.name, cluster.username, reason)
        state = {**(cluster.state or {}), "reason": one_line(reason)}
        self.backend.db.update_cluster(cluster, target=JobStatus.FAILED, state=state)
        self.backend.queue.put(cluster)

    def changed(self, entry: Entry) -> None:
        """The job of a scheduler has ended."""
        cluster = self.backend.db.get_cluster(self.backend.cluster_name(entry))
        if cluster is not None and cluster.is_active() and (cluster.state or {}).get("tag") == entry.tag:
            self.backend.task_pool.spawn(self.ended(cluster, entry))

    async def ended(self, cluster: Cluster, entry: Entry) -> None:
        """Fails the cluster with what is known of the end."""
        queue = self.backend.queue_of(cluster)
        ending = await queue.why(entry.tag, 10)
        last = next((line.strip() for line in reversed(ending.lines) if line.strip()), "")
        more = f" Its log ends: {last}" if last else ""
        self.fail(cluster, f"Job {entry.id} of the scheduler: {ending.text}{more}")
        queue.keep(entry.tag)

    def check(self, cluster: Cluster, latest: float) -> None:
        """Fails a cluster whose job runs since before that time (of the epoch), and which was never heard of."""
        entry = self.entry(cluster)
        if entry is None or entry.ended or entry.status is None or entry.state is not JobState.RUNNING:
            return
        # A gateway that was away could not hear it.
        if max(entry.status.started or self.backend.begun, self.backend.begun) < latest:
            seconds = self.backend.dask_of(cluster).start_timeout
            self.fail(cluster, f"Job {entry.id} of the scheduler runs, but did not reach the gateway in {seconds} s")
