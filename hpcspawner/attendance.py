"""Attendance: a running server whose job ends, or is put back into the queue, is noticed when the queue notices it."""

from __future__ import annotations

import asyncio
from typing import Any

from .whereabouts import answers

_GLANCE = 0.2
TAKEN_OVER = 0.5
"""Seconds that a cancelled wait stays 'spawn'; JupyterHub's DELETE looks after one second."""


async def attend(spawner: Any) -> None:
    """From the first look at a server that is ready until its end. The hub's own polls come besides, and seldom."""
    queue, tag = spawner.queue, spawner.tag
    entry = queue.entry(tag) if queue is not None else None
    while entry is not None and not entry.ended and spawner.tag == tag:
        if entry.state.waits and await _gone(spawner):
            entry = queue.entry(tag)
            if entry is None or entry.ended or not entry.state.waits:
                continue
            if not await start_again(spawner):
                return
        # A server may answer for a moment longer than its job holds nodes.
        entry = await queue.changed(tag, timeout=5.0 if entry.state.waits else None, since=entry)
    # A hub that is just about to take up the server has not said yet whom to tell.
    if spawner.tag == tag and await _settled(spawner):
        await spawner.poll_and_notify()


async def _gone(spawner: Any) -> bool:
    """Whether the hub counts the server as ready, but nothing answers there."""
    return await _settled(spawner) and not await answers(spawner.reported_url)


async def _settled(spawner: Any) -> bool:
    """Once the hub has come to an end with what it does to this server; whether it runs then."""
    while spawner.pending:  # noqa: ASYNC110  the hub gives no event for it
        await asyncio.sleep(_GLANCE)
    return bool(spawner.ready)


async def start_again(spawner: Any) -> bool:
    """The scheduler has put the job back into the queue: the hub waits as at a start, with its page and its Cancel.

    The dead route goes, so that who comes meets that page. Returns whether the server runs again.
    """
    spawner.log.warning("Job %s of %s is in the queue again", spawner.job_id, spawner._log_name)
    future = asyncio.ensure_future(_again(spawner))
    future.add_done_callback(lambda done: _over(spawner, done))
    spawner._spawn_pending, spawner._spawn_future = True, future
    try:
        await asyncio.wait([future])
    finally:
        future.cancel()
    if future.cancelled():
        return False
    failed = future.exception()
    if failed is not None:
        spawner.log.error("%s did not come back: %s", spawner._log_name, failed)
        await spawner.user.stop(spawner.name)
    return failed is None


async def _again(spawner: Any) -> None:
    spawner.expect_again()
    await spawner.unroute()
    await spawner.resume()
    await spawner.route()


def _over(spawner: Any, future: asyncio.Future[None]) -> None:
    # As the hub does it: before anybody who waits for the future looks whether the server is ready. A failure stays,
    # since the pages ask the future for it.
    if future.cancelled():
        # By a DELETE, which stops the server a second later. In between it must not look as if it were ready.
        asyncio.get_running_loop().call_later(TAKEN_OVER, _release, spawner, future)
        return
    if spawner._spawn_future is future and future.exception() is None:
        spawner._spawn_future = None
    spawner._spawn_pending = False


def _release(spawner: Any, future: asyncio.Future[None]) -> None:
    if spawner._spawn_future is future:
        spawner._spawn_future, spawner._spawn_pending = None, False
