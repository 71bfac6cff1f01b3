"""Cancels: noted, gathered, repeated, and only ever of our own jobs."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import Any

from hpcspawner.run_as import HelperError

from .world import FAST, Process, World, answers, on_disk, until


def ended(hub: Process, tag: str) -> bool:
    entry = hub.queue.entry(tag)
    return entry is not None and entry.ended


async def test_a_cancelled_job_ends(hub: Process, world: World) -> None:
    entry = await hub.submit()
    assert await hub.queue.cancel(entry.tag) is True
    await until(lambda: ended(hub, entry.tag))
    assert hub.queue.entry(entry.tag).outcome == "The job was cancelled."  # type: ignore[union-attr]
    assert await hub.queue.cancel(entry.tag) is True
    assert world.count("cancel") == 1


async def test_a_cancel_is_noted_before_it_is_asked_for(start: Any, world: World) -> None:
    hub = await start(settings=dataclasses.replace(FAST, cancel_window=0.0))
    entry = await hub.submit()
    await hub.queue._book.stored()
    disk = threading.Event()
    hub.journal._thread.submit(disk.wait)
    caller = asyncio.create_task(hub.queue.cancel(entry.tag))
    await answers(world, 5)
    asked = world.count("cancel")
    disk.set()
    assert asked == 0
    assert await caller is True
    assert on_disk(hub, entry.tag)["cancel_wanted"] == 1


async def test_many_cancels_are_one_call_per_user(hub: Process, world: World) -> None:
    entries = [await hub.submit(user) for user in ["alice"] * 5 + ["bob"] * 5]
    assert all(await asyncio.gather(*(hub.queue.cancel(entry.tag) for entry in entries)))
    assert world.count("cancel") == 2
    assert sorted(world.cancelled) == sorted(entry.id for entry in entries)
    await until(lambda: all(ended(hub, entry.tag) for entry in entries))


async def test_a_cancel_during_an_outage_is_repeated_until_the_job_has_ended(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.down = "slurmctld does not answer"
    assert await hub.queue.cancel(entry.tag) is False
    await until(lambda: world.count("cancel") >= 3)
    assert not ended(hub, entry.tag)
    world.down = ""
    await until(lambda: ended(hub, entry.tag))


async def test_a_cancel_that_had_no_effect_is_repeated(hub: Process, world: World) -> None:
    entry = await hub.submit()

    async def cancel(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        if world.count("cancel") < 3:
            return {"cancelled": dict.fromkeys(fields["ids"], True), "text": ""}
        return await proceed()  # type: ignore[no-any-return]

    world.hooks["cancel"] = cancel
    assert await hub.queue.cancel(entry.tag) is True
    await until(lambda: ended(hub, entry.tag))
    assert world.count("cancel") == 3


async def test_silence_is_no_success(hub: Process, world: World) -> None:
    entry = await hub.submit()

    async def cancel(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        return {"cancelled": dict.fromkeys(fields["ids"]), "text": ""}

    world.hooks["cancel"] = cancel
    assert await hub.queue.cancel(entry.tag) is False
    assert not hub.queue.entry(entry.tag).cancel_taken  # type: ignore[union-attr]
    del world.hooks["cancel"]
    await until(lambda: ended(hub, entry.tag))


async def test_a_cancelled_job_that_the_scheduler_forgets_at_once_is_gone_soon(start: Any, world: World) -> None:
    hub = await start(grace=60.0)
    entries = [await hub.submit() for _ in range(5)]
    await until(lambda: all(hub.queue.entry(entry.tag).status for entry in entries))

    async def cancel(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        for id in fields["ids"]:
            del world.jobs[id]
        return {"cancelled": dict.fromkeys(fields["ids"], True), "text": ""}

    world.hooks["cancel"] = cancel
    await asyncio.gather(*(hub.queue.cancel(entry.tag) for entry in entries))
    await until(lambda: all(ended(hub, entry.tag) for entry in entries))
    assert hub.queue.entry(entries[0].tag).outcome == "The job was cancelled."


async def test_an_unknown_tag_is_nobody_s(hub: Process, world: World) -> None:
    assert await hub.queue.cancel("jupyter-abcdef-aaaaaaaaaa") is False
    assert world.count("cancel") == 0


async def test_a_helper_that_fails_loses_no_cancel(hub: Process, world: World) -> None:
    entry = await hub.submit()

    async def cancel(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        if world.count("cancel") == 1:
            raise HelperError("internal", "a bug")
        if world.count("cancel") == 2:
            return {"cancelled": "nonsense"}
        return await proceed()  # type: ignore[no-any-return]

    world.hooks["cancel"] = cancel
    assert await hub.queue.cancel(entry.tag) is False
    await until(lambda: ended(hub, entry.tag))


async def test_a_cancelled_caller_of_cancel_takes_nothing_back(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.down = "away"
    caller = asyncio.create_task(hub.queue.cancel(entry.tag))
    await until(lambda: hub.queue.entry(entry.tag).cancel_wanted)  # type: ignore[union-attr]
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    world.down = ""
    await until(lambda: ended(hub, entry.tag))
