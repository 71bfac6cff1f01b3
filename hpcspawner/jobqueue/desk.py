"""The desk: what the parts of one JobQueue share, and the one door through which they reach the helper."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from logging import Logger
from typing import Any, Protocol

from ..run_as import HelperError
from ..sitemodel import ClusterSite, Site
from .answers import Garbled
from .book import Book
from .journal import Journal
from .limiter import Slots
from .settings import Settings
from .tasks import Tasks


class HelperLike(Protocol):
    """The seam: run_as.Helpers, or whatever plays it in a test."""

    async def call(self, verb: str, user: str, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        """One verb, as that user ('' is the hub's account). Raises run_as.HelperError(kind, text, path)."""


class Desk:
    """Shared by submission, look-ups, removal, watch and sweep of one cluster."""

    def __init__(
        self,
        site: Site,
        name: str,
        journal: Journal,
        helpers: HelperLike,
        log: Logger,
        settings: Settings,
        instance: str,
    ) -> None:
        self.site = site
        self.name = name
        self.cluster: ClusterSite = site.clusters[name]
        self.journal = journal
        self.log = log
        self.settings = settings
        self.tasks = Tasks(log)
        self.book = Book(name, journal, time.monotonic)
        self.counts: Counter[str] = Counter()
        self.slots = Slots(self.cluster.parallel_helpers)
        self.closing = False
        self.orphans: frozenset[str] = frozenset()
        """Tags of jobs that the last sweep found and left alone."""
        self.made = time.monotonic()
        self._instance = instance
        self._helpers = helpers
        self.wake: Callable[[], None] = lambda: None
        """Set by the watch: something is worth a query soon."""
        self.answers_again: Callable[[], None] = lambda: None
        """Set by the watch: the scheduler has just answered."""

    async def call(self, verb: str, user: str, **fields: Any) -> dict[str, Any]:
        """One helper call within the cluster's limit. Raises HelperError, also for an answer of no use."""
        limit = self.cluster.submit_timeout if verb == "submit" else self.cluster.command_timeout
        async with self.slots:
            self.counts[f"calls.{verb}"] += 1
            try:
                answer: Any = await self._helpers.call(
                    verb, user, timeout=limit + self.settings.answer_margin, **fields
                )
            except HelperError:
                self.counts[f"errors.{verb}"] += 1
                raise
        if not isinstance(answer, dict):
            self.counts[f"errors.{verb}"] += 1
            raise HelperError("unknown" if verb == "submit" else "unavailable", "the helper's answer is no table", "")
        return answer

    def ours(self, tag: str) -> bool:
        """Whether a tag was made by this instance."""
        return tag.startswith(f"{self.site.prefix}-{self._instance}-")

    async def breathe(self, count: int) -> None:
        """Gives the loop a turn after each chunk of work."""
        if count % self.settings.chunk == self.settings.chunk - 1:
            await asyncio.sleep(0)


TROUBLE = (HelperError, Garbled)
"""A question that got no usable answer."""


def words(error: BaseException) -> str:
    """The error in words for a user."""
    text = str(getattr(error, "text", "") or error)
    return text or type(error).__name__
