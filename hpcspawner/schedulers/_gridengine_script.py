"""The batch script of a Grid Engine job."""

from __future__ import annotations

import re
from typing import List

from ..job import Cluster, Job
from . import _shell as shell

_VALUE = re.compile(r"[A-Za-z0-9_.@][A-Za-z0-9_.@+-]{0,199}\Z")
_PATH = re.compile(r"/[A-Za-z0-9_./+=,@%-]*\Z")


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field."""
    if job.resources.nodes != 1 or job.tasks_per_node not in (None, 1):
        raise ValueError("nodes: jobs of Grid Engine get one node here, and one task")
    if job.qos:
        raise ValueError("qos: Grid Engine has none")
    if not job.command:
        raise ValueError("command: is empty")
    lines = ["#!/bin/bash"] + ["#$ " + _directive(line) for line in job.directives]
    lines += ["#$ " + option for option in _options(cluster, job)]
    # Told before a suspension by USR1, which would end what does not know it; USR2 comes before KILL.
    lines += ["trap '' USR1", "unset XDG_RUNTIME_DIR"]
    if job.resources.walltime:
        lines.append("export HPCSPAWNER_JOB_END=$(( $(date +%s) + {:d} ))".format(job.resources.walltime))
    for line in job.setup:
        if line.lstrip().startswith("#$"):
            # qsub looks for directives in every line.
            raise ValueError("setup: {!r} is a directive".format(line[:80]))
        lines.append(shell.line("setup", line))
    if job.workdir:
        lines.append("cd -- {} || exit 1".format(shell.word(job.workdir)))
    return "\n".join([*lines, "exec " + " ".join(shell.word(word) for word in job.command)]) + "\n"


def _options(cluster: Cluster, job: Job) -> List[str]:
    ask, slots = job.resources, job.resources.cores or 1
    out = ["-N " + _value("name", job.name), "-S /bin/bash", "-notify", "-r " + ("y" if job.requeue else "n"), "-j y"]
    if job.output:
        if not _PATH.match(job.output):
            raise ValueError("output: {!r} is not an absolute path in plain characters".format(job.output[:200]))
        out.append("-o " + job.output)
    for option, field, value in (
        ("-q", "partition", job.partition),
        ("-P", "account", job.account),
        ("-ar", "reservation", job.reservation),
    ):
        if value:
            out.append("{} {}".format(option, _value(field, value)))
    if slots > 1:
        out.append("-pe {} {:d}".format(_switch(cluster, "parallel", "smp"), slots))
    if ask.walltime:
        out.append("-l h_rt={:d}".format(ask.walltime))
    if ask.memory and cluster.switches.get("memory"):
        amount = ask.memory if cluster.switches.get("memory_per") == "job" else -(-ask.memory // slots)
        out.append("-l {}={:d}M".format(_switch(cluster, "memory", ""), amount))
    if ask.gpus:
        if not cluster.switches.get("gpu"):
            raise ValueError("gpus: cluster {} has no switch gpu that says how to ask for them".format(cluster.name))
        out.append("-l {}={:d}".format(_switch(cluster, "gpu", ""), ask.gpus))
    if ask.exclusive:
        raise ValueError("exclusive: write the site's own directive, such as -l exclusive=true")
    if job.array:
        out.append("-t {:d}-{:d}".format(*job.array))
    return out


def _value(field: str, value: str) -> str:
    if not _VALUE.match(value):
        raise ValueError("{}: {!r} holds a character that can't stand in a name".format(field, value[:80]))
    return value


def _switch(cluster: Cluster, name: str, default: str) -> str:
    return _value(name, str(cluster.switches.get(name) or default))


def _directive(line: str) -> str:
    if shell.ODD.search(line) or not re.match(r"-[a-z]", line):
        raise ValueError("directives: {!r} is no option of qsub".format(line[:80]))
    return line
