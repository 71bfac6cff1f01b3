"""A view: one account as which jobs are asked about, with the pace of its queries and what went wrong."""

from __future__ import annotations

import random
import time
from collections import deque

from .pacer import DUTY, Pace, interval, jittered
from .settings import Settings


class View:
    """The hub's own view (user '') or that of one owner. Times are time.monotonic() unless a name says otherwise."""

    def __init__(self, user: str, pace: Pace, settings: Settings) -> None:
        self.user = user
        self.asking = False
        self.seconds = 0.0
        """What queries take: the shorter one of the last two good ones."""
        self.failures = 0
        self.good_at: float | None = None
        """When the last good answer came."""
        self.good_asked = float("-inf")
        """When it was asked for."""
        self.trouble = ""
        self.trouble_since = 0.0
        """Seconds since the epoch."""
        self._pace = pace
        self._settings = settings
        self._last = pace.slow / DUTY
        self._started: float | None = None
        self._chance = 0.0
        self._urgent = False
        self._urgent_ones: deque[float] = deque(maxlen=max(1, settings.urgent_per_minute))

    def due(self, quiet: float | None, queries: int) -> float:
        """When to ask next. quiet, queries: as for pacer.interval."""
        if self._started is None:
            return float("-inf")
        wait = interval(self._pace, quiet, seconds=self.seconds, queries=queries, failures=self.failures)
        wait = jittered(wait, self._chance, self.failures)
        if self._urgent and not self.failures:
            wait = min(wait, max(self._settings.urgent_gap, DUTY * self.seconds * queries))
        return self._started + wait

    def urgent(self) -> bool:
        """Somebody waits for an answer that is asked for after now; False where the minute has had enough of those."""
        if self._urgent:
            return True
        now = time.monotonic()
        full = len(self._urgent_ones) == self._urgent_ones.maxlen
        if full and now - self._urgent_ones[0] < 60.0:
            return False
        self._urgent_ones.append(now)
        self._urgent = True
        return True

    def hurry(self) -> None:
        """The scheduler has answered somebody else: no reason to wait any longer."""
        if self.failures and not self.asking:
            self._started = None

    def began(self) -> float:
        """A query begins now."""
        self.asking, self._urgent = True, False
        self._started = time.monotonic()
        return self._started

    def good(self, seconds: float) -> None:
        """A good answer came."""
        # One slow answer alone (it waited for the end of an outage) must not blind us for twenty times as long.
        self.seconds, self._last = min(seconds, self._last), seconds
        self.failures, self.trouble = 0, ""
        self.good_at = time.monotonic()
        self.good_asked = self.good_at if self._started is None else self._started

    def bad(self, text: str) -> None:
        """No usable answer came. What it took is no measure of the scheduler's work, so the former one stays."""
        self.failures += 1
        self._chance = random.random()  # noqa: S311  spreads retries, guards nothing
        if not self.trouble:
            self.trouble_since = time.time()
        self.trouble = text
