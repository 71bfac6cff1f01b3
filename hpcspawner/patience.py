"""Patience: how long a start waits for the queue, then for the report; and waiting for several things at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from .job import JobState
from .jobqueue import Entry, JobQueue
from .sitemodel import ClusterSite


class Patience:
    """Two clocks: one for the queue, one from the start of the job. Neither runs while the scheduler is silent."""

    def __init__(self, queue_limit: float, report_limit: float) -> None:
        self.queue_limit, self.report_limit = queue_limit, report_limit
        self._last = time.monotonic()
        self._queued = 0.0
        self._started = 0.0

    def left(self, entry: Entry | None) -> float:
        """Seconds left on the clock that runs now."""
        now = time.monotonic()
        passed, self._last = now - self._last, now
        silent = entry is not None and bool(entry.trouble)
        if entry is not None and entry.state in (JobState.RUNNING, JobState.STARTING):
            self._started += 0 if silent else passed
            return self.report_limit - self._started
        self._queued += 0 if silent else passed
        return self.queue_limit - self._queued


def submit_limit(queue: JobQueue, cluster: ClusterSite) -> float:
    """Seconds that a submit asked now may take: nobody's time runs out in the line of submits, however slow."""
    ahead = queue.in_line() + 1
    each = max(1 / cluster.submits_per_second, cluster.submit_timeout / max(1, cluster.parallel_helpers - 1))
    return ahead * each + cluster.submit_timeout + cluster.lost_submit_limit + 60


async def first(*waits: Any, timeout: float) -> None:
    """Until one of these is done or the time is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
