"""Arrays: one submit, one tag, many jobs, each with a state of its own."""

from __future__ import annotations

import asyncio

from hpcspawner.job import JobState, Outcome
from hpcspawner.jobqueue import Entry
from hpcspawner.jobqueue.elements import base, gather

from .world import Process, World, answers, until


def entry(hub: Process, tag: str) -> Entry:
    found = hub.queue.entry(tag)
    assert found is not None
    return found


def states(hub: Process, tag: str) -> list[JobState]:
    return [entry(hub, tag).part(index).state for index in range(1, entry(hub, tag).elements + 1)]


async def test_each_job_of_an_array_has_a_state(hub: Process, world: World) -> None:
    tag = (await hub.submit(array=3)).tag
    assert world.count("submit") == 1
    world.run("1_2", "n7")
    world.set("1_3", state="ended", outcome="failed", nodes=["n8"])
    await until(lambda: states(hub, tag) == [JobState.PENDING, JobState.RUNNING, JobState.ENDED])
    assert entry(hub, tag).part(3).status.nodes == ("n8",)  # type: ignore[union-attr]
    assert entry(hub, tag).state is JobState.PENDING
    assert not entry(hub, tag).ended


async def test_an_array_ends_with_its_last_job_and_as_the_worst_of_them(hub: Process, world: World) -> None:
    tag = (await hub.submit(array=2)).tag
    world.set("1_1", state="ended", outcome="completed")
    world.set("1_2", state="ended", outcome="out of memory")
    await until(lambda: entry(hub, tag).ended)
    assert entry(hub, tag).ending.outcome is Outcome.OUT_OF_MEMORY  # type: ignore[union-attr]


async def test_a_job_that_only_its_own_row_is_missing_of_has_ended(hub: Process, world: World) -> None:
    tag = (await hub.submit(array=3)).tag
    world.run("1_1")
    await until(lambda: states(hub, tag)[0] is JobState.RUNNING)
    del world.jobs["1_2"]
    await until(lambda: states(hub, tag)[1] is JobState.ENDED)
    assert states(hub, tag)[2] is JobState.PENDING


async def test_an_answer_without_the_array_ends_none_of_its_jobs(hub: Process, world: World) -> None:
    tags = [(await hub.submit(array=2)).tag for _ in range(3)]
    for id in list(world.jobs):
        world.run(id)
    await until(lambda: all(entry(hub, tag).state is JobState.RUNNING for tag in tags))
    kept, world.jobs = world.jobs, {}
    await answers(world, 5)
    assert all(states(hub, tag) == [JobState.RUNNING] * 2 for tag in tags)
    world.jobs = kept


async def test_single_jobs_of_several_arrays_are_cancelled_in_one_call(hub: Process, world: World) -> None:
    tags = [(await hub.submit(array=3)).tag for _ in range(2)]
    await answers(world)
    assert all(await asyncio.gather(*(hub.queue.cancel_parts(tag, {1, 3}) for tag in tags)))
    assert world.count("cancel") == 1
    assert world.cancelled == ["1_1", "1_3", "2_1", "2_3"]
    await until(lambda: all(states(hub, t) == [JobState.ENDED, JobState.PENDING, JobState.ENDED] for t in tags))
    assert not entry(hub, tags[0]).cancel_wanted


async def test_all_jobs_are_cancelled_by_the_arrays_own_id(hub: Process, world: World) -> None:
    tags = [(await hub.submit(array=200)).tag for _ in range(2)]
    await answers(world)
    await asyncio.gather(hub.queue.cancel_parts(tags[0], range(1, 201)), hub.queue.cancel(tags[1]))
    assert sorted(world.cancelled) == ["1", "2"]
    await until(lambda: all(entry(hub, tag).ended for tag in tags))


async def test_a_refused_cancel_of_single_jobs_is_repeated_until_they_have_ended(hub: Process, world: World) -> None:
    tag = (await hub.submit(array=2)).tag
    await answers(world)
    world.down = "slurmctld does not answer"
    assert await hub.queue.cancel_parts(tag, {2}) is False
    world.down = ""
    await until(lambda: states(hub, tag) == [JobState.PENDING, JobState.ENDED])


async def test_a_next_process_knows_the_array(hub: Process, world: World, tmp_path_factory: object) -> None:
    tag = (await hub.submit(array=3)).tag
    await hub.queue._book.stored()
    after = hub.killed(hub.directory.parent / "after")
    await after.queue.begin()
    world.run("1_3")
    await until(lambda: states(after, tag)[2] is JobState.RUNNING)
    assert entry(after, tag).id == "1"
    await after.close()


async def test_a_lost_submit_of_an_array_is_found_under_the_arrays_id(hub: Process, world: World) -> None:
    async def lose(user: str, fields: dict, proceed: object) -> dict:  # type: ignore[type-arg]
        await proceed()  # type: ignore[operator]
        world.receipts[fields["tag"]] = None
        return {"outcome": "unknown", "text": "no answer"}

    world.hooks["submit"] = lose
    found = await hub.submit(array=2)
    assert found.id == "1"
    await until(lambda: states(hub, found.tag) == [JobState.PENDING] * 2)


def test_ids_of_both_spellings_belong_to_their_array() -> None:
    assert [base(id) for id in ("123", "123_4", "123[4]", "123.4", "12+3")] == ["123"] * 4 + ["12+3"]
    rows = gather({"1_2": "a", "1[3]": "b", "1.4": "e", "11_1": "c", "1": "d"}, {"1"})
    assert rows == {"1": {2: "a", 3: "b", 4: "e"}}
