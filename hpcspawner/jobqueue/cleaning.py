"""Cleaning: secrets and folders of ended jobs go, and what nobody has cleaned after a while is cleaned by the queue."""

from __future__ import annotations

import asyncio
import time

from .applying import Applying
from .desk import TROUBLE, Desk, words
from .entry import Entry
from .lost import Lookup


class Cleaning:
    """Cleans up after the jobs of one cluster."""

    def __init__(self, desk: Desk, lookup: Lookup, applying: Applying) -> None:
        self.desk = desk
        self.lookup = lookup
        self.applying = applying
        self._swept: dict[str, float] = {}
        self._tidied: set[str] = set()

    async def clean(self, tag: str) -> None:
        """The folder of an ended job goes; of one that lives, as soon as it has ended. Never raises."""
        entry = self.desk.book.get(tag)
        if entry is None or entry.cleaned:
            return
        if not entry.ended:
            self.desk.book.change(tag, abandoned=True)
            return
        fields = {"tags": [tag]}
        if time.monotonic() - self._swept.get(entry.user, float("-inf")) > 3600:
            # Now and then what is older than the site keeps goes too, except what belongs to a job that lives.
            fields["keep"] = [other.tag for other in self.desk.book.living() if other.user == entry.user]
            self._swept[entry.user] = time.monotonic()
        try:
            answer = await self.desk.call("clean", entry.user, **fields)
        except TROUBLE as error:
            self.desk.log.warning("%s cannot be cleaned up yet: %s", tag, words(error))
            return
        if tag not in (answer.get("left") or ()):
            self._cleaned(tag)

    def _cleaned(self, tag: str) -> None:
        if tag in self.desk.book:
            self.desk.book.change(tag, cleaned=True)
        else:
            self.desk.journal.change(tag, cleaned=1)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self.desk.settings.housekeeping)
            await self.once()

    async def once(self) -> None:
        """Cleans what is overdue, and lets go of what is over."""
        now, settings = time.time(), self.desk.settings
        for entry in self.desk.book:
            age = now - (entry.ended_at or now) if entry.ended else -1.0
            if age < 0:
                continue
            if not entry.cleaned and (entry.abandoned or age > settings.clean_after):
                await self.clean(entry.tag)
            elif entry.cleaned and age > settings.linger and not self.lookup.watched(entry.tag):
                self.desk.book.drop(entry.tag)
                self.applying.forget(entry.tag)
        self.desk.journal.forget(now - settings.keep_rows)

    def ended(self, entry: Entry) -> None:
        """A job has ended; one that nobody waits for is cleaned at once."""
        if entry.abandoned and not entry.cleaned and entry.tag not in self._tidied:
            self._tidied.add(entry.tag)
            self.desk.tasks.start(self._soon(entry.tag), f"clean {entry.tag}")

    async def _soon(self, tag: str) -> None:
        try:
            await self.clean(tag)
        finally:
            self._tidied.discard(tag)
