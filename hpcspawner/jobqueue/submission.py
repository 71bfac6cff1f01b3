"""Submits: the journal first, then the line, then the command, which no cancellation of the caller interrupts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ..job import JobState
from ..run_as import HelperError
from .answers import text
from .book import on_disk
from .desk import Desk, words
from .entry import Ending, Entry
from .errors import SubmitError, SubmitFailed, SubmitRefused
from .evidence import HUB, OWNER, Sight
from .instance import JournalError
from .limiter import Left, Line
from .lost import Lookup
from .removal import Removal

NOTHING_RAN = frozenset({"protocol", "site", "forbidden", "folder", "unavailable"})
"""Errors of the helper after which it is certain that no submit was tried. Any other may hide a job; run_as says
'unknown' for a helper that was reached and gave no answer."""

CANCELLED = "the job was cancelled before it was submitted"


class Submission:
    """Carries out the submits of one cluster."""

    def __init__(self, desk: Desk, lookup: Lookup, removal: Removal) -> None:
        self.desk = desk
        self.lookup = lookup
        self.removal = removal
        # One helper stays free for questions and cancels while many submits are under way.
        parallel = max(1, desk.cluster.parallel_helpers - 1)
        self.line = Line(desk.cluster.submits_per_second, parallel, self._moved)
        self._running: set[asyncio.Task[Entry]] = set()

    async def settle(self, wait: float) -> None:
        """Gives the submits that are under way a moment to end."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=wait)

    def _moved(self, tag: str, place: int) -> None:
        self.desk.book.change(tag, place=place)

    async def submit(self, entry: Entry, fields: Mapping[str, Any], *, keep: bool) -> Entry:
        """The Entry with its id. Raises one of the SubmitErrors."""
        task = self.desk.tasks.start(self._carry_out(entry, fields), f"submit {entry.tag}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # A submit that was itself cancelled belongs to a hub that shuts down: the next one looks the job up.
            if not keep and not task.cancelled() and not self.desk.closing:
                self._abandon(entry.tag)
            raise

    def _abandon(self, tag: str) -> None:
        """Nobody waits any more: a job in line goes, one that is (or may be) submitted is cancelled by the queue."""
        if self.desk.book.entry(tag).ended:
            return
        self.desk.book.change(tag, abandoned=True, cancel_wanted=True)
        if not self.line.leave(tag):
            self.removal.want(tag)

    async def _carry_out(self, entry: Entry, fields: Mapping[str, Any]) -> Entry:
        book, tag = self.desk.book, entry.tag
        view = OWNER if self.desk.cluster.query_as == "owner" else HUB
        try:
            await on_disk(book.add(entry, Sight(view=view)))
        except JournalError as error:
            raise self._failed(tag, SubmitFailed("journal", f"the hub could not note the job: {error}")) from error
        try:
            await self.line.turn(tag)
        except Left:
            raise self._failed(tag, SubmitFailed("cancelled", CANCELLED)) from None
        try:
            answer = await self._call(tag, fields)
        finally:
            self.line.done()
        return await self._outcome(tag, answer)

    async def _call(self, tag: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        book = self.desk.book
        entry = book.change(tag, began=time.time(), place=0)
        try:
            await book.stored()
        except JournalError as error:
            raise self._failed(tag, SubmitFailed("journal", f"the hub could not note the job: {error}")) from error
        if book.entry(tag).cancel_wanted:
            raise self._failed(tag, SubmitFailed("cancelled", CANCELLED))
        try:
            return await self.desk.call("submit", entry.user, tag=tag, **fields)
        except HelperError as error:
            if error.kind == "refused":
                return {"outcome": "refused", "text": error.text}
            if error.kind in NOTHING_RAN:
                raise self._failed(tag, SubmitFailed(error.kind, error.text, error.path)) from error
            return {"outcome": "unknown", "text": words(error)}

    async def _outcome(self, tag: str, answer: Mapping[str, Any]) -> Entry:
        book, outcome = self.desk.book, answer.get("outcome")
        book.change(tag, log=text(answer, "log"), folder=text(answer, "folder"))
        if outcome == "refused":
            raise self._failed(tag, SubmitRefused(text(answer, "text") or "no reason given"))
        if outcome == "accepted" and text(answer, "id"):
            entry = book.entry(tag)
            if entry.id and entry.id != text(answer, "id"):
                self.desk.log.warning("%s: reported as %s, submitted as %s", tag, entry.id, text(answer, "id"))
            state = JobState.RUNNING if entry.reported else JobState.PENDING
            book.change(tag, id=text(answer, "id"), notice=text(answer, "notice"), state=state)
            self.desk.counts["submits.accepted"] += 1
            self.desk.answers_again()
        else:
            self.desk.log.warning("%s: the submit got no clear answer: %s", tag, text(answer, "text"))
            try:
                await self.lookup.find(tag, text(answer, "text"))
            except SubmitError as error:
                self._count(error)
                raise
        return await self._settled(tag)

    async def _settled(self, tag: str) -> Entry:
        try:
            await self.desk.book.stored()
        except JournalError as error:
            # The job runs and its tag is on disk; the id will be looked up by the tag after a crash.
            self.desk.log.error("The id of %s could not be noted: %s", tag, error)
        entry = self.desk.book.entry(tag)
        if entry.cancel_wanted:
            self.removal.want(tag)
        self.desk.wake()
        return entry

    def _failed(self, tag: str, error: SubmitError) -> SubmitError:
        """Closes the job, of which nothing is in the queue."""
        source = "refused" if isinstance(error, SubmitRefused) else "failed"
        self.desk.book.end(tag, Ending(text=error.text, source=source), time.time())
        # The helper leaves nothing behind when it refuses or fails.
        self.desk.book.change(tag, cleaned=True)
        self._count(error)
        return error

    def _count(self, error: SubmitError) -> None:
        kind = getattr(error, "kind", "") or type(error).__name__.removeprefix("Submit").lower()
        self.desk.counts[f"submits.{kind}"] += 1
