"""Submits whose answer was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hpcspawner.job import JobState, Outcome
from hpcspawner.jobqueue import SubmitFailed, SubmitLost
from hpcspawner.run_as import HelperError

from .world import Proceed, Process, World, until


def lose(world: World, after: Any = None, *, receipt: bool = True) -> None:
    """The submit times out; after(user, tag) is what happened behind it."""

    async def submit(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        if receipt:
            world.receipts[fields["tag"]] = None
        if after is not None:
            after(user, fields["tag"])
        raise HelperError("unknown", "no answer from the helper in time")

    world.hooks["submit"] = submit


async def test_found_by_its_receipt(hub: Process, world: World) -> None:
    def happened(user: str, tag: str) -> None:
        world.receipts[tag] = world.put("renamed by a filter", user)

    lose(world, happened)
    entry = await hub.submit()
    assert entry.id == "1"
    assert world.count("submit") == 1
    row = hub.journal.row("main", entry.tag)
    assert row is not None
    assert row["id"] == "1"


async def test_found_by_its_name(hub: Process, world: World) -> None:
    lose(world, lambda user, tag: world.put("site_" + tag, user))
    assert (await hub.submit()).id == "1"


async def test_found_when_it_appears_later(hub: Process, world: World) -> None:
    lose(world)
    looks = 0

    async def find(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        nonlocal looks
        looks += 1
        if looks == 4:
            world.put(fields["tag"], user)
        return await proceed()

    world.hooks["find"] = find
    assert (await hub.submit()).id == "1"
    assert looks == 4


async def test_an_outcome_of_unknown_is_looked_up_too(hub: Process, world: World) -> None:
    async def submit(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        await proceed()
        return {"outcome": "unknown", "text": "Socket timed out"}

    world.hooks["submit"] = submit
    assert (await hub.submit()).id == "1"


async def test_found_by_its_own_report(hub: Process, world: World) -> None:
    """Neither receipt nor name tell: a read-only disk and a filter that renames."""
    lose(world, lambda user, tag: world.put("renamed", user, state="running"))
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await until(lambda: world.count("find") >= 1)
    hub.queue.reported(tag, "1", 0)
    entry = await caller
    assert (entry.id, entry.state, entry.reported) == ("1", JobState.RUNNING, True)


async def test_a_reported_id_of_another_owner_is_not_believed(hub: Process, world: World) -> None:
    lose(world)
    world.put("bobs-own", "bob", "99")
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await until(lambda: world.count("find") >= 1)
    hub.queue.reported(tag, "99", 0)
    with pytest.raises(SubmitLost):
        await caller
    assert world.cancelled == []


async def test_a_receipt_with_another_owner_s_id_is_not_believed(hub: Process, world: World) -> None:
    def forged(user: str, tag: str) -> None:
        world.receipts[tag] = world.put("bobs-own", "bob")

    async def query(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        return {"jobs": {id: world.jobs[id] for id in fields["ids"] if id in world.jobs}}

    world.hooks["query"] = query
    lose(world, forged)
    with pytest.raises(SubmitLost):
        await hub.submit()
    assert world.cancelled == []


async def test_a_stranger_s_job_with_our_name_is_not_ours(hub: Process, world: World) -> None:
    async def find(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        # A dialect that does not look at the owner.
        return {"receipt": None, "jobs": list(world.jobs.values()), "end": None}

    lose(world, lambda user, tag: world.put(tag, "mallory"))
    world.hooks["find"] = find
    with pytest.raises(SubmitLost):
        await hub.submit()
    assert world.cancelled == []


async def test_of_two_jobs_with_the_name_the_first_is_ours(hub: Process, world: World) -> None:
    def twice(user: str, tag: str) -> None:
        world.put(tag, user, "8", submitted=200.0)
        world.put(tag, user, "7", submitted=100.0)

    lose(world, twice)
    assert (await hub.submit()).id == "7"


async def test_nothing_was_submitted(hub: Process, world: World) -> None:
    """The helper died before it wrote anything: told long before the limit."""
    lose(world, receipt=False)
    with pytest.raises(SubmitFailed, match="no answer from the helper"):
        await hub.submit()
    assert 2 <= world.count("find") <= 6


async def test_never_found_and_cancelled_when_it_turns_up(hub: Process, world: World) -> None:
    lose(world)
    tag = hub.queue.new_tag()
    with pytest.raises(SubmitLost, match="no answer from the helper"):
        await hub.queue.submit(tag, "alice", {}, "alice/")
    entry = hub.queue.entry(tag)
    assert entry is not None
    assert entry.ended
    world.put(tag, "alice")
    await until(lambda: world.cancelled == ["1"], "the late job is cancelled")
    await until(lambda: hub.queue.entry(tag).ended)  # type: ignore[union-attr]


async def test_a_late_report_of_a_lost_job_ends_it(start: Any, world: World) -> None:
    hub = await start()
    lose(world)
    tag = hub.queue.new_tag()
    with pytest.raises(SubmitLost):
        await hub.queue.submit(tag, "alice", {}, "alice/")
    world.put("renamed", "alice", "5")
    hub.queue.reported(tag, "5", 0)
    await until(lambda: world.cancelled == ["5"])


async def test_an_outage_during_the_look_up_is_no_answer(hub: Process, world: World) -> None:
    def happened(user: str, tag: str) -> None:
        world.put(tag, user)
        world.down = "slurmctld does not answer"

    lose(world, happened)
    caller = asyncio.create_task(hub.submit())
    await until(lambda: world.count("find") >= 3)
    assert not caller.done()
    world.down = ""
    assert (await caller).id == "1"


async def test_a_lost_job_that_has_come_and_gone(hub: Process, world: World) -> None:
    def happened(user: str, tag: str) -> None:
        world.ends[tag] = {"tag": tag, "job_id": "4", "exit_code": 1, "signal": None, "reason": "no module jupyterhub"}

    lose(world, happened)
    entry = await hub.submit()
    assert entry.ended
    assert (entry.id, entry.ending.outcome) == ("4", Outcome.FAILED)  # type: ignore[union-attr]
    assert entry.outcome == "No module jupyterhub."


async def test_cancel_while_it_is_looked_for(hub: Process, world: World) -> None:
    lose(world)
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await until(lambda: world.count("find") >= 1)
    assert await hub.queue.cancel(tag) is False
    world.put(tag, "alice")
    assert (await caller).id == "1"
    await until(lambda: world.cancelled == ["1"])


async def test_a_caller_cancelled_during_the_look_up(hub: Process, world: World) -> None:
    lose(world)
    caller = asyncio.create_task(hub.submit())
    await until(lambda: world.count("find") >= 1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    world.put(world.calls[0][2]["tag"], "alice")
    await until(lambda: world.cancelled == ["1"])
