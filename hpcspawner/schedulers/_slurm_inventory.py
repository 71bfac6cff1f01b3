"""Slurm's partitions, their limits and what is free in them."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, List, Mapping, Optional, Tuple

from ..job import Cluster, Command, Inventory, PartitionInfo, Result, SchedulerUnavailable
from . import _slurm_text as text

# One line for all nodes of a partition that are alike in state, cores, memory and GPUs; generic resources come last
# since only they may hold odd characters.
_SINFO = "%P|%a|%l|%L|%D|%T|%C|%c|%m|%s|%h|%g|%G"

# Their idle cores are not for the next job that comes. A star behind the word: the node does not answer.
_NOT_FREE = re.compile(r"down|drain|fail|maint|reserved|unknown|future|inval|power(ing)?[ _]?(ed)?[ _]?(down|off)|\*")
_IDLE = re.compile(r"idle[~#]?\Z")


def probe(cluster: Cluster) -> Command:
    """Asks the version; the commands know it without the controller."""
    return Command((cluster.command("sbatch"), "--version"))


def probed(cluster: Cluster, result: Result) -> Cluster:
    """The cluster with its version ('22.05.8'); raises SchedulerUnavailable."""
    match = re.search(r"^slurm\S*\s+(\d\S*)", result.out, re.MULTILINE)
    if result.code != 0 or not match:
        raise SchedulerUnavailable(text.words(result.err) or "sbatch --version gave no version of Slurm")
    return dataclasses.replace(cluster, version=match.group(1))


def inventory(cluster: Cluster) -> Mapping[str, Command]:
    """Commands by key. -a and -e: hidden partitions too, and exact numbers instead of '16+'."""
    return {
        "nodes": Command((cluster.command("sinfo"), "-a", "-e", "-h", "-o", _SINFO)),
        "partitions": Command((cluster.command("scontrol"), "-a", "-o", "show", "partition")),
        "config": Command((cluster.command("scontrol"), "show", "config")),
    }


def inventoried(cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
    """Partitions and limits; what could not be read goes to problems. Raises SchedulerUnavailable for an outage."""
    nodes = results.get("nodes") or Result(None, "", "sinfo was not run")
    text.refuse_trouble(nodes)
    problems: List[str] = []
    found: Dict[str, PartitionInfo] = {}
    for line in nodes.out.splitlines():
        row = line.split("|", 12)
        if len(row) != 13:
            problems.append("sinfo: can't read {!r}".format(line[:120]))
            continue
        name = row[0].rstrip("*")
        found[name] = _added(found.get(name) or _first(name, row), row)
    if problems and not found:
        raise SchedulerUnavailable(problems[0])
    for name, fields in _partitions(results.get("partitions"), problems).items():
        if name in found:
            found[name] = _limited(found[name], fields)
    return Inventory(tuple(found.values()), _max_array(results.get("config"), problems), tuple(problems))


def _first(name: str, row: List[str]) -> PartitionInfo:
    most = row[9].rpartition("-")[2]
    return PartitionInfo(
        name=name,
        up=row[1] == "up",
        default=row[0].endswith("*"),
        nodes=0,
        free_nodes=0,
        free_cores=0,
        max_walltime=text.duration(row[2]),
        default_walltime=text.duration(row[3]),
        max_nodes=int(most) if most.isdigit() else None,
        groups=() if row[11] in ("all", "") else tuple(row[11].split(",")),
        whole_nodes=row[10] == "EXCLUSIVE",
    )


def _added(info: PartitionInfo, row: List[str]) -> PartitionInfo:
    """The partition with one more kind of nodes."""
    count, state = _int(row[4]), row[5]
    idle = row[6].split("/")[1:2]
    free = not _NOT_FREE.search(state.lower())
    gpus = dict(info.gpus)
    for kind, number in _gpus(row[12]):
        gpus[kind] = max(number, gpus.get(kind, 0))
    return dataclasses.replace(
        info,
        nodes=(info.nodes or 0) + count,
        free_nodes=(info.free_nodes or 0) + (count if _IDLE.match(state.lower()) else 0),
        free_cores=(info.free_cores or 0) + (_int(idle[0]) if free and idle else 0),
        cores=max(info.cores or 0, _int(row[7])) or None,
        memory=max(info.memory or 0, _int(row[8])) or None,
        gpus=gpus,
    )


def _int(value: str) -> int:
    match = re.match(r"\d+", value)
    return int(match.group()) if match else 0


def _gpus(gres: str) -> List[Tuple[str, int]]:
    """'gpu:a100:4(S:0-1),gpu:2,lustre:1' -> [('a100', 4), ('', 2)]."""
    out = []
    for item in re.sub(r"\([^)]*\)", "", gres).split(","):
        match = re.match(r"gpu(?::([^:=]*[^:=0-9][^:=]*))?(?::(\d+))?\Z", item.strip())
        if match:
            out.append((match.group(1) or "", int(match.group(2) or 1)))
    return out


def _partitions(result: Optional[Result], problems: List[str]) -> Dict[str, Dict[str, str]]:
    if result is None or result.code != 0:
        problems.append("limits of partitions: " + (text.words(result.err) if result and result.err else "no answer"))
        return {}
    out = {}
    for line in result.out.splitlines():
        fields = dict(re.findall(r"(?:^| )([A-Za-z]+)=(\S*)", line))
        if fields.get("PartitionName"):
            out[fields["PartitionName"]] = fields
    return out


def _limited(info: PartitionInfo, fields: Mapping[str, str]) -> PartitionInfo:
    groups = fields.get("AllowGroups", "ALL")
    most = fields.get("MaxNodes", "")
    return dataclasses.replace(
        info,
        up=info.up and fields.get("State", "UP") == "UP",
        groups=() if groups.upper() in ("ALL", "", "(NULL)") else tuple(groups.split(",")),
        max_nodes=int(most) if most.isdigit() else info.max_nodes,
        whole_nodes=info.whole_nodes or fields.get("OverSubscribe") == "EXCLUSIVE",
    )


def _max_array(result: Optional[Result], problems: List[str]) -> Optional[int]:
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", result.out, re.MULTILINE) if result and result.code == 0 else None
    if not match:
        problems.append("largest array: scontrol show config did not tell")
        return None
    return int(match.group(1))
