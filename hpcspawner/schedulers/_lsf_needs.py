"""What an LSF job asks for: slots, memory, GPUs and time, in the units and the ways of the site."""

from __future__ import annotations

import re
from typing import List, Tuple

from ..job import Cluster, Job

UNITS = ("KB", "MB", "GB", "TB")
"""Values of LSF_UNIT_FOR_LIMITS that the switch memory_unit takes."""

_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_SECTION = re.compile(r"\b([a-z]+)\[")


def options(cluster: Cluster, job: Job, requirements: List[str]) -> List[str]:
    """The directives for resources; requirements: those that the site's own directives give with -R."""
    ask = job.resources
    nodes = number("nodes", ask.nodes)
    cores = None if ask.cores is None else number("cores", ask.cores)
    slots = nodes * (cores or job.tasks_per_node or 1)
    out, needs = [], list(requirements)
    if cores is not None or slots > 1:
        out.append("-n {:d}".format(slots))
    if slots > 1:
        needs.append("span[hosts=1]" if nodes == 1 else "span[ptile={:d}]".format(slots // nodes))
    limit, used = _memory(cluster, job, slots)
    gpu, wanted = _gpus(cluster, job)
    if used + wanted:
        needs.append("rusage[{}]".format(":".join(used + wanted)))
    sections = [section for need in needs for section in _SECTION.findall(need)]
    if len(sections) != len(set(sections)):
        raise ValueError("directives: two requirements (-R) for one section: {}".format(" ".join(needs)))
    if needs:
        out.append('-R "{}"'.format(" ".join(needs)))
    out += limit + gpu
    if ask.walltime is not None:
        out.append("-W {:d}".format(minutes(ask.walltime)))
    if ask.exclusive:
        out.append("-x")
    return out


def minutes(walltime: int) -> int:
    """LSF counts minutes; rounding down would end the job before its time."""
    return -(-number("walltime", walltime) // 60)


def number(field: str, value: int) -> int:
    """The value if it is a number of at least 1; raises ValueError that names the field."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise ValueError("{}: {!r} is not a number of at least 1".format(field, value))
    return value


def _memory(cluster: Cluster, job: Job, slots: int) -> Tuple[List[str], List[str]]:
    """The options and the parts of rusage for memory."""
    if job.resources.memory is None:
        return [], []
    node, nodes = number("memory", job.resources.memory), job.resources.nodes
    per = str(cluster.switches.get("memory_per", "node"))
    if per not in ("node", "slot", "job"):
        raise ValueError("memory_per: {!r} is not node, slot or job".format(per))
    amount = {"node": node, "slot": -(-node * nodes // slots), "job": node * nodes}[per]
    unit = str(cluster.switches.get("memory_unit", "")).upper()
    if unit and unit not in UNITS:
        raise ValueError("memory_unit: {!r} is not one of {}".format(unit, ", ".join(UNITS)))
    if unit:
        limit = used = _in_unit(amount, unit)
    elif _knows_suffixes(cluster):
        limit = used = "{:d}MB".format(amount)
    else:
        # What LSF takes where lsf.conf says nothing: KB for limits, MB for what is reserved.
        limit, used = _in_unit(amount, "KB"), _in_unit(amount, "MB")
    return [] if cluster.switches.get("memory_limit") is False else ["-M " + limit], ["mem=" + used]


def _in_unit(amount: int, unit: str) -> str:
    """MiB in another unit, rounded up."""
    if unit == "KB":
        return str(amount * 1024)
    return str(-(-amount // 1024 ** (UNITS.index(unit) - 1)))


def _knows_suffixes(cluster: Cluster) -> bool:
    """Whether -M and rusage take a unit behind the number: IBM Spectrum LSF 10.1 and newer."""
    parts = [int(part) for part in re.findall(r"\d+", cluster.version)[:2]]
    return cluster.family == "ibm" and parts >= [10, 1]


def _gpus(cluster: Cluster, job: Job) -> Tuple[List[str], List[str]]:
    """The options and the parts of rusage for GPUs."""
    count, kind = job.resources.gpus, job.resources.gpu_request
    if not count:
        return [], []
    number("gpus", count)
    if kind and not _GPU.match(kind):
        raise ValueError("gpu_type: {!r} is no name of a GPU type".format(kind[:80]))
    way = str(cluster.switches.get("gpu", ""))
    if way == "option":
        if cluster.family != "ibm":
            # Older ones read -gpu as a new job group, and their whole batch daemon goes down.
            raise ValueError("gpus: this LSF knows no option -gpu (switch gpu of cluster {})".format(cluster.name))
        return ['-gpu "num={:d}{}"'.format(count, ":gmodel=" + kind if kind else "")], []
    if re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", way):
        return [], ["{}={:d}".format(kind or way, count)]
    raise ValueError("gpus: cluster {} has no switch gpu that says how to ask for them".format(cluster.name))
