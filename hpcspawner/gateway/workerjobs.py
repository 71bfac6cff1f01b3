"""The jobs of Dask workers: which worker is in which, and what their ends mean."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from dask_gateway_server.backends.db_base import Cluster, JobStatus, Worker

from ..job import JobState
from ..jobqueue import Entry
from ..jobqueue.elements import Part
from .patience import Patience
from .scaling import key_of, unwanted_jobs
from .schedulerjobs import never_ran

if TYPE_CHECKING:
    from .backend import HPCBackend

KIND = "dask-workers"


class WorkerJobs:
    """Many jobs for each Dask cluster, submitted as arrays."""

    def __init__(self, backend: HPCBackend) -> None:
        self.backend = backend
        self._placed: dict[str, list[Worker]] = {}
        self._changed: set[str] = set()
        self._patience: dict[str, Patience] = {}

    def patience(self, cluster: Cluster) -> Patience:
        return self._patience.setdefault(cluster.name, Patience())

    def part(self, worker: Worker) -> Part:
        """What is known of the job of a worker; one that nobody knows has ended."""
        tag, index = key_of(worker)
        entry = self.backend.queue_of(worker.cluster).entry(tag) if tag else None
        return entry.part(index) if entry is not None else Part(JobState.ENDED)

    # Placing -----------------------------------------------------------------------------------------------------

    async def fields(self, cluster: Cluster, jobs: list[list[Worker]]) -> dict[str, Any]:
        """The helper's fields for one array of jobs with these workers."""
        fields = await self.backend.fields(cluster, KIND)
        fields["array"] = len(jobs)
        names = [[worker.name for worker in job] for job in jobs]
        fields["dask"].update(address=cluster.scheduler_address, names=names)
        return fields

    def place(self, tag: str, jobs: list[list[Worker]]) -> None:
        """Workers are about to be submitted, job by job."""
        updates = [(worker, {"tag": tag, "index": index}) for index, job in enumerate(jobs, 1) for worker in job]
        # In the database before anything reaches the batch system: after a crash it is found again.
        self.backend.db.update_workers([(worker, {"state": state}) for worker, state in updates])
        self._placed[tag] = [worker for worker, _ in updates]

    def unplace(self, tag: str) -> None:
        """They were not taken."""
        self.backend.db.update_workers([(worker, {"state": {}}) for worker in self._placed.pop(tag, ())])

    def is_unwanted(self, tag: str) -> bool:
        """Whether no worker of that submit is wanted any more."""
        return not any(worker.is_active() for worker in self._placed.get(tag, ()))

    def resume(self, cluster: Cluster) -> None:
        """A cluster of the gateway's last run."""
        queue, again = self.backend.queue_of(cluster), []
        for worker in cluster.workers.values():
            if worker.status >= JobStatus.STOPPED:
                continue
            tag = key_of(worker)[0]
            if tag and not never_ran(queue.entry(tag)):
                self._placed.setdefault(tag, []).append(worker)
                self._changed.add(tag)
            elif worker.status == JobStatus.SUBMITTED and worker.is_active():
                again.append(worker)
        self.backend.db.update_workers([(worker, {"state": {}}) for worker in again])
        self.backend.batch.add(again)
        self.look()
        workers = {key_of(worker): worker for worker in cluster.workers.values()}
        for key in unwanted_jobs(cluster.workers.values(), lambda key: self.part(workers[key]).ended):
            self.backend.batch.give_back(cluster, key)

    def stop(self, worker: Worker) -> None:
        """Gives its job back, if that was the last worker in it."""
        tag, index = key_of(worker)
        mates = [mate for mate in self._placed.get(tag, ()) if key_of(mate) == (tag, index)]
        if tag and not any(mate.is_active() for mate in mates) and not self.part(worker).ended:
            retired = bool(worker.close_expected and worker.status == JobStatus.RUNNING)
            self.backend.batch.give_back(worker.cluster, (tag, index), retired=retired)

    def forget(self, cluster: Cluster) -> None:
        """The cluster ends."""
        for tag in {key_of(worker)[0] for worker in cluster.workers.values()}:
            self._placed.pop(tag, None)
        self._patience.pop(cluster.name, None)

    # Ends --------------------------------------------------------------------------------------------------------

    def changed(self, entry: Entry) -> None:
        """Jobs of an array have changed; looked at together, a moment later."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self.look)
        self._changed.add(entry.tag)

    def look(self) -> None:
        """Workers whose jobs have ended. One that never worked is a bad start; no cluster fails because of it."""
        tags, self._changed = self._changed, set()
        ended: list[Worker] = []
        for tag in tags:
            for worker in self._placed.get(tag, ()):
                wanted = worker.is_active() and worker.cluster.is_active() and key_of(worker)[0] == tag
                part = self.part(worker) if wanted else None
                if part is not None and part.ended:
                    ended.append(worker)
                    if worker.status < JobStatus.RUNNING:
                        self._bad_start(worker, part, "ended before its worker was ready")
        self._fail(ended)
        for username in {worker.cluster.username for worker in ended}:
            self.backend.batch.room(username)

    def check(self, cluster: Cluster, latest: float) -> None:
        """Gives up workers whose jobs run since before that time (of the epoch) and which were never heard of."""
        late = []
        for worker in cluster.active_workers():
            if worker.status != JobStatus.SUBMITTED or not key_of(worker)[0]:
                continue
            part = self.part(worker)
            started = part.status.started if part.status is not None else None
            # A gateway that was away could not hear it.
            if part.state is JobState.RUNNING and started and max(started, self.backend.begun) < latest:
                self._bad_start(worker, part, "runs, but its worker did not reach the scheduler")
                late.append(worker)
        self._fail(late)

    def _fail(self, workers: list[Worker]) -> None:
        """They are stopped, and where they are still wanted, others are started."""

        def target(worker: Worker) -> JobStatus:
            return JobStatus.STOPPED if worker.close_expected else JobStatus.FAILED

        self.backend.db.update_workers([(worker, {"target": target(worker)}) for worker in workers])
        for worker in workers:
            self.backend.queue.put(worker)

    def _bad_start(self, worker: Worker, part: Part, words: str) -> None:
        status = part.status
        why = f": {status.reason}" if status is not None and status.reason else ""
        self.patience(worker.cluster).bad(f"a job {words}{why}", status.nodes if status is not None else ())
        self.backend.log.warning("Cluster %s: worker %s: a job %s%s", worker.cluster.name, worker.name, words, why)
