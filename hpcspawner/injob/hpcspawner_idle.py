"""Whether anybody works on a Jupyter server. A busy kernel, a program in a terminal, a saved file: an open tab not."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Dict, Iterator, Mapping, Optional

BUSY_SECONDS = 180.0
"""A file in the busy directory counts this long after it was touched."""


def verdict(now: float, worked: float, claimed: bool, started: float, limits: Mapping[str, Any]) -> Optional[str]:
    """Why the server should end now, or None.

    worked: when work was last seen, claimed: somebody opened the server, started: when it began to
    listen; all in seconds since the epoch. limits: "idle" and "unclaimed" in minutes, 0: never.
    """
    unclaimed, idle = limits.get("unclaimed") or 0, limits.get("idle") or 0
    if unclaimed and not claimed and now - max(started, worked) >= 60 * unclaimed:
        return "nobody opened the server for {}".format(_minutes(unclaimed))
    if idle and now - max(started, worked) >= 60 * idle:
        return "the server was idle for {}".format(_minutes(idle))
    return None


def _minutes(count: float) -> str:
    return "{:g} minute{}".format(count, "" if count == 1 else "s")


def interval(limits: Mapping[str, Any]) -> float:
    """Seconds between two looks."""
    shortest = min([60.0 * (limits.get(name) or 1000) for name in ("idle", "unclaimed")])
    return max(0.1, min(60.0, shortest / 10))


def helpers_work(directory: str, now: float) -> bool:
    """Whether a program of the job (a Dask cluster) told lately that it works; see HPCSPAWNER_BUSY."""
    try:
        with os.scandir(directory) as entries:
            return any(now - entry.stat().st_mtime < BUSY_SECONDS for entry in entries)
    except OSError:
        return False


class Watch:
    """Looks at the server from time to time."""

    def __init__(self, app: Any, limits: Mapping[str, Any], started: float) -> None:
        self.app = app
        self.limits = limits
        self.started = started
        self.worked = started
        self.claimed = False
        self.interval = interval(limits)
        self.wanted = bool(limits.get("idle") or limits.get("unclaimed"))
        if self.wanted:
            self._listen()

    def look(self, now: float) -> Optional[str]:
        """Why the server should end now, or None."""
        if self._busy(now):
            self.worked = now
        self.worked = max([self.worked, *self._times()])
        return verdict(now, self.worked, self.claimed, self.started, self.limits)

    def _busy(self, now: float) -> bool:
        kernels = self.app.kernel_manager.list_kernels()
        return (
            any(kernel.get("execution_state") == "busy" for kernel in kernels)
            or any(_has_child(pid) for pid in self._shells())
            or helpers_work(self.limits.get("busy") or "", now)
        )

    def _times(self) -> Iterator[float]:
        for kernel in self.app.kernel_manager.list_kernels():
            yield _seconds(kernel.get("last_activity"))
        for terminal in self._terminals().values():
            yield _seconds(getattr(terminal, "last_activity", None))

    def _terminals(self) -> Mapping[str, Any]:
        manager = self.app.web_app.settings.get("terminal_manager")
        found: Dict[str, Any] = getattr(manager, "terminals", None) or {}
        return found

    def _shells(self) -> Iterator[int]:
        for terminal in self._terminals().values():
            pid = getattr(getattr(terminal, "ptyproc", None), "pid", None)
            if isinstance(pid, int):
                yield pid

    def _listen(self) -> None:
        settings = self.app.web_app.settings
        log = settings.get("log_function")

        def log_function(handler: Any) -> None:
            self.saw(handler)
            if log:
                log(handler)

        settings["log_function"] = log_function

    def saw(self, handler: Any) -> None:
        """Takes note of a request: by a person, it claims the server; one that changes files is work."""
        # The hub itself asks without logging in. Not handler.current_user: that would log in.
        if getattr(handler, "_current_user", None) is None or handler.get_status() >= 400:
            return
        self.claimed = True
        changes = handler.request.method in ("PUT", "POST", "PATCH", "DELETE")
        if changes and "/api/contents" in handler.request.path:
            self.worked = max(self.worked, datetime.now().timestamp())


def _seconds(moment: Any) -> float:
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, str):
        try:
            return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
        except ValueError:
            return 0.0
    return 0.0


def _has_child(pid: int) -> bool:
    try:
        with open("/proc/{0}/task/{0}/children".format(pid)) as file:
            return bool(file.read().strip())
    except OSError:
        return False
