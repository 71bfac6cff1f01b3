"""Inquests: the owner's view and the end record of a job that the scheduler's answers lack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from ..job import JobStatus
from . import postmortem
from .desk import TROUBLE, Desk, words
from .entry import Ending, Entry
from .postmortem import Postmortem

SAMPLE = 3
"""Jobs that are looked into after one answer that lacks many."""


class Inquest:
    """Looks into missing jobs one by one."""

    def __init__(self, desk: Desk, postmortem: Postmortem, shown: Callable[[Entry, JobStatus, float], None]) -> None:
        self.desk = desk
        self.postmortem = postmortem
        self._shown = shown
        self._open: set[str] = set()
        self._concluding: set[str] = set()
        self._last: dict[str, int] = {}
        self.still_answers: Callable[[Entry], Awaitable[bool]] | None = None
        """Whether the server of a job answers; asked before a job counts as gone by its absence."""

    def choose(self, missed: Iterable[str], outage: bool) -> None:
        """Begins inquests after an answer: into each job at misses 2, 4, 8, ...; in an outage into a few at a time."""
        book, chosen = self.desk.book, []
        for tag in missed:
            misses = book.sight(tag).misses
            if misses >= 2 and (outage or misses & (misses - 1) == 0) and tag not in self._open:
                chosen.append(tag)
        if outage:
            # In turn, so that after a while each one's end record has been read.
            chosen.sort(key=lambda tag: self._last.get(tag, 0))
            chosen = chosen[:SAMPLE]
        for tag in chosen:
            self._last[tag] = self._last.get(tag, 0) + 1
            self.desk.tasks.start(self._look(tag), f"inquest into {tag}")

    async def _look(self, tag: str) -> bool:
        """True where it settled the matter."""
        book = self.desk.book
        entry, asked = book.entry(tag), time.monotonic()
        self._open.add(tag)
        try:
            _, record, status = await self.postmortem.tail(entry, 0)
        except TROUBLE as error:
            self.desk.log.info("Looking into %s: %s", tag, words(error))
            return False
        finally:
            self._open.discard(tag)
        if tag not in book or book.entry(tag).ended or not book.sight(tag).misses:
            return True
        if status is not None:
            self._shown(entry, status, asked)
            if book.entry(tag).ended or not book.sight(tag).misses:
                return True
        if record is not None:
            self._end(tag, record)
            return True
        return False

    def gone(self, tag: str) -> None:
        """Nothing but absence tells that it ended: one last look at all that could tell otherwise."""
        if tag not in self._open and tag not in self._concluding:
            self._concluding.add(tag)
            self.desk.tasks.start(self._conclude(tag), f"end of {tag}")

    async def _conclude(self, tag: str) -> None:
        try:
            await self._gone(tag)
        finally:
            self._concluding.discard(tag)

    async def _gone(self, tag: str) -> None:
        book = self.desk.book
        since = book.sight(tag).missing_since
        if await self._look(tag):
            return
        if await self._answers(book.entry(tag)):
            book.sign_of_life(tag, time.monotonic())
            return
        if tag in book and not book.entry(tag).ended and book.sight(tag).missing_since == since:
            self._end(tag, postmortem.of_absence(book.entry(tag)))

    async def _answers(self, entry: Entry) -> bool:
        if self.still_answers is None or not entry.reported or entry.cancel_taken:
            return False
        try:
            return await self.still_answers(entry)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.desk.log.debug("Whether %s answers: %s", entry.tag, error)
            return False

    def _end(self, tag: str, ending: Ending) -> None:
        entry = self.desk.book.end(tag, ending, time.time())
        self.desk.log.info("%s (job %s) ended: %s [%s]", tag, entry.id, ending.text, ending.source)
        self._last.pop(tag, None)
