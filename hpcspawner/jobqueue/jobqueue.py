"""JobQueue: the one object through which spawner, gateway and pages deal with the jobs of one cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from logging import Logger
from typing import Any

from ..job import JobState
from ..sitemodel import Site
from . import tags
from .applying import Applying
from .book import on_disk
from .cleaning import Cleaning
from .desk import Desk, HelperLike
from .entry import Ending, Entry
from .evidence import HUB, OWNER, Sight
from .figures import figures
from .instance import JournalError
from .journal import Journal
from .lost import Lookup
from .postmortem import Postmortem
from .removal import Removal
from .settings import Settings
from .submission import Submission
from .sweep import SweepReport, left_alone, sweep
from .watch import Watch


class JobQueue:
    """Submits, watches, cancels and explains the jobs of one cluster; all reading is memory.

    One in a process for each cluster; they share the journal. instance: journal.instance as a rule.
    """

    def __init__(
        self,
        site: Site,
        name: str,
        journal: Journal,
        helpers: HelperLike,
        *,
        instance: str,
        log: Logger,
        settings: Settings | None = None,
    ) -> None:
        self.name = name
        self.instance = instance
        self._site = site
        desk = self._desk = Desk(site, name, journal, helpers, log, settings or Settings(), instance)
        self._book = desk.book
        self._removal = Removal(desk)
        self._lookup = Lookup(desk, self._removal)
        self._submission = Submission(desk, self._lookup, self._removal)
        self._postmortem = Postmortem(desk)
        self._applying = Applying(desk, self._removal, self._postmortem)
        self._watch = Watch(desk, self._applying)
        self._cleaning = Cleaning(desk, self._lookup, self._applying)
        self._book.on_end = self._cleaning.ended
        self._begun = False

    # Life --------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Reads the journal; from then on its jobs are watched, lost ones looked for, unfinished cancels repeated."""
        if self._begun:
            return
        self._begun = True
        desk = self._desk
        for row in desk.journal.rows(self.name, ended_after=time.time() - desk.settings.lost_watch):
            if row["tag"] not in self._book:
                self._resume(self._book.load(row))
        parts = {"watch": self._watch.run, "removal": self._removal.run, "cleaning": self._cleaning.run}
        for what, work in parts.items():
            desk.tasks.start(desk.tasks.forever(work, what), f"{what} of {self.name}")

    def _resume(self, entry: Entry) -> None:
        if entry.ended:
            if not entry.id and entry.began and entry.ending is not None and entry.ending.source == "lost":
                self._lookup.start(entry.tag)
            self._cleaning.ended(entry)
        elif entry.began is None:
            # The former process ended while the job waited in line: nothing has reached the scheduler.
            text = "The hub was restarted before the job was submitted."
            self._book.end(entry.tag, Ending(text=text, source="unsubmitted"), time.time())
            self._book.change(entry.tag, cleaned=True)
        elif not entry.id:
            self._lookup.start(entry.tag)
        elif entry.cancel_wanted:
            self._removal.want(entry.tag)

    async def close(self) -> None:
        """Ends the queue's work, not the jobs. A submit that is under way gets a moment; the next process finds it."""
        self._desk.closing = True
        self._submission.line.close()
        await self._submission.settle(self._desk.settings.close_wait)
        await self._desk.tasks.close()
        if not self._desk.journal.closed:
            await self._book.stored()

    # Submitting --------------------------------------------------------------------------------------------------

    def new_tag(self) -> str:
        """A job name that has never been used."""
        return tags.new(self._site.prefix, self.instance)

    async def submit(
        self, tag: str, user: str, fields: Mapping[str, Any], owner_key: str, *, keep: bool = False
    ) -> Entry:
        """Submits a job; returns its Entry with the id. tag: from new_tag(), used once.

        fields: those of the helper's verb 'submit' (kind, choice, groups, environment, report, server_name); of them
        only kind and choice are kept. With 'array', a number, one submit makes so many jobs, see Entry.parts.
        Raises SubmitRefused, SubmitFailed or SubmitLost. Cancelling the caller never loses the job: in line it is
        dropped, later it is cancelled as soon as it is known (keep: it goes on).
        """
        if not tags.valid(tag):
            raise ValueError(f"{tag!r} is no tag")
        if tag in self._book:
            raise ValueError(f"{tag} was submitted before; a retry needs a new tag")
        choice = fields.get("choice")
        entry = Entry(
            tag=tag,
            cluster=self.name,
            user=user,
            owner_key=owner_key,
            kind=str(fields.get("kind", "server")),
            choice=dict(choice) if isinstance(choice, Mapping) else {},
            elements=int(fields.get("array") or 0),
            submitted=time.time(),
        )
        return await self._submission.submit(entry, fields, keep=keep)

    async def adopt(
        self, tag: str, user: str, id: str, submitted: float, owner_key: str = "", *, kind: str = "server"
    ) -> Entry:
        """A job that the caller's database knows and the journal does not (it was lost, or an older one restored).

        Without an id the job is looked for by its tag. Never asks the scheduler before it returns.
        """
        known = self._book.get(tag)
        if known is not None:
            return known
        entry = Entry(
            tag=tag,
            cluster=self.name,
            user=user,
            owner_key=owner_key,
            kind=kind,
            submitted=submitted or time.time(),
            began=submitted or time.time(),
            id=id,
            stored=True,
        )
        if not tags.valid(tag):
            ending = Ending(text="The job's name is none of this hub's.", source="failed")
            return Entry(tag, self.name, user, state=JobState.ENDED, ended=True, ending=ending)
        self._desk.log.warning("%s (job %s of %s) is not in the journal; taken over", tag, id or "unknown", user)
        view = OWNER if self._desk.cluster.query_as == "owner" else HUB
        written = self._book.add(entry, Sight(view=view))
        # As one of an earlier process: its id is checked before it is cancelled.
        self._book.from_journal.add(tag)
        if not id:
            self._lookup.start(tag)
        self._desk.wake()
        try:
            await on_disk(written)
        except JournalError as error:
            # Watched all the same; after a restart it is taken over again.
            self._desk.log.error("%s could not be noted: %s", tag, error)
        return self._book.entry(tag)

    def stored(self, tag: str) -> None:
        """The caller has the job in its own database now. Should it be missing there later, the database is older."""
        if tag in self._book:
            self._book.change(tag, stored=True)

    # Reading -----------------------------------------------------------------------------------------------------

    def entry(self, tag: str) -> Entry | None:
        """What is known of a job; never asks the scheduler."""
        return self._book.get(tag)

    def entries(self) -> Iterable[Entry]:
        """All jobs in memory."""
        return list(self._book)

    async def changed(self, tag: str, timeout: float | None = None, since: Entry | None = None) -> Entry:
        """The job after its next change, or as it is when the time is over, or at once where it has ended.

        since: the Entry that the caller has; a change after it is told at once, so that none is missed.
        Raises KeyError for a tag that was never submitted.
        """
        return await self._book.changed(tag, timeout, since)

    async def nodes_known(self, tag: str, timeout: float = 10.0, *, job_id: str = "", run: int = 0) -> Entry | None:
        """The job once its nodes are known, or what is known of it after that time; None for an unknown tag.

        job_id, run: what the job has just reported. An id that is not known yet is verified and taken over; for a run
        that is newer than the known one, the nodes must come from an answer that was asked for after now.
        """
        began = time.monotonic()
        until = began + timeout
        entry = self._book.get(tag)
        moved = entry is not None and run > entry.run
        while entry is not None and not entry.ended and tag in self._book:
            fresh = not moved or self._watch.asked_at(entry) >= began
            if entry.status is not None and entry.status.nodes and fresh and not entry.state.waits:
                break
            if not entry.id and job_id:
                self._lookup.claimed(tag, job_id)
            elif entry.id:
                self._watch.urgent(entry)
            left = until - time.monotonic()
            if left <= 0:
                break
            entry = await self._book.changed(tag, min(left, 1.0), entry)
        return entry

    async def why(self, tag: str, lines: int = 20) -> Ending:
        """How and why a job ended, with the last lines of its log; of one that lives, those lines.

        Never raises for trouble with helper or scheduler; then it tells what is known.
        """
        entry = self._book.get(tag)
        if entry is None:
            return Ending(text="The job is not known.")
        return await self._postmortem.why(entry, lines)

    def in_line(self) -> int:
        """Jobs that wait to be submitted."""
        return len(self._submission.line)

    def stats(self) -> dict[str, Any]:
        """Figures for a health page: see figures.py."""
        return figures(self._desk, self._watch.views.values(), len(self._submission.line))

    # What the job and its server tell ----------------------------------------------------------------------------

    def reported(self, tag: str, job_id: str, run: int = 0) -> None:
        """The job itself has said that it runs, with the token of its server. An unknown id is verified first."""
        if tag not in self._book:
            return
        entry = self._book.entry(tag)
        if entry.ended and entry.ending is not None and entry.ending.source == "absence":
            self._applying.lives_after_all(entry)
        self._applying.reported(tag)
        self._book.sign_of_life(tag, time.monotonic())
        entry = self._book.entry(tag)
        if not entry.ended:
            state = {"state": JobState.RUNNING} if not entry.cancel_wanted else {}
            self._book.change(tag, reported=True, run=max(run, entry.run), **state)
        if not entry.id and job_id:
            self._lookup.claimed(tag, job_id)
        elif job_id and entry.id.split("+")[0] != job_id.split("+")[0]:
            self._desk.log.warning("%s is job %s, but reported as %s", tag, entry.id, job_id)
        self._desk.wake()

    def answered(self, tag: str) -> None:
        """The job's server answers: whatever the scheduler's answers lack, it lives."""
        self._book.sign_of_life(tag, time.monotonic())

    def ask_servers(self, still_answers: Callable[[Entry], Awaitable[bool]]) -> None:
        """A way to find out whether a job's server answers; used before a job counts as gone by its absence alone."""
        self._applying.inquest.still_answers = still_answers

    # Ending ------------------------------------------------------------------------------------------------------

    async def cancel(self, tag: str) -> bool:
        """Ends a job. True: it has ended, or the scheduler has taken the cancel. False: noted, repeated until then.

        Cancelling the caller takes nothing back.
        """
        return await asyncio.shield(self._desk.tasks.start(self._cancel(tag), f"cancel {tag}"))

    async def _cancel(self, tag: str) -> bool:
        entry = self._book.get(tag)
        if entry is None:
            self._desk.log.warning("%s is to be cancelled, but not known", tag)
            return False
        if entry.ended and not self._lookup.watched(tag):
            return True
        if not entry.cancel_wanted:
            self._book.change(tag, cancel_wanted=True)
            await self._book.stored()
        if self._submission.line.leave(tag):
            await self._book.changed(tag, 1.0, None)
            return True
        entry = self._book.entry(tag)
        if entry.ended or entry.cancel_taken:
            return True
        if not entry.id:
            return False
        return await self._removal.want(tag)

    async def cancel_parts(self, tag: str, indexes: Iterable[int]) -> bool:
        """Ends some jobs of an array; as cancel, but it is not noted for a next process."""
        entry = self._book.get(tag)
        if entry is None or entry.ended or entry.cancel_wanted:
            return entry is not None
        wanted = {index for index in indexes if not entry.part(index).ended}
        if not wanted:
            return True
        return await asyncio.shield(self._removal.want_parts(tag, wanted))

    def forget(self, tag: str) -> None:
        """Lets go of a job that an admin does not want to be watched: neither job nor files are touched from now on."""
        if tag in self._book and not self._book.entry(tag).ended:
            self._desk.log.warning("%s is forgotten", tag)
            self._book.change(tag, cleaned=True)
            self._book.end(tag, Ending(text="An admin let go of the job.", source="forgotten"), time.time())

    def keep(self, tag: str) -> None:
        """Nobody's job from now on: the queue itself cleans up after its end, and does not report it any more."""
        if tag in self._book:
            self._desk.orphans -= {tag}
            self._book.change(tag, abandoned=True)

    def orphans(self) -> frozenset[str]:
        """Tags of living jobs that the sweep found, and left alone."""
        return left_alone(self._desk)

    def on_change(self, call: Callable[[Entry, Entry], None]) -> None:
        """call: told of each change, with the job before and after it. It must be quick and never raise."""
        self._book.on_change = call

    async def clean(self, tag: str) -> None:
        """Secrets and folder of an ended job go (of one that lives, after its end). Never raises for trouble."""
        await self._cleaning.clean(tag)

    async def sweep(self, known: Iterable[str]) -> SweepReport:
        """Cancels jobs of earlier processes that the caller does not know; reports only where that looks wrong.

        known: the tags of all jobs of this cluster (others do no harm) that the caller's database holds.
        """
        report = sweep(self._desk, self._removal, frozenset(known))
        await self._book.stored()
        return report
