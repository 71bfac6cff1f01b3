"""Jobs of Dask clusters: a scheduler, or many workers as one array; what their in-job programs need to know."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..job import Job, Resources
from ..schedulers import Scheduler
from ..sitemodel import Dask
from .faults import Fault
from .jobfolder import expand
from .jobplan import Order
from .request import Request

SCHEDULER, WORKERS = "dask-scheduler", "dask-workers"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_ADDRESS = re.compile(r"tls://[A-Za-z0-9_.:\[\]-]{1,200}\Z")
_URL = re.compile(r"https?://[A-Za-z0-9_.:\[\]/%~-]{1,500}\Z")
_MOST_JOBS = 10_000
_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the gateway asks for, checked."""

    kind: str
    cluster: str
    """The gateway's name of the Dask cluster."""
    names: Tuple[Tuple[str, ...], ...] = ()
    """The gateway's names of the workers, job by job; empty for a scheduler."""
    address: str = ""
    """Where workers find their scheduler."""
    api_url: str = ""
    """Where a scheduler finds the gateway."""
    periods: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Seconds of a scheduler's heartbeat, adaptive and idle."""

    @property
    def jobs(self) -> int:
        return len(self.names)

    @property
    def per_job(self) -> int:
        return max((len(group) for group in self.names), default=1)


def read(request: Request, kind: str) -> Optional[Wanted]:
    """What is asked for; None where the job is none of Dask's. Raises a protocol Fault that names the field."""
    if kind not in (SCHEDULER, WORKERS):
        return None
    told = request.table("dask")
    cluster = _matching(told, "cluster", _NAME)
    if kind == SCHEDULER:
        periods = {name: _seconds(told, name) for name in ("heartbeat", "adaptive", "idle")}
        return Wanted(kind, cluster, api_url=_matching(told, "api_url", _URL), periods=periods)
    names = _groups(told.get("names"))
    array = request.number("array", 0, 0, _MOST_JOBS)
    if array != len(names):
        raise Fault("protocol", "array: {} jobs, and names for {}".format(array, len(names)))
    return Wanted(kind, cluster, names, address=_matching(told, "address", _ADDRESS))


def _groups(names: Any) -> Tuple[Tuple[str, ...], ...]:
    if not isinstance(names, list) or not 0 < len(names) <= _MOST_JOBS:
        raise Fault("protocol", "dask.names: must be a list with an entry for each job, at most {}".format(_MOST_JOBS))
    found = []
    for group in names:
        if not isinstance(group, list) or not group or not all(isinstance(x, str) and _NAME.match(x) for x in group):
            raise Fault("protocol", "dask.names: each entry must be a list of names")
        found.append(tuple(group))
    return tuple(found)


def _matching(told: Mapping[str, Any], name: str, pattern: Any) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not pattern.match(value):
        raise Fault("protocol", "dask.{}: {!r} does not have the right shape".format(name, value))
    return value


def _seconds(told: Mapping[str, Any], name: str) -> float:
    value = told.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise Fault("protocol", "dask.{}: must be a number of seconds".format(name))
    return float(value)


def job(base: Job, order: Order, dialect: Scheduler, wanted: Wanted) -> Job:
    """The job of the batch system: base with the software of Dask, and an array where there are several."""
    python, setup = software(order)
    # The program and its plan stay, another Python runs them.
    changed = dataclasses.replace(base, command=(python, *base.command[1:]), setup=setup, requeue=False)
    if wanted.kind == SCHEDULER:
        return _scheduler(changed, order)
    # Not requeued: a worker that the batch system starts again has a name that the gateway has given up.
    cores = changed.resources.cores
    if cores is not None and wanted.per_job > cores:
        raise Fault("refused", "workers: {} is more than {}, the cores of a job".format(wanted.per_job, cores))
    if dialect.ARRAY_ID:
        return dataclasses.replace(changed, array=(1, wanted.jobs))
    many = dataclasses.replace(changed.resources, nodes=wanted.jobs)
    return dataclasses.replace(changed, resources=many, tasks_per_node=1)


def _scheduler(changed: Job, order: Order) -> Job:
    dask = order.cluster.dask
    partition = order.cluster.partitions.get(dask.scheduler_partition or changed.partition)
    omit = partition.omit if partition is not None else ()
    small = Resources(
        cores=None if "cores" in omit else dask.scheduler_cores,
        memory=None if "memory" in omit else dask.scheduler_memory,
        walltime=None if "walltime" in omit else changed.resources.walltime,
        exclusive=partition is not None and partition.exclusive,
    )
    return dataclasses.replace(
        changed,
        resources=small,
        partition=partition.name if partition is not None else changed.partition,
        directives=order.cluster.directives + (partition.directives if partition is not None else ()),
    )


def software(order: Order) -> Tuple[str, Tuple[str, ...]]:
    """Python of the Dask processes, and the shell lines before it."""
    chosen, dask = order.environment, order.cluster.dask
    python, setup = (chosen.python, chosen.setup) if chosen is not None else (dask.python, dask.setup)
    return (expand(python, order.who) if "/" in python else python), setup


def plan(order: Order, dialect: Scheduler, wanted: Wanted) -> Dict[str, Any]:
    """The plan's part 'dask', see hpcspawner/injob/__init__.py."""
    dask = order.cluster.dask
    common = {
        "cluster": wanted.cluster,
        "python": software(order)[0],
        "listen": dask.address,
        "ports": list(dask.ports),
    }
    if wanted.kind == SCHEDULER:
        return {**common, "api_url": wanted.api_url, **wanted.periods}
    names: List[List[str]] = [list(group) for group in wanted.names]
    return {
        **common,
        **_shares(order, dask, wanted.per_job),
        "scheduler": wanted.address,
        "names": names,
        "index_variable": dialect.ARRAY_VARIABLE,
        "scratch": os.path.normpath(expand(dask.scratch, order.who)) if dask.scratch else "",
        "spill": dask.spill,
    }


def _shares(order: Order, dask: Dask, per_job: int) -> Dict[str, Any]:
    """What each of the workers of one job gets."""
    choice = order.choice
    memory = choice.memory * _MIB * (100 - dask.headroom) // 100 // per_job if choice.memory else 0
    return {"threads": max(1, (choice.cores or 1) // per_job), "memory": memory, "gpus": choice.gpus}
