"""The embedded queue: jobs of this machine, a way to try and to test everything. Not for a real site.

The queue itself is hpcspawner.localqueue; here are only its commands and what they answer.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .. import __version__
from ..job import (
    Accepted,
    Cluster,
    Command,
    Inventory,
    Job,
    JobStatus,
    PartitionInfo,
    Refused,
    Result,
    SchedulerUnavailable,
    Submitted,
    Unknown,
)
from . import _shell as shell
from ._local_answers import STATES as STATES
from ._local_answers import status

TITLE = "Local queue (to try it)"
DETECT: Tuple[str, ...] = ()
SWITCHES: Mapping[str, str] = {
    "cores": "Cores that jobs may use together; without it, all of this machine.",
    "memory": "MiB that jobs may use together; without it, all of this machine.",
    "grace": "Seconds between TERM and KILL when a job is ended; 10 without it.",
    "keep": "Seconds that ended jobs are remembered; a day without it.",
    "python": "Python that runs the queue; without it, the one that runs the helper.",
}
JOB_ID_VARIABLES: Tuple[str, ...] = ("HPCSPAWNER_JOB_ID",)
RUN_VARIABLE = ""
END_VARIABLES: Tuple[str, ...] = ("HPCSPAWNER_JOB_END",)
ARRAY_ID = "{id}_{index}"
ARRAY_VARIABLE = "HPCSPAWNER_JOB_INDEX"
FIELDS: Tuple[str, ...] = ("partition", "account", "cores", "memory", "walltime")
LOCAL = True
CONFIG_VARIABLES: Tuple[str, ...] = ("HPCSPAWNER_LOCALQUEUE",)
DIRECTIVE = ""
OWN_DIRECTIVES: Tuple[str, ...] = ()
SEE_ALL = ""
PARTITION = "local"

_ID = re.compile(r"[1-9][0-9]{0,14}(_[0-9]{1,6})?\Z")


def _program(cluster: Cluster) -> str:
    """The helper's zip file, or the folder of the queue where the code is not in one."""
    said = cluster.environment.get("HPCSPAWNER_PROGRAM") or os.environ.get("HPCSPAWNER_PROGRAM", "")
    if said:
        return said
    archive = getattr(globals().get("__loader__"), "archive", "")
    return archive or os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "localqueue")


def _command(cluster: Cluster, verb: str, **request: Any) -> Command:
    python = str(cluster.switches.get("python") or sys.executable or "python3")
    for key in ("cores", "memory"):
        if cluster.switches.get(key):
            request["total_" + key] = int(cluster.switches[key])
    argv = (python, "-I", "-S", _program(cluster), "localqueue", verb)
    return Command(argv, stdin=json.dumps(request), environment=dict(cluster.environment))


def _answer(result: Result) -> Dict[str, Any]:
    """What the queue answered; raises SchedulerUnavailable."""
    if result.code is None:
        raise SchedulerUnavailable(result.err.strip() or "the local queue did not answer in time")
    try:
        answer = json.loads(result.out)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SchedulerUnavailable((result.err.strip().splitlines() or ["garbled answer of the local queue"])[-1])
    if result.code != 0 or "error" in answer:
        raise SchedulerUnavailable(str(answer.get("error") or "exit code {}".format(result.code)))
    return answer


def probe(cluster: Cluster) -> Command:
    """Asks whether the queue can be used; its version is our own."""
    return _command(cluster, "inventory")


def probed(cluster: Cluster, result: Result) -> Cluster:
    """The cluster with its version; raises SchedulerUnavailable."""
    import dataclasses

    _answer(result)
    return dataclasses.replace(cluster, version=__version__)


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field."""
    if job.resources.nodes != 1:
        raise ValueError("nodes: {} is more than 1, this machine".format(job.resources.nodes))
    if job.resources.gpus:
        raise ValueError("gpus: the local queue has none")
    if not job.command:
        raise ValueError("command: is empty")
    command = " ".join(shell.word(word) for word in job.command)
    lines = ["#!/bin/bash", "unset XDG_RUNTIME_DIR"]
    lines += [shell.line("setup", line) for line in job.setup]
    if job.tasks_per_node and job.tasks_per_node > 1:
        # Copies end together: TERM reaches the whole process group.
        lines += ["HPCSPAWNER_RANK={} {} &".format(rank, command) for rank in range(job.tasks_per_node)] + ["wait"]
    else:
        lines.append("exec " + command)
    return "\n".join(lines) + "\n"


def submit(cluster: Cluster, job: Job, script: str, path: str) -> Command:
    """The script goes in by standard input."""
    return _command(
        cluster,
        "submit",
        script=script,
        name=job.name,
        cores=job.resources.cores or 1,
        memory=job.resources.memory or 0,
        walltime=job.resources.walltime,
        output=job.output,
        workdir=job.workdir,
        partition=job.partition or PARTITION,
        account=job.account,
        array=list(job.array) if job.array else None,
        grace=float(cluster.switches.get("grace", 10)),
        keep=float(cluster.switches.get("keep", 86400)),
    )


def submitted(cluster: Cluster, result: Result) -> Submitted:
    """What became of the submit."""
    try:
        answer = _answer(result)
    except SchedulerUnavailable as error:
        # Exit code 3: the queue's folder could not be used, so nothing was started.
        return Refused(str(error)) if result.code == 3 else Unknown(str(error))
    if answer.get("refused"):
        return Refused(str(answer["refused"]))
    id = str(answer.get("id", ""))
    return Accepted(id) if _ID.match(id) else Unknown("garbled answer of the local queue")


def query(cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
    """ONE command for all these jobs; everybody sees all of them."""
    return _command(cluster, "query", ids=list(ids))


def queried(cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
    """Only the jobs that were seen. Raises SchedulerUnavailable."""
    jobs = _answer(result).get("jobs")
    try:
        return {str(row["id"]): status(row) for row in jobs or ()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise SchedulerUnavailable("garbled answer of the local queue") from None


def detail(cluster: Cluster, id: str) -> Sequence[Command]:
    """The queue tells everything at once."""
    return (_command(cluster, "query", ids=[id]),)


def detailed(cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
    """What it told; None where nothing. Never raises."""
    try:
        return queried(cluster, results[0]).get(id) if results else None
    except SchedulerUnavailable:
        return None


def find(cluster: Cluster, name: str, user: str) -> Command:
    """All jobs: one process reads them all in a moment."""
    return _command(cluster, "query", ids=[])


def found(cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
    """The jobs of that user whose name is, or ends in, the asked one."""
    return [job for job in queried(cluster, result).values() if job.user == user and job.name.endswith(name)]


def cancel(cluster: Cluster, ids: Sequence[str]) -> Command:
    """One command for all."""
    for id in ids:
        if not _ID.match(id):
            raise ValueError("ids: {!r} is no job id of the local queue".format(id[:60]))
    if not ids:
        raise ValueError("ids: none given")
    return _command(cluster, "cancel", ids=list(ids))


def cancelled(cluster: Cluster, ids: Sequence[str], result: Result) -> Dict[str, Optional[bool]]:
    """True: is being ended or has ended; False: refused; None: look again."""
    try:
        said = _answer(result).get("cancelled") or {}
    except SchedulerUnavailable:
        said = {}
    return {id: said.get(id) if isinstance(said.get(id), bool) else None for id in ids}


def inventory(cluster: Cluster) -> Mapping[str, Command]:
    """Commands by key."""
    return {"queue": _command(cluster, "inventory")}


def inventoried(cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
    """One partition: this machine. Raises SchedulerUnavailable for an outage."""
    said = _answer(results.get("queue") or Result(None, "", ""))
    cores, free = said.get("cores"), said.get("free_cores")
    partition = PartitionInfo(
        name=PARTITION,
        default=True,
        nodes=1,
        free_nodes=int(free == cores),
        cores=cores,
        free_cores=free,
        memory=said.get("memory"),
        max_nodes=1,
    )
    return Inventory((partition,))
