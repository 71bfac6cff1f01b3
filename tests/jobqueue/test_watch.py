"""Jobs are gone on positive proof only."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hpcspawner.job import JobState, Outcome
from hpcspawner.jobqueue import Entry

from .world import Process, World, answers, state, until


async def running(hub: Process, world: World, count: int = 1, user: str = "") -> list[Entry]:
    """So many servers that run, have been seen and have reported."""
    entries = [await hub.submit(user or f"user{number}") for number in range(count)]
    for entry in entries:
        world.run(entry.id)
        hub.queue.reported(entry.tag, entry.id, 0)
    await until(lambda: all(seen(hub, entry) for entry in entries))
    return entries


def seen(hub: Process, entry: Entry) -> bool:
    now = hub.queue.entry(entry.tag)
    return now is not None and now.status is not None and now.state is JobState.RUNNING


def live(hub: Process, entries: list[Entry]) -> bool:
    return all(not hub.queue.entry(entry.tag).ended for entry in entries)  # type: ignore[union-attr]


def ended(hub: Process, entry: Entry) -> bool:
    now = hub.queue.entry(entry.tag)
    return now is not None and now.ended


async def test_states_and_reasons_reach_the_entry(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.set(entry.id, reason="waits for a free node", estimated_start=2e9)
    await until(lambda: hub.queue.entry(entry.tag).status is not None)  # type: ignore[union-attr]
    now = hub.queue.entry(entry.tag)
    assert now is not None
    assert now.status is not None
    assert (now.state, now.status.reason, now.status.estimated_start) == (
        JobState.PENDING,
        "waits for a free node",
        2e9,
    )
    for word in ("held", "starting", "running", "suspended", "ending"):
        world.set(entry.id, state=word)
        await until(lambda word=word: state(hub, entry.tag).value == word)


async def test_a_waiter_hears_of_each_change(hub: Process, world: World) -> None:
    entry = await hub.submit()
    waiters = [asyncio.create_task(hub.queue.changed(entry.tag, since=hub.queue.entry(entry.tag))) for _ in range(3)]
    world.run(entry.id, "n7")
    for now in await asyncio.gather(*waiters):
        assert now.status is not None
    world.set(entry.id, state="ended", outcome="completed")
    while not (now := await hub.queue.changed(entry.tag)).ended:
        pass
    assert (await hub.queue.changed(entry.tag)).ended, "an ended job has no next change: told at once"


async def test_waiting_has_an_end(hub: Process) -> None:
    entry = await hub.submit()
    await hub.queue.changed(entry.tag, timeout=0.01)
    with pytest.raises(KeyError):
        await hub.queue.changed("jupyter-abcdef-aaaaaaaaaa", timeout=0.01)


async def test_a_change_while_nobody_waited_is_told_at_once(hub: Process, world: World) -> None:
    entry = await hub.submit()
    world.run(entry.id)
    await until(lambda: state(hub, entry.tag) is JobState.RUNNING)
    now = await asyncio.wait_for(hub.queue.changed(entry.tag, since=entry), 10)
    assert now.state is JobState.RUNNING


async def test_the_scheduler_says_how_it_ended(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    world.set(entry.id, state="ended", outcome="out of memory", exit_code=0, signal=9, reason="OutOfMemory")
    await until(lambda: ended(hub, entry))
    now = hub.queue.entry(entry.tag)
    assert now is not None
    assert now.ending is not None
    assert (now.ending.outcome, now.ending.source, now.state) == (Outcome.OUT_OF_MEMORY, "scheduler", JobState.ENDED)
    assert "more memory" in now.outcome


async def test_an_outage_changes_nothing_and_is_told(hub: Process, world: World) -> None:
    entries = await running(hub, world, 2)
    waiting = await hub.submit("carol")
    world.down = "slurm_load_jobs error: Unable to contact slurm controller"
    await until(lambda: "Unable to contact" in hub.queue.entry(waiting.tag).trouble)  # type: ignore[union-attr]
    await answers(world, 5)
    assert live(hub, [*entries, waiting])
    assert hub.queue.stats()["trouble"] == world.down
    world.down = ""
    await until(lambda: hub.queue.entry(waiting.tag).trouble == "")  # type: ignore[union-attr]
    assert live(hub, [*entries, waiting])


@pytest.mark.parametrize(
    "text", ["nonsense", ["1"], {"1": "running"}, {"1": {}}, {"1": {"id": "1"}}, {"1": {"id": 1, "state": "ended"}}]
)
async def test_a_garbled_answer_changes_nothing(hub: Process, world: World, text: Any) -> None:
    (entry,) = await running(hub, world)
    assert entry.id == "1"
    world.garbled = text
    await answers(world, 5)
    assert live(hub, [entry])
    assert hub.queue.stats()["counts"]["queries.garbled"] >= 3


async def test_one_garbled_row_spoils_the_whole_answer(hub: Process, world: World) -> None:
    first, second = await running(hub, world, 2)
    world.garbled = {first.id: {"id": first.id, "state": "ended"}, second.id: {"state": "running"}}
    await answers(world, 5)
    assert live(hub, [first, second])


async def test_a_state_that_only_a_newer_helper_knows_is_not_ended(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    world.set(entry.id, state="teleporting")
    await until(lambda: state(hub, entry.tag) is JobState.UNKNOWN)
    assert live(hub, [entry])


async def test_a_job_that_vanishes_is_gone_when_its_owner_is_not_shown_it_either(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world, user="alice")
    del world.jobs[entry.id]
    await until(lambda: ended(hub, entry))
    now = hub.queue.entry(entry.tag)
    assert now is not None
    assert now.ending is not None
    assert (now.ending.source, now.ending.outcome) == ("absence", Outcome.UNKNOWN)
    assert world.count("query", "alice") >= 2


async def test_its_own_end_record_proves_the_end_at_once(start: Any, world: World) -> None:
    hub = await start(grace=60.0)
    (entry,) = await running(hub, world)
    world.ends[entry.tag] = {"tag": entry.tag, "run": 0, "exit_code": 3, "signal": None, "reason": "", "lines": ["bye"]}
    del world.jobs[entry.id]
    await until(lambda: ended(hub, entry))
    now = hub.queue.entry(entry.tag)
    assert now is not None
    assert now.ending is not None
    assert (now.ending.source, now.ending.exit_code) == ("end record", 3)


async def test_accounting_proves_the_end_at_once(start: Any, world: World) -> None:
    hub = await start(grace=60.0)
    (entry,) = await running(hub, world)
    world.details[entry.id] = {**world.jobs.pop(entry.id), "state": "ended", "outcome": "walltime reached"}
    await until(lambda: ended(hub, entry))
    assert hub.queue.entry(entry.tag).ending.outcome is Outcome.TIMEOUT


async def test_an_end_record_of_an_earlier_run_proves_nothing(start: Any, world: World) -> None:
    hub = await start(grace=60.0)
    (entry,) = await running(hub, world)
    hub.queue.reported(entry.tag, entry.id, 2)
    world.ends[entry.tag] = {"tag": entry.tag, "run": 1, "exit_code": None, "signal": 15}
    del world.jobs[entry.id]
    await until(lambda: world.count("tail") >= 3)
    assert live(hub, [entry])


async def test_a_job_missing_from_a_single_answer_lives(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    for _ in range(5):
        row = world.jobs.pop(entry.id)
        count = world.count("query")
        await until(lambda count=count: world.count("query") > count)
        world.jobs[entry.id] = row
        await answers(world, 2)
    assert live(hub, [entry])


async def test_many_missing_at_once_are_an_outage(hub: Process, world: World) -> None:
    entries = await running(hub, world, 8)
    rows, world.jobs = world.jobs, {}
    await answers(world, 20)
    assert live(hub, entries)
    assert hub.queue.stats()["counts"]["outages"] >= 10
    assert all(hub.queue.entry(entry.tag).trouble for entry in entries)  # type: ignore[union-attr]
    # A few jobs are looked into after each such answer, whatever their number.
    assert world.count("tail") <= 3 * (hub.queue.stats()["counts"]["outages"] + 1)
    world.jobs = rows
    await until(lambda: not any(hub.queue.entry(entry.tag).trouble for entry in entries))  # type: ignore[union-attr]
    assert live(hub, entries)


async def test_many_missing_at_once_with_end_records_have_ended(hub: Process, world: World) -> None:
    entries = await running(hub, world, 8)
    for entry in entries:
        world.ends[entry.tag] = {"tag": entry.tag, "exit_code": 0, "reason": "the walltime was reached"}
    world.jobs.clear()
    await until(lambda: all(ended(hub, entry) for entry in entries))


async def test_an_outage_of_good_answers_does_not_last_for_ever(start: Any, world: World) -> None:
    import dataclasses

    from .world import FAST

    hub = await start(settings=dataclasses.replace(FAST, mass_limit=0.3))
    entries = await running(hub, world, 4)
    world.jobs.clear()
    await until(lambda: all(ended(hub, entry) for entry in entries))


async def test_a_site_that_begins_to_hide_jobs_drops_none(hub: Process, world: World) -> None:
    """PrivateData=jobs by `scontrol reconfigure` under running servers; new ones start."""
    entries = await running(hub, world, 20)
    for entry in entries:
        world.details[entry.id] = world.jobs[entry.id]
    world.hidden = True
    await until(lambda: all(world.count("query", entry.user) >= 3 for entry in entries), "owners are asked")
    assert live(hub, entries)
    assert world.count("tail") <= 6, "the first one tells about all"
    new = await hub.submit("zoe")
    world.run(new.id)
    await until(lambda: state(hub, new.tag) is JobState.RUNNING)
    world.set(new.id, state="ended", outcome="completed")
    await until(lambda: ended(hub, new))
    assert live(hub, entries)


async def test_one_job_hidden_from_the_hub_is_asked_about_as_its_owner(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world, user="alice")
    world.hidden = True
    await until(lambda: world.count("query", "alice") >= 5)
    assert live(hub, [entry])
    now = hub.queue.entry(entry.tag)
    assert now is not None
    assert now.trouble == ""


async def test_jobs_that_were_always_hidden_start_and_end(hub: Process, world: World) -> None:
    world.hidden = True
    entry = await hub.submit("alice")
    world.run(entry.id, "n3")
    await until(lambda: state(hub, entry.tag) is JobState.RUNNING)
    world.set(entry.id, state="ended", outcome="failed", exit_code=1)
    await until(lambda: ended(hub, entry))
    assert "exit code 1" in hub.queue.entry(entry.tag).outcome  # type: ignore[union-attr]


async def test_query_as_owner_asks_each_owner_once_for_all_jobs(start: Any, world: World) -> None:
    hub = await start(query_as="owner")
    world.hidden = True
    entries = [await hub.submit(user) for user in ("alice", "alice", "bob")]
    await until(lambda: all(hub.queue.entry(entry.tag).status for entry in entries))
    assert world.count("query", "") == 0
    asked = {user: set(fields["ids"]) for verb, user, fields in world.calls if verb == "query"}
    assert asked == {"alice": {entries[0].id, entries[1].id}, "bob": {entries[2].id}}


async def test_a_job_that_no_answer_ever_shows_is_gone_at_the_site_s_limit_only(hub: Process, world: World) -> None:
    entry = await hub.submit("alice")
    del world.jobs[entry.id]
    await until(lambda: world.count("query", "alice") >= 4)
    assert live(hub, [entry])
    await until(lambda: ended(hub, entry))


async def test_a_server_that_answers_is_never_gone(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    asked: list[str] = []

    async def still_answers(entry: Entry) -> bool:
        asked.append(entry.tag)
        return len(asked) < 4

    hub.queue.ask_servers(still_answers)
    del world.jobs[entry.id]
    await until(lambda: len(asked) == 3)
    assert live(hub, [entry])
    await until(lambda: ended(hub, entry))
    assert asked == [entry.tag] * 4


async def test_a_job_that_turns_up_again_lives(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    row = world.jobs.pop(entry.id)
    await until(lambda: ended(hub, entry))
    world.jobs[entry.id] = row
    await until(lambda: live(hub, [entry]))
    assert world.cancelled == []


async def test_a_job_that_turns_up_again_when_nobody_has_it_any_more_is_cancelled(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    row = world.jobs.pop(entry.id)
    await until(lambda: ended(hub, entry))
    await hub.queue.clean(entry.tag)
    assert world.cleaned == [entry.tag]
    world.jobs[entry.id] = row
    await until(lambda: world.cancelled == [entry.id])
    await until(lambda: ended(hub, entry))


async def test_a_report_of_a_job_that_counted_as_gone_brings_it_back(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    row = world.jobs.pop(entry.id)
    await until(lambda: ended(hub, entry))
    world.jobs[entry.id] = row
    hub.queue.reported(entry.tag, entry.id, 0)
    assert live(hub, [entry])


async def test_an_id_that_is_another_job_now_is_neither_shown_nor_cancelled(hub: Process, world: World) -> None:
    """The scheduler lost its memory and counts anew."""
    (entry,) = await running(hub, world)
    world.put("somebody-else", "bob", entry.id, state="running")
    await until(lambda: ended(hub, entry))
    await hub.queue.cancel(entry.tag)
    assert world.cancelled == []
    assert hub.queue.entry(entry.tag).status.user == entry.user  # type: ignore[union-attr]


async def test_a_requeued_job_waits_and_runs_again(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    world.set(entry.id, state="pending", nodes=[], reason="requeued")
    await until(lambda: state(hub, entry.tag) is JobState.PENDING)
    world.run(entry.id, "n2")
    hub.queue.reported(entry.tag, entry.id, 1)
    assert (state(hub, entry.tag), hub.queue.entry(entry.tag).run) == (JobState.RUNNING, 1)  # type: ignore[union-attr]


async def test_what_a_filter_changed_is_told(hub: Process, world: World) -> None:
    entry = await hub.submit(choice={"partition": "main", "account": "Astro", "walltime": 7200})
    world.set(entry.id, partition="long", account="astro", state="running", started=1000.0, ends=4600.0)
    await until(lambda: hub.queue.entry(entry.tag).changed_by_site)  # type: ignore[union-attr]
    assert hub.queue.entry(entry.tag).changed_by_site == (  # type: ignore[union-attr]
        "partition: long instead of main",
        "walltime: 01:00:00 instead of 02:00:00",
    )


async def test_nothing_is_asked_while_there_are_no_jobs(hub: Process, world: World) -> None:
    (entry,) = await running(hub, world)
    world.set(entry.id, state="ended", outcome="completed")
    await until(lambda: ended(hub, entry))
    await until(lambda: not hub.queue._watch.groups())
    count = world.count("query")
    await hub.queue.changed(entry.tag, timeout=0.05)
    await asyncio.sleep(0.1)
    assert world.count("query") == count


async def test_one_query_for_all_jobs(hub: Process, world: World) -> None:
    entries = await running(hub, world, 30)
    await answers(world, 1)
    _, user, fields = next(call for call in reversed(world.calls) if call[0] == "query")
    assert (user, set(fields["ids"])) == ("", {entry.id for entry in entries})
    assert set(fields["users"]) == {entry.user for entry in entries}


async def test_an_answer_does_not_judge_jobs_that_were_submitted_after_it_was_asked_for(
    hub: Process, world: World
) -> None:
    entries = await running(hub, world, 1)
    gate, held = asyncio.Event(), asyncio.Event()

    async def query(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        answer = await proceed()
        held.set()
        await gate.wait()
        return answer  # type: ignore[no-any-return]

    world.hooks["query"] = query
    await held.wait()
    new = await hub.submit("zoe")
    del world.hooks["query"]
    gate.set()
    await answers(world, 2)
    assert live(hub, [*entries, new])
    assert hub.queue._book.sight(new.tag).view == "hub"


async def test_nodes_are_known_soon_after_the_report(start: Any, world: World) -> None:
    """The interval is long, a server must not wait for it."""
    hub = await start(poll_fast=30.0, poll_slow=30.0)
    entry = await hub.submit()
    await until(lambda: hub.queue.entry(entry.tag).status is not None)
    world.run(entry.id, "n5")
    now = await hub.queue.nodes_known(entry.tag)
    assert now.status.nodes == ("n5",)
    assert world.count("query") == 2


async def test_nodes_of_a_new_run_are_asked_for_anew(start: Any, world: World) -> None:
    hub = await start(poll_fast=30.0, poll_slow=30.0)
    entry = await hub.submit()
    world.run(entry.id, "n5")
    await hub.queue.nodes_known(entry.tag)
    hub.queue.reported(entry.tag, entry.id, 0)
    world.run(entry.id, "n6")
    assert (await hub.queue.nodes_known(entry.tag, run=0)).status.nodes == ("n5",)
    assert (await hub.queue.nodes_known(entry.tag, run=1)).status.nodes == ("n6",)


async def test_a_new_run_on_the_same_nodes_is_known_with_the_next_answer(start: Any, world: World) -> None:
    hub = await start(poll_fast=30.0, poll_slow=30.0)
    entry = await hub.submit()
    world.run(entry.id, "n5")
    before = await hub.queue.nodes_known(entry.tag)
    hub.queue.reported(entry.tag, entry.id, 0)
    asked = world.count("query")
    now = await asyncio.wait_for(hub.queue.nodes_known(entry.tag, 100.0, run=1), 20)
    assert now.status == before.status
    assert world.count("query") == asked + 1


async def test_nodes_known_has_an_end(hub: Process) -> None:
    entry = await hub.submit()
    now = await hub.queue.nodes_known(entry.tag, 0.05)
    assert now is not None
    assert now.status is None or now.status.nodes == ()
    assert await hub.queue.nodes_known("jupyter-abcdef-aaaaaaaaaa", 0.05) is None


async def test_a_bug_in_the_watch_does_not_end_it(hub: Process, world: World, caplog: Any) -> None:
    watch = hub.queue._watch
    good, watch.groups = watch.groups, lambda: 1 / 0  # type: ignore[method-assign,assignment]
    await hub.submit()
    await until(lambda: "ZeroDivisionError" in caplog.text)
    watch.groups = good  # type: ignore[method-assign]
    await until(lambda: world.count("query") >= 1)
