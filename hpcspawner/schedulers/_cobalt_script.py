"""The script of a Cobalt job: an executable file with its options in it."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import Dict, List, Tuple

from ..job import Cluster, Job
from . import _tasks

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# Directives are cut at blanks and there are no quotes; $jobid and the like would be replaced.
_VALUE = re.compile(r"[A-Za-z0-9_.:/+=,@][A-Za-z0-9_.:/+=,@-]{0,199}\Z")
_PATH = re.compile(r"/[A-Za-z0-9_.:/+=,@~%-]*\Z")
_BAD = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")

# What shows values to everybody, or reaches into what the job itself asks for.
_REFUSED = ("--env", "-I", "--interactive", "--mode", "-i", "--inputfile")
_DIRECTIVE = re.compile(r"(-[A-Za-z]|--[A-Za-z][A-Za-z_-]*)(?:[ =]\s*(\S.*)|(?<=-[A-Za-z])(\S.*))?\Z")

LEAST_MINUTES = 5
"""Cobalt itself takes no shorter job."""

HOSTS = "cat \"$COBALT_NODEFILE\" | tr ' ' '\\n' | awk 'NF && !seen[$0]++'"


def script(cluster: Cluster, job: Job) -> str:
    """The whole script. Raises ValueError that names the field."""
    # -l: where the script starts over ssh on the first node, nothing of a login is there.
    lines = ["#!/bin/bash -l"]
    # These must follow at once: the first other line, a blank one too, ends them.
    lines += ["#COBALT " + line for line in _options(cluster, job)]
    lines.append("unset XDG_RUNTIME_DIR")
    # On remote nodes COBALT_ENDTIME is not set.
    lines.append("export HPCSPAWNER_JOB_END=$(( $(date +%s) + {:d} ))".format(_minutes(job) * 60))
    lines += [_line("setup", line) for line in job.setup]
    if job.workdir:
        lines.append("cd -- {} || exit 1".format(shlex.quote(_line("workdir", job.workdir))))
    lines += _tasks.start(job, _launch(cluster))
    return "\n".join(lines) + "\n"


def _launch(cluster: Cluster) -> _tasks.Launch:
    # Only where the script runs on a node of the job itself is COBALT_PARTNAME not set.
    run = str(cluster.switches.get("ssh", _tasks.SSH))
    return _tasks.Launch(HOSTS, run, joined=True, here='$([ -n "$COBALT_PARTNAME" ] && echo 0 || echo 1)')


def check_path(path: str) -> None:
    """Raises ValueError for a script's path that would not survive the remote shell, which sees it unquoted."""
    if not _PATH.match(path) or "~" in path:
        raise ValueError("path: {!r} is not an absolute path of letters, digits and ._:/+=,@%-".format(path[:200]))


def _options(cluster: Cluster, job: Job) -> List[str]:
    _refuse_what_it_lacks(job)
    if not _NAME.match(job.name):
        raise ValueError("name: {!r} is no job name".format(job.name[:80]))
    own, attributes = _site_directives(job)
    out = [*own, "--jobname " + job.name, "-n {:d}".format(_nodes(job)), "-t {:d}".format(_minutes(job))]
    for option, field, value in (("-q", "partition", job.partition), ("-A", "account", job.account)):
        if value:
            if not _VALUE.match(value):
                raise ValueError("{}: {!r} holds a character that can't stand in a name".format(field, value[:80]))
            out.append("{} {}".format(option, value))
    if attributes:
        out.append("--attrs " + ":".join(key + sign + value for key, (sign, value) in attributes.items()))
    if job.output:
        if not _PATH.match(job.output):
            raise ValueError("output: {!r} is not an absolute path in plain characters".format(job.output[:200]))
        # Both streams append to one file; the third keeps Cobalt's own log out of the directory it starts in.
        folder = posixpath.dirname(job.output)
        out += ["--cwd " + folder, "-o " + job.output, "-e " + job.output, "--debuglog " + job.output + ".cobaltlog"]
    return out


def _refuse_what_it_lacks(job: Job) -> None:
    ask = job.resources
    for field, given in (
        ("qos", job.qos),
        ("reservation", job.reservation),
        ("cores", ask.cores is not None),
        ("memory", ask.memory is not None),
        ("gpus", ask.gpus),
        ("gpu_type", ask.gpu_request),
        ("array", job.array is not None),
        ("requeue", job.requeue),
    ):
        if given:
            raise ValueError("{}: a Cobalt job can't carry it; it gets whole nodes as they are".format(field))


def _nodes(job: Job) -> int:
    nodes = job.resources.nodes
    if isinstance(nodes, bool) or not isinstance(nodes, int) or not 1 <= nodes < 2**31:
        raise ValueError("nodes: {!r} is not a number of at least 1".format(nodes))
    return nodes


def _minutes(job: Job) -> int:
    walltime = job.resources.walltime
    if walltime is None:
        raise ValueError("walltime: Cobalt takes no job without one")
    if isinstance(walltime, bool) or not isinstance(walltime, int) or not 1 <= walltime < 2**31:
        raise ValueError("walltime: {!r} is not a number of at least 1".format(walltime))
    # Cobalt drops seconds, which would end the job before its time.
    return max(LEAST_MINUTES, -(-walltime // 60))


def _site_directives(job: Job) -> Tuple[List[str], Dict[str, Tuple[str, str]]]:
    """The site's directives, and the attributes in them: qsub takes only one --attrs, so they are put together."""
    lines: List[str] = []
    attributes: Dict[str, Tuple[str, str]] = {}
    for line in job.directives:
        match = _DIRECTIVE.match(line.strip())
        if _BAD.search(line) or not match:
            raise ValueError("directives: {!r} is no option of qsub".format(line[:80]))
        option, value = match.group(1), match.group(2) or ""
        if any(_means(option, name) for name in _REFUSED):
            raise ValueError("directives: {!r} can't be used in a batch job here".format(option))
        if not _means(option, "--attrs"):
            lines.append(line.strip())
            continue
        for pair in value.strip().split(":"):
            key, sign, setting = pair.partition("=")
            if not re.match(r"[A-Za-z0-9_.-]+\Z", key) or not re.match(r"[A-Za-z0-9_.,/+@-]*\Z", setting):
                raise ValueError("directives: {!r} is no attribute".format(pair[:80]))
            attributes[key] = (sign, setting)
    return lines, attributes


def _means(option: str, name: str) -> bool:
    """Whether qsub reads the option as this one; it takes the beginning of a long one for the whole."""
    return option == name or (len(option) > 3 and name.startswith("--") and name.startswith(option))


def _line(field: str, value: str) -> str:
    if _BAD.search(value):
        raise ValueError("{}: {!r} holds a control character".format(field, value[:80]))
    return value
