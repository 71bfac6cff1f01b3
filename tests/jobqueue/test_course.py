"""A whole course starts at once, and a scheduler full of other people's jobs."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from hpcspawner import progress
from hpcspawner.jobqueue import Settings
from hpcspawner.jobqueue.pacer import DUTY

from .world import FAST, Process, World, until

COURSE = 100
RATE = 25.0
HELPERS = 17
HELPER = 0.5
"""Seconds that each submit takes."""


async def test_a_course_of_a_hundred_waits_in_line_and_nobody_times_out(start: Any, world: World) -> None:
    # lost_submit_limit and submit_timeout are far shorter than the line is long: neither may run for who waits in it.
    hub: Process = await start(
        submits_per_second=RATE, parallel_helpers=HELPERS, submit_timeout=1.0, lost_submit_limit=0.5
    )
    began: list[float] = []
    at_once = most = 0

    async def slow(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        nonlocal at_once, most
        began.append(time.monotonic())
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(HELPER)
        at_once -= 1
        answer: dict[str, Any] = await proceed()
        return answer

    world.hooks["submit"] = slow
    tags = [hub.queue.new_tag() for _ in range(COURSE)]
    fields = {"kind": "server", "choice": {"reservation": "course"}}
    submits = [
        asyncio.ensure_future(hub.queue.submit(tag, f"u{number}", fields, f"u{number}/"))
        for number, tag in enumerate(tags)
    ]
    last = tags[-1]
    await until(lambda: (entry := hub.queue.entry(last)) and entry.place > 0, "the last one has a place")
    places = sorted(entry.place for entry in hub.queue.entries() if entry.in_line)
    assert places == list(range(1, len(places) + 1))
    assert hub.queue.in_line() == len(places) > COURSE / 2
    words = progress.line(hub.queue.entry(last), now=time.time()).text
    assert words == f"Your job is number {len(places)} in line to be submitted."

    seen = []
    while not submits[-1].done():
        entry = await hub.queue.changed(last, timeout=10.0)
        seen.append(entry.place)
    assert seen == sorted(seen, reverse=True)

    entries = await asyncio.gather(*submits)
    assert len({entry.id for entry in entries}) == COURSE
    assert world.count("submit") == COURSE
    assert world.count("find") == 0
    assert most <= HELPERS - 1
    # A token bucket: whatever the window, no more than its size and what has flowed into it since.
    for first, second in itertools.combinations(range(COURSE), 2):
        assert second - first + 1 <= RATE + RATE * (began[second] - began[first] + 0.05) + 1


async def test_a_full_scheduler_is_asked_less_often(start: Any, world: World) -> None:
    """Three thousand jobs of others make each answer slow: the interval grows to twenty times what it takes."""
    hub: Process = await start(poll_fast=0.01, poll_slow=0.02, settings=FAST)
    for number in range(3000):
        world.put(f"other-{number}", "stranger", id=str(100_000 + number))
    asked: list[float] = []

    async def slow(user: str, fields: dict[str, Any], proceed: Any) -> dict[str, Any]:
        asked.append(time.monotonic())
        await asyncio.sleep(0.02)
        answer: dict[str, Any] = await proceed()
        return {**answer, "jobs": {**answer["jobs"], **world.jobs}, "seconds": 0.02}

    world.hooks["query"] = slow
    entry = await hub.submit()
    # The first answers teach what one costs.
    await until(lambda: len(asked) >= 6, "six queries")
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked[2:])]
    assert min(gaps) >= DUTY * 0.02 * 0.95
    assert hub.queue.stats()["query_seconds"] >= 0.02
    assert [known.tag for known in hub.queue.entries()] == [entry.tag]
    assert Settings().urgent_gap > 0
