"""A hub that starts again finds its servers: what JupyterHub asks then, and what it must not be told."""

from __future__ import annotations

import asyncio
from typing import Any

from . import attendance, failure, gone
from .patience import first
from .starting import StartingSpawner
from .whereabouts import answers


class ResumingSpawner(StartingSpawner):
    """After a restart of the hub, a server is waited for as at its start, whatever state its job is in."""

    _spawn_future: Any
    _gone: gone.GoneServer | None = None

    async def get_url(self) -> str:
        """The hub asks once, at its own start, for each server in its database. Never raises, since that ends the hub.

        Waits as a start does: the state becomes 'spawn', so that the page shows progress and DELETE works.
        """
        stored = str(self.server.url)
        resume: asyncio.Task[None] = asyncio.ensure_future(self.resume())
        self._check_pending, self._spawn_pending, self._spawn_future = False, True, resume
        await asyncio.wait([resume])
        if resume.cancelled():
            await asyncio.sleep(attendance.TAKEN_OVER)
        self._spawn_pending = False
        failed = None if resume.cancelled() else resume.exception()
        if failed is None:
            # Kept for a failure only: the hub asks a future that is left here for its exception.
            self._spawn_future = None
        if not resume.cancelled() and failed is None:
            self.fleet.later(self._route_when_ready())
            return self._url
        if resume.cancelled():
            await gone.stopped(self)
        else:
            self.log.error("%s did not come back: %s", self._log_name, failed)
        self._gone = gone.GoneServer(stored)
        return stored

    async def resume(self) -> None:
        """Until the server of a job that exists answers, also on another node; raises StartFailure."""
        await self.fleet.ready()
        queue = self.queue
        if queue is None:
            raise failure.ended(f"cluster {self._cluster} is no longer in the site file", ())
        await self.until_reported(queue)
        while not await answers(self._url):
            entry = queue.entry(self.tag)
            if entry is None or entry.ended:
                raise await self.job_ended(queue)
            if entry.state.waits and self._reported.is_set():
                self.expect_again()
                await self.until_reported(queue)
                continue
            await first(queue.changed(self.tag, since=entry), timeout=2)
        queue.answered(self.tag)
        if self.server is not None:
            self.set_server(self._url)

    async def _route_when_ready(self) -> None:
        """One queued server must not keep the route of this one waiting until the hub has checked all."""
        for _ in range(60):
            if self.ready:
                try:
                    await self.route()
                    return
                except Exception as error:
                    self.log.debug("The proxy takes no route yet: %s", error)
            await asyncio.sleep(0.5)

    @property
    def server(self) -> Any:
        """The hub's record of the server, or its stand-in while the hub still looks at a server that is gone."""
        return self._gone or super().server

    @server.setter
    def server(self, server: Any) -> None:
        self._gone = None
        StartingSpawner.server.fset(self, server)
