"""What a waiting user reads: a sentence and a percentage, made from what the queue knows. No scheduler is asked."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from . import units
from .job import JobState
from .jobqueue import Entry


@dataclasses.dataclass(frozen=True)
class Line:
    """A progress event: percent 0-100 and a sentence."""

    percent: int
    text: str


def line(entry: Entry | None, *, now: float) -> Line:
    """The sentence for this moment; the same moment gives the same sentence, so repeats can be left out.

    Elapsed time is told in steps that grow, so that a night in the queue doesn't fill the page.
    """
    if entry is None or not entry.id:
        if entry is not None and entry.place:
            return Line(5, f"Your job is number {entry.place} in line to be submitted.")
        return Line(5, "Submitting your job.")
    percent, words = _state(entry, now)
    parts = [f"Job {entry.id}: {words}"]
    if entry.notice:
        parts.append(f"The scheduler says: {entry.notice}")
    parts.extend(entry.changed_by_site)
    if entry.trouble:
        parts.append(f"The scheduler does not answer at the moment ({entry.trouble}); nothing is lost.")
    return Line(percent, " ".join(part if part.endswith((".", ";", "!")) else part + "." for part in parts))


AGAIN = (
    "The scheduler has put your job back into the queue. Your server starts again by itself, perhaps on another node; "
    "what was not saved is lost."
)

STATES = {
    JobState.PENDING: "waiting in the queue",
    JobState.HELD: "held: it will not start without an admin",
    JobState.STARTING: "its nodes are being prepared",
    JobState.RUNNING: "running",
    JobState.SUSPENDED: "suspended by the scheduler",
    JobState.ENDING: "ending",
    JobState.ENDED: "ended",
    JobState.UNKNOWN: "in the queue",
}


def job(entry: Entry | None, *, now: float) -> dict[str, Any]:
    """The same in parts, for the page's table: id, state, reason and node (texts, '' where there is none) and
    estimated_start (seconds since the epoch, None where it is not known or no longer true); held: whether it can only
    be cancelled."""
    if entry is None:
        return {}
    status = entry.status
    start = status.estimated_start if status and entry.state.waits else None
    return {
        "id": entry.id,
        "state": STATES[entry.state] if entry.id else "being submitted",
        "reason": status.reason if status else "",
        "node": status.nodes[0] if status and status.nodes else "",
        "held": entry.state is JobState.HELD,
        "estimated_start": round(start) if start is not None and start > now else None,
    }


def _state(entry: Entry, now: float) -> tuple[int, str]:
    state, status = entry.state, entry.status
    reason = f" – {status.reason}" if status and status.reason else ""
    waited = _waited(entry, now)
    if state is JobState.PENDING:
        return 20, f"waits in the queue{waited}{reason}{_estimate(entry, now)}"
    if state is JobState.HELD:
        return 20, f"is held and will not start without an admin{waited}{reason}"
    if state is JobState.STARTING:
        return 40, f"has its nodes, which are being prepared{waited}"
    if state is JobState.RUNNING:
        where = f" on {status.nodes[0]}" if status and status.nodes else ""
        return 60, f"runs{where}; waiting for the server to report"
    if state is JobState.SUSPENDED:
        return 50, f"is suspended by the scheduler{reason}"
    if state is JobState.ENDING:
        return 90, f"is ending{reason}"
    if state is JobState.ENDED:
        return 95, "has ended"
    return 15, "is in the queue" if not reason else f"is in the queue{reason}"


def _waited(entry: Entry, now: float) -> str:
    seconds = now - entry.submitted
    size = next((size for step, size in ((15, 5), (60, 15), (600, 60), (7200, 300)) if seconds < step), 900)
    told = int(seconds // size * size)
    return f", for {_words(told)}" if told > 0 else ""


def _estimate(entry: Entry, now: float) -> str:
    start = entry.status.estimated_start if entry.status else None
    if start is None or start <= now:
        return ""
    when = time.strftime("%H:%M" if start - now < 43200 else "%Y-%m-%d %H:%M", time.localtime(start))
    return f"; the scheduler expects a start at {when}, which may change"


def _words(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return units.format_walltime(seconds // 60 * 60)
