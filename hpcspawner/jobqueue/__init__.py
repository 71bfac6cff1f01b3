"""The job queue: one object per cluster talks to the scheduler for everybody, under the six rules of docs/design.md.

journal.py     what survives kill -9
entry.py       what is known of one job; how it ended
book.py        all entries, and who waits for their changes
evidence.py    what one answer means for one job (pure)
pacer.py       when to ask next (pure); view.py keeps one account's pace
watch.py       asks; applying.py puts the answers into the book; inquest.py looks into missing jobs
submission.py  submits; limiter.py is the line; lost.py finds the ones whose answer was lost
elements.py    the jobs of an array, which one tag stands for
removal.py     cancels, many at once; identity.py makes sure whose job an id is
postmortem.py  why a job ended
sweep.py       jobs that nobody knows any more; cleaning.py what they leave behind
"""

from .entry import Ending, Entry
from .errors import SubmitError, SubmitFailed, SubmitLost, SubmitRefused
from .instance import JournalError
from .jobqueue import JobQueue
from .journal import Journal
from .settings import Settings
from .sweep import SweepReport

__all__ = [
    "Ending",
    "Entry",
    "JobQueue",
    "Journal",
    "JournalError",
    "Settings",
    "SubmitError",
    "SubmitFailed",
    "SubmitLost",
    "SubmitRefused",
    "SweepReport",
]
