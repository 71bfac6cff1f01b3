"""The batch script of an LSF job."""

from __future__ import annotations

import re
import shlex
from typing import List, Tuple

from ..job import Cluster, Job
from . import _lsf_needs as needs
from . import _tasks

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# A quote would end a value, and all directives behind it would be dropped without a word.
_VALUE = re.compile(r"[A-Za-z0-9_.:@/+=,][A-Za-z0-9_.:@/+=, -]{0,199}\Z")
_BAD = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_OPTION = re.compile(r"-[A-Za-z][A-Za-z0-9_]*(\s|\Z)")
_REQUIREMENT = re.compile(r"""-R\s+(?:"([^"]*)"|'([^']*)'|(\S+))\s*\Z""")
# All words of more than one letter that an LSF with one-letter options takes for what they are.
_OLD_LONG_OPTIONS = ("-Is", "-Ip", "-IS", "-ISs", "-ISp")

# LSB_NTRIES is what we give to bsub, and LSF carries it along: with it every command in the job would give up at
# once. The runtime directory is that of another host.
UNSET = ("LSB_NTRIES", "XDG_RUNTIME_DIR")

_HOSTS = 'set -- $LSB_MCPU_HOSTS; while [ $# -ge 2 ]; do echo "$1"; shift 2; done'
"""Pairs of host and slots; unlike LSB_HOSTS it is set for very large jobs too."""


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field.

    Every user of the cluster can read it (bjobs -l), so nothing secret may stand in it.
    """
    own, requirements = _site_directives(cluster, job)
    lines = ["#!/bin/bash"]
    # The site's own come first: the last one of two counts, so they can't override what the job asks for.
    lines += ["#BSUB " + line for line in own]
    lines += ["#BSUB " + line for line in _options(cluster, job, requirements)]
    if job.output:
        # LSF itself would deliver the log only when the job has ended, below a report that repeats the script.
        suffix = '."$LSB_JOBINDEX"' if job.array is not None else ""
        lines.append("exec >> {}{} 2>&1".format(shlex.quote(_text("output", job.output)), suffix))
    lines.append("unset " + " ".join(UNSET))
    if job.resources.walltime is not None:
        seconds = needs.minutes(job.resources.walltime) * 60
        lines.append("export HPCSPAWNER_JOB_END=$(( $(date +%s) + {:d} ))".format(seconds))
    lines += [_setup(line) for line in job.setup]
    if job.workdir:
        lines.append("cd -- {} || exit 1".format(shlex.quote(_text("workdir", job.workdir))))
    lines += _tasks.start(job, _launch(cluster))
    return "\n".join(lines) + "\n"


def _launch(cluster: Cluster) -> _tasks.Launch:
    chosen = str(cluster.switches.get("launcher", "")) or ("blaunch" if cluster.family == "ibm" else "ssh")
    if chosen == "blaunch":
        return _tasks.Launch(_HOSTS, shlex.quote(cluster.command("blaunch")), joined=False)
    if chosen == "ssh":
        return _tasks.Launch(_HOSTS, _tasks.SSH, joined=True)
    raise ValueError("launcher: {!r} is not blaunch or ssh".format(chosen))


def _options(cluster: Cluster, job: Job, requirements: List[str]) -> List[str]:
    if not _NAME.match(job.name):
        raise ValueError("name: {!r} is no job name".format(job.name[:80]))
    if job.qos:
        raise ValueError("qos: LSF has none")
    out = ['-J "{}{}"'.format(job.name, _index(job))]
    who = str(cluster.switches.get("account_option", "-P"))
    if who not in ("-P", "-G"):
        raise ValueError("account_option: {!r} is not -P or -G".format(who))
    for option, field, value in (
        ("-q", "partition", job.partition),
        (who, "account", job.account),
        ("-U", "reservation", job.reservation),
    ):
        if value:
            if not _VALUE.match(value):
                raise ValueError("{}: {!r} holds a character that can't stand in a name".format(field, value[:80]))
            out.append('{} "{}"'.format(option, value))
    out += needs.options(cluster, job, requirements)
    if job.requeue:
        out.append("-r")
    # Without any -o the output goes out by mail.
    out.append('-o "/dev/null"')
    return out


def _index(job: Job) -> str:
    if job.array is None:
        return ""
    first, last = job.array
    if not 1 <= first <= last:
        raise ValueError("array: {}-{} is no range of indexes from 1 on".format(first, last))
    return "[{:d}-{:d}]".format(first, last)


def _site_directives(cluster: Cluster, job: Job) -> Tuple[List[str], List[str]]:
    """The site's directives; those with -R apart, since some LSF take only the last -R."""
    lines, requirements = [], []
    for line in job.directives:
        if _BAD.search(line) or not _OPTION.match(line):
            # The first word that is no option ends the reading of ALL directives, and bsub says nothing of it.
            raise ValueError("directives: {!r} is no option of bsub".format(line[:80]))
        option = line.split()[0]
        if cluster.family != "ibm" and len(option) > 2 and option not in _OLD_LONG_OPTIONS:
            raise ValueError("directives: {!r} is read as something else by this LSF".format(option))
        requirement = _REQUIREMENT.match(line)
        if requirement:
            requirements.append(requirement.group(1) or requirement.group(2) or requirement.group(3) or "")
        else:
            lines.append(line)
    return lines, requirements


def _text(field: str, value: str) -> str:
    """Text for the script's own lines; bsub looks for directives in all of them, so it must stay on one."""
    if _BAD.search(value):
        raise ValueError("{}: {!r} holds a control character".format(field, value[:80]))
    return value


def _setup(line: str) -> str:
    if _BAD.search(line) or line.lstrip().startswith("#BSUB"):
        raise ValueError("setup: {!r} is no single line of a shell".format(line[:80]))
    return line
