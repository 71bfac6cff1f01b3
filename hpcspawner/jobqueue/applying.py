"""Applying an answer: what evidence makes of it for each job, put into the book without making the loop wait."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ..job import JobStatus
from . import answers, elements, postmortem, readback
from .desk import Desk
from .entry import Entry
from .evidence import HUB, OWNER, Finding, Look, Rules, belongs, is_mass, judge, state_of
from .inquest import Inquest
from .postmortem import Postmortem
from .removal import Removal

Rows = Mapping[str, Mapping[str, Any]]


class Applying:
    """Turns the answers about one cluster's jobs into changes of its book."""

    def __init__(self, desk: Desk, removal: Removal, postmortem: Postmortem) -> None:
        self.desk = desk
        self.removal = removal
        self.inquest = Inquest(desk, postmortem, self.shown_to_owner)
        cluster = desk.cluster
        self._rules = Rules(cluster.grace, max(cluster.lost_submit_limit, cluster.grace), desk.settings.mass_limit)
        self._read: dict[str, tuple[Mapping[str, Any], JobStatus]] = {}
        self._read_parts: dict[str, dict[int, tuple[Mapping[str, Any], JobStatus]]] = {}
        self._reported_at: dict[str, float] = {}

    def reported(self, tag: str) -> None:
        """The job has said that it runs: answers that were asked for before now may be behind."""
        self._reported_at[tag] = time.monotonic()

    async def apply(self, jobs: Rows, asked: Mapping[str, str], at: float, user: str) -> None:
        """jobs: the answer, by id. asked: tag -> id. at: when the query began. Raises Garbled before any change."""
        shown = await self._statuses(jobs, asked)
        shown.update(self._arrays(jobs, asked, at))
        view = OWNER if user else HUB
        lacking = [tag for tag in asked if tag not in shown]
        outage = bool(lacking) and self._outage(lacking, asked)
        missed = []
        for count, (tag, id) in enumerate(asked.items()):
            await self.desk.breathe(count)
            # A turn of the loop may have ended the job or put it into another view.
            if tag in self.desk.book and self.desk.book.entry(tag).id == id:
                self._judge(tag, Look(at, view, shown.get(tag), outage))
                if self.desk.book.sight(tag).misses and not self.desk.book.entry(tag).ended:
                    missed.append(tag)
        if outage:
            self.desk.counts["outages"] += 1
            self.desk.log.warning("An answer lacks %s of %s jobs: an outage, nothing changes", len(lacking), len(asked))
        self.inquest.choose(missed, outage)

    async def _statuses(self, jobs: Rows, asked: Mapping[str, str]) -> dict[str, JobStatus]:
        """What the answer shows, by tag. A row that is the same as last time is not read again."""
        shown = {}
        for count, (tag, id) in enumerate(asked.items()):
            await self.desk.breathe(count)
            row = jobs.get(id)
            if row is None:
                continue
            known = self._read.get(tag)
            if known is None or known[0] != row:
                known = self._read[tag] = (row, answers.status(row))
            shown[tag] = known[1]
        return shown

    def _arrays(self, jobs: Rows, asked: Mapping[str, str], at: float) -> dict[str, JobStatus]:
        """What the answer shows of arrays, each as one job; its parts are in the book afterwards."""
        book = self.desk.book
        arrays = {tag: id for tag, id in asked.items() if tag in book and book.entry(tag).elements}
        gathered = elements.gather(jobs, set(arrays.values()))
        shown = {}
        for tag, id in arrays.items():
            rows = gathered.get(id)
            if not rows:
                continue
            entry, read = book.entry(tag), self._read_parts.setdefault(tag, {})
            for index, row in rows.items():
                known = read.get(index)
                if known is None or known[0] != row:
                    read[index] = (row, answers.status(row))
            seen = {index: read[index][1] for index in rows}
            parts = elements.judge(entry.parts, entry.elements, seen, at, self.desk.cluster.grace)
            shown[tag] = elements.together(id, parts)
            if parts is not entry.parts and not entry.ended:
                book.change(tag, parts=parts)
        return shown

    def _outage(self, lacking: list[str], asked: Mapping[str, str]) -> bool:
        """Whether many of the cluster's jobs are missing at once, those of other views counted in."""
        book = self.desk.book

        def counts(entry: Entry) -> bool:
            return not entry.ended and not entry.cancel_taken and book.sight(entry.tag).seen

        known = [entry.tag for entry in book if counts(entry)]
        absent = set(lacking)
        missing = sum(1 for tag in known if tag in absent or (tag in book.missing and tag not in asked))
        return is_mass(missing, len(known))

    # One job -----------------------------------------------------------------------------------------------------

    def shown_to_owner(self, entry: Entry, status: JobStatus, at: float) -> None:
        """Its owner has been told about a job that the answers lack."""
        book, tag = self.desk.book, entry.tag
        sight = book.sight(tag)
        if sight.view == OWNER and status.state.lives:
            # The long form may show for a while what the list has lost already; only the list tells who lives.
            return
        self._judge(tag, Look(at, OWNER, status))
        if sight.view == HUB and book.sight(tag).view == OWNER:
            self._hub_is_blind()

    def _hub_is_blind(self) -> None:
        """The site has begun to hide jobs from the hub: whatever its answers lack is asked about as the owner."""
        book = self.desk.book
        for tag in list(book.missing):
            if book.sight(tag).view == HUB:
                book.see(tag, dataclasses.replace(book.sight(tag), view=OWNER, misses=0, missing_since=None))
        self.desk.log.warning("The hub's account is not shown all jobs; those are asked about as their owners")
        self.desk.wake()

    def _judge(self, tag: str, look: Look) -> None:
        book = self.desk.book
        entry, before = book.entry(tag), book.sight(tag)
        status = look.status
        if status is not None and not belongs(tag, entry.user, before.named, status):
            self._foreign(entry, status)
        finding, sight = judge(before, look, self._rules, tag=tag, user=entry.user, ending=entry.cancel_taken)
        if entry.ended:
            self._after_the_end(entry, finding, status)
            return
        book.see(tag, sight)
        if finding is Finding.SEEN and status is not None:
            book.foreign.discard(tag)
            self._seen(entry, status, look.at)
        elif finding is Finding.ENDED and status is not None:
            self._ended(entry, status)
        elif finding is Finding.GONE:
            self.inquest.gone(tag)
        elif finding is Finding.ASK_OWNER:
            self.desk.wake()
        elif sight.misses >= 2:
            text = "it shows many jobs no longer" if look.outage else "it does not show this job"
            book.change(tag, trouble=text)

    def _seen(self, entry: Entry, status: JobStatus, at: float) -> None:
        state = state_of(status, asked=at, reported=self._reported_at.get(entry.tag))
        if status is entry.status and state is entry.state and not entry.trouble:
            return
        changed = entry.changed_by_site
        if status is not entry.status and entry.choice:
            changed = readback.changes(entry.choice, status) or changed
        if changed != entry.changed_by_site:
            self.desk.log.info("%s (job %s) was changed by the site: %s", entry.tag, entry.id, "; ".join(changed))
        self.desk.book.change(entry.tag, status=status, state=state, changed_by_site=changed, trouble="")

    def _ended(self, entry: Entry, status: JobStatus) -> None:
        ending = dataclasses.replace(postmortem.of_status(status), log=entry.log)
        self.desk.book.change(entry.tag, status=status)
        self.desk.book.end(entry.tag, ending, time.time())
        self.desk.log.info("%s (job %s) ended: %s", entry.tag, entry.id, ending.text)

    def _after_the_end(self, entry: Entry, finding: Finding, status: JobStatus | None) -> None:
        """A job that ended by its absence alone is shown again."""
        book = self.desk.book
        if finding is Finding.ENDED and status is not None:
            book.change(entry.tag, ending=dataclasses.replace(postmortem.of_status(status), log=entry.log))
        elif finding is Finding.SEEN:
            self.lives_after_all(entry)

    def lives_after_all(self, entry: Entry) -> None:
        """What counted as ended lives. Whoever had it may have let go by now: then it is cancelled."""
        book, tag = self.desk.book, entry.tag
        unwanted = entry.cleaned or entry.abandoned or entry.cancel_wanted
        self.desk.log.warning("%s (job %s) lives after all%s", tag, entry.id, "; it is cancelled" if unwanted else "")
        book.revive(tag, cancel_wanted=unwanted, abandoned=unwanted, cancel_taken=False)
        book.see(tag, dataclasses.replace(book.sight(tag), seen=True, misses=0, missing_since=None))
        if unwanted:
            self.removal.want(tag)

    def _foreign(self, entry: Entry, status: JobStatus) -> None:
        if entry.tag not in self.desk.book.foreign:
            self.desk.book.foreign.add(entry.tag)
            self.desk.log.warning("%s: id %s is a job of %s (%s) now", entry.tag, entry.id, status.user, status.name)

    def forget(self, tag: str) -> None:
        """Out of memory."""
        self._read.pop(tag, None)
        self._read_parts.pop(tag, None)
        self._reported_at.pop(tag, None)
