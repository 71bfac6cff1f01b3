"""What the schedulers say about their partitions: one background refresh a cluster, the last good answer and its age.

Reading never waits. Nothing is asked until somebody reads, and asking stops when nobody has read for a while, so that
an idle hub leaves the schedulers alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from .job import Inventory

Ask = Callable[[], Awaitable[Inventory]]

LONGEST_PAUSE = 300.0
"""Seconds between two questions to a scheduler that does not answer."""

READERS_GONE = 10
"""Intervals without a reader after which nothing is asked."""

TOO_OLD = 20
"""Intervals after which figures no longer limit what may be chosen."""


class Known(NamedTuple):
    """The last good answer, its age in seconds, and what is wrong with newer ones ('' where nothing is)."""

    inventory: Inventory | None
    age: float | None
    problem: str


class InventoryCache:
    """Inventories of several clusters, each refreshed on its own."""

    def __init__(
        self, clusters: Mapping[str, Ask], interval: float = 60.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shelves = {name: _Shelf(name, ask, interval, clock) for name, ask in clusters.items()}

    def get(self, name: str) -> Known:
        """What is known of a cluster now; starts the refresh. Needs a running event loop to do so, never waits."""
        shelf = self._shelves[name]
        shelf.wake()
        return shelf.known()

    def peek(self, name: str) -> Known:
        """The same without starting anything. Age is None where nobody reads, since then nothing is asked."""
        return self._shelves[name].peek()

    def fresh(self) -> dict[str, Inventory | None]:
        """Inventories that are new enough to limit what may be chosen, by cluster."""
        for shelf in self._shelves.values():
            shelf.wake()
        return {name: shelf.fresh() for name, shelf in self._shelves.items()}

    def ages(self) -> dict[str, float | None]:
        """Ages in seconds by cluster; None where nothing is known."""
        return {name: shelf.known().age for name, shelf in self._shelves.items()}

    async def first(self, timeout: float) -> None:
        """Until every cluster has answered or failed once, or the time is over."""
        for shelf in self._shelves.values():
            shelf.wake()
        try:
            await asyncio.wait_for(asyncio.gather(*(shelf.asked.wait() for shelf in self._shelves.values())), timeout)
        except asyncio.TimeoutError:
            pass

    async def close(self) -> None:
        """Ends all refreshes."""
        await asyncio.gather(*(shelf.close() for shelf in self._shelves.values()))


class _Shelf:
    def __init__(self, name: str, ask: Ask, interval: float, clock: Callable[[], float]) -> None:
        self.asked = asyncio.Event()
        self._name, self._ask, self._interval, self._clock = name, ask, interval, clock
        self._inventory: Inventory | None = None
        self._at = 0.0
        self._problem = ""
        self._failures = 0
        self._read = 0.0
        self._task: asyncio.Task[None] | None = None

    def known(self) -> Known:
        age = None if self._inventory is None else max(0.0, self._clock() - self._at)
        return Known(self._inventory, age, self._problem)

    def peek(self) -> Known:
        asking = self._task is not None and not self._task.done()
        return self.known() if asking else Known(self._inventory, None, "")

    def fresh(self) -> Inventory | None:
        inventory, age, _ = self.known()
        return inventory if age is not None and age < self._interval * TOO_OLD else None

    def wake(self) -> None:
        self._read = self._clock()
        if self._task is None or self._task.done():
            try:
                self._task = asyncio.get_running_loop().create_task(self._refresh())
            except RuntimeError:
                pass  # no loop runs yet: the next reader starts it

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _refresh(self) -> None:
        while self._clock() - self._read < self._interval * READERS_GONE:
            await self._once()
            await asyncio.sleep(self._pause())

    async def _once(self) -> None:
        try:
            self._inventory = await self._ask()
            self._at = self._clock()
            self._problem, self._failures = "", 0
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                logging.getLogger("hpcspawner").warning("Inventory of %s could not be read: %s", self._name, error)
            self._problem = str(error) or type(error).__name__
        finally:
            self.asked.set()

    def _pause(self) -> float:
        """Seconds until the next question: longer after each failure, and never in step with other hubs."""
        pause: float = min(self._interval * 2 ** min(self._failures, 10), max(LONGEST_PAUSE, self._interval))
        return pause * random.uniform(0.9, 1.1)  # noqa: S311
