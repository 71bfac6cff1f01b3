"""Look-ups: a submit whose answer was lost is looked for by receipt, the job's own report, and its unique name."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Mapping
from typing import Any

from ..job import JobState, JobStatus
from . import answers, postmortem
from .desk import TROUBLE, Desk, words
from .elements import base
from .entry import Ending, Entry
from .errors import SubmitError, SubmitFailed, SubmitLost
from .evidence import belongs
from .identity import Whose, whose
from .removal import Removal


class Sign(enum.Enum):
    """What one look told."""

    FOUND = "the id is known now"
    NOTHING = "neither receipt nor job: the submit was never begun, or its files are not to be seen"
    UNCLEAR = "begun, and no job is to be seen"
    SILENT = "no usable answer"


class Lookup:
    """Finds the jobs of one cluster whose id is not known."""

    def __init__(self, desk: Desk, removal: Removal) -> None:
        self.desk = desk
        self.removal = removal
        self._late: set[str] = set()
        self._verifying: set[str] = set()

    def watched(self, tag: str) -> bool:
        """Whether a job that was given up is still looked for."""
        return tag in self._late

    def start(self, tag: str) -> None:
        """Looks for a job of an earlier process."""
        entry = self.desk.book.entry(tag)
        if entry.ended:
            self._watch_late(tag)
        else:
            self.desk.tasks.start(self._resumed(tag), f"look for {tag}")

    async def _resumed(self, tag: str) -> None:
        try:
            await self.find(tag, "the hub was restarted during the submit")
        except SubmitError as error:
            self.desk.log.warning("%s: %s", tag, error)

    async def find(self, tag: str, why: str) -> None:
        """Until the id is known. Raises SubmitFailed where nothing was submitted, SubmitLost at the site's limit."""
        settings, began = self.desk.settings, time.monotonic()
        pause, nothing = settings.look_first, None
        while True:
            entry = self.desk.book.entry(tag)
            if entry.id:
                return
            asked = time.monotonic()
            sign = await self._look(tag)
            if sign is Sign.FOUND:
                return
            if sign is Sign.NOTHING:
                nothing = asked if nothing is None else nothing
                if asked - nothing >= settings.no_receipt:
                    raise self._give_up(tag, SubmitFailed("unavailable", why or "the submit could not be carried out"))
            elif sign is Sign.UNCLEAR:
                nothing = None
            left = began + self.desk.cluster.lost_submit_limit - time.monotonic()
            if left <= 0:
                raise self._give_up(tag, SubmitLost(why or "it gave no answer"))
            await self.desk.book.changed(tag, min(pause, left), self.desk.book.entry(tag))
            pause = min(pause * 2, settings.look_most)

    def _give_up(self, tag: str, error: SubmitError) -> SubmitError:
        """Ends the waiting, not the watching: a job that turns up later has nobody and is cancelled."""
        book = self.desk.book
        book.change(tag, cancel_wanted=True, abandoned=True)
        book.end(tag, Ending(text=f"The submit was lost: {error.text}", source="lost"), time.time())
        self._watch_late(tag)
        return error

    def _watch_late(self, tag: str) -> None:
        if tag not in self._late:
            self._late.add(tag)
            self.desk.tasks.start(self._look_late(tag), f"look late for {tag}")

    async def _look_late(self, tag: str) -> None:
        settings, book = self.desk.settings, self.desk.book
        pause = settings.lost_pause
        try:
            while tag in book:
                entry = book.entry(tag)
                if entry.id or time.time() > (entry.began or entry.submitted) + settings.lost_watch:
                    return
                # changed() returns at once for what has ended, so the pause is a plain one.
                await asyncio.sleep(pause)
                pause = min(pause * 2, settings.lost_pause * 40)
                if not book.entry(tag).id:
                    await self._look(tag)
        finally:
            self._late.discard(tag)

    # One look ----------------------------------------------------------------------------------------------------

    async def _look(self, tag: str) -> Sign:
        entry = self.desk.book.entry(tag)
        try:
            answer = await self.desk.call("find", entry.user, tag=tag)
            jobs = [answers.status(row) for row in answer.get("jobs") or ()]
            receipt, end = answer.get("receipt"), answers.table(answer, "end")
            if isinstance(receipt, str) and receipt != "none" and await self._receipt_is_ours(entry, receipt):
                return self._found(tag, receipt, jobs, end)
        except TROUBLE as error:
            self.desk.log.info("Looking for %s: %s", tag, words(error))
            return Sign.SILENT
        ours = [job for job in jobs if job.user == entry.user and belongs(tag, entry.user, True, job)]
        if ours:
            # Anybody may give a job our name; of the owner's own ones the first is ours.
            first = min(ours, key=lambda job: (job.submitted or 0.0, len(job.id), job.id))
            return self._found(tag, first.id, jobs, end)
        if end is not None and end.get("tag") == tag:
            self._found_ended(tag, end)
            return Sign.FOUND
        return Sign.NOTHING if receipt == "none" else Sign.UNCLEAR

    async def _receipt_is_ours(self, entry: Entry, id: str) -> bool:
        """A receipt lies in the user's own directory: what it says is checked before it is believed."""
        return await whose(self.desk, entry, id) is not Whose.OTHER

    def _found(self, tag: str, id: str, jobs: list[JobStatus], end: Mapping[str, Any] | None) -> Sign:
        shown = next((job for job in jobs if job.id == id), None)
        if shown is None and end is not None and end.get("tag") == tag:
            self._found_ended(tag, end, id)
        else:
            self.take(tag, id)
        return Sign.FOUND

    def _found_ended(self, tag: str, end: Mapping[str, Any], id: str = "") -> None:
        """The job has come and gone; its own record says so."""
        book = self.desk.book
        book.change(tag, id=id or answers.text(end, "job_id") or "unknown")
        book.end(tag, postmortem.of_record(end, book.entry(tag)), time.time())

    def take(self, tag: str, id: str) -> None:
        """Takes over the id of a job; one that nobody waits for any more is cancelled."""
        book = self.desk.book
        entry = book.entry(tag)
        id = base(id) if entry.elements else id
        self.desk.log.info("%s is job %s of %s", tag, id, entry.user)
        if entry.ended:
            entry = book.revive(tag, id=id, cancel_wanted=True, abandoned=True)
        else:
            state = JobState.RUNNING if entry.reported else JobState.PENDING
            entry = book.change(tag, id=id, state=state, began=entry.began or time.time())
        if entry.cancel_wanted:
            self.removal.want(tag)
        self.desk.wake()

    # The job's own report ----------------------------------------------------------------------------------------

    def claimed(self, tag: str, id: str) -> None:
        """A job has reported with this id while none was known; believed once the scheduler tells its owner."""
        if tag not in self._verifying:
            self._verifying.add(tag)
            self.desk.tasks.start(self._verify(tag, id), f"verify {tag}")

    async def _verify(self, tag: str, id: str) -> None:
        settings, book = self.desk.settings, self.desk.book
        pause, until = settings.look_first, time.monotonic() + self.desk.cluster.lost_submit_limit
        try:
            while time.monotonic() < until and tag in book and not book.entry(tag).id:
                try:
                    found = await whose(self.desk, book.entry(tag), id)
                except TROUBLE as error:
                    self.desk.log.info("Verifying job %s of %s: %s", id, tag, words(error))
                    found = Whose.ABSENT
                if found is Whose.OURS and not book.entry(tag).id:
                    self.take(tag, id)
                if found is Whose.OTHER:
                    self.desk.log.warning("%s reported the id %s, which is another job's; not believed", tag, id)
                if found is not Whose.ABSENT:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, settings.look_most)
        finally:
            self._verifying.discard(tag)
