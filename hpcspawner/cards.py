"""The words on a card of the form: what the profile gives, and how busy its partition is."""

from __future__ import annotations

import dataclasses

from .choice import Choice
from .fields import FIELDS
from .job import Inventory, PartitionInfo
from .limits import partition_info
from .sitemodel import Site
from .units import say_walltime


@dataclasses.dataclass(frozen=True)
class Live:
    """How busy a partition is: state is free, busy, down or '' (not known)."""

    state: str = ""
    text: str = ""


NOT_KNOWN = Live()


def facts(site: Site, choice: Choice, info: PartitionInfo | None = None) -> tuple[str, ...]:
    """What a start with the defaults gets, in a few words each. info: its partition, as the scheduler shows it."""
    cluster = site.clusters[choice.cluster]
    place = cluster.partitions.get(choice.partition)
    found = []
    if choice.nodes > 1:
        found.append(FIELDS["nodes"].say(choice.nodes))
    for name in ("cores", "memory"):
        value = getattr(choice, name)
        if value:
            each = " a node" if choice.nodes > 1 else ""
            found.append(FIELDS[name].say(value) + each)
    if choice.gpus:
        kind = place.gpu_types.get(choice.gpu_type) if place else None
        title = (kind.title or choice.gpu_type) if kind else ""
        found.append(f"{choice.gpus} × {title}" if title else FIELDS["gpus"].say(choice.gpus))
    if info is not None and (info.whole_nodes or whole_nodes(site, choice)) and not choice.cores:
        found += of_node(info)
    if whole_nodes(site, choice):
        found.append("whole node" if choice.nodes == 1 else "whole nodes")
    if choice.walltime:
        found.append(say_walltime(choice.walltime))
    if place is not None:
        found.append(place.title or place.name)
    return tuple(found)


def of_node(info: PartitionInfo) -> list[str]:
    """What each node has that nobody needs to ask for."""
    gpus = sum(info.gpus.values())
    sizes = (("cores", info.cores), ("memory", info.memory), ("gpus", gpus))
    return [f"{FIELDS[name].say(value)} a node" for name, value in sizes if value]


def whole_nodes(site: Site, choice: Choice) -> bool:
    profile = site.profiles.get(choice.profile)
    place = site.clusters[choice.cluster].partitions.get(choice.partition)
    return bool((profile and profile.exclusive) or (place and place.exclusive))


def live(inventory: Inventory | None, choice: Choice, *, whole: bool = False) -> Live:
    """What the scheduler showed last about the partition of a choice."""
    info = partition_info(inventory, choice.partition)
    if info is None:
        return NOT_KNOWN
    if not info.up:
        return Live("down", "starts no jobs at present")
    text = free(info)
    if not text:
        return NOT_KNOWN
    return Live("free" if _fits_now(info, choice, whole or info.whole_nodes) else "busy", text)


def free(info: PartitionInfo) -> str:
    """'87 cores free, 3 nodes idle'; empty where the scheduler does not tell."""
    parts = []
    if info.free_cores is not None:
        parts.append(f"{FIELDS['cores'].say(info.free_cores)} free")
    if info.free_nodes is not None:
        of = f" of {info.nodes}" if info.nodes else ""
        parts.append(f"{info.free_nodes}{of} {'node' if (info.nodes or info.free_nodes) == 1 else 'nodes'} idle")
    return ", ".join(parts)


def free_cores(info: PartitionInfo) -> str:
    """The same in short: '87 cores free', 'starts no jobs at present'."""
    if not info.up:
        return "starts no jobs at present"
    return "" if info.free_cores is None else f"{FIELDS['cores'].say(info.free_cores)} free"


def age(seconds: float) -> str:
    """'just now', '40 s ago', '3 min ago'."""
    if seconds < 10:
        return "just now"
    rounded = int(seconds // 10 * 10) if seconds < 60 else int(seconds // 60 * 60)
    return f"{say_walltime(rounded)} ago"


def _fits_now(info: PartitionInfo, choice: Choice, whole: bool) -> bool:
    """Whether as much is idle as the defaults need. No promise: others wait too, and memory is not counted."""
    if whole or info.free_cores is None:
        return (info.free_nodes or 0) >= choice.nodes
    return info.free_cores >= choice.nodes * (choice.cores or 1)
