"""Work in the background: held by a strong reference, an error of it logged and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from logging import Logger
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """A set of running tasks."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Starts it. Whoever awaits the task gets its error; nobody awaiting, the error is in the log."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Those of submits have a caller as a rule; it may have been cancelled.
            self._log.debug("%s: %s", task.get_name(), error, exc_info=error)

    async def forever(self, work: Any, name: str, *, pause: float = 1.0) -> None:
        """Calls work() again whenever it fails: no bug may end the watching of jobs."""
        while True:
            try:
                await work()
                return
            except Exception:
                self._log.exception("%s failed; it goes on in %s s", name, pause)
                await asyncio.sleep(pause)

    async def close(self, wait: float = 0.0) -> None:
        """Waits so long for all, then cancels what is left."""
        if wait and self._running:
            await asyncio.wait(set(self._running), timeout=wait)
        left = set(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.gather(*left, return_exceptions=True)
