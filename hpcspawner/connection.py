"""ssh's one connection to a submit host: opened before the first call and shared by all that follow.

It is a process of ssh that outlives the hub's calls and, for some minutes, the hub. Opening it first makes it certain
what a failure means: nothing was asked over there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from .sitemodel import Way

Run = Callable[[list[str], bytes, float], Awaitable[tuple[int | None, bytes, str]]]
"""Runs argv with that input for at most so many seconds: exit code (None: too long), output, error text."""

_NO_CONNECTION = 255
"""ssh's own exit code; any other is that of the command over there."""
_SECONDS = 25.0
"""Longer than ssh's own ConnectTimeout, since keys are exchanged after it."""


class Connection:
    """One connection; calls that come while it is being opened wait for the same attempt."""

    def __init__(self, argv: list[str], path: str, run: Run) -> None:
        """argv: any call, which opens it where it is not open. path: of the socket that ssh then listens on."""
        self._argv = argv
        self._path = path
        self._run = run
        self._attempt: asyncio.Task[str] | None = None

    async def open(self) -> str:
        """'' where the connection stands, else what ssh said. Raises OSError where there is no ssh."""
        if stands(self._path):
            return ""
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._attempt)

    async def _open(self) -> str:
        # A call without a request: the far side only says so. With -N ssh would stay for ever if another were faster.
        code, _, err = await self._run(self._argv, b"", _SECONDS)
        if code == _NO_CONNECTION:
            return err.strip() or "ssh does not say why"
        return "no answer in time" if code is None else ""


def stands(path: str) -> bool:
    """Whether a process of ssh holds the connection; its socket file alone may be left over."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        with contextlib.suppress(OSError):
            probe.connect(path)
            return True
    return False


def trouble(way: Way, err: str) -> str:
    """What ssh said, in words for an administrator."""
    if "Host key verification failed" in err:
        return (
            f"the submit host {way.host} does not show the key that {way.known_hosts or 'known_hosts'} has for it: "
            "nothing was sent there. If its key was changed on purpose, put the new one into that file"
        )
    if "Permission denied (" in err:
        return (
            f"the submit host {way.host} does not let the hub in as {way.account or 'its own account'} "
            f"with the key {way.identity or 'of ssh'}: {_line(err)}"
        )
    return f"the submit host {way.host} cannot be reached: {_line(err)}"


def _line(text: str) -> str:
    return " ".join(text.split())[-500:]
