"""HPCSpawner: a Jupyter server that runs as a batch job, from the moment it is ready until its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from traitlets import Integer

from . import attendance, progress
from .jobqueue import Entry, JobQueue
from .patience import first
from .resuming import ResumingSpawner


class HPCSpawner(ResumingSpawner):
    """Starts servers as jobs of a batch system, as the site file says."""

    stop_timeout = Integer(
        600,
        help="""Seconds to wait until the scheduler confirms that a stopped server's job has ended. Afterwards the
        page goes on, and the cancel is still repeated in the background until the job is gone.""",
    ).tag(config=True)

    _attending: asyncio.Task[None] | None = None

    def start_polling(self) -> None:
        """The hub calls this when the server runs: from now on its end is also noticed without a poll."""
        super().start_polling()
        self._stop_attending()
        self._attending = asyncio.ensure_future(attendance.attend(self))
        self.fleet.later(self._attending)

    def stop_polling(self) -> None:
        """The hub calls this when the server is to end, or has ended."""
        super().stop_polling()
        self._stop_attending()

    def _stop_attending(self) -> None:
        attending, self._attending = self._attending, None
        if attending is not None and attending is not asyncio.current_task():
            attending.cancel()

    async def poll(self) -> int | None:
        """None while the job may run. Only positive proof of its end is an end; trouble with the scheduler is none."""
        if not self.tag:
            return 0
        await self.fleet.ready()
        queue = self.queue
        if queue is None:
            self.log.error(
                "%s: cluster %s is not in the site file; its job is left alone", self._log_name, self._cluster
            )
            return None
        entry = queue.entry(self.tag)
        if entry is None:
            entry = await queue.adopt(self.tag, self.user.name, self.job_id, self._submitted, self.owner_key)
        if not entry.ended:
            return None
        tag = self.tag
        await self._note_end(queue, entry)
        self.fleet.later(queue.clean(tag))
        return 1

    async def _note_end(self, queue: JobQueue, entry: Entry) -> None:
        """Keeps why a job ended by itself, before its folder goes with the job's own record."""
        if not self.job_id or entry.cancel_wanted or self.last_ending.job_id == self.job_id:
            return
        tag = self.tag
        ending = await queue.why(tag)
        if self.tag == tag:
            self.note_ending(ending.text)
            self.log.warning("Job %s (%s) of %s: %s", self.job_id, tag, self._log_name, ending.text)

    async def stop(self, now: bool = False) -> None:
        """Cancels the job and returns when it has ended; a cancel that finds no scheduler is repeated until it does."""
        if not self.tag:
            return
        await self.fleet.ready()
        queue, tag = self.queue, self.tag
        if queue is None:
            return
        await queue.cancel(tag)
        until = time.monotonic() + self.stop_timeout
        while (entry := queue.entry(tag)) is not None and not entry.ended and time.monotonic() < until:
            await first(queue.changed(tag, since=entry), timeout=5)
        if entry is not None and not entry.ended:
            self.log.warning("Job %s (%s) has not ended yet; its cancel is repeated", self.job_id, tag)
            return
        self.fleet.later(queue.clean(tag))

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Events for one open page, from memory."""
        if self._summary:
            yield {"progress": 1, "message": self._summary}
        if self._again:
            yield {"progress": 2, "message": progress.AGAIN}
        said: Any = None
        while not self._reported.is_set():
            entry, now = self.entry(), time.time()
            line, job = progress.line(entry, now=now), progress.job(entry, now=now)
            if (line, job) != said:
                said = line, job
                yield {"progress": line.percent, "message": line.text, "job": job}
            else:
                # The page takes a longer silence for a hub that has died behind the proxy.
                yield {"progress": line.percent}
            queue = self.queue
            if queue is not None and entry is not None and not entry.ended:
                await first(self._reported.wait(), queue.changed(self.tag, since=entry), timeout=5)
            else:
                await asyncio.sleep(0.5)
        yield {
            "progress": 90,
            "message": f"Job {self.job_id}: the server has reported; connecting",
            "job": progress.job(self.entry(), now=time.time()),
        }
