"""kill -9 at any point: the job is adopted or cancelled, never orphaned and never submitted twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.job import JobState

from .world import Process, World, until

POINTS = ["before the command", "after the command, before the answer", "after the answer", "after the report"]


async def crash(hub: Process, world: World, tmp_path: Path, point: str) -> tuple[Process, str]:
    """Submits a job as alice and kills the process at that point."""
    tag, reached, made = hub.queue.new_tag(), asyncio.Event(), []

    def kill() -> None:
        made.append(hub.killed(tmp_path / "after"))
        reached.set()

    async def submit(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        if point == POINTS[0]:
            kill()
            await asyncio.Event().wait()
        answer: dict[str, Any] = await proceed()
        if point == POINTS[1]:
            kill()
            await asyncio.Event().wait()
        return answer

    world.hooks["submit"] = submit
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {"kind": "server"}, "alice/"))
    if point in POINTS[2:]:
        entry = await caller
        if point == POINTS[3]:
            world.run(entry.id)
            hub.queue.reported(tag, entry.id, 0)
            await hub.queue._book.stored()
        kill()
    await reached.wait()
    hub.seam.dead = True
    caller.cancel()
    del world.hooks["submit"]
    return made[0], tag


@pytest.mark.parametrize("point", POINTS)
async def test_the_next_process_knows_the_job(start: Any, world: World, tmp_path: Path, point: str) -> None:
    new, tag = await crash(await start(), world, tmp_path, point)
    await start(new)
    entry = new.queue.entry(tag)
    assert entry is not None
    if point == POINTS[0]:
        await until(lambda: new.queue.entry(tag).ended)
        assert world.jobs == {}
    else:
        await until(lambda: new.queue.entry(tag).status)
        assert new.queue.entry(tag).id == "1"
        assert new.queue.entry(tag).reported is (point == POINTS[3])
    assert world.count("submit") == 1


@pytest.mark.parametrize("point", POINTS)
async def test_a_job_that_the_hub_has_not_stored_is_cancelled(
    start: Any, world: World, tmp_path: Path, point: str
) -> None:
    new, tag = await crash(await start(), world, tmp_path, point)
    await start(new)
    report = await new.queue.sweep(set())
    assert (report.orphans, report.cancelled) == ((tag,), (tag,))
    await until(lambda: new.queue.entry(tag).ended)
    assert all(row["state"] == "ended" for row in world.jobs.values())
    await until(lambda: new.queue.entry(tag).cleaned)


@pytest.mark.parametrize("point", POINTS)
async def test_a_job_that_the_hub_has_stored_goes_on(start: Any, world: World, tmp_path: Path, point: str) -> None:
    new, tag = await crash(await start(), world, tmp_path, point)
    await start(new)
    report = await new.queue.sweep({tag})
    assert report.orphans == ()
    if point != POINTS[0]:
        await until(lambda: new.queue.entry(tag).status)
        assert world.cancelled == []


async def test_killed_while_the_job_waits_in_line(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start(submits_per_second=0.001)
    await hub.submit()
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await until(lambda: hub.queue.entry(tag) and hub.queue.entry(tag).place == 1)
    await hub.queue._book.stored()
    new = await start(hub.killed(tmp_path / "after"))
    entry = new.queue.entry(tag)
    assert entry.ended
    assert entry.outcome == "The hub was restarted before the job was submitted."
    assert world.count("find") == 0
    caller.cancel()


async def test_killed_between_the_wish_to_cancel_and_the_cancel(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start()
    entry = await hub.submit()
    made: list[Process] = []

    async def cancel(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        made.append(hub.killed(tmp_path / "after"))
        await asyncio.Event().wait()
        raise AssertionError

    world.hooks["cancel"] = cancel
    caller = asyncio.create_task(hub.queue.cancel(entry.tag))
    await until(lambda: made)
    del world.hooks["cancel"]
    new = await start(made[0])
    await until(lambda: world.cancelled == [entry.id])
    await until(lambda: new.queue.entry(entry.tag).ended)
    caller.cancel()


async def test_killed_after_the_caller_went_away_during_the_submit(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start()
    begun = asyncio.Event()

    async def submit(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        await proceed()
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.hooks["submit"] = submit
    caller = asyncio.create_task(hub.submit())
    await begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await hub.queue._book.stored()
    await start(hub.killed(tmp_path / "after"))
    await until(lambda: world.cancelled == ["1"], "found by its receipt and cancelled")


async def test_a_job_that_ended_while_the_hub_was_away(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start()
    entry = await hub.submit()
    await until(lambda: hub.queue.entry(entry.tag).status)
    await hub.queue._book.stored()
    new = hub.killed(tmp_path / "after")
    del world.jobs[entry.id]
    world.ends[entry.tag] = {"tag": entry.tag, "exit_code": 0, "reason": "no work for 30 minutes"}
    await start(new)
    await until(lambda: new.queue.entry(entry.tag).ended)
    assert new.queue.entry(entry.tag).outcome == "No work for 30 minutes."


async def test_an_end_that_the_hub_has_not_taken_note_of_is_still_told(
    start: Any, world: World, tmp_path: Path
) -> None:
    hub = await start()
    entry = await hub.submit()
    world.set(entry.id, state="ended", outcome="failed", exit_code=3)
    await until(lambda: hub.queue.entry(entry.tag).ended)
    await hub.queue._book.stored()
    new = await start(hub.killed(tmp_path / "after"))
    known = new.queue.entry(entry.tag)
    assert (known.ended, known.state, known.ending.exit_code) == (True, JobState.ENDED, 3)


async def test_a_lost_submit_is_still_looked_for(start: Any, world: World, tmp_path: Path) -> None:
    from hpcspawner.jobqueue import SubmitLost

    from .test_lost import lose

    hub = await start()
    lose(world)
    tag = hub.queue.new_tag()
    with pytest.raises(SubmitLost):
        await hub.queue.submit(tag, "alice", {}, "alice/")
    await hub.queue._book.stored()
    await start(hub.killed(tmp_path / "after"))
    world.put(tag, "alice")
    await until(lambda: world.cancelled == ["1"])


async def test_a_clean_stop_and_start_changes_nothing(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start()
    entry = await hub.submit()
    await hub.close()
    new = await start(Process(world, hub.directory))
    await until(lambda: new.queue.entry(entry.tag).status)
    assert new.queue.entry(entry.tag).state is JobState.PENDING
    assert world.cancelled == []


async def test_a_stop_during_a_submit_leaves_the_job_to_the_next_process(start: Any, world: World) -> None:
    hub = await start()
    begun = asyncio.Event()

    async def submit(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        await proceed()
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.hooks["submit"] = submit
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await begun.wait()
    await hub.close()
    await asyncio.gather(caller, return_exceptions=True)
    del world.hooks["submit"]
    new = await start(Process(world, hub.directory))
    await until(lambda: new.queue.entry(tag).id == "1")
    assert not new.queue.entry(tag).cancel_wanted


async def test_an_id_that_another_job_has_by_now_is_not_cancelled(start: Any, world: World, tmp_path: Path) -> None:
    """The scheduler was set up anew while the hub was down, and a cancel was outstanding."""
    hub = await start()
    entry = await hub.submit()
    await until(lambda: hub.queue.entry(entry.tag).status)
    world.down = "away"
    await hub.queue.cancel(entry.tag)
    new = hub.killed(tmp_path / "after")
    world.down = ""
    world.put("alices-other-job", "alice", entry.id, state="running")
    go = asyncio.Event()

    async def query(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        if not user:
            await go.wait()
        return await proceed()  # type: ignore[no-any-return]

    # The cancel comes before the first answer about the job.
    world.hooks["query"] = query
    await start(new)
    await until(lambda: entry.tag in new.queue._book.foreign)
    go.set()
    await until(lambda: new.queue.entry(entry.tag).ended)
    assert world.cancelled == []


# A journal or a database that is older than the jobs ----------------------------------------------------------------


async def test_a_restored_database_cancels_nothing(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start()
    entries = [await hub.submit(f"user{number}") for number in range(10)]
    for entry in entries:
        hub.queue.stored(entry.tag)
    await hub.queue._book.stored()
    new = await start(hub.killed(tmp_path / "after"))
    report = await new.queue.sweep({entry.tag for entry in entries[:9]})
    assert report.orphans == (entries[9].tag,)
    assert report.cancelled == ()
    assert "older than the jobs" in report.text
    assert new.queue.stats()["orphans"] == 1


async def test_an_empty_database_cancels_nothing(start: Any, world: World, tmp_path: Path) -> None:
    hub = await start()
    for number in range(10):
        await hub.submit(f"user{number}")
    new = await start(hub.killed(tmp_path / "after"))
    report = await new.queue.sweep(set())
    assert (len(report.orphans), report.cancelled) == (10, ())
    assert "not to be believed" in report.text


async def test_a_restored_journal_cancels_nothing_and_takes_over_what_the_hub_knows(
    start: Any, world: World, tmp_path: Path
) -> None:
    hub = await start()
    first = await hub.submit()
    await hub.queue._book.stored()
    old = hub.copy(tmp_path / "backup")
    second = await hub.submit("bob")
    hub.seam.dead = True
    new = await start(Process(world, old))
    report = await new.queue.sweep({second.tag})
    assert (report.orphans, report.cancelled, report.unknown) == ((first.tag,), (), (second.tag,))
    assert new.queue.entry(second.tag) is None
    await new.queue.adopt(second.tag, "bob", second.id, 5.0, "bob/")
    await until(lambda: new.queue.entry(second.tag).status)
    assert await new.queue.cancel(second.tag) is True
    await until(lambda: new.queue.entry(second.tag).ended)
    assert world.cancelled == [second.id]


async def test_a_job_taken_over_without_an_id_is_looked_for(hub: Process, world: World) -> None:
    tag = hub.queue.new_tag()
    world.put(tag, "alice", "44")
    entry = await hub.queue.adopt(tag, "alice", "", 5.0, "alice/")
    assert not entry.ended
    await until(lambda: hub.queue.entry(tag).id == "44")  # type: ignore[union-attr]
    assert await hub.queue.adopt(tag, "alice", "", 5.0) == hub.queue.entry(tag)


async def test_a_job_taken_over_that_was_never_submitted_ends(hub: Process, world: World) -> None:
    tag = hub.queue.new_tag()
    await hub.queue.adopt(tag, "alice", "", 5.0, "alice/")
    await until(lambda: hub.queue.entry(tag).ended)  # type: ignore[union-attr]


async def test_a_tag_that_is_none_is_over(hub: Process, world: World) -> None:
    assert (await hub.queue.adopt("$(reboot)", "alice", "7", 5.0)).ended
    assert world.calls == []


async def test_two_hubs_never_touch_each_other_s_jobs(start: Any, world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, other = await start(), await start(Process(world, tmp_path / "other"))
    entry = await one.submit()
    report = await other.queue.sweep({entry.tag})
    assert (report.orphans, report.cancelled, report.unknown) == ((), (), ())
    assert other.queue.entry(entry.tag) is None
    assert await other.queue.cancel(entry.tag) is False
    assert world.cancelled == []
