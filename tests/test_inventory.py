"""The cache of live figures: reading never waits, failures keep the last good answer, idle hubs ask nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hpcspawner.inventory import READERS_GONE, TOO_OLD, InventoryCache
from hpcspawner.job import Inventory

INTERVAL = 0.01


class Scheduler:
    """Answers, fails or hangs as it is told, and counts the questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = ""
        self.hold: asyncio.Event | None = None

    async def __call__(self) -> Inventory:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.down:
            raise RuntimeError(self.down)
        return Inventory(max_array=self.asked)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_reading_never_waits_for_the_scheduler() -> None:
    slurm = Scheduler()
    slurm.hold = asyncio.Event()
    cache = InventoryCache({"a": slurm}, INTERVAL)
    assert cache.get("a") == (None, None, "")
    await until(lambda: slurm.asked == 1)
    assert cache.get("a").inventory is None
    slurm.hold.set()
    await cache.first(10)
    inventory, age, problem = cache.get("a")
    assert (inventory, problem) == (Inventory(max_array=1), "")
    assert age is not None
    await cache.close()


async def test_many_readers_are_one_question_an_interval() -> None:
    slurm = Scheduler()
    cache = InventoryCache({"a": slurm}, 3600)
    for _ in range(100):
        cache.get("a")
    await cache.first(10)
    for _ in range(100):
        cache.get("a")
    assert slurm.asked == 1
    await cache.close()


async def test_an_outage_keeps_the_last_answer_and_says_so_until_it_is_over() -> None:
    slurm = Scheduler()
    cache = InventoryCache({"a": slurm}, INTERVAL)
    await cache.first(10)
    slurm.down = "slurmctld is away"
    await until(lambda: cache.get("a").problem == "slurmctld is away")
    assert cache.get("a").inventory is not None
    slurm.down = ""
    await until(lambda: cache.get("a").problem == "")
    await cache.close()


async def test_one_cluster_does_not_hold_up_another() -> None:
    hanging, good = Scheduler(), Scheduler()
    hanging.hold = asyncio.Event()
    cache = InventoryCache({"a": hanging, "b": good}, INTERVAL)
    await cache.first(0.05)
    await until(lambda: cache.get("b").inventory is not None)
    assert cache.get("a").inventory is None
    await cache.close()


async def test_old_figures_are_shown_and_no_longer_limit_what_may_be_chosen() -> None:
    slurm, now = Scheduler(), [1000.0]
    cache = InventoryCache({"a": slurm}, 60, clock=lambda: now[0])
    await cache.first(10)
    assert cache.fresh()["a"] is not None
    assert cache.ages() == {"a": 0.0}
    now[0] += 60 * TOO_OLD
    assert cache.fresh() == {"a": None}
    assert cache.get("a").inventory is not None
    await cache.close()


async def test_without_readers_nothing_is_asked_and_the_next_reader_starts_it_again() -> None:
    slurm, now = Scheduler(), [1000.0]
    cache = InventoryCache({"a": slurm}, INTERVAL, clock=lambda: now[0])
    await cache.first(10)
    now[0] += INTERVAL * READERS_GONE
    task = cache._shelves["a"]._task
    assert task is not None
    await task
    asked = slurm.asked
    cache.get("a")
    await until(lambda: slurm.asked > asked)
    await cache.close()


def test_reading_before_any_loop_runs_is_no_error() -> None:
    cache = InventoryCache({"a": Scheduler()})
    assert cache.get("a") == (None, None, "")
