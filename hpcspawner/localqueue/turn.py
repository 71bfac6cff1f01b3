"""What the records say: the state of each job, and whose turn it is."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Dict, List, Optional

from .store import Store

PENDING, RUNNING, ENDING, ENDED = "PENDING", "RUNNING", "ENDING", "ENDED"


@dataclasses.dataclass(frozen=True)
class Seen:
    """One job as its records show it."""

    id: str
    uid: int
    state: str
    job: Dict[str, Any]
    run: Dict[str, Any]
    end: Dict[str, Any]

    @property
    def cores(self) -> int:
        return _count(self.job.get("cores"), 1)

    @property
    def memory(self) -> int:
        return _count(self.job.get("memory"), 0)


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else default


def see(store: Store, id: str) -> Optional[Seen]:
    """The state of one job; None where there is none."""
    uid = store.owner(id)
    if uid is None:
        return None
    # The lock first: a job that ends between the two looks is then seen as ended, never as vanished.
    lives = store.alive(id)
    end = store.read(id, "end.json")
    run = store.read(id, "run.json")
    job = store.read(id, "job.json")
    if job is None:
        return None
    if end is not None:
        state = ENDED
    elif lives:
        state = PENDING if run is None else ENDING if run.get("ending") else RUNNING
    elif run is not None and leader_lives(run):
        # The supervisor was killed and what it ran was not: nobody but cancel can end this.
        state = ENDING
    else:
        state = ENDED
    return Seen(id, uid, state, job, run or {}, end or {})


def see_all(store: Store) -> List[Seen]:
    """All jobs, the oldest first."""
    return [seen for seen in (see(store, id) for id in store.ids()) if seen is not None]


def started(pid: int) -> str:
    """When the process started, in the kernel's own count: with the pid it names a process for ever; '' if gone."""
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    # A zombie has ended; only its parent has not looked yet.
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def leader_lives(run: Dict[str, Any]) -> bool:
    pid, start = run.get("pid"), run.get("start")
    return isinstance(pid, int) and bool(start) and started(pid) == start


def may_start(store: Store, id: str, cores: int, memory: int) -> bool:
    """Whether it is this job's turn and there is room. To be called with the store's lock held."""
    for seen in see_all(store):
        if seen.id == id:
            return seen.cores <= cores and seen.memory <= memory
        if seen.state == PENDING:
            return False
        if seen.state in (RUNNING, ENDING):
            cores -= seen.cores
            memory -= seen.memory
    return False


def ring(store: Store) -> None:
    """Tells the first waiting job to look again."""
    for id in store.ids():
        seen = see(store, id)
        if seen is not None and seen.state == PENDING:
            store.signal(id, "bell")
            return


def machine_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def machine_memory() -> int:
    """MiB."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES")) >> 20
    except (ValueError, OSError):
        return 1024
