"""A first site file from what a scheduler says about itself: YAML text with comments, to read and to edit.

Pure: the inventory and the probed cluster come in, text goes out. It starts servers unedited where the scheduler
tells enough; what nobody can guess is marked SET.
"""

from __future__ import annotations

import json
import re

from . import schedulers, sitecheck
from .fields import FIELDS
from .job import Cluster, Inventory, PartitionInfo
from .units import format_memory, format_walltime

LEAST_MEMORY = 512
"""MiB. A node that claims less was not described to the scheduler (Slurm's RealMemory is 1 by default)."""
USUAL_WALLTIME = 2 * 3600
USUAL_MEMORY = 4096

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*\Z")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null"}


def discover(cluster: Cluster, inventory: Inventory, python: str, hub_url: str) -> str:
    """The text of a site file. python: '' where no Python for the servers was found; hub_url: '' the hub's own."""
    dialect = schedulers.load(cluster.scheduler)
    usable = [info for info in _ordered(inventory) if info.up and _is_name("partition", info.name)]
    lines = _head(cluster, dialect.TITLE)
    lines += _cluster(cluster, python, hub_url)
    lines += [f"    # The scheduler did not tell: {_comment(problem)}" for problem in inventory.problems]
    left_out = [info for info in inventory.partitions if info not in usable]
    if "partition" in dialect.FIELDS and usable:
        lines.append("    partitions:")
        for info in usable:
            lines += _partition(info, dialect.FIELDS)
    for info in left_out:
        why = "is down now" if not info.up else "has a name that can't be offered"
        lines.append(f"    # {_comment(info.name)} {why}; it is left out")
    lines += _tail()
    lines += ["# One card of the form for each of these.", "profiles:"] if usable else []
    for info in usable:
        lines += _profile(info, dialect.FIELDS)
    return "\n".join(lines).rstrip("\n") + "\n"


def _head(cluster: Cluster, title: str) -> list[str]:
    version = f" {_comment(cluster.version)}" if cluster.version else ""
    return [
        f"# Site file of hpcspawner, made by `hpcspawner discover` from what {title}{version} said.",
        "# Lines with SET need an answer. All else is a first guess to edit: docs/site-file.md explains each key,",
        "# and `hpcspawner check ./site.yaml` tries this file on the machine.",
        "",
        f"name: {quoted(_name(cluster.name))}",
        f"title: {quoted(cluster.name)}",
        "prefix: jupyter # first part of the names of all jobs",
        "",
    ]


def _cluster(cluster: Cluster, python: str, hub_url: str) -> list[str]:
    out = ["clusters:", f"  {_name(cluster.name)}:", f"    scheduler: {cluster.scheduler}"]
    if cluster.commands:
        out.append(f"    commands: {quoted(cluster.commands)}")
    if cluster.environment:
        out.append("    environment:")
        out += [f"      {name}: {quoted(value)}" for name, value in cluster.environment.items()]
    if cluster.family:
        out.append(f"    # family: {_comment(cluster.family)}    found by itself; write it only to overrule that")
    found = "has jupyterhub and JupyterLab here; the nodes must see it at the same path"
    lacking = "SET: a Python 3.10 or newer with jupyterhub and JupyterLab that all nodes see"
    out += [
        "    # How the hub acts as a user: root where it runs as root, else as itself. sudo and ssh: docs/site-file.md",
        "    # way: sudo",
        f"    # {found if python else lacking}",
        f"    server: {quoted(python or 'python3')}",
        "    address: hostname # how the hub reaches a node; or fqdn, interface:ib0, a template such as {node}-ib0",
        "    # ports: 9000-9999    SET, where a firewall is between hub and nodes; else any port is taken",
        "    # node_networks: [10.0.0.0/16]    SET, to refuse reports from elsewhere",
    ]
    if hub_url:
        out.append(f"    hub_url: {quoted(hub_url)}")
    else:
        out.append("    # hub_url: http://hub.example.org:8081/hub/api    SET, if nodes know the hub by another name")
    return out


def _partition(info: PartitionInfo, known: tuple[str, ...]) -> list[str]:
    out = [f"      {quoted(info.name)}:"]
    if info.groups:
        out.append("        rules:")
        out.append(f"          groups: [{', '.join(quoted(group) for group in info.groups)}]")
    if info.whole_nodes:
        out.append("        exclusive: true # jobs get whole nodes here")
    limits = _limits(info, known)
    if limits:
        out.append("        fields:")
        out += [f"          {option}: {{ {limit} }}" for option, limit in limits]
    if "memory" in known and not _memory(info):
        out.append("        omit: [memory] # the scheduler does not know the memory of the nodes")
    if _gpus(info) and "gpus" in known:
        out.append("        gpu_types:")
        for name, (kind, count) in _gpus(info).items():
            request = f"request: {quoted(kind)}, " if kind != name else ""
            out.append(f"          {quoted(name)}: {{ {request}max: {count} }}")
    return out if len(out) > 1 else [f"      {quoted(info.name)}: {{}}"]


def _limits(info: PartitionInfo, known: tuple[str, ...]) -> list[tuple[str, str]]:
    """Default and maximum of each option. Sites may refuse jobs without a walltime, so each one gets a default."""
    walltime, memory = _usual_walltime(info), _memory(info)
    found = [("cores", _between("1", str(info.cores or "")))]
    if info.max_nodes or info.nodes:
        found.insert(0, ("nodes", f"max: {info.max_nodes or info.nodes}"))
    if memory:
        found.append(("memory", _between(format_memory(min(USUAL_MEMORY, memory)), format_memory(memory))))
    most = format_walltime(info.max_walltime) if info.max_walltime else ""
    found.append(("walltime", _between(f'"{format_walltime(walltime)}"', most and f'"{most}"')))
    return [(option, limit) for option, limit in found if option in known]


def _between(default: str, most: str) -> str:
    return f"default: {default}" + (f", max: {most}" if most else "")


def _usual_walltime(info: PartitionInfo) -> int:
    usual = max(info.default_walltime or USUAL_WALLTIME, info.min_walltime or 0, 60)
    return min(usual, info.max_walltime or usual)


def _profile(info: PartitionInfo, known: tuple[str, ...]) -> list[str]:
    name = _name(info.name)
    out = [f"  {quoted(name)}:", f"    title: {quoted(info.name)}", "    fields:"]
    if "partition" in known:
        out.append(f"      partition: {quoted(info.name)}")
    for option, limit in _limits(info, known):
        least = f"min: {LEAST_MEMORY}M, " if option == "memory" else ""  # a Jupyter server needs some
        if option != "nodes":
            out.append(f"      {option}: {{ {least}{limit} }}")
    if _gpus(info) and "gpus" in known:
        types = [quoted(gpu) for gpu in _gpus(info)]
        most_gpus = max(count for _, count in _gpus(info).values())
        out.append(f"      gpus: {{ default: 1, min: 1, max: {most_gpus} }}")
        out.append(f"      gpu_type: {types[0] if len(types) == 1 else '[' + ', '.join(types) + ']'}")
    if out[-1] == "    fields:":
        out.pop()
    return [*out, "    idle: 120 # minutes without work after which the server ends", "    unclaimed: 30", ""]


def _tail() -> list[str]:
    return [
        "",
        "# Kernels besides the one of the server's Python, each with the lines that its users would type:",
        "# environments:",
        "#   python:",
        "#     title: Python (module)",
        "#     setup: module load python",
        "#     python: python3",
        "",
        "# Users may leave the profiles and choose everything themselves, within the limits of the partitions.",
        "free_choice: true",
        "idle: 120",
        "unclaimed: 30",
        "",
    ]


def _ordered(inventory: Inventory) -> list[PartitionInfo]:
    """The scheduler's default partition first: the first one is the default of the form."""
    return sorted(inventory.partitions, key=lambda info: not info.default)


def _memory(info: PartitionInfo) -> int:
    return info.memory if info.memory and info.memory >= LEAST_MEMORY else 0


def _gpus(info: PartitionInfo) -> dict[str, tuple[str, int]]:
    """Name for users -> the scheduler's own name and the most on one node."""
    out: dict[str, tuple[str, int]] = {}
    for kind, count in info.gpus.items():
        name = kind if _is_name("gpu_type", kind) else "gpu"
        if count > 0 and name not in out:
            out[name] = (kind, count)
    return out


def _is_name(option: str, text: str) -> bool:
    try:
        FIELDS[option].parse(text)
    except ValueError:
        return False
    return True


def _name(text: str) -> str:
    """A name that the site file takes: other characters become '-'."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip("._-")[:64]
    return name if sitecheck.NAME.match(name) else "cluster"


def _comment(text: str) -> str:
    """What a scheduler said must not end the comment that it stands in."""
    return "".join(mark if mark.isprintable() else " " for mark in text)


def quoted(text: str) -> str:
    """A YAML scalar that reads back as exactly this text."""
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    # Printable characters stay; JSON's \\u escapes of two halves would not read back in YAML.
    return "".join(mark if mark.isprintable() else _escaped(mark) for mark in json.dumps(text, ensure_ascii=False))


def _escaped(mark: str) -> str:
    return f"\\u{ord(mark):04x}" if ord(mark) < 0x10000 else f"\\U{ord(mark):08x}"
