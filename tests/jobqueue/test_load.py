"""Thousands of jobs: the loop gets its turns, the scheduler one query."""

from __future__ import annotations

import asyncio
from typing import Any

from hpcspawner.jobqueue.settings import Settings

from .world import FAST, Process, World, until

JOBS = 5000


async def test_the_loop_has_its_turns_while_many_statuses_are_applied(start: Any, world: World) -> None:
    hub: Process = await start(poll_fast=30.0, poll_slow=30.0)
    for number in range(JOBS):
        tag = hub.queue.new_tag()
        hub.journal.add(
            tag=tag, cluster="main", user=f"u{number % 100}", began=1.0, submitted=1.0, id=world.put(tag, f"u{number}")
        )
        world.set(str(number + 1), user=f"u{number % 100}")
    await hub.close()
    new = await start(Process(world, hub.directory, poll_fast=30.0, poll_slow=30.0))
    await until(lambda: world.count("query") == 1)
    turns = 0
    while not all(entry.status for entry in new.queue.entries()):
        await asyncio.sleep(0)
        turns += 1
    assert turns >= JOBS / FAST.chunk
    assert Settings().chunk == FAST.chunk
    assert new.queue.stats()["jobs"] == {"pending": JOBS}
    assert (world.count("query"), world.count("find"), world.count("tail")) == (1, 0, 0)


async def test_sixty_at_once_are_one_submit_each_and_one_query_an_interval(start: Any, world: World) -> None:
    hub: Process = await start(poll_fast=30.0, poll_slow=30.0)
    entries = await asyncio.gather(*(hub.submit(f"u{number}") for number in range(60)))
    assert world.count("submit") == 60
    await until(lambda: all(hub.queue.entry(entry.tag) for entry in entries))
    assert world.count("query") <= 1
    assert world.count("find") == 0


async def test_no_more_helpers_at_one_time_than_the_site_allows(start: Any, world: World) -> None:
    hub: Process = await start(parallel_helpers=4)
    at_once = most = 0

    async def slow(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        answer: dict[str, Any] = await proceed()
        at_once -= 1
        return answer

    for verb in ("submit", "query", "cancel", "find", "tail"):
        world.hooks[verb] = slow
    entries = await asyncio.gather(*(hub.submit(f"u{number}") for number in range(40)))
    await asyncio.gather(*(hub.queue.cancel(entry.tag) for entry in entries))
    assert most <= 4
