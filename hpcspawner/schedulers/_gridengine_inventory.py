"""Grid Engine's queues and hosts: qstat -g c, qconf -sq, qhost -q."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional

from ..job import Inventory, PartitionInfo, Result, SchedulerUnavailable
from . import _gridengine_text as text


def inventoried(results: Mapping[str, Result]) -> Inventory:
    """Queues and limits; what could not be read goes to problems. Raises SchedulerUnavailable for an outage."""
    nothing, problems = Result(None, "", "was not asked"), []
    rows = [{item.tag: item.text or "" for item in row} for row in text.xml(results.get("queues", nothing))]
    limits: Dict[str, Dict[str, str]] = {}
    for block in re.split(r"^qname +", results.get("limits", nothing).out.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        limits[block.split("\n", 1)[0].strip()] = dict(re.findall(r"^(\w+) +(.*?)\s*$", block, re.MULTILINE))
    if not limits:
        problems.append("limits: {}".format(text.words(results.get("limits", nothing)) or "no answer"))
    try:
        hosts = _hosts(text.xml(results.get("hosts", nothing)))
    except SchedulerUnavailable as error:
        hosts = {}
        problems.append("hosts: {}".format(error))
    found = [_queue(row, limits.get(row.get("name", ""), {}), hosts) for row in rows if row.get("name")]
    return Inventory(partitions=tuple(found), problems=tuple(problems))


def _queue(
    row: Mapping[str, str], limits: Mapping[str, str], hosts: Mapping[str, List[Dict[str, int]]]
) -> PartitionInfo:
    total, away = text.number(row.get("total", "")) or 0, text.number(row.get("manual_intervention", "")) or 0
    mine = hosts.get(row["name"], [])
    return PartitionInfo(
        name=row["name"],
        up=total > away,
        nodes=len(mine) or None,
        free_nodes=sum(1 for host in mine if not host["used"]) if mine else None,
        cores=max((host["slots"] for host in mine), default=0) or None,
        free_cores=text.number(row.get("available", "")),
        memory=max((host["memory"] for host in mine), default=0) or None,
        max_walltime=_seconds(limits.get("h_rt", "")),
        max_nodes=1,
    )


def _hosts(root: Any) -> Dict[str, List[Dict[str, int]]]:
    """Slots, slots in use and memory of the hosts of each queue."""
    found: Dict[str, List[Dict[str, int]]] = {}
    for host in root.iter("host"):
        facts = {item.get("name"): item.text or "" for item in host.findall("hostvalue")}
        for queue in host.findall("queue"):
            values = {item.get("name"): text.number(item.text or "") or 0 for item in queue.findall("queuevalue")}
            one = {"slots": values.get("slots", 0), "used": values.get("slots_used", 0)}
            found.setdefault(queue.get("name", ""), []).append(
                {**one, "memory": _mebibytes(facts.get("mem_total", ""))}
            )
    return found


def _mebibytes(text: str) -> int:
    match = re.match(r"([\d.]+)([KMGT])", text)
    return int(float(match.group(1)) * 1024.0 ** ("KMGT".index(match.group(2)) - 1)) if match else 0


def _seconds(text: str) -> Optional[int]:
    match = re.match(r"(?:(\d+):)?(\d+):(\d+):(\d+)\Z", text)
    if not match:
        return int(text) if text.isdigit() else None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
