"""Figures of one queue for health pages and metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .desk import Desk
from .entry import Entry
from .sweep import left_alone
from .view import View


def figures(desk: Desk, views: Iterable[View], in_line: int) -> dict[str, Any]:
    """counts: since the start (calls.VERB, errors.VERB, submits.OUTCOME, queries.good, queries.failed, outages, ...).

    jobs: living ones by state. query_age: age of the last good answer about jobs, in seconds; 0.0 while there are none
    to ask about. last_good_answer, query_seconds: seconds; None: there was none. orphans: left alone by
    the last sweep. trouble, journal_trouble: why the scheduler's answers or the journal's writes fail; '' where not.
    """
    views, now, living = list(views), time.monotonic(), desk.book.living()
    good = [view.good_at for view in views if view.good_at is not None]
    return {
        "jobs": dict(Counter(entry.state.value for entry in living)),
        "known": len(desk.book),
        "in_line": in_line,
        "missing": len(desk.book.missing),
        "lost": sum(1 for entry in living if entry.lost),
        "orphans": len(left_alone(desk)),
        "cancels_wanted": sum(1 for entry in living if entry.cancel_wanted),
        "views": len(views),
        "query_age": _age(desk, living, max(good, default=desk.made)),
        "last_good_answer": now - max(good) if good else None,
        "query_seconds": max((view.seconds for view in views), default=0.0),
        "trouble": next((view.trouble for view in views if view.trouble), ""),
        "journal_trouble": desk.journal.trouble,
        "counts": dict(desk.counts),
    }


def _age(desk: Desk, living: list[Entry], good: float) -> float:
    """An answer can't be missed before there was a job to ask about."""
    asked = [entry.began or entry.submitted for entry in living if entry.id]
    return max(0.0, min(time.monotonic() - good, time.time() - min(asked))) if asked else 0.0
