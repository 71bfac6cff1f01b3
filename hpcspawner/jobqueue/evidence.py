"""What one answer of the scheduler means for one job. Pure: no clock, no I/O; times are seconds of any steady clock.

The rule behind it: absence proves nothing by itself. A query that has never shown the job may be blind (sites hide
other people's jobs), one that lacks many jobs at once shows an outage, and a job whose server answers lives.
"""

from __future__ import annotations

import dataclasses
import enum

from ..job import JobState, JobStatus

HUB = "hub"
OWNER = "owner"

MASS = 3
"""So many jobs missing at once, and more than half of those known, are an outage."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """How well one job is seen. Kept apart from the Entry, since it changes with each answer that lacks the job."""

    view: str = HUB
    """Who is asked about it: hub or owner."""
    seen: bool = False
    """An answer has shown it."""
    named: bool = False
    """An answer has shown it under its tag, so that another name with this id is another job."""
    misses: int = 0
    """Good answers in a row, asked in this view, that lacked it."""
    missing_since: float | None = None
    """When the first of all answers that lack it was asked for, in either view."""
    life: float | None = None
    """Last sign of life of the job itself: its report, or its server that answered."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """Seconds."""

    grace: float
    """A job must be missing for so long before it may count as gone."""
    unseen_limit: float
    """The same for a job that no answer has ever shown, though the scheduler gave it an id."""
    mass_limit: float
    """An outage that goes on for so long, with good answers, is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One answer as far as it concerns one job."""

    at: float
    """When it was asked for."""
    view: str
    status: JobStatus | None
    """None: the answer lacks the job."""
    outage: bool = False
    """The answer lacks many known jobs at once."""


class Finding(enum.Enum):
    """What follows for the job."""

    SEEN = "seen"
    ENDED = "ended"
    """The scheduler says so."""
    WAIT = "nothing follows"
    ASK_OWNER = "is asked about as its owner from now on"
    GONE = "gone"


def belongs(tag: str, user: str, named: bool, status: JobStatus) -> bool:
    """Whether a status is about our job and not about another one with the same id (a scheduler that counts anew)."""
    if status.user and status.user != user:
        return False
    return not (named and status.name and not status.name.endswith(tag))


def is_mass(missing: int, known: int) -> bool:
    """Whether so many jobs missing, of those that have been seen and should live, are an outage."""
    return missing >= MASS and missing * 2 > known


def judge(sight: Sight, look: Look, rules: Rules, *, tag: str, user: str, ending: bool) -> tuple[Finding, Sight]:
    """What follows, and how well the job is seen from now on.

    ending: the scheduler has taken our cancel, so that its absence is expected.
    """
    status = look.status
    if status is not None and belongs(tag, user, sight.named, status):
        finding = Finding.SEEN if status.state.lives else Finding.ENDED
        if sight.seen and sight.named and not sight.misses and sight.missing_since is None:
            return finding, sight
        # A look as the owner at a job that the hub's answers lack: the site hides it from the hub.
        hidden = look.view == OWNER and sight.view == HUB and (sight.misses or not sight.seen)
        seen = dataclasses.replace(
            sight,
            view=OWNER if hidden else sight.view,
            seen=True,
            named=sight.named or status.name.endswith(tag),
            misses=0,
            missing_since=None,
        )
        return finding, seen
    if look.view != sight.view:
        return Finding.WAIT, sight
    return _absent(_missed(sight, look), look, rules, ending)


def _missed(sight: Sight, look: Look) -> Sight:
    since = look.at if sight.missing_since is None else sight.missing_since
    if sight.life is not None and sight.life >= since:
        # It gave a sign of life while the scheduler lacked it: the time counts from now.
        return dataclasses.replace(sight, misses=1, missing_since=max(look.at, sight.life))
    return dataclasses.replace(sight, misses=sight.misses + 1, missing_since=since)


def _absent(sight: Sight, look: Look, rules: Rules, ending: bool) -> tuple[Finding, Sight]:
    if sight.misses < 2:
        return Finding.WAIT, sight
    missing = look.at - (look.at if sight.missing_since is None else sight.missing_since)
    if ending and (sight.seen or sight.view == OWNER):
        return Finding.GONE, sight
    if sight.seen and look.outage and missing < rules.mass_limit:
        return Finding.WAIT, sight
    if sight.view == OWNER:
        return (Finding.GONE if missing >= (rules.grace if sight.seen else rules.unseen_limit) else Finding.WAIT), sight
    if not sight.seen or missing >= rules.grace:
        return Finding.ASK_OWNER, dataclasses.replace(sight, view=OWNER, misses=0)
    return Finding.WAIT, sight


def state_of(status: JobStatus, *, asked: float, reported: float | None) -> JobState:
    """The state to show. The job's own report beats an answer that was asked for before it came."""
    if reported is not None and reported >= asked and (status.state.waits or status.state is JobState.STARTING):
        return JobState.RUNNING
    return status.state
