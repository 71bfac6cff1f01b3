"""The book: all jobs of one cluster in memory, who waits for their changes, and which changes go to the journal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from ..job import JobState
from .entry import Ending, Entry
from .evidence import HUB, Sight
from .journal import Journal

_KEPT = (
    "began id run reported notice log folder cancel_wanted abandoned stored ended_at ending cleaned".split()  # noqa: SIM905
)
"""Attributes of an Entry that are columns of the journal."""
_GIVEN = ("tag", "cluster", "user", "owner_key", "kind", "elements", "submitted")
"""Columns that never change, besides the choice."""
_SHOWN = frozenset({"id", "state", "parts", "reported", "cancel_wanted", "cancel_taken", "ended", "run", "began"})
"""A change of these makes a job 'not quiet': it is looked at more often for a while."""


class Book:
    """Entries by tag. Reading is memory only; each change is seen by all who wait for that job."""

    def __init__(self, cluster: str, journal: Journal, clock: Callable[[], float]) -> None:
        self.cluster = cluster
        self._journal = journal
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._sights: dict[str, Sight] = {}
        self._moved: dict[str, float] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.on_end: Callable[[Entry], None] = lambda entry: None
        """Called with each job that has just ended."""
        self.on_change: Callable[[Entry, Entry], None] = lambda before, after: None
        """Called with each change: the job before and after it."""
        self.missing: set[str] = set()
        """Jobs that the last good answer about them lacked."""
        self.from_journal: set[str] = set()
        """Jobs of an earlier process."""
        self.foreign: set[str] = set()
        """Jobs whose id now belongs to another job. Such an id is never cancelled."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tag: str) -> Entry | None:
        """The job, from memory; one that has long ended, from the journal."""
        found = self._entries.get(tag)
        if found is None and not self._journal.closed:
            row = self._journal.row(self.cluster, tag)
            return entry_of(row) if row is not None else None
        return found

    def entry(self, tag: str) -> Entry:
        """A job that is in memory; KeyError for any other."""
        return self._entries[tag]

    def __contains__(self, tag: str) -> bool:
        return tag in self._entries

    def living(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if not entry.ended]

    def by_id(self, id: str) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.id == id]

    def moved(self, tag: str) -> float:
        """When the job last changed in a way that matters; the clock's seconds."""
        return self._moved.get(tag, 0.0)

    # Changing ----------------------------------------------------------------------------------------------------

    def add(self, entry: Entry, sight: Sight) -> Future[None]:
        """A new job; the future is done once it is on disk."""
        self._take(entry, sight)
        columns = {name: getattr(entry, name) for name in _GIVEN}
        columns["choice"] = dict(entry.choice)
        return self._journal.add(**columns, **_columns(entry, _KEPT), **_sight_columns(sight))

    def load(self, row: Mapping[str, Any]) -> Entry:
        """A job of an earlier process."""
        entry = entry_of(row)
        seen = int(row["seen"])
        self._take(entry, Sight(view=row["view"] or HUB, seen=seen > 0, named=seen > 1))
        self.from_journal.add(entry.tag)
        return entry

    def _take(self, entry: Entry, sight: Sight) -> None:
        self._entries[entry.tag] = entry
        self._sights[entry.tag] = sight
        self._moved[entry.tag] = self._clock()

    def change(self, tag: str, **fields: Any) -> Entry:
        """New values of one job. What the journal keeps is written; awaiting it is stored()'s work."""
        before = self._entries[tag]
        fields = {name: value for name, value in fields.items() if getattr(before, name) != value}
        if not fields:
            return before
        after = dataclasses.replace(before, **fields)
        self._entries[tag] = after
        if not _SHOWN.isdisjoint(fields):
            self._moved[tag] = self._clock()
        if after.ended:
            self.missing.discard(tag)
        kept = [name for name in _KEPT if name in fields]
        if kept and not self._journal.closed:
            self._journal.change(tag, **_columns(after, kept))
        self._wake(tag)
        self.on_change(before, after)
        return after

    def sight(self, tag: str) -> Sight:
        return self._sights[tag]

    def see(self, tag: str, sight: Sight) -> None:
        """How well a job is seen from now on."""
        before = self._sights[tag]
        if before == sight:
            return
        self._sights[tag] = sight
        if sight.misses:
            self.missing.add(tag)
        else:
            self.missing.discard(tag)
        if _sight_columns(before) != _sight_columns(sight) and not self._journal.closed:
            self._journal.change(tag, **_sight_columns(sight))

    def sign_of_life(self, tag: str, at: float) -> None:
        """The job itself has reported, or its server has answered."""
        if tag in self._sights:
            self.see(tag, dataclasses.replace(self._sights[tag], life=at))

    def end(self, tag: str, ending: Ending, now: float) -> Entry:
        """The job has ended; now: seconds since the epoch."""
        ended = self.change(tag, ended=True, ended_at=now, ending=ending, state=JobState.ENDED, place=0, trouble="")
        self.on_end(ended)
        return ended

    def revive(self, tag: str, **fields: Any) -> Entry:
        """The job lives after all."""
        return self.change(tag, ended=False, ended_at=None, ending=None, state=JobState.UNKNOWN, **fields)

    def drop(self, tag: str) -> None:
        """Out of memory; the journal still has it."""
        for table in (self._entries, self._sights, self._moved):
            table.pop(tag, None)
        for tags in (self.missing, self.from_journal, self.foreign):
            tags.discard(tag)

    async def stored(self) -> None:
        """Until all changes so far are on disk. Raises JournalError."""
        await on_disk(self._journal.flushed())

    # Waiting -----------------------------------------------------------------------------------------------------

    async def changed(self, tag: str, timeout: float | None, since: Entry | None) -> Entry:
        """The Entry after its next change, or as it is when the time is over."""
        entry = self._known(tag)
        if entry.ended or (since is not None and since != entry):
            return entry
        wait = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tag, set()).add(wait)
        try:
            # Not wait_for: before Python 3.12 it may swallow the caller's cancellation.
            await asyncio.wait([wait], timeout=timeout)
        finally:
            wait.cancel()
            waiting = self._waiting.get(tag, set())
            waiting.discard(wait)
            if not waiting:
                self._waiting.pop(tag, None)
        return self._entries.get(tag, entry)

    def _known(self, tag: str) -> Entry:
        entry = self.get(tag)
        if entry is None:
            raise KeyError(tag)
        return entry

    def _wake(self, tag: str) -> None:
        for wait in self._waiting.pop(tag, ()):
            if not wait.done():
                wait.set_result(None)


async def on_disk(future: Future[None]) -> None:
    """Until the journal has written it. Cancelling the caller takes nothing from others who wait for the commit."""
    await asyncio.shield(asyncio.wrap_future(future))


def _columns(entry: Entry, names: list[str]) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in names}
    if "ending" in values:
        values["ending"] = entry.ending.as_json() if entry.ending else {}
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}


def _sight_columns(sight: Sight) -> dict[str, Any]:
    return {"view": sight.view, "seen": (2 if sight.named else 1) if sight.seen else 0}


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The Entry of a journal row."""
    ending = Ending.from_json(row["ending"]) if row["ending"] else None
    ended = row["ended_at"] is not None
    values = {name: row[name] for name in (*_GIVEN, "choice")}
    values.update({name: row[name] for name in ("began", "id", "notice", "log", "folder", "ended_at")})
    values.update({name: bool(row[name]) for name in ("reported", "cancel_wanted", "abandoned", "stored", "cleaned")})
    state = JobState.ENDED if ended else JobState.RUNNING if row["reported"] else JobState.UNKNOWN
    return Entry(**values, run=int(row["run"]), state=state, ended=ended, ending=ending)
