"""How a batch script starts its command: once, or several times on each node where the scheduler has no srun."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import List

from ..job import Job

SSH = "ssh -n -o BatchMode=yes"

_BAD = re.compile(r"[\x00\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

# Variables that a task on another node needs to know which job it is; ssh carries none.
_CARRIED = ("LSB_JOBID", "LSB_JOBINDEX", "COBALT_JOBID", "COBALT_ENDTIME", "HPCSPAWNER_JOB_END")


@dataclasses.dataclass(frozen=True)
class Launch:
    """How a batch system reaches the nodes of a job."""

    hosts: str
    """Shell code that prints the nodes of the job, one a line, the one that runs the script first."""
    run: str
    """Command that gets a host and what to run there."""
    joined: bool
    """It takes one text for a shell there, and carries no variables; else words, and it carries them."""
    here: str = "1"
    """Shell code that gives 1 where the script runs on the first of these nodes, else 0."""


def start(job: Job, launch: Launch) -> List[str]:
    """The last lines of the script. With more than one task each gets its number as HPCSPAWNER_RANK, from 0 on."""
    if not job.command:
        raise ValueError("command: is empty")
    for word in job.command:
        if _BAD.search(word):
            raise ValueError("command: {!r} holds a control character".format(word[:80]))
    command = " ".join(shlex.quote(word) for word in job.command)
    tasks = job.tasks_per_node
    if tasks is not None and (isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1):
        raise ValueError("tasks_per_node: {!r} is not a number of at least 1".format(tasks))
    if tasks is None or tasks * job.resources.nodes == 1:
        return ["exec " + command]
    return [
        # One worker's end ends no other one; the end of the job ends all.
        "trap 'trap - TERM INT; kill $(jobs -p) 2>/dev/null; wait' TERM INT",
        "rank=0",
        "here=" + launch.here if job.resources.nodes > 1 else "here=1",
        "for host in $({}); do".format(launch.hosts) if job.resources.nodes > 1 else "for host in here; do",
        "  for ((task = 0; task < {:d}; task++)); do".format(tasks),
        '    if [ "$here" = 1 ]; then',
        "      HPCSPAWNER_RANK=$rank {} &".format(command),
        "    else",
        "      " + _away(launch, command),
        "    fi",
        "    rank=$((rank + 1))",
        "  done",
        "  here=0",
        "done",
        "wait",
    ]


def _away(launch: Launch, command: str) -> str:
    if not launch.joined:
        return '{} "$host" env HPCSPAWNER_RANK=$rank {} &'.format(launch.run, command)
    pairs = " ".join("{0}=${{{0}:-}}".format(name) for name in _CARRIED)
    return """{} "$host" "env HPCSPAWNER_RANK=$rank {} $(printf '%q ' {})" &""".format(launch.run, pairs, command)
