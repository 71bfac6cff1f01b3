"""The sweep: jobs that an earlier process submitted and that nobody knows any more."""

from __future__ import annotations

import dataclasses
from collections.abc import Set

from .desk import Desk
from .entry import Entry
from .removal import Removal

MANY = 3
"""More orphans than this, and more than half of all jobs, are not believed."""


@dataclasses.dataclass(frozen=True)
class SweepReport:
    """What a sweep found. Tags; sorted."""

    orphans: tuple[str, ...] = ()
    """Jobs in the journal that the caller does not know."""
    cancelled: tuple[str, ...] = ()
    """Those of them that are being cancelled."""
    unknown: tuple[str, ...] = ()
    """Jobs that the caller knows and the journal does not."""
    text: str = ""
    """Why orphans were left alone; empty where none were."""

    def __str__(self) -> str:
        parts = [f"{len(self.orphans)} orphans ({', '.join(self.orphans)})", f"{len(self.cancelled)} cancelled"]
        return "; ".join([*parts, self.text] if self.text else parts)


def decide(orphans: list[Entry], living: int, unknown: Set[str]) -> str:
    """Why orphans must be left alone; '' where they may be cancelled. Pure.

    A restored database shows itself by jobs that it once held and holds no longer, or by jobs that the journal lacks;
    a lost one by very many orphans. What is reported and not cancelled costs core-hours, what is cancelled wrongly
    costs people their work.
    """
    if unknown:
        return f"the journal is older than the database: it lacks {len(unknown)} of its jobs; nothing was cancelled"
    lost = sum(1 for entry in orphans if entry.stored)
    if lost:
        return f"the database is older than the jobs: it has held {lost} of them before; nothing was cancelled"
    if len(orphans) > MANY and len(orphans) * 2 > living:
        return f"{len(orphans)} of {living} jobs are orphans, which is not to be believed; nothing was cancelled"
    return ""


def left_alone(desk: Desk) -> frozenset[str]:
    """Orphans that a sweep did not cancel, that still live, and of which no admin has disposed."""
    living = {entry.tag for entry in desk.book.living() if not entry.cancel_wanted}
    return desk.orphans & living if desk.orphans else desk.orphans


def sweep(desk: Desk, removal: Removal, known: Set[str]) -> SweepReport:
    """Cancels the orphans of earlier processes, or says why not. known: the tags of all jobs that the caller has."""
    book = desk.book
    earlier = [entry for entry in book.living() if entry.tag in book.from_journal and not entry.cancel_wanted]
    orphans = [entry for entry in earlier if entry.tag not in known]
    unknown = frozenset(tag for tag in known if book.get(tag) is None and desk.ours(tag))
    for tag in known:
        if tag in book and not book.entry(tag).ended:
            book.change(tag, stored=True)
    tags = tuple(sorted(entry.tag for entry in orphans))
    text = decide(orphans, len(earlier), unknown) if orphans else ""
    cancelled = () if text else tags
    for tag in cancelled:
        book.change(tag, cancel_wanted=True, abandoned=True)
        removal.want(tag)
    desk.counts["orphans"] += len(tags)
    desk.orphans = frozenset(tags).difference(cancelled)
    return SweepReport(tags, cancelled, tuple(sorted(unknown)), text)
