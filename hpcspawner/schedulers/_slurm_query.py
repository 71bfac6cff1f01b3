"""Asking Slurm for the state of many jobs: squeue."""

from __future__ import annotations

import os
import re
from typing import Dict, List, Optional, Sequence, Tuple

from ..job import Cluster, Command, JobState, JobStatus, Outcome, Result, SchedulerUnavailable
from . import _slurm_text as text
from . import _slurm_words as words

# Owners choose the names of their jobs, line feeds and all, and change them at any time. Without a secret in the marks
# one user's name could hold a record that says another's job has ended. The format goes out by environment variable,
# since argv is readable by everybody on the machine.
SECRET = os.urandom(9).hex()

# The most bytes of ids on a command line; Linux takes 128 kB a word. Above it everything is asked for.
MOST_IDS = 100000

_SAFE = "%i|%u|%T|%P|%V|%S|%e|%l|%B|%N"
_FREE = ("%a", "%r", "%j")


def marks(secret: str) -> Tuple[str, str, str]:
    """Begin of a record, separator of its free texts, end."""
    return "<{}:".format(secret), "<{}|".format(secret), "<{}>".format(secret)


def _environment() -> Dict[str, str]:
    begin, sep, end = marks(SECRET)
    return dict(text.TIME_FORMAT, SQUEUE_FORMAT=begin + sep.join((_SAFE, *_FREE)) + end)


def _squeue(cluster: Cluster, *more: str) -> Command:
    # -a: hidden partitions too; -t all: jobs that just ended too; -r: each array element by itself.
    return Command((cluster.command("squeue"), "-a", "-h", "-r", "-t", "all", *more), environment=_environment())


def query(cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
    """ONE command for all these jobs."""
    more: List[str] = []
    joined = ",".join(ids)
    if ids:
        text.check_ids(ids)
        if len(joined) <= MOST_IDS:
            more += ["-j", joined]
    # With just one user the controller sends that user's jobs only; with more it sends the whole queue anyway.
    if len(set(users)) == 1:
        more += ["-u", _user(users[0])]
    return _squeue(cluster, *more)


def find(cluster: Cluster, name: str, user: str) -> Command:
    """All jobs of the user: squeue --name doesn't see jobs that a filter of the site gave a prefix."""
    return _squeue(cluster, "-u", _user(user))


def _user(user: str) -> str:
    if not user or user.startswith("-") or re.search(r"[\s,\x00-\x1f]", user):
        raise ValueError("user: {!r} is no user name".format(user[:80]))
    return user


def queried(cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
    """Only the jobs that were seen. Raises SchedulerUnavailable."""
    if result.code and text.NO_SUCH_JOB.search(result.err) and not text.OUTAGE.search(result.err):
        return _records(result.out)
    text.refuse_trouble(result)
    if text.NO_SUCH_USER.search(result.err):
        raise SchedulerUnavailable(text.words(result.err))
    return _records(result.out)


def found(cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
    """The jobs of that user whose name is, or ends in, the asked one."""
    seen = queried(cluster, result)
    return [status for status in seen.values() if status.user == user and status.name.endswith(name)]


def _records(out: str) -> Dict[str, JobStatus]:
    begin, sep, end = marks(SECRET)
    parts = out.split(begin)
    if parts[0].strip():
        raise SchedulerUnavailable("garbled answer of squeue: {!r}".format(out[:200]))
    seen: Dict[str, JobStatus] = {}
    for part in parts[1:]:
        body, mark, rest = part.partition(end)
        free = body.split(sep)
        safe = free[0].split("|")
        if not mark or rest.strip() or len(free) != 4 or len(safe) != 10:
            raise SchedulerUnavailable("garbled answer of squeue: {!r}".format(part[:200]))
        seen[safe[0]] = _status(safe, free[1:])
    return seen


def _status(safe: List[str], free: List[str]) -> JobStatus:
    id, user, word, partition, submitted, start, end, limit, first, node_list = safe
    account, native, name = free
    state, reason = judged(word, native)
    begun = text.epoch(start)
    nodes = first_node(text.nodes(node_list), first)
    waits = state.waits or (state is JobState.STARTING and not nodes)
    outcome: Optional[Outcome] = None
    ended = state is JobState.ENDED
    if ended:
        outcome, reason = words.ending(word, native, None, None, bool(nodes) and start == end)
    return JobStatus(
        id=id,
        state=state,
        word=word,
        reason=reason,
        name=name,
        user=user,
        partition=partition,
        account="" if account == "(null)" else account,
        nodes=nodes,
        submitted=text.epoch(submitted),
        # A job that was cancelled while it waited has a start time too, but no nodes.
        started=begun if nodes and not waits else None,
        ends=None if waits or ended or state is JobState.ENDING else text.epoch(end),
        walltime=text.duration(limit),
        estimated_start=begun if waits and state is not JobState.HELD else None,
        outcome=outcome,
    )


def judged(word: str, native: str) -> Tuple[JobState, str]:
    """Our state for Slurm's word and reason, and why the job waits in words."""
    state = words.STATES.get(word, JobState.UNKNOWN)
    reason, stuck = words.waiting(native)
    if state is JobState.PENDING and stuck:
        return JobState.HELD, reason
    if word == "SPECIAL_EXIT" or word.endswith("_HOLD"):
        return state, reason or "put on hold; it will not start without an admin"
    return state, reason if state.waits else ""


def first_node(names: Tuple[str, ...], first: str) -> Tuple[str, ...]:
    """The node that runs the script leads."""
    if first in names and names[0] != first:
        return (first, *(name for name in names if name != first))
    return names
