"""Workers, many at a time: gathered, submitted as arrays, kept where a limit is reached, given back together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from dask_gateway_server.backends.db_base import Cluster, JobStatus, Worker

from ..jobqueue import SubmitError
from . import grouping
from .scaling import Key

if TYPE_CHECKING:
    from .backend import HPCBackend

WINDOW = 0.05
"""Seconds in which what is asked for becomes one submit or one cancel."""
RETIRED = 3.0
"""Seconds that a retired worker gets to end by itself, which saves the cancel."""
HELD_FIRST, HELD_MOST = 10.0, 120.0
"""Seconds before what was refused for a limit is tried again; doubles."""


class Held(NamedTuple):
    """Workers of a cluster that the batch system does not take at present."""

    text: str
    until: float
    pause: float


class Batch:
    """The workers of all Dask clusters on their way to the batch system and back."""

    def __init__(self, backend: HPCBackend) -> None:
        self.backend = backend
        self._waiting: dict[Cluster, dict[str, Worker]] = {}
        self._held: dict[Cluster, Held] = {}
        self._busy: set[Cluster] = set()
        self._back: dict[Key, tuple[Cluster, float]] = {}
        self._nudge = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # What is asked for -------------------------------------------------------------------------------------------

    def add(self, workers: Iterable[Worker]) -> None:
        """They are to be submitted."""
        for worker in workers:
            self._waiting.setdefault(worker.cluster, {})[worker.name] = worker
        self._nudge.set()

    def drop(self, worker: Worker) -> None:
        """It is not wanted any more."""
        self._waiting.get(worker.cluster, {}).pop(worker.name, None)

    def give_back(self, cluster: Cluster, key: Key, *, retired: bool = False) -> None:
        """A job is not wanted any more. retired: it is about to end by itself."""
        self._back[key] = (cluster, time.monotonic() + (RETIRED if retired else 0.0))
        self._nudge.set()

    def forget(self, cluster: Cluster) -> None:
        """The cluster ends: nothing of it is submitted any more."""
        self._waiting.pop(cluster, None)
        self._held.pop(cluster, None)
        self._back = {key: found for key, found in self._back.items() if found[0] is not cluster}

    def room(self, username: str) -> None:
        """A job of that user has ended: what was refused for a limit may be taken now."""
        for cluster, held in self._held.items():
            if cluster.username == username:
                self._held[cluster] = held._replace(until=min(held.until, time.monotonic() + 1.0))
                self._nudge.set()

    def trouble(self, cluster: Cluster) -> str:
        """Why workers of the cluster are not submitted at present; empty where they are."""
        held = self._held.get(cluster)
        count = len(self._waiting.get(cluster, {}))
        return f"{count} more wait for your limit: {held.text}" if held and count else ""

    # The work ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._nudge.clear()
            pause = self._begin()
            nudged = asyncio.ensure_future(self._nudge.wait())
            try:
                await asyncio.wait([nudged], timeout=pause)
            finally:
                nudged.cancel()
            await asyncio.sleep(WINDOW)

    async def close(self) -> None:
        """Ends the waiting for submits; the queue finishes them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self) -> float | None:
        """Begins what is due. Seconds until the next; None: nothing waits for a time."""
        now, times = time.monotonic(), []
        for cluster, workers in self._waiting.items():
            if not workers or cluster in self._busy or not cluster.scheduler_address:
                continue
            held = self._held.get(cluster)
            if held is not None and held.until > now:
                times.append(held.until - now)
            else:
                self._busy.add(cluster)
                self._start(self._submit(cluster))
        due = [key for key, (_, at) in self._back.items() if at <= now]
        if due:
            self._start(self._cancel({key: self._back.pop(key)[0] for key in due}))
        times += [at - now for _, at in self._back.values()]
        return min(times, default=None)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.backend.log.error("Batch of workers", exc_info=task.exception())

    async def _submit(self, cluster: Cluster) -> None:
        try:
            workers = [w for w in self._waiting.pop(cluster, {}).values() if _wanted(w)]
            jobs = grouping.groups(workers, cluster.config.workers_per_job)
            pieces = deque(grouping.chunks(jobs, self.backend.most_jobs(cluster)))
            while pieces:
                piece = pieces.popleft()
                text, limit = await self._array(cluster, piece)
                if not text:
                    self._held.pop(cluster, None)
                elif limit and len(piece) > 1:
                    half = len(piece) // 2
                    pieces.extendleft((piece[half:], piece[:half]))
                else:
                    self._hold(cluster, [piece, *pieces], text, limit)
                    return
        finally:
            self._busy.discard(cluster)
            self._nudge.set()

    def _hold(self, cluster: Cluster, pieces: list[list[list[Worker]]], text: str, limit: bool) -> None:
        left = [worker for piece in pieces for job in piece for worker in job if _wanted(worker)]
        if limit:
            before = self._held.get(cluster)
            pause = min(before.pause * 2, HELD_MOST) if before else HELD_FIRST
            self._held[cluster] = Held(text, time.monotonic() + pause, pause)
            self.backend.log.info("%s workers of %s wait for a limit: %s", len(left), cluster.name, text)
        else:
            patience = self.backend.workers.patience(cluster)
            patience.bad(text)
            pause = patience.left()
            self._held[cluster] = Held(text, time.monotonic() + pause, pause)
            self.backend.log.warning("Workers of %s cannot be submitted: %s", cluster.name, text)
        if cluster.is_active():
            self.add(left)

    async def _array(self, cluster: Cluster, jobs: list[list[Worker]]) -> tuple[str, bool]:
        """Submits jobs as one array. Why not ('' where it was taken), and whether it is for a limit."""
        jobs = [job for job in ([w for w in job if _wanted(w)] for job in jobs) if job]
        if not jobs or not cluster.is_active():
            return "", False
        queue = self.backend.queue_of(cluster)
        tag = queue.new_tag()
        self.backend.workers.place(tag, jobs)
        fields = await self.backend.workers.fields(cluster, jobs)
        try:
            await queue.submit(tag, self.backend.account_of(cluster), fields, self.backend.owner_key(cluster))
        except SubmitError as error:
            self.backend.workers.unplace(tag)
            text = str(getattr(error, "text", "") or error)
            return (text, grouping.is_limit(text)) if cluster.is_active() else ("", False)
        queue.stored(tag)
        # Its files go as soon as it has ended; its log stays.
        queue.keep(tag)
        return "", False

    async def _cancel(self, jobs: dict[Key, Cluster]) -> None:
        """Cancels jobs of many arrays at once: the queue makes one command of it."""
        clusters = {tag: cluster for (tag, _), cluster in jobs.items()}
        work = []
        for tag, indexes in grouping.together(jobs).items():
            queue = self.backend.queue_of(clusters[tag])
            entry = queue.entry(tag)
            if entry is None or entry.ended:
                continue
            if self.backend.workers.is_unwanted(tag):
                work.append(queue.cancel(tag))
            elif not entry.elements:
                continue  # one job of many nodes: others of its workers are needed
            elif not entry.id:
                for index in indexes:
                    self._back[tag, index] = (clusters[tag], time.monotonic() + 1.0)
            else:
                work.append(queue.cancel_parts(tag, indexes))
        await asyncio.gather(*work)


def _wanted(worker: Worker) -> bool:
    return bool(worker.is_active() and worker.status < JobStatus.RUNNING)
