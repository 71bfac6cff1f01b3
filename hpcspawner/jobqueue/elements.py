"""Arrays: many jobs that one submit has made and one tag stands for, each with a state of its own."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .. import schedulers
from ..job import JobState, JobStatus, Outcome
from ..sitemodel import ClusterSite

# 123_4, 123[4] and 123.4
_ELEMENT = re.compile(r"([0-9]+)[_.\[]([0-9]+)\]?\Z")

_FIRST = (
    JobState.PENDING,
    JobState.STARTING,
    JobState.RUNNING,
    JobState.UNKNOWN,
    JobState.HELD,
    JobState.SUSPENDED,
    JobState.ENDING,
)
"""The state of an array is the first of these that one of its jobs is in."""
_WORST = (
    Outcome.NODE_FAILURE,
    Outcome.OUT_OF_MEMORY,
    Outcome.LAUNCH_FAILURE,
    Outcome.FAILED,
    Outcome.TIMEOUT,
    Outcome.PREEMPTED,
    Outcome.CANCELLED,
    Outcome.UNKNOWN,
    Outcome.COMPLETED,
)


@dataclasses.dataclass(frozen=True)
class Part:
    """What is known of one job of an array."""

    state: JobState = JobState.UNKNOWN
    status: JobStatus | None = None
    """The last answer that showed it."""
    misses: int = 0
    """Answers in a row that showed others of the array and not this one."""
    missing_since: float | None = None

    @property
    def ended(self) -> bool:
        return self.state is JobState.ENDED


def base(id: str) -> str:
    """The id of the array: 123 of 123_4, 123[4] and 123.4."""
    found = _ELEMENT.match(id)
    return found.group(1) if found else id


def id_of(cluster: ClusterSite, id: str, index: int) -> str:
    """The id of one job of the array with that id."""
    return schedulers.load(cluster.cluster.scheduler).ARRAY_ID.format(id=id, index=index)


def gather(jobs: Mapping[str, Any], ids: set[str]) -> dict[str, dict[int, Any]]:
    """Of an answer, the rows of the arrays with these ids, by index."""
    found: dict[str, dict[int, Any]] = {}
    if ids:
        for id, row in jobs.items():
            match = _ELEMENT.match(id)
            if match and match.group(1) in ids:
                found.setdefault(match.group(1), {})[int(match.group(2))] = row
    return found


def judge(
    parts: Mapping[int, Part], count: int, shown: Mapping[int, JobStatus], at: float, grace: float
) -> Mapping[int, Part]:
    """The parts after an answer that was asked for at that time and shows at least one of them.

    That it shows one proves that whoever asked may see them: a part that it lacks twice, for longer than the grace
    time (seconds), has ended.
    """
    after: dict[int, Part] = {}
    for index in range(1, count + 1):
        before, status = parts.get(index, Part()), shown.get(index)
        if status is not None:
            same = before.status is status and not before.misses
            after[index] = before if same else Part(status.state, status)
        elif before.ended:
            after[index] = before
        else:
            since = at if before.missing_since is None else before.missing_since
            gone = before.misses >= 1 and at - since >= grace
            state = JobState.ENDED if gone else before.state
            after[index] = Part(state, before.status, before.misses + 1, since)
    return parts if after == parts else after


def together(id: str, parts: Mapping[int, Part]) -> JobStatus:
    """The array as if it were one job."""
    states = {part.state for part in parts.values()}
    state = next((each for each in _FIRST if each in states), JobState.ENDED)
    statuses = [part.status for part in parts.values() if part.status is not None]
    waiting = Counter(x.reason for x in statuses if x.state.waits and x.reason)
    outcome = None
    if state is JobState.ENDED:
        outcomes = {status.outcome or Outcome.UNKNOWN for status in statuses} or {Outcome.UNKNOWN}
        outcome = next(each for each in _WORST if each in outcomes)
    shown = next((x for x in statuses if x.name), statuses[0] if statuses else JobStatus(id, state))
    return JobStatus(
        id=id,
        state=state,
        reason=waiting.most_common(1)[0][0] if waiting else "",
        name=shown.name,
        user=shown.user,
        partition=shown.partition,
        account=shown.account,
        submitted=shown.submitted,
        started=min((x.started for x in statuses if x.started), default=None),
        outcome=outcome,
    )
