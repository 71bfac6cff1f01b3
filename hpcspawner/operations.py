"""What an admin does to a running hub: looks at jobs, adopts or forgets those without a server, drains a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .fleet import Fleet
from .jobqueue import Entry, JobQueue, JournalError


class Refusal(Exception):
    """It can't be done; status is that of the HTTP answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Operations:
    """Works on the fleets of this process. known: the tags that the hub's database holds."""

    def __init__(self, fleets: Sequence[Fleet], known: Callable[[], set[str]]) -> None:
        self._fleets = fleets
        self._known = known

    def jobs(self, cluster: str = "") -> list[dict[str, Any]]:
        """Living jobs, oldest first: tag, id, cluster, user, server, kind, state, submitted (seconds since the epoch),
        place, and notes in words."""
        if cluster:
            self._fleet(cluster)
        known, found = self._known(), []
        for fleet in self._fleets:
            for name, queue in fleet.queues.items():
                if cluster in ("", name):
                    orphans = queue.orphans()
                    found += [_row(entry, orphans, known) for entry in queue.entries() if not entry.ended]
        return sorted(found, key=lambda row: (row["submitted"], row["tag"]))

    async def adopt(self, tag: str, *, cluster: str = "", user: str = "", id: str = "") -> str:
        """Takes a job into the hub's care: it runs on, is watched, and cleaned up after. Says what was done."""
        queue, entry = self._find(tag)
        if entry is None:
            if not cluster or not user:
                raise Refusal(404, f"{tag} is not in the journal; name its cluster and its user")
            queue = self._fleet(cluster).queues[cluster]
            try:
                entry = await queue.adopt(tag, user, id, time.time(), kind="adopted")
            except JournalError as error:
                raise Refusal(503, str(error)) from error
            if entry.ended:
                raise Refusal(400, f"{tag} is no name of a job of this hub")
        if queue is None or entry.ended:
            raise Refusal(409, f"{tag} has ended: {entry.outcome}")
        if tag in self._known():
            raise Refusal(409, f"{tag} belongs to the server {_server(entry)}, which the hub knows")
        queue.keep(tag)
        return (
            f"{tag} (job {entry.id or 'not known yet'} of {entry.user}) is watched until it ends and cleaned up after"
        )

    async def forget(self, tag: str, *, cancel: bool = False) -> str:
        """Lets go of a job that no server knows; cancel: ends it first."""
        queue, entry = self._find(tag)
        if queue is None or entry is None:
            raise Refusal(404, f"{tag} is not in the journal")
        if entry.ended:
            raise Refusal(409, f"{tag} has ended: {entry.outcome}")
        if tag in self._known():
            raise Refusal(409, f"{tag} belongs to the server {_server(entry)}; stop that server instead")
        if cancel:
            queue.keep(tag)
            taken = await queue.cancel(tag)
            return f"{tag} {'is being cancelled' if taken else 'will be cancelled; it is tried until it has ended'}"
        if not entry.id:
            raise Refusal(409, f"{tag} has no id yet; it is looked for, and `forget --cancel` ends what is found")
        queue.forget(tag)
        return f"{tag} (job {entry.id or 'not known'} of {entry.user}) is no longer watched; if it runs, it runs on"

    def drain(self, cluster: str, text: str) -> str:
        """No new servers there; users read the text."""
        try:
            self._fleet(cluster).drains.drain(cluster, text)
        except ValueError as error:
            raise Refusal(400, str(error)) from error
        except OSError as error:
            raise Refusal(503, f"{error.filename}: {error.strerror}") from error
        return f"{cluster} takes no new servers; those that run stay"

    def resume(self, cluster: str) -> str:
        """Servers start again."""
        try:
            was = self._fleet(cluster).drains.resume(cluster)
        except OSError as error:
            raise Refusal(503, f"{error.filename}: {error.strerror}") from error
        return f"{cluster} takes new servers again" if was else f"{cluster} was not drained"

    def _fleet(self, cluster: str) -> Fleet:
        for fleet in self._fleets:
            if cluster in fleet.queues:
                return fleet
        known = ", ".join(name for fleet in self._fleets for name in fleet.queues)
        raise Refusal(404, f"cluster: {cluster!r} is not known; known are {known}")

    def _find(self, tag: str) -> tuple[JobQueue | None, Entry | None]:
        for fleet in self._fleets:
            for queue in fleet.queues.values():
                entry = queue.entry(tag)
                if entry is not None:
                    return queue, entry
        return None, None


def _server(entry: Entry) -> str:
    return entry.owner_key.rstrip("/") or entry.user


def _row(entry: Entry, orphans: frozenset[str], known: set[str]) -> dict[str, Any]:
    notes = []
    if entry.tag in orphans:
        notes.append("orphan: no server knows it")
    elif entry.tag not in known:
        notes.append("no server")
    if entry.lost:
        notes.append("its submit got no answer; it is looked for")
    if entry.cancel_wanted:
        notes.append("is being cancelled")
    if entry.trouble:
        notes.append(entry.trouble)
    return {
        "tag": entry.tag,
        "id": entry.id,
        "cluster": entry.cluster,
        "user": entry.user,
        "server": _server(entry),
        "kind": entry.kind,
        "state": "in line" if entry.in_line else entry.state.value,
        "submitted": entry.submitted,
        "place": entry.place,
        "orphan": entry.tag in orphans,
        "notes": notes,
    }
