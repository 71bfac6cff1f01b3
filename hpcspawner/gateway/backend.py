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
from ..job import JobState
from ..jobqueue import Entry, JobQueue, SubmitError
from ..jobqueue.elements import Part
from ..options import OptionError, Person
from ..sitemodel import Dask
from . import answers, clusteroptions, grouping, limits, records
from .batch import Batch
from .patience import Patience
from .scaling import judge, key_of, unwanted_jobs

SCHEDULER, WORKERS = "dask-scheduler", "dask-workers"
OWNER = "dask/"
NEVER_RAN = ("refused", "failed", "lost", "unsubmitted")
"""Ends of jobs that the batch system never had: whoever submitted them hears of it."""


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
        self.batch = Batch(self)
        self._patience: dict[str, Patience] = {}
        self._placed: dict[str, list[Worker]] = {}
        self._changed: set[str] = set()
        self._begun = time.time()
        answers.add(app, self)
        await super().setup(app)

    async def do_setup(self) -> None:
        records.hurry(self.db.db)
        self.fleet.begin(self._known_tags)
        await self.fleet.ready()
        self.task_pool.spawn(self.batch.run())
        for cluster in list(self.db.active_clusters()):
            self._resume(cluster)

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
        active = list(self.db.active_clusters())
        tags = {str(cluster.state.get("tag", "")) for cluster in active}
        tags |= {key_of(worker)[0] for cluster in active for worker in cluster.workers.values()}
        return tags - {""}

    def _resume(self, cluster: Cluster) -> None:
        """A cluster of the gateway's last run."""
        queue, again = self.queue_of(cluster), []
        for worker in cluster.workers.values():
            if worker.status >= JobStatus.STOPPED:
                continue
            tag = key_of(worker)[0]
            entry = queue.entry(tag) if tag else None
            if entry is None or (entry.ending is not None and entry.ending.source in NEVER_RAN):
                again += [worker] if worker.status == JobStatus.SUBMITTED and worker.is_active() else []
            else:
                self._placed.setdefault(tag, []).append(worker)
                self._changed.add(tag)
        self.db.update_workers([(worker, {"state": {}}) for worker in again])
        self.batch.add(again)
        self._look()
        for key in unwanted_jobs(cluster.workers.values(), lambda key: self.part(cluster, *key).ended):
            self.batch.give_back(cluster, key)
        if cluster.status == JobStatus.SUBMITTED and not cluster.scheduler_address:
            entry = queue.entry(str(cluster.state.get("tag", "")))
            if entry is None or (entry.ending is not None and entry.ending.source in NEVER_RAN):
                self._start_scheduler(cluster)

    # Where things are --------------------------------------------------------------------------------------------

    def queue_of(self, cluster: Cluster) -> JobQueue:
        return self.fleet.queues[cluster.config.choice["cluster"]]

    def dask_of(self, cluster: Cluster) -> Dask:
        """What the site says about Dask there."""
        return self.fleet.site.clusters[cluster.config.choice["cluster"]].dask

    def patience(self, cluster: Cluster) -> Patience:
        return self._patience.setdefault(cluster.name, Patience())

    def account_of(self, cluster: Cluster) -> str:
        """The system account of a cluster's owner. Override where user names differ from accounts."""
        return str(cluster.username)

    def owner_key(self, cluster: Cluster) -> str:
        return OWNER + str(cluster.name)

    def part(self, cluster: Cluster, tag: str, index: int) -> Part:
        """What is known of the job of a worker."""
        entry = self.queue_of(cluster).entry(tag)
        return entry.part(index) if entry is not None else Part(JobState.ENDED)

    def most_jobs(self, cluster: Cluster) -> int:
        """The most jobs of one array."""
        inventory = self.fleet.inventories().get(cluster.config.choice["cluster"])
        # Indexes begin at 1, and Slurm's limit counts from 0.
        return max(1, inventory.max_array - 1) if inventory and inventory.max_array else grouping.MOST

    def _others(self, cluster: Cluster) -> list[Cluster]:
        name = cluster.config.choice["cluster"]
        mine = self.db.list_clusters(username=cluster.username)
        return [other for other in mine if other is not cluster and other.config.choice["cluster"] == name]

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
        mine = [c for c in self.db.list_clusters(username=user.name) if c.config.choice["cluster"] == name]
        refusal = limits.one_more(self.fleet.site.clusters[name].dask, len(mine))
        if refusal:
            raise PublicException(refusal)
        cluster = self.db.create_cluster(user.name, options, config.to_dict())
        self.log.info("Created cluster %s for user %s", cluster.name, user.name)
        self.queue.put(cluster)
        return str(cluster.name)

    # Schedulers --------------------------------------------------------------------------------------------------

    async def do_start_cluster(self, cluster: Cluster) -> AsyncIterator[dict[str, Any]]:
        await self.fleet.ready()
        yield self._start_scheduler(cluster)

    def _start_scheduler(self, cluster: Cluster) -> dict[str, Any]:
        """Begins the submit; the state that tells of it. Time in line or in the queue is no failure."""
        state = {"tag": self.queue_of(cluster).new_tag()}
        self.db.update_cluster(cluster, state=state)
        self.task_pool.spawn(self._submit_scheduler(cluster, state["tag"]))
        return state

    async def _submit_scheduler(self, cluster: Cluster, tag: str) -> None:
        queue = self.queue_of(cluster)
        try:
            fields = await self._fields(cluster, SCHEDULER)
            fields["environment"]["HPCSPAWNER_DASK_TOKEN"] = cluster.token
            fields["dask"].update(
                api_url=self.api_url,
                heartbeat=self.cluster_heartbeat_period,
                adaptive=cluster.config.adaptive_period,
                idle=cluster.config.idle_timeout,
            )
            await queue.submit(tag, self.account_of(cluster), fields, self.owner_key(cluster))
            queue.stored(tag)
        except SubmitError as error:
            self.fail(cluster, f"The scheduler's job was not accepted: {getattr(error, 'text', '') or error}")
        except Exception as error:
            self.log.error("Submit of cluster %s", cluster.name, exc_info=error)
            self.fail(cluster, f"The scheduler's job could not be submitted: {type(error).__name__}")

    def fail(self, cluster: Cluster, reason: str) -> None:
        """Ends a cluster; the reason is what its owner reads."""
        if cluster.target > JobStatus.RUNNING:
            return
        self.log.warning("Cluster %s of %s failed: %s", cluster.name, cluster.username, reason)
        state = {**(cluster.state or {}), "reason": answers.one_line(reason)}
        self.db.update_cluster(cluster, target=JobStatus.FAILED, state=state)
        self.queue.put(cluster)

    async def _scheduler_ended(self, cluster: Cluster, entry: Entry) -> None:
        ending = await self.queue_of(cluster).why(entry.tag, 10)
        last = next((line.strip() for line in reversed(ending.lines) if line.strip()), "")
        more = f" Its log ends: {last}" if last else ""
        self.fail(cluster, f"Job {entry.id} of the scheduler: {ending.text}{more}")
        self.queue_of(cluster).keep(entry.tag)

    async def do_stop_cluster(self, cluster: Cluster) -> None:
        """One cancel for all jobs of the cluster. The queue repeats it until they have ended, then cleans up."""
        self.batch.forget(cluster)
        queue = self.queue_of(cluster)
        tags = {str(cluster.state.get("tag", ""))} | {key_of(worker)[0] for worker in cluster.workers.values()}
        found = [entry for entry in map(queue.entry, tags - {""}) if entry is not None]
        living = [entry.tag for entry in found if not entry.ended]
        if living:
            await asyncio.wait([asyncio.ensure_future(queue.cancel(tag)) for tag in living], timeout=60)
        for entry in found:
            queue.keep(entry.tag)
        for tag in tags:
            self._placed.pop(tag, None)
        self._patience.pop(cluster.name, None)

    async def _cluster_to_closing(self, cluster: Cluster) -> None:
        # All workers in one transaction: the jobs end together in do_stop_cluster.
        self.batch.forget(cluster)
        closing = {"status": JobStatus.CLOSING, "target": JobStatus.CLOSING}
        workers = [worker for worker in cluster.workers.values() if worker.status < JobStatus.CLOSING]
        self.db.update_workers([(worker, closing) for worker in workers])
        self.db.update_cluster(cluster, status=JobStatus.CLOSING)
        self.queue.put(cluster)
        cluster.ready.set()

    # Workers -----------------------------------------------------------------------------------------------------

    async def do_start_worker(self, worker: Worker) -> AsyncIterator[dict[str, Any]]:
        self.batch.add([worker])
        yield {}

    async def do_stop_worker(self, worker: Worker) -> None:
        self.batch.drop(worker)
        tag, index = key_of(worker)
        mates = [mate for mate in self._placed.get(tag, ()) if key_of(mate) == (tag, index)]
        if tag and not any(mate.is_active() for mate in mates) and not self.part(worker.cluster, tag, index).ended:
            retired = bool(worker.close_expected and worker.status == JobStatus.RUNNING)
            self.batch.give_back(worker.cluster, (tag, index), retired=retired)

    def placed(self, tag: str, cluster: Cluster, jobs: list[list[Worker]]) -> None:
        """Workers are about to be submitted, job by job."""
        updates = [(worker, index) for index, job in enumerate(jobs, 1) for worker in job]
        self.db.update_workers([(worker, {"state": {"tag": tag, "index": index}}) for worker, index in updates])
        self._placed[tag] = [worker for worker, _ in updates]

    def unplaced(self, tag: str) -> None:
        """They were not taken."""
        self.db.update_workers([(worker, {"state": {}}) for worker in self._placed.pop(tag, ())])

    def is_unwanted(self, tag: str) -> bool:
        """Whether no worker of that submit is wanted any more."""
        return not any(worker.is_active() for worker in self._placed.get(tag, ()))

    async def worker_fields(self, cluster: Cluster, names: list[list[str]]) -> dict[str, Any]:
        """The helper's fields for one array of jobs with these workers."""
        fields = await self._fields(cluster, WORKERS)
        fields["array"] = len(names)
        fields["dask"].update(address=cluster.scheduler_address, names=names)
        return fields

    async def _fields(self, cluster: Cluster, kind: str) -> dict[str, Any]:
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

    async def _check_cluster_scale(self, cluster: Cluster) -> None:
        missing = cluster.count - len(cluster.active_workers())
        if missing <= 0:
            return
        left = self.patience(cluster).left()
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
        most = limits.allowed(self.dask_of(cluster), cluster, self._others(cluster))
        count = msg["count"] if most is None else min(msg["count"], most)
        if count != cluster.count:
            update["count"] = count
        decision = judge(list(cluster.workers.values()), msg, count)
        if update:
            self.db.update_cluster(cluster, **update)
        if update or count > len(cluster.active_workers()):
            self.queue.put(cluster)
        self.db.update_workers([(worker, {"target": target}) for worker, target in decision.stopped])
        for worker, _ in decision.stopped:
            self.queue.put(worker)
        if decision.running:
            self.patience(cluster).good()
            self.db.update_workers([(worker, {"status": JobStatus.RUNNING}) for worker in decision.running])
            self.log.info("Cluster %s: %s more workers run", cluster.name, len(decision.running))
        self.db.update_workers([(worker, {"close_expected": True}) for worker in decision.closing])

    # What the batch system tells ---------------------------------------------------------------------------------

    def _job_changed(self, before: Entry, after: Entry) -> None:
        if not after.owner_key.startswith(OWNER):
            return
        if after.ended and after.ending is not None and after.ending.source in NEVER_RAN:
            return
        ended = after.ended and not before.ended
        if after.kind == SCHEDULER and ended:
            cluster = self.db.get_cluster(after.owner_key[len(OWNER) :])
            if cluster is not None and cluster.is_active() and cluster.state.get("tag") == after.tag:
                self.task_pool.spawn(self._scheduler_ended(cluster, after))
        elif after.kind == WORKERS and (ended or after.parts is not before.parts):
            if not self._changed:
                asyncio.get_running_loop().call_soon(self._look)
            self._changed.add(after.tag)

    def _look(self) -> None:
        """Workers whose jobs have ended. One that never worked is a bad start; no cluster fails because of it."""
        tags, self._changed = self._changed, set()
        failed: list[Worker] = []
        for tag in tags:
            for worker in self._placed.get(tag, ()):
                if not worker.is_active() or not worker.cluster.is_active() or key_of(worker)[0] != tag:
                    continue
                part = self.part(worker.cluster, *key_of(worker))
                if part.ended:
                    failed.append(worker)
                    if worker.status < JobStatus.RUNNING:
                        self._bad_start(worker, part, "ended before the worker was ready")
        self._stop_failed(failed)
        for username in {worker.cluster.username for worker in failed}:
            self.batch.room(username)

    def _stop_failed(self, failed: list[Worker]) -> None:
        def target(worker: Worker) -> JobStatus:
            return JobStatus.STOPPED if worker.close_expected else JobStatus.FAILED

        self.db.update_workers([(worker, {"target": target(worker)}) for worker in failed])
        for worker in failed:
            self.queue.put(worker)

    def _bad_start(self, worker: Worker, part: Part, words: str) -> None:
        status = part.status
        why = f": {status.reason}" if status is not None and status.reason else ""
        text = f"a job {words}{why}"
        self.patience(worker.cluster).bad(text, status.nodes if status is not None else ())
        self.log.warning("Cluster %s: worker %s: %s", worker.cluster.name, worker.name, text)

    async def do_check_clusters(self, clusters: list[Cluster]) -> list[bool]:
        """Changes are told at once, see _job_changed."""
        return [True] * len(clusters)

    async def do_check_workers(self, workers: list[Worker]) -> list[bool]:
        return [True] * len(workers)

    async def _check_timeouts(self) -> None:
        """The clock of a start begins with the job, not in the queue. A silent scheduler fails with its job only."""
        now = time.time()
        for cluster in list(self.db.active_clusters()):
            limit = self.dask_of(cluster).start_timeout
            if cluster.status == JobStatus.SUBMITTED:
                self._check_scheduler(cluster, now - limit)
            elif cluster.status == JobStatus.RUNNING:
                self._check_workers(cluster, now - limit)

    def _check_scheduler(self, cluster: Cluster, latest: float) -> None:
        entry = self.queue_of(cluster).entry(str(cluster.state.get("tag", "")))
        if entry is None or entry.ended or entry.status is None or entry.state is not JobState.RUNNING:
            return
        # A gateway that was away could not hear it.
        if max(entry.status.started or self._begun, self._begun) < latest:
            seconds = self.dask_of(cluster).start_timeout
            self.fail(cluster, f"Job {entry.id} of the scheduler runs, but did not reach the gateway in {seconds} s")

    def _check_workers(self, cluster: Cluster, latest: float) -> None:
        late = []
        for worker in cluster.active_workers():
            tag, index = key_of(worker)
            if worker.status != JobStatus.SUBMITTED or not tag:
                continue
            part = self.part(cluster, tag, index)
            started = part.status.started if part.status is not None else None
            if part.state is JobState.RUNNING and started and max(started, self._begun) < latest:
                self._bad_start(worker, part, "runs, but its worker did not reach the scheduler")
                late.append(worker)
        self._stop_failed(late)
