"""Bad starts: a cluster whose workers do not come up waits before it tries again, longer each time, and says where."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

FIRST, MOST = 5.0, 300.0
"""Seconds of the first and of the longest pause."""


class Patience:
    """Of one Dask cluster."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries = 0
        self._until = 0.0
        self.nodes: Counter[str] = Counter()
        """Bad starts by node."""
        self.text = ""
        """What went wrong last; empty while all is well."""

    def left(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._until - self._clock())

    def bad(self, text: str, nodes: tuple[str, ...] = ()) -> None:
        """A start went wrong. Many at one time count as one."""
        self.nodes.update(nodes[:1])
        self.text = f"{text} [{nodes[0]}]" if nodes else text
        if not self.left():
            self._until = self._clock() + min(FIRST * 2.0 ** min(self._tries, 10), MOST)
            self._tries += 1

    def good(self) -> None:
        """A worker works."""
        self._tries, self._until, self.text = 0, 0.0, ""
