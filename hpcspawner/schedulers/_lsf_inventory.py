"""LSF's queues and hosts: bqueues -l, bhosts -w, lshosts -w, bmgroup, bparams -l."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..job import Inventory, PartitionInfo, Result, SchedulerUnavailable
from . import _lsf_text as text

_LIMIT_VALUE = re.compile(r"\d+(?:\.\d+)?\s+min(?:\s+of\s+\S+)?|\S+(?: [KMGT]\b)?")


@dataclasses.dataclass(frozen=True)
class Host:
    """A host as bhosts and lshosts show it."""

    slots: Optional[int] = None
    free: Optional[int] = None
    """None: it takes no jobs now."""
    idle: bool = False
    cores: Optional[int] = None
    memory: Optional[int] = None
    """MiB."""
    gpus: Mapping[str, int] = dataclasses.field(default_factory=dict)


def inventoried(results: Mapping[str, Result]) -> Inventory:
    """Queues and limits. Raises SchedulerUnavailable where bqueues gave no answer."""
    problems: List[str] = []
    answer = results.get("queues", Result(None, "", "bqueues was not asked"))
    queues = re.split(r"^QUEUE: *", answer.out, flags=re.MULTILINE)[1:]
    text.refuse_trouble(answer, bool(queues))
    if not queues:
        raise SchedulerUnavailable("bqueues shows no queue")
    hosts = _hosts(results, problems)
    groups = _groups(results)
    default, most = _parameters(results, problems)
    found = []
    for block in queues:
        try:
            found.append(_queue(block, hosts, groups, default))
        except ValueError as error:
            problems.append("queue {}: {}".format(block.split("\n", 1)[0].strip()[:60], error))
    return Inventory(partitions=tuple(found), max_array=most, problems=tuple(problems))


def _queue(
    block: str, hosts: Mapping[str, Host], groups: Mapping[str, Sequence[str]], default: Sequence[str]
) -> PartitionInfo:
    name = block.split("\n", 1)[0].strip()
    status = re.search(r"^PRIO +NICE.*\n *\S+ +\S+ +(\S+)", block, re.MULTILINE)
    if not name or not status:
        raise ValueError("its status can't be read")
    most, usual = _run_limits(block)
    members = _members(_line(block, "HOSTS"), hosts, groups)
    known = [hosts[host] for host in members if host in hosts]
    free = [host.free for host in known if host.free is not None]
    gpus: Dict[str, int] = {}
    for host in known:
        for kind, count in host.gpus.items():
            gpus[kind] = max(count, gpus.get(kind, 0))
    return PartitionInfo(
        name=name,
        up=status.group(1).lower() == "open:active",
        default=bool(default) and name == default[0],
        nodes=len(known) if known else None,
        free_nodes=sum(1 for host in known if host.idle) if known else None,
        cores=max((host.slots or host.cores or 0 for host in known), default=0) or None,
        free_cores=sum(free) if known else None,
        memory=max((host.memory or 0 for host in known), default=0) or None,
        gpus=gpus,
        max_walltime=most,
        default_walltime=usual,
        groups=_users(_line(block, "USERS")),
    )


def _line(block: str, key: str) -> str:
    """The value of 'KEY:  words', which may go on in lines that begin with a blank."""
    match = re.search(r"^{}: *(.*(?:\n +\S.*)*)".format(key), block, re.MULTILINE)
    return re.sub(r"\s+", " ", match.group(1)).strip() if match else ""


def _users(value: str) -> Tuple[str, ...]:
    """Users and groups that may use a queue; () for everybody."""
    if not value or re.match(r"all\b", value):
        return ()
    return tuple(word.rstrip("/") for word in value.split() if not word.startswith("~"))


def _run_limits(block: str) -> Tuple[Optional[int], Optional[int]]:
    """The largest and the default walltime in seconds."""
    found: Dict[str, Optional[int]] = {}
    section = "MAXIMUM"
    lines = block.splitlines()
    for index, line in enumerate(lines[:-1]):
        head = re.match(r"\s*(DEFAULT|MAXIMUM|RESOURCE) LIMITS?:", line)
        if head:
            section = "DEFAULT" if head.group(1) == "DEFAULT" else "MAXIMUM"
        # Other limits may stand in the same line, each above its value.
        elif re.match(r"\s*([A-Z]+LIMIT\s+)*RUNLIMIT\b", line):
            place, values = line.split().index("RUNLIMIT"), _LIMIT_VALUE.findall(lines[index + 1])
            if place < len(values):
                found[section] = text.duration(values[place])
    return found.get("MAXIMUM"), found.get("DEFAULT")


def _members(value: str, hosts: Mapping[str, Host], groups: Mapping[str, Sequence[str]]) -> List[str]:
    """The hosts of a queue; groups are named with a slash behind, preferences with +n."""
    if not value or re.match(r"all\b", value):
        left_out = {word[1:].rstrip("/") for word in value.split() if word.startswith("~")}
        return [host for host in hosts if host not in left_out]
    out: List[str] = []
    for word in value.split():
        name = re.sub(r"\+\d*\Z", "", word).rstrip("/")
        for host in _expanded(name, groups, 0):
            if host not in out:
                out.append(host)
    return out


def _expanded(name: str, groups: Mapping[str, Sequence[str]], depth: int) -> List[str]:
    if name not in groups or depth > 8:
        return [name]
    return [host for member in groups[name] for host in _expanded(member, groups, depth + 1)]


def _groups(results: Mapping[str, Result]) -> Dict[str, List[str]]:
    """Host groups by name. Where there are none the command fails, which is no problem."""
    found: Dict[str, List[str]] = {}
    for line in results.get("groups", Result(None, "", "")).out.splitlines():
        parts = re.sub(r"\([^)]*\)", "", line).split()
        if len(parts) > 1 and parts[0] != "GROUP_NAME":
            found[parts[0].rstrip("/")] = [part.rstrip("/") for part in parts[1:]]
    return found


def _hosts(results: Mapping[str, Result], problems: List[str]) -> Dict[str, Host]:
    batch = _table(results, "hosts", problems)
    load = _table(results, "machines", problems)
    gpus = _gpus(results)
    found: Dict[str, Host] = {}
    for name in batch or load:
        row, machine = batch.get(name, {}), load.get(name, {})
        slots, used = _number(row.get("MAX", "")), _number(row.get("NJOBS", ""))
        cores = _number(machine.get("ncpus", ""))
        takes = row.get("STATUS") == "ok"
        most = slots if slots is not None else cores
        found[name] = Host(
            slots=slots,
            free=max(0, most - (used or 0)) if takes and most is not None else None,
            idle=takes and used == 0,
            cores=cores,
            memory=text.mebibytes(machine.get("maxmem", "")),
            gpus=gpus.get(name, {}),
        )
    return found


def _table(results: Mapping[str, Result], key: str, problems: List[str]) -> Dict[str, Dict[str, str]]:
    """Rows by their first column; the columns are as wide as their words, without blanks inside."""
    answer = results.get(key)
    if answer is None:
        return {}
    lines = answer.out.splitlines()
    head = lines[0].split() if lines else []
    if answer.code is None or not head or head[0] != "HOST_NAME":
        problems.append("{}: {}".format(key, text.words(answer.err) or "no answer"))
        return {}
    rows = (line.split() for line in lines[1:] if line.strip())
    return {row[0]: {name: row[place] for place, name in enumerate(head[: len(row)])} for row in rows}


def _gpus(results: Mapping[str, Result]) -> Dict[str, Dict[str, int]]:
    """GPUs of each host by model, from lshosts -gpu: one line a GPU, the host's name only in its first."""
    found: Dict[str, Dict[str, int]] = {}
    host = ""
    lines = results.get("gpus", Result(None, "", "")).out.splitlines()
    for line in lines[1:] if lines and "gpu_model" in lines[0] else []:
        parts = line.split()
        if parts and not line[:1].isspace():
            host = parts.pop(0)
        if host and len(parts) > 1 and parts[0].isdigit():
            kinds = found.setdefault(host, {})
            kinds[parts[1]] = kinds.get(parts[1], 0) + 1
    return found


def _parameters(results: Mapping[str, Result], problems: List[str]) -> Tuple[List[str], Optional[int]]:
    """The default queues, and the largest array."""
    answer = results.get("parameters", Result(None, "", "bparams was not asked"))
    default = re.search(r"DEFAULT_QUEUE *= *(.+)", answer.out)
    most = re.search(r"MAX_JOB_ARRAY_SIZE *= *(\d+)", answer.out)
    if not default and not most:
        problems.append("parameters: {}".format(text.words(answer.err) or "no answer"))
    return default.group(1).split() if default else [], int(most.group(1)) if most else None


def _number(value: str) -> Optional[int]:
    return int(value) if value.isdigit() else None
