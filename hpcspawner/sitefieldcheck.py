"""Cross checks of the 'fields' in a site: defaults within limits, names that exist, limits that leave a choice.

A profile that nobody could ever start is the admin's mistake, and is told here rather than to a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import schedulers
from .fields import FIELDS, Value
from .job import Inventory, PartitionInfo
from .sitekeys import spelling
from .sitemodel import ClusterSite, FieldRule, Partition, Profile, Site
from .units import shown

Found = Iterator[tuple[str, str]]

FREE = ("environment", "app", "workdir")
"""Options that every scheduler can carry, since no directive is made of them."""


def check(site: Site, inventories: Mapping[str, Inventory]) -> Found:
    """Problems of all 'fields' as (path, words)."""
    yield from _scope(site, "fields", site.fields, tuple(site.clusters.values()))
    for name, cluster in site.clusters.items():
        inventory = inventories.get(name)
        shown_now = {info.name: info for info in inventory.partitions} if inventory else {}
        for partition in cluster.partitions.values():
            path = f"clusters.{name}.partitions.{partition.name}"
            yield from _scope(site, f"{path}.fields", partition.fields, (cluster,))
            if inventory and partition.name not in shown_now:
                yield path, "the scheduler shows no partition of this name" + spelling(partition.name, shown_now)
    for name, profile in site.profiles.items():
        chosen = cluster_of(site, profile)
        if chosen:
            yield from _scope(site, f"profiles.{name}.fields", profile.fields, (chosen,))
            yield from _profile(site, f"profiles.{name}.fields", profile, chosen, inventories)


def cluster_of(site: Site, profile: Profile) -> ClusterSite | None:
    """The cluster of a profile; None where the file names one that is not there."""
    return site.clusters.get(profile.cluster or next(iter(site.clusters), ""))


def dialect(cluster: ClusterSite) -> schedulers.Scheduler | None:
    """The dialect, or None where it is not known; that is told elsewhere."""
    try:
        return schedulers.load(cluster.cluster.scheduler)
    except (ValueError, ImportError):
        return None


def _scope(site: Site, path: str, fields: Mapping[str, FieldRule], clusters: tuple[ClusterSite, ...]) -> Found:
    """Each rule alone, and the names that it mentions."""
    for option, rule in fields.items():
        below = f"{path}.{option}"
        yield from ((below, words) for words in _alone(option, rule))
        dialects = [found for cluster in clusters if (found := dialect(cluster))]
        if option not in FREE and dialects and not any(option in known.FIELDS for known in dialects):
            yield below, f"{dialects[0].TITLE} does not know this option"
        names = _known(site, option, clusters)
        for value in _values(rule):
            if names is not None and value not in names:
                yield below, f"{shown(value)} is no {option} of this site" + spelling(str(value), names)


def _known(site: Site, option: str, clusters: tuple[ClusterSite, ...]) -> set[str] | None:
    """Names that may stand for that option; None where any may."""
    keys = {cluster.cluster.name for cluster in clusters}
    if option == "environment":
        return {name for name, found in site.environments.items() if not found.clusters or keys & {*found.clusters}}
    if option == "app":
        return set(site.apps)
    if option == "partition":
        return {name for c in clusters for name in c.partitions}
    if option == "account":
        return {name for c in clusters for name in c.accounts} if all(c.accounts for c in clusters) else None
    if option == "gpu_type":
        return {name for c in clusters for part in c.partitions.values() for name in part.gpu_types}
    return None


def _alone(option: str, rule: FieldRule) -> Iterator[str]:
    low, high = rule.min, rule.max
    if low is not None and high is not None and low > high:
        yield f"min {say(option, low)} is more than max {say(option, high)}"
    for value in _values(rule):
        yield from _outside(option, value, low, high, ("min", "max"))
    if rule.choices and rule.default is not None and rule.default not in rule.choices:
        yield f"default {say(option, rule.default)} is not among the choices"
    if rule.fixed and rule.default is None:
        yield "is fixed or hidden, so it needs a default"
    if rule.fixed and (rule.choices or low is not None or high is not None):
        yield "is fixed or hidden, so limits and choices have no meaning"


def _profile(
    site: Site, path: str, profile: Profile, cluster: ClusterSite, inventories: Mapping[str, Inventory]
) -> Found:
    """The profile against the whole site, and against its partition where there is only one it can mean."""
    partition, info = _partition(site, profile, cluster, inventories.get(cluster.cluster.name))
    for option, rule in profile.fields.items():
        below = f"{path}.{option}"
        yield from _against(below, option, rule, site.fields.get(option), "the whole site")
        if partition:
            where = f"partition {partition.name}"
            yield from _against(below, option, rule, partition.fields.get(option), where)
            if option in partition.omit:
                yield below, f"{where} must not get it (omit)"
        if info:
            now = FieldRule(max=_most(option, info))
            yield from _against(below, option, rule, now, f"partition {info.name}, as the scheduler shows it,")
    if partition:
        yield from _gpus(path, profile, partition)


def _partition(
    site: Site, profile: Profile, cluster: ClusterSite, inventory: Inventory | None
) -> tuple[Partition | None, PartitionInfo | None]:
    rule = profile.fields.get("partition") or site.fields.get("partition")
    values = set(_values(rule)) if rule and (rule.fixed or rule.choices) else set(cluster.partitions)
    if len(values) != 1:
        return None, None
    name = str(values.pop())
    infos = [info for info in inventory.partitions if info.name == name] if inventory else []
    return cluster.partitions.get(name), infos[0] if infos else None


def _gpus(path: str, profile: Profile, partition: Partition) -> Found:
    count, kind = profile.fields.get("gpus"), profile.fields.get("gpu_type")
    needed = max([value for value in (count.default, count.min) if isinstance(value, int)] if count else [0], default=0)
    if not needed:
        return
    if not partition.gpu_types:
        yield f"{path}.gpus", f"partition {partition.name} has no gpu_types"
        return
    types = set(map(str, _values(kind))) if kind else set(partition.gpu_types)
    for name in sorted(types - set(partition.gpu_types)):
        yield (
            f"{path}.gpu_type",
            f"{shown(name)} is not in partition {partition.name}" + spelling(name, partition.gpu_types),
        )
    sizes = [partition.gpu_types[name].max for name in types & set(partition.gpu_types)]
    if sizes and needed > max(sizes):
        yield f"{path}.gpus", f"{needed} is more than {max(sizes)}, the most of partition {partition.name}"


def _against(path: str, option: str, rule: FieldRule, other: FieldRule | None, where: str) -> Found:
    """Whether the other rule leaves anything of this one."""
    if other is None:
        return
    labels = (f"the least of {where}", f"the most of {where}")
    for value in (rule.default, *rule.choices):
        if value is not None:
            yield from ((path, words) for words in _outside(option, value, other.min, other.max, labels))
    if rule.min is not None and other.max is not None and rule.min > other.max:
        yield path, f"min {say(option, rule.min)} is more than {say(option, other.max)}, {labels[1]}"
    if rule.max is not None and other.min is not None and rule.max < other.min:
        yield path, f"max {say(option, rule.max)} is less than {say(option, other.min)}, {labels[0]}"
    if other.fixed and rule.default is not None and other.default is not None and rule.default != other.default:
        yield path, f"{say(option, rule.default)} is not {say(option, other.default)}, which {where} fixes"
    elif other.choices and rule.default is not None and rule.default not in other.choices:
        yield path, f"{say(option, rule.default)} is not among the choices of {where}"


def _outside(option: str, value: Value, low: int | None, high: int | None, labels: tuple[str, str]) -> Iterator[str]:
    if not isinstance(value, int):
        return
    if low is not None and value < low:
        yield f"{say(option, value)} is less than {say(option, low)}, {labels[0]}"
    if high is not None and value > high:
        yield f"{say(option, value)} is more than {say(option, high)}, {labels[1]}"


def _values(rule: FieldRule) -> list[Value]:
    values = ([] if rule.default is None else [rule.default]) + list(rule.choices)
    return list(dict.fromkeys(values))


def _most(option: str, info: PartitionInfo) -> int | None:
    most = {
        "nodes": info.max_nodes,
        "cores": info.cores,
        "memory": info.memory,
        "walltime": info.max_walltime,
        "gpus": max(info.gpus.values(), default=0) or None,
    }
    return most.get(option)


def say(option: str, value: Value) -> str:
    """A value as the site file writes it."""
    return FIELDS[option].text(value)
