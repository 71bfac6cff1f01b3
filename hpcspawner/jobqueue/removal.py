"""Cancels: noted first, gathered into one helper call per user, repeated until the job has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from . import answers
from .desk import TROUBLE, Desk, words
from .elements import id_of
from .entry import Entry
from .identity import Whose, whose


class Removal:
    """Cancels the jobs of one cluster."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._due: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._nudge = asyncio.Event()
        self._parts: dict[str, set[int]] = {}
        """Jobs of arrays that are to be cancelled, where the whole array is not."""

    def want(self, tag: str) -> asyncio.Future[bool]:
        """A job that is to be cancelled, noted already. The future tells whether the scheduler took the next cancel."""
        asked = self._asked.get(tag)
        if asked is None or asked.done():
            asked = self._asked[tag] = asyncio.get_running_loop().create_future()
        soon = time.monotonic() + self.desk.settings.cancel_window
        self._due[tag] = min(self._due.get(tag, soon), soon)
        self._nudge.set()
        return asked

    def want_parts(self, tag: str, indexes: Iterable[int]) -> asyncio.Future[bool]:
        """Some jobs of an array are to be cancelled."""
        self._parts.setdefault(tag, set()).update(indexes)
        return self.want(tag)

    def _ids(self, entry: Entry) -> list[str]:
        """What is to be cancelled of a job; empty where that has ended."""
        if entry.cancel_wanted or entry.tag not in self._parts:
            return [entry.id]
        left = {index for index in self._parts[entry.tag] if not entry.part(index).ended}
        self._parts[entry.tag] = left
        if all(index in left or entry.part(index).ended for index in range(1, entry.elements + 1)):
            return [entry.id] if left else []
        return [id_of(self.desk.cluster, entry.id, index) for index in sorted(left)]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._nudge.clear()
            now = time.monotonic()
            due = [tag for tag, at in self._due.items() if at <= now]
            if due:
                self._begin(due)
            pause = min((at for at in self._due.values()), default=None)
            wait = asyncio.ensure_future(self._nudge.wait())
            try:
                await asyncio.wait([wait], timeout=None if pause is None else max(pause - now, 0.0))
            finally:
                wait.cancel()

    def _begin(self, tags: Iterable[str]) -> None:
        users: dict[str, list[str]] = {}
        for tag in tags:
            del self._due[tag]
            entry = self.desk.book.get(tag)
            if entry is None or entry.ended:
                self._answer(tag, True)
            elif not entry.id or tag in self.desk.book.foreign:
                # Without an id it is cancelled as soon as the submit or the look-up knows it.
                self._answer(tag, False)
            else:
                users.setdefault(entry.user, []).append(tag)
        size = self.desk.settings.cancel_batch
        for user, wanted in users.items():
            for start in range(0, len(wanted), size):
                self.desk.tasks.start(self._cancel(user, wanted[start : start + size]), f"cancel for {user}")

    async def _cancel(self, user: str, tags: list[str]) -> None:
        try:
            known = [tag for tag in tags if await self._is_ours(tag)]
            ids = {tag: self._ids(self.desk.book.entry(tag)) for tag in known if tag in self.desk.book}
            together = [id for each in ids.values() for id in each]
            taken: object = {}
            if together:
                answer = await self.desk.call("cancel", user, ids=together)
                taken = answers.table(answer, "cancelled") or {}
                refused = [id for id in together if isinstance(taken, dict) and taken.get(id) is False]
                if refused:
                    self.desk.log.warning("Cancel of %s refused: %s", ", ".join(refused), answers.text(answer, "text"))
            for tag in tags:
                all_taken = tag in ids and isinstance(taken, dict) and all(taken.get(id) is True for id in ids[tag])
                self._took(tag, all_taken)
        except TROUBLE as error:
            self.desk.log.warning("Cancel for %s did not succeed and is repeated: %s", user, words(error))
            for tag in tags:
                self._took(tag, False)
        self.desk.wake()

    async def _is_ours(self, tag: str) -> bool:
        """An id that an earlier process noted may be another job's by now, where the scheduler counts anew."""
        book = self.desk.book
        if tag not in book.from_journal or book.entry(tag).status is not None:
            return tag not in book.foreign
        if await whose(self.desk, book.entry(tag), book.entry(tag).id) is Whose.OTHER:
            book.foreign.add(tag)
            self.desk.log.warning("%s: id %s is another job now; not cancelled", tag, book.entry(tag).id)
            return False
        return True

    def _took(self, tag: str, taken: bool) -> None:
        """Notes the outcome and when to try again: the scheduler's word that it ends a job is no end yet."""
        settings, book = self.desk.settings, self.desk.book
        if tag not in book:
            self._answer(tag, True)
            return
        if tag in self._parts and not book.entry(tag).cancel_wanted:
            left = {index for index in self._parts[tag] if not book.entry(tag).part(index).ended}
            if not left or book.entry(tag).ended:
                del self._parts[tag]
                self._answer(tag, True)
                return
        elif taken:
            book.change(tag, cancel_taken=True)
        if not book.entry(tag).ended and tag not in book.foreign:
            tries = self._tries[tag] = self._tries.get(tag, 0) + 1
            pause = settings.cancel_retry * 2.0 ** min(tries - 1, 10)
            pause = settings.cancel_retry_most if taken else min(pause, settings.cancel_retry_most)
            self._due.setdefault(tag, time.monotonic() + pause)
            self._nudge.set()
        self._answer(tag, taken or book.entry(tag).ended)

    def _answer(self, tag: str, taken: bool) -> None:
        asked = self._asked.pop(tag, None)
        if asked is not None and not asked.done():
            asked.set_result(taken)
        entry = self.desk.book.get(tag)
        if entry is None or entry.ended:
            self._tries.pop(tag, None)
