"""The watch: one status query per view and interval, while there are jobs to ask about, and what its answers mean."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

from . import answers
from .answers import Garbled
from .applying import Applying
from .desk import TROUBLE, Desk, words
from .entry import Entry
from .evidence import OWNER
from .pacer import Pace
from .postmortem import since
from .view import View

_TOGETHER = 0.02
"""Seconds in which nudges become one."""
_TOLD_AFTER = 2
"""So many failures in a row are told to users; a single one is noise."""


class Watch:
    """Asks about the jobs of one cluster."""

    def __init__(self, desk: Desk, applying: Applying) -> None:
        self.desk = desk
        self.applying = applying
        self.views: dict[str, View] = {}
        self._pace = Pace(desk.cluster.poll_fast, desk.cluster.poll_slow, desk.settings.backoff_most)
        self._nudge = asyncio.Event()
        desk.wake = self._nudge.set
        desk.answers_again = self.answers_again

    def view(self, user: str) -> View:
        """The view of that user; '' is the hub's account."""
        if user not in self.views:
            self.views[user] = View(user, self._pace, self.desk.settings)
        return self.views[user]

    def urgent(self, entry: Entry) -> None:
        """Somebody waits to learn more about this job."""
        if self.view(self._user(entry)).urgent():
            self._nudge.set()

    def answers_again(self) -> None:
        """An outage is over: no view waits for the end of its back-off."""
        for view in self.views.values():
            view.hurry()
        self._nudge.set()

    def asked_at(self, entry: Entry) -> float:
        """When the last good answer about this job was asked for; the clock's seconds."""
        return self.view(self._user(entry)).good_asked

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._nudge.clear()
            pause = self._turn()
            nudged = asyncio.ensure_future(self._nudge.wait())
            try:
                await asyncio.wait([nudged], timeout=pause)
            finally:
                nudged.cancel()
            await asyncio.sleep(_TOGETHER)

    def _turn(self) -> float | None:
        """Begins the queries that are due. Returns seconds until the next one; None: nothing to ask about."""
        now, pause = time.monotonic(), None
        groups = self.groups()
        owners = len(groups) - (1 if "" in groups else 0)
        for user, entries in groups.items():
            view = self.view(user)
            if view.asking:
                continue
            left = view.due(self._quiet(entries, now), owners if user else 1) - now
            if left <= 0:
                asked_at = view.began()
                self.desk.tasks.start(self._ask(view, entries, asked_at), f"query as {user or 'hub'}")
            else:
                pause = left if pause is None else min(pause, left)
        for user in [user for user in self.views if user and user not in groups and not self.views[user].asking]:
            del self.views[user]
        return pause

    def groups(self) -> dict[str, list[Entry]]:
        """The jobs to ask about, by the user who asks."""
        found: dict[str, list[Entry]] = {}
        soonest = time.time() - self.desk.settings.linger
        for entry in self.desk.book:
            if entry.id and (not entry.ended or _lingers(entry, soonest)):
                found.setdefault(self._user(entry), []).append(entry)
        return found

    def _user(self, entry: Entry) -> str:
        return entry.user if self.desk.book.sight(entry.tag).view == OWNER else ""

    def _quiet(self, entries: Iterable[Entry], now: float) -> float | None:
        """Seconds since the last change of what is starting, ending or missing; None where nothing is."""
        book = self.desk.book
        moved = [book.moved(e.tag) for e in entries if e.starting or (e.tag in book.missing and not e.ended)]
        return max(now - max(moved), 0.0) if moved else None

    async def _ask(self, view: View, entries: list[Entry], asked_at: float) -> None:
        """One query. Only jobs that were in the queue when it began are judged by it."""
        asked = {entry.tag: entry.id for entry in entries}
        try:
            ids, users = sorted(set(asked.values())), sorted({entry.user for entry in entries})
            answer = await self.desk.call("query", view.user, ids=ids, users=users)
            measured = time.monotonic() - asked_at
            jobs = answers.jobs(answer)
            await self.applying.apply(jobs, asked, asked_at, view.user)
            if view.failures:
                self.answers_again()
            view.good(answers.seconds(answer, measured))
            self.desk.counts["queries.good"] += 1
        except TROUBLE as error:
            self._failed(view, error)
            await self._tell(view, asked)
        finally:
            view.asking = False
            self._nudge.set()

    def _failed(self, view: View, error: Exception) -> None:
        view.bad(words(error))
        self.desk.counts["queries.garbled" if isinstance(error, Garbled) else "queries.failed"] += 1
        if view.failures in (1, 10) or view.failures % 100 == 0:
            account = view.user or "the hub's account"
            self.desk.log.warning("Query as %s failed (%s in a row): %s", account, view.failures, view.trouble)

    async def _tell(self, view: View, asked: Mapping[str, Any]) -> None:
        """Pages say that the state may be old. Nothing else changes."""
        if view.failures != _TOLD_AFTER:
            return
        text = since(view.trouble_since, view.trouble)
        for count, tag in enumerate(asked):
            if tag in self.desk.book and not self.desk.book.entry(tag).ended:
                self.desk.book.change(tag, trouble=text)
            await self.desk.breathe(count)


def _lingers(entry: Entry, soonest: float) -> bool:
    return entry.ending is not None and entry.ending.provisional and (entry.ended_at or 0.0) > soonest
