"""Submits, their failures, and callers who go away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hpcspawner.job import JobState
from hpcspawner.jobqueue import SubmitFailed, SubmitRefused
from hpcspawner.jobqueue.tags import TAG
from hpcspawner.run_as import HelperError

from .world import Proceed, Process, World, on_disk, until


async def test_an_accepted_job_has_its_id_and_is_in_the_journal(hub: Process, world: World) -> None:
    entry = await hub.submit(choice={"cores": 2}, environment={"JUPYTERHUB_API_TOKEN": "secret"})
    assert (entry.id, entry.state, entry.log) == ("1", JobState.PENDING, f"/logs/{entry.tag}.log")
    row = hub.journal.row("main", entry.tag)
    assert row is not None
    assert (row["id"], row["choice"], row["user"]) == ("1", {"cores": 2}, "alice")
    assert "secret" not in str(row)
    assert world.calls[0][2]["environment"] == {"JUPYTERHUB_API_TOKEN": "secret"}


async def test_the_tag_is_on_disk_before_the_command_runs(hub: Process, world: World) -> None:
    rows: list[Any] = []

    async def submit(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        rows.append(on_disk(hub, fields["tag"]))
        return await proceed()

    world.hooks["submit"] = submit
    await hub.submit()
    assert rows[0]["began"]
    assert rows[0]["id"] == ""


async def test_tags_are_unique_and_name_the_instance(hub: Process) -> None:
    tags = {hub.queue.new_tag() for _ in range(100)}
    assert len(tags) == 100
    assert all(TAG.match(tag) and tag.split("-")[1] == hub.journal.instance for tag in tags)


async def test_a_tag_is_used_once(hub: Process) -> None:
    entry = await hub.submit()
    with pytest.raises(ValueError, match="needs a new tag"):
        await hub.queue.submit(entry.tag, "alice", {}, "alice/")
    with pytest.raises(ValueError, match="no tag"):
        await hub.queue.submit("7; rm -rf", "alice", {}, "alice/")


async def test_a_refusal_reaches_the_caller_in_the_scheduler_s_words(hub: Process, world: World) -> None:
    async def refuse(*_: Any) -> dict[str, Any]:
        return {"outcome": "refused", "text": "Invalid account"}

    world.hooks["submit"] = refuse
    tag = hub.queue.new_tag()
    with pytest.raises(SubmitRefused, match="Invalid account"):
        await hub.queue.submit(tag, "alice", {}, "alice/")
    entry = hub.queue.entry(tag)
    assert entry is not None
    assert entry.ended
    assert (await hub.queue.why(tag)).text == "Invalid account"
    assert world.count("find") == 0


@pytest.mark.parametrize("kind", ["protocol", "site", "forbidden", "folder", "unavailable"])
async def test_an_error_before_the_command_is_a_failure_at_once(hub: Process, world: World, kind: str) -> None:
    async def fail(*_: Any) -> dict[str, Any]:
        raise HelperError(kind, "cannot write /home/alice: the disk quota is exhausted", "/home/alice")

    world.hooks["submit"] = fail
    with pytest.raises(SubmitFailed, match="quota") as caught:
        await hub.submit()
    assert (caught.value.kind, caught.value.path) == (kind, "/home/alice")
    assert world.count("find") == 0


async def test_a_refusal_by_the_site_s_rules_is_a_refusal(hub: Process, world: World) -> None:
    async def fail(*_: Any) -> dict[str, Any]:
        raise HelperError("refused", "cores: 200 is more than 40")

    world.hooks["submit"] = fail
    with pytest.raises(SubmitRefused, match="more than 40"):
        await hub.submit()


async def test_nothing_is_submitted_that_cannot_be_noted(hub: Process, world: World) -> None:
    journal = hub.journal
    journal._thread.submit(journal._db.execute, "PRAGMA query_only = ON").result()
    with pytest.raises(SubmitFailed, match="could not note the job") as caught:
        await hub.submit()
    assert caught.value.kind == "journal"
    assert world.count("submit") == 0
    journal._thread.submit(journal._db.execute, "PRAGMA query_only = OFF").result()


# Callers who go away -------------------------------------------------------------------------------------------------


class Held:
    """Submits that wait, before or after the job is in the queue."""

    def __init__(self, world: World, *, after: bool) -> None:
        self.begun, self.go, self.after = asyncio.Event(), asyncio.Event(), after
        world.hooks["submit"] = self.hook

    async def hook(self, user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        if self.after:
            answer = await proceed()
        self.begun.set()
        await self.go.wait()
        return answer if self.after else await proceed()


@pytest.mark.parametrize("after", [False, True])
async def test_a_cancelled_caller_never_loses_the_job(hub: Process, world: World, after: bool) -> None:
    held = Held(world, after=after)
    caller = asyncio.create_task(hub.submit())
    await held.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert world.cancelled == []
    held.go.set()
    await until(lambda: world.cancelled == ["1"], "the job is cancelled")
    tag = world.calls[0][2]["tag"]
    await until(lambda: hub.queue.entry(tag).ended, "the end is seen")  # type: ignore[union-attr]
    await until(lambda: world.cleaned == [tag], "its folder is cleaned")


async def test_a_caller_cancelled_in_the_moment_of_the_answer(hub: Process, world: World) -> None:
    """The submit has succeeded, the caller's wake-up is scheduled, then comes the cancellation."""
    caller: list[asyncio.Task[Any]] = []
    stored = hub.queue._book.stored

    async def submit(user: str, fields: dict[str, Any], proceed: Proceed) -> dict[str, Any]:
        answer = await proceed()
        for task in asyncio.all_tasks():
            if task.get_name().startswith("submit "):
                task.add_done_callback(lambda _: caller[0].cancel())
        return answer

    world.hooks["submit"] = submit
    caller.append(asyncio.create_task(hub.submit()))
    with pytest.raises(asyncio.CancelledError):
        await caller[0]
    await until(lambda: world.cancelled == ["1"])
    await stored()


async def test_a_caller_who_keeps_it_keeps_it(hub: Process, world: World) -> None:
    held = Held(world, after=False)
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/", keep=True))
    await held.begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    held.go.set()
    entry = await hub.queue.changed(tag)
    await until(lambda: hub.queue.entry(tag).id == "1")  # type: ignore[union-attr]
    assert not entry.cancel_wanted
    assert world.cancelled == []


async def test_a_time_out_around_the_submit_never_loses_the_job(hub: Process, world: World) -> None:
    """As the hub does it, with wait_for, which before Python 3.12 has races of its own."""
    held = Held(world, after=True)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(hub.submit(), 0.05)
    held.go.set()
    await until(lambda: world.cancelled == ["1"])


async def test_cancel_while_the_submit_runs(hub: Process, world: World) -> None:
    held = Held(world, after=False)
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await held.begun.wait()
    assert await hub.queue.cancel(tag) is False
    held.go.set()
    assert (await caller).id == "1"
    await until(lambda: world.cancelled == ["1"])
    await until(lambda: hub.queue.entry(tag).ended)  # type: ignore[union-attr]


async def test_cancel_in_line_submits_nothing(start: Any, world: World) -> None:
    hub = await start(submits_per_second=0.001)
    await hub.submit()
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await until(lambda: (entry := hub.queue.entry(tag)) is not None and entry.place == 1)
    assert await hub.queue.cancel(tag) is True
    with pytest.raises(SubmitFailed, match="cancelled before it was submitted"):
        await caller
    assert world.count("submit") == 1


async def test_a_caller_who_leaves_the_line_submits_nothing(start: Any, world: World) -> None:
    hub = await start(submits_per_second=0.001)
    await hub.submit()
    tag = hub.queue.new_tag()
    caller = asyncio.create_task(hub.queue.submit(tag, "alice", {}, "alice/"))
    await until(lambda: (entry := hub.queue.entry(tag)) is not None and entry.place == 1)
    caller.cancel()
    await until(lambda: hub.queue.entry(tag).ended)
    assert len(hub.queue._submission.line) == 0
    assert world.count("submit") == 1


async def test_many_at_once_wait_in_line_and_see_their_place(start: Any, world: World) -> None:
    hub = await start(parallel_helpers=3)
    held = Held(world, after=False)
    tags = [hub.queue.new_tag() for _ in range(10)]
    callers = [asyncio.create_task(hub.queue.submit(tag, f"u{tag[-3:]}", {}, tag)) for tag in tags]
    await until(lambda: world.count("submit") == 2, "one helper stays free")
    await until(lambda: [hub.queue.entry(tag).place for tag in tags] == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    held.go.set()
    entries = await asyncio.gather(*callers)
    assert len({entry.id for entry in entries}) == 10
    assert world.count("submit") == 10
