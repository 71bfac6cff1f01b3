"""What a heartbeat of a Dask scheduler means for its workers. Pure: nothing is changed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from dask_gateway_server.backends.db_base import JobStatus, Worker

Key = tuple[str, int]
"""Tag and index of a job; ('', 0): not submitted yet."""


def key_of(worker: Worker) -> Key:
    """The job of a worker."""
    state = worker.state or {}
    return str(state.get("tag", "")), int(state.get("index", 0))


@dataclasses.dataclass
class Decision:
    """What is to be done."""

    running: list[Worker] = dataclasses.field(default_factory=list)
    """Work since this heartbeat."""
    closing: list[Worker] = dataclasses.field(default_factory=list)
    """Their end is wanted by the scheduler."""
    stopped: list[tuple[Worker, JobStatus]] = dataclasses.field(default_factory=list)
    """To be stopped, and whether that counts as a failure."""


def judge(
    workers: Iterable[Worker], message: Mapping[str, Any], count: int, closed_before: Set[str] = frozenset()
) -> Decision:
    """count: workers wanted, within the user's limits. closed_before: names that the last heartbeat said are closed.

    A worker that its own nanny starts again (Client.restart, too much memory) is closed for a moment: it has failed
    once two heartbeats say so. Where its job has ended, the batch system tells earlier.
    """
    active, closing, closed = (set(message[name]) for name in ("active_workers", "closing_workers", "closed_workers"))
    made = Decision()
    pending: list[Worker] = []
    for worker in workers:
        if worker.status >= JobStatus.STOPPED:
            continue
        if worker.name in closing or worker.name in active:
            if worker.status < JobStatus.RUNNING:
                made.running.append(worker)
            if worker.name in closing:
                made.closing.append(worker)
        elif worker.name in closed:
            if worker.close_expected:
                made.stopped.append((worker, JobStatus.STOPPED))
            elif worker.name in closed_before:
                made.stopped.append((worker, JobStatus.FAILED))
        elif worker.status in (JobStatus.CREATED, JobStatus.SUBMITTED) and worker.is_active():
            pending.append(worker)
    surplus = len(active) + len(pending) - count
    busy = {key_of(worker) for worker in workers if worker.name in active or worker.name in closing}
    made.stopped += [(worker, JobStatus.STOPPED) for worker in given_back(pending, busy, surplus)]
    return made


def given_back(pending: Iterable[Worker], busy: set[Key], surplus: int) -> list[Worker]:
    """Of workers that wait, those that are too many: whole jobs only, the last ones in the queue first.

    A part of a job cannot be given back; such a worker starts with the others, and the scheduler retires one.
    """
    alone: list[Worker] = []
    jobs: dict[Key, list[Worker]] = {}
    for worker in pending:
        key = key_of(worker)
        if key[0]:
            jobs.setdefault(key, []).append(worker)
        else:
            alone.append(worker)
    found = alone[::-1][: max(0, surplus)]
    for key in reversed(list(jobs)):
        if key not in busy and len(jobs[key]) <= surplus - len(found):
            found += jobs[key]
    return found


def unwanted_jobs(workers: Iterable[Worker], ended: Callable[[Key], bool]) -> list[Key]:
    """Jobs that still run or wait, though every worker of theirs has been stopped."""
    wanted: dict[Key, bool] = {}
    for worker in workers:
        key = key_of(worker)
        if key[0]:
            wanted[key] = wanted.get(key, False) or worker.is_active()
    return [key for key, still in wanted.items() if not still and not ended(key)]
