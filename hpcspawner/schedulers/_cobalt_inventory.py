"""Cobalt's queues and nodes: qstat -Q and nodelist."""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

from ..job import Cluster, Inventory, PartitionInfo, Result
from . import _cobalt_text as text


def inventoried(cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
    """Queues and limits. Raises SchedulerUnavailable where qstat -Q gave no answer."""
    problems: List[str] = []
    queues = text.table(text.answered(results.get("queues", Result(None, "", "qstat was not asked"))))
    nodes = _nodes(results.get("nodes", Result(None, "", "nodelist was not asked")), problems)
    found = []
    for row in queues:
        name = row.get("name", "")
        if not name:
            continue
        mine = nodes.get(name, [])
        cores, memory, gpus = (_fact(cluster, key, name) for key in ("node_cores", "node_memory", "node_gpus"))
        idle = sum(1 for state in mine if state == "idle")
        limit = row.get("maxnodes", "") or row.get("maxusernodes", "")
        found.append(
            PartitionInfo(
                name=name,
                # A stopped queue takes jobs but starts none; a draining one takes none.
                up=row.get("state") == "running",
                default=name == "default",
                nodes=len(mine) if nodes else None,
                free_nodes=idle if nodes else None,
                cores=cores,
                free_cores=idle * cores if nodes and cores else None,
                memory=memory,
                gpus={"": gpus} if gpus else {},
                max_walltime=text.seconds(row.get("maxtime", "")),
                min_walltime=text.seconds(row.get("mintime", "")),
                max_nodes=int(limit) if limit.isdigit() else None,
                groups=_names(row.get("groups", "")) + _names(row.get("users", "")),
                whole_nodes=True,
            )
        )
    return Inventory(partitions=tuple(found), problems=tuple(problems))


def _fact(cluster: Cluster, key: str, queue: str) -> "int | None":
    """What the site says about a node, for all queues or for each."""
    value = cluster.switches.get(key)
    if isinstance(value, Mapping):
        value = value.get(queue)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _names(value: str) -> Tuple[str, ...]:
    if text.empty(value) or value == "*":
        return ()
    return tuple(name for name in value.split(":") if name and name != "*")


def _nodes(result: Result, problems: List[str]) -> Dict[str, List[str]]:
    """States of the nodes by queue. nodelist exists only on clusters; elsewhere that is a problem to tell."""
    rows = text.table(result.out) if result.code == 0 else []
    if not rows:
        problems.append("nodes: {}".format(text.words(result.err) or "nodelist gave no answer"))
    found: Dict[str, List[str]] = {}
    for row in rows:
        for queue in row.get("queue", "").split(":"):
            found.setdefault(queue, []).append(row.get("state", ""))
    return found
