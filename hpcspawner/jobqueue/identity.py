"""Whose job an id is: asked before an id that did not come from our own submit is taken over or cancelled."""

from __future__ import annotations

import enum

from . import answers
from .desk import Desk
from .entry import Entry
from .evidence import belongs


class Whose(enum.Enum):
    OURS = "ours"
    OTHER = "another job's"
    ABSENT = "not shown, or its owner is not told"


async def whose(desk: Desk, entry: Entry, id: str) -> Whose:
    """Asked as the job's owner, to whom no site hides the own jobs. Raises HelperError or Garbled."""
    if any(other.tag != entry.tag and other.user != entry.user for other in desk.book.by_id(id)):
        return Whose.OTHER
    rows = answers.jobs(await desk.call("query", entry.user, ids=[id], users=[entry.user]))
    if id not in rows:
        return Whose.ABSENT
    status = answers.status(rows[id])
    named = entry.tag in desk.book and desk.book.sight(entry.tag).named
    if not belongs(entry.tag, entry.user, named, status):
        return Whose.OTHER
    # A filter may have renamed the job; then its owner has to be told.
    return Whose.OURS if status.user or status.name.endswith(entry.tag) else Whose.ABSENT
