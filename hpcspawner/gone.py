"""The stand-in for a server that went while a restarted hub was looking at it."""

from __future__ import annotations

import asyncio
from typing import Any


class GoneServer:
    """Takes the place of the hub's record until the hub has cleaned up.

    After get_url() the hub goes on with spawner.server, which a DELETE in between may have removed, and an error there
    ends the hub. It treats a server that can't be reached in time as stopped, which is what this one is.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def __bool__(self) -> bool:
        return True

    async def wait_up(self, **_: Any) -> None:
        """Never reached."""
        raise TimeoutError(f"no server at {self.url}")


async def stopped(spawner: Any, *, patience: float = 30.0) -> None:
    """Until the DELETE that cancelled a waiting start has stopped the server.

    JupyterHub cancels, sleeps a second, then stops; if we were to go on at once, the hub's check would stop the server
    first and the DELETE would fail with 'pending stop'.
    """
    waited = 0.0
    while waited < patience and (spawner._stop_pending or spawner.orm_spawner.server is not None):
        await asyncio.sleep(0.05)
        waited += 0.05
