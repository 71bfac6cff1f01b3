"""Whose job an id is: asked before an id that did not come from our own submit is taken over or cancelled."""

from __future__ import annotations

import enum

from . import answers
from .desk import Desk
from .elements import base
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
    row = rows.get(id)
    if row is None and entry.elements:
        row = next((rows[each] for each in rows if base(each) == base(id)), None)
    if row is None:
        return Whose.ABSENT
    status = answers.status(row)
    named = entry.tag in desk.book and desk.book.sight(entry.tag).named
    if not belongs(entry.tag, entry.user, named, status):
        return Whose.OTHER
    # A filter may have renamed the job; then its owner has to be told.
    return Whose.OURS if status.user or status.name.endswith(entry.tag) else Whose.ABSENT
