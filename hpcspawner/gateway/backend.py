"""HPCBackend: what Dask Gateway calls. Dask clusters become jobs of their users, through the queue of the spawner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from dask_gateway_server.backends.base import ClusterConfig, PublicException
from dask_gateway_server.backends.db_base import Cluster, DBBackendBase, JobStatus, Worker
from dask_gateway_server.traitlets import Type
from dask_gateway_server.utils import timestamp
from traitlets import Dict, Integer, List, Unicode

from .. import sitefile
from ..fleet import Fleet
from ..jobqueue import Entry, JobQueue
from ..options import OptionError, Person
from ..sitemodel import Dask
from . import answers, clusteroptions, grouping, limits, records, schedulerjobs, workerjobs
from .batch import Batch
from .scaling import judge, key_of
from .schedulerjobs import SchedulerJobs
from .workerjobs import WorkerJobs

OWNER = "dask/"
CANCEL_SECONDS = 60.0
"""How long the end of a cluster waits for the batch system's word; the queue repeats the cancel in any case."""


class HPCClusterConfig(ClusterConfig):  # type: ignore[misc]
    """What is known of a cluster from its start on; kept in the gateway's database."""

    choice = Dict(help="The options of one job, as hpcspawner.options has checked them.", config=True)
    workers_per_job = Integer(1, min=1, help="Workers that share one job.", config=True)
    groups = List(Unicode(), help="Groups of the user that only the authenticator knows.", config=True)


class HPCBackend(DBBackendBase):  # type: ignore[misc]
    """Starts Dask clusters on the batch systems of a site."""

    site = Unicode("", help="Site file, or the name of a preset.", config=True)
    state_directory = Unicode("", help="Directory of the journal; one for each gateway.", config=True)
    cluster_config_class = Type(
        HPCClusterConfig, klass=HPCClusterConfig, help="The class of a cluster's configuration.", config=True
    )

    supports_bulk_shutdown = True

    # Life --------------------------------------------------------------------------------------------------------

    async def setup(self, app: Any) -> None:
        # The journal's lock first: a second gateway on the same state must not even load the database.
        self.fleet = Fleet(sitefile.read(self.site), Path(self.state_directory), self.log)
        self.fleet.on_change = self._job_changed
        self.begun = time.time()
        self._closed: dict[str, frozenset[str]] = {}
        self.batch = Batch(self)
        self.schedulers = SchedulerJobs(self)
        self.workers = WorkerJobs(self)
        answers.add(app, self)
        await super().setup(app)

    async def do_setup(self) -> None:
        records.hurry(self.db.db)
        self.fleet.begin(self._known_tags)
        await self.fleet.ready()
        self.task_pool.spawn(self.batch.run())
        for cluster in list(self.db.active_clusters()):
            self.workers.resume(cluster)
            self.schedulers.resume(cluster)

    async def do_cleanup(self) -> None:
        if not hasattr(self, "fleet"):
            return
        await self.batch.close()
        for queue in self.fleet.queues.values():
            await queue.close()
        for helpers in self.fleet.helpers.values():
            await helpers.close()
        self.fleet.journal.close()

    def _known_tags(self) -> set[str]:
        return {tag for cluster in self.db.active_clusters() for tag in _tags(cluster)}

    # Where things are --------------------------------------------------------------------------------------------

    def queue_of(self, cluster: Cluster) -> JobQueue:
        return self.fleet.queues[cluster.config.choice["cluster"]]

    def dask_of(self, cluster: Cluster) -> Dask:
        """What the site says about Dask there."""
        return self.fleet.site.clusters[cluster.config.choice["cluster"]].dask

    def account_of(self, cluster: Cluster) -> str:
        """The system account of a cluster's owner. Override where user names differ from accounts."""
        return str(cluster.username)

    def owner_key(self, cluster: Cluster) -> str:
        """What the queue calls the thing behind a cluster's jobs."""
        return OWNER + str(cluster.name)

    def cluster_name(self, entry: Entry) -> str:
        return entry.owner_key[len(OWNER) :]

    def most_jobs(self, cluster: Cluster) -> int:
        """The most jobs of one array."""
        inventory = self.fleet.inventories().get(cluster.config.choice["cluster"])
        # Indexes begin at 1, and Slurm's limit counts from 0.
        return max(1, inventory.max_array - 1) if inventory and inventory.max_array else grouping.MOST

    def _active(self, username: str, name: str) -> list[Cluster]:
        """The clusters of a user on one batch system."""
        return [c for c in self.db.list_clusters(username=username) if c.config.choice["cluster"] == name]

    # Options and limits ------------------------------------------------------------------------------------------

    async def _person(self, user: Any) -> Person:
        return await self.fleet.person(user.name, user.groups, admin=user.admin)

    async def get_cluster_options(self, user: Any) -> Any:
        return clusteroptions.describe(self.fleet.site, await self._person(user), self.fleet.inventories())

    async def process_cluster_options(self, user: Any, request: Any) -> tuple[dict[str, Any], HPCClusterConfig]:
        """The options as reports show them, and the configuration. Raises PublicException, which becomes a 422."""
        try:
            person = await self._person(user)
            asked = clusteroptions.validate(self.fleet.site, request, person, self.fleet.inventories())
        except OptionError as error:
            raise PublicException(answers.one_line(str(error))) from None
        dask = self.fleet.site.clusters[asked.choice.cluster].dask
        canonical = asked.choice.canonical()
        config = self.cluster_config_class(
            parent=self,
            choice=canonical,
            workers_per_job=asked.workers,
            groups=sorted(user.groups),
            worker_cores=asked.worker_cores,
            worker_memory=asked.worker_memory,
            cluster_max_workers=limits.most_workers(dask, asked.worker_cores),
            idle_timeout=float(dask.idle_timeout),
        )
        return {**canonical, clusteroptions.WORKERS: asked.workers}, config

    async def start_cluster(self, user: Any, cluster_options: Any) -> str:
        options, config = await self.process_cluster_options(user, cluster_options)
        name = config.choice["cluster"]
        refusal = limits.one_more(self.fleet.site.clusters[name].dask, len(self._active(user.name, name)))
        if refusal:
            raise PublicException(refusal)
        cluster = self.db.create_cluster(user.name, options, config.to_dict())
        self.log.info("Created cluster %s for user %s", cluster.name, user.name)
        self.queue.put(cluster)
        return str(cluster.name)

    async def fields(self, cluster: Cluster, kind: str) -> dict[str, Any]:
        """The helper's fields for any job of a cluster."""
        config = cluster.config
        person = await self.fleet.person(self.account_of(cluster), config.groups)
        fields: dict[str, Any] = {
            "kind": kind,
            "choice": dict(config.choice),
            "groups": sorted(person.groups),
            "environment": {
                **config.environment,
                "HPCSPAWNER_DASK_CERT": cluster.tls_cert.decode(),
                "HPCSPAWNER_DASK_KEY": cluster.tls_key.decode(),
            },
            "dask": {"cluster": cluster.name},
        }
        if person.accounts is not None:
            fields["accounts"] = sorted(person.accounts)
        return fields

    # Clusters ----------------------------------------------------------------------------------------------------

    async def do_start_cluster(self, cluster: Cluster) -> AsyncIterator[dict[str, Any]]:
        await self.fleet.ready()
        yield self.schedulers.start(cluster)

    async def do_stop_cluster(self, cluster: Cluster) -> None:
        """One cancel for all jobs of the cluster. The queue repeats it until they have ended, then cleans up."""
        self.batch.forget(cluster)
        queue = self.queue_of(cluster)
        found = [entry for entry in map(queue.entry, _tags(cluster)) if entry is not None]
        living = [asyncio.ensure_future(queue.cancel(entry.tag)) for entry in found if not entry.ended]
        if living:
            await asyncio.wait(living, timeout=CANCEL_SECONDS)
        for entry in found:
            queue.keep(entry.tag)
        self.workers.forget(cluster)
        self._closed.pop(cluster.name, None)

    async def _cluster_to_closing(self, cluster: Cluster) -> None:
        # All workers in one transaction: the jobs end together in do_stop_cluster.
        self.batch.forget(cluster)
        closing = {"status": JobStatus.CLOSING, "target": JobStatus.CLOSING}
        workers = [worker for worker in cluster.workers.values() if worker.status < JobStatus.CLOSING]
        self.db.update_workers([(worker, closing) for worker in workers])
        self.db.update_cluster(cluster, status=JobStatus.CLOSING)
        self.queue.put(cluster)
        cluster.ready.set()

    async def _check_cluster_scale(self, cluster: Cluster) -> None:
        missing = cluster.count - len(cluster.active_workers())
        if missing <= 0:
            return
        left = self.workers.patience(cluster).left()
        if left:
            self.queue.put_after(cluster, left)
            return
        self.log.info("Cluster %s needs %s more workers", cluster.name, missing)
        self.batch.add(records.create_workers(self.db, cluster, missing))

    async def on_cluster_heartbeat(self, cluster_name: str, msg: Mapping[str, Any]) -> None:
        cluster = self.db.get_cluster(cluster_name)
        if cluster is None or cluster.target > JobStatus.RUNNING:
            return
        cluster.last_heartbeat = timestamp()
        update: dict[str, Any] = {}
        if cluster.status != JobStatus.RUNNING:
            update = {name: msg[name] for name in ("api_address", "scheduler_address", "dashboard_address")}
        # Here, and not where the user asks: adapt asks by itself.
        clusters = self._active(cluster.username, cluster.config.choice["cluster"])
        most = limits.allowed(self.dask_of(cluster), cluster, clusters)
        count = msg["count"] if most is None else min(msg["count"], most)
        if count != cluster.count:
            update["count"] = count
        closed_before = self._closed.get(cluster.name, frozenset())
        self._closed[cluster.name] = frozenset(msg["closed_workers"])
        decision = judge(list(cluster.workers.values()), msg, count, closed_before)
        if update:
            self.db.update_cluster(cluster, **update)
        if update or count > len(cluster.active_workers()):
            self.queue.put(cluster)
        self.db.update_workers([(worker, {"target": target}) for worker, target in decision.stopped])
        for worker, _ in decision.stopped:
            self.queue.put(worker)
        if decision.running:
            self.workers.patience(cluster).good()
            self.db.update_workers([(worker, {"status": JobStatus.RUNNING}) for worker in decision.running])
            self.log.info("Cluster %s: %s more workers run", cluster.name, len(decision.running))
        self.db.update_workers([(worker, {"close_expected": True}) for worker in decision.closing])

    # Workers -----------------------------------------------------------------------------------------------------

    async def do_start_worker(self, worker: Worker) -> AsyncIterator[dict[str, Any]]:
        self.batch.add([worker])
        yield {}

    async def do_stop_worker(self, worker: Worker) -> None:
        self.batch.drop(worker)
        self.workers.stop(worker)

    # What the batch system tells ---------------------------------------------------------------------------------

    def _job_changed(self, before: Entry, after: Entry) -> None:
        if not after.owner_key.startswith(OWNER) or (after.ended and schedulerjobs.never_ran(after)):
            return
        ended = after.ended and not before.ended
        if after.kind == schedulerjobs.KIND and ended:
            self.schedulers.changed(after)
        elif after.kind == workerjobs.KIND and (ended or after.parts is not before.parts):
            self.workers.changed(after)

    async def do_check_clusters(self, clusters: list[Cluster]) -> list[bool]:
        """All is well: ends are told at once, see _job_changed."""
        return [True] * len(clusters)

    async def do_check_workers(self, workers: list[Worker]) -> list[bool]:
        """As do_check_clusters."""
        return [True] * len(workers)

    async def _check_timeouts(self) -> None:
        """The clock of a start begins with the job, not in the queue. A silent scheduler fails with its job only."""
        for cluster in list(self.db.active_clusters()):
            latest = time.time() - self.dask_of(cluster).start_timeout
            if cluster.status == JobStatus.SUBMITTED:
                self.schedulers.check(cluster, latest)
            elif cluster.status == JobStatus.RUNNING:
                self.workers.check(cluster, latest)


def _tags(cluster: Cluster) -> set[str]:
    """The submits of a cluster."""
    tags = {str((cluster.state or {}).get("tag", ""))}
    tags.update(key_of(worker)[0] for worker in cluster.workers.values())
    return tags - {""}
