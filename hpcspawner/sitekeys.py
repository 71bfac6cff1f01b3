"""The keys of a site file, taken from the dataclasses of sitemodel: reader, schema and reference all start here.

The file differs from the model in few points: names are the keys of mappings, a cluster's scheduler settings stand
beside its other keys, and each key has a kind that says how its value is written.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from typing import Any

from . import fields, schedulers, sitemodel
from .sitemodel import (
    App,
    ClusterSite,
    Dask,
    Environment,
    FieldRule,
    GpuType,
    Partition,
    Profile,
    Rules,
    ServerPython,
    Site,
    Way,
)

REQUIRED = object()
"""Default of a key that must be there."""

KINDS: dict[str, str] = {
    "text": "text",
    "path": "path",
    "url": "URL",
    "integer": "whole number",
    "number": "number",
    "flag": "true or false",
    "texts": "list of texts",
    "words": "list of words",
    "lines": "lines: a text, a block or a list",
    "memory": "memory",
    "ports": "range such as 9000-9100",
    "texts by name": "texts by name",
    "switches": "values by name",
    "object": "keys of its own",
    "named": "entries by name",
    "fields": "limits by option",
    "omit": "list of options",
    "value": "value of the option",
    "values": "list of values",
}
"""Kind of value -> words for the reference."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of the file."""

    name: str
    kind: str
    doc: str
    default: Any = REQUIRED
    of: type | None = None
    """Class of an 'object', or of the entries of a 'named' mapping."""
    words: tuple[str, ...] = ()
    """The only texts allowed, where not empty."""
    least: float | None = None
    """Smallest number allowed."""


SECTIONS: tuple[type, ...] = (
    Site,
    ClusterSite,
    Way,
    ServerPython,
    Partition,
    GpuType,
    Dask,
    Environment,
    App,
    Profile,
    FieldRule,
    Rules,
)
"""Classes that are sections of the file, in the order of the reference."""

FIELD_OPTIONS = tuple(option for option in sitemodel.OPTIONS if option not in ("cluster", "profile"))
"""Options for which 'fields' may set limits."""

OMITTABLE = tuple(o for o in FIELD_OPTIONS if o not in ("partition", "environment", "app", "workdir"))
"""Options that a partition may have to leave out."""

NUMBERS = tuple(name for name, field in fields.FIELDS.items() if field.numeric)
"""Options that have a smallest and a largest value."""

ALIASES: dict[type, dict[str, str]] = {ClusterSite: {"queues": "partitions"}, Site: {}}
"""Second names of keys."""

SHORT: dict[type, str] = {Way: "kind", ServerPython: "python", GpuType: "max"}
"""Sections for which a single value may stand, and the key that it means: 'way: sudo', 'a100: 4'."""

_CLUSTER_KEYS = (
    Key("scheduler", "text", "The batch system.", words=tuple(schedulers.names())),
    Key("commands", "path", "Directory of the scheduler's commands; empty: found on PATH.", ""),
    Key(
        "environment",
        "texts by name",
        "Variables for the scheduler's commands (SLURM_CONF, LSF_ENVDIR, ...).",
        {},
    ),
    Key("family", "text", "Variant of the scheduler where detection is to be overruled.", ""),
    Key("switches", "switches", "Switches that only this scheduler's dialect understands.", {}),
)

_KINDS: dict[tuple[type, str], str] = {
    (ClusterSite, "ports"): "ports",
    (ClusterSite, "hub_url"): "url",
    (ServerPython, "setup"): "lines",
    (Environment, "setup"): "lines",
    (Dask, "setup"): "lines",
    (Dask, "ports"): "ports",
    (Dask, "scratch"): "path",
    (Dask, "scheduler_memory"): "memory",
    (ClusterSite, "partitions"): "named",
    (App, "command"): "words",
    (App, "wrap"): "words",
    (Partition, "omit"): "omit",
    (FieldRule, "default"): "value",
    (FieldRule, "min"): "value",
    (FieldRule, "max"): "value",
    (FieldRule, "choices"): "values",
    (Site, "state_dir"): "path",
    (Site, "log_dir"): "path",
    **{(Way, name): "path" for name in ("helper", "python", "sudo", "identity", "known_hosts")},
    **{(cls, "python"): "path" for cls in (ServerPython, Environment, Dask)},
    **{(cls, "directives"): "lines" for cls in (ClusterSite, Partition, Profile)},
}

_WORDS: dict[tuple[type, str], tuple[str, ...]] = {
    (Way, "kind"): ("auto", "self", "root", "sudo", "ssh"),
    (ClusterSite, "query_as"): ("hub", "owner"),
}

_LEAST: dict[tuple[type, str], float] = {
    (GpuType, "max"): 1,
    (ClusterSite, "poll_fast"): 0.5,
    (ClusterSite, "poll_slow"): 0.5,
    (ClusterSite, "grace"): 0,
    (ClusterSite, "command_timeout"): 1,
    (ClusterSite, "submit_timeout"): 1,
    (ClusterSite, "lost_submit_limit"): 0,
    (ClusterSite, "submits_per_second"): 0.01,
    (ClusterSite, "parallel_helpers"): 1,
    **{(Dask, name): 0 for name in ("max_clusters", "max_workers", "max_cores", "idle_timeout", "headroom")},
    **{(Dask, name): 1 for name in ("workers", "start_timeout", "scheduler_cores")},
    (Profile, "idle"): 0,
    (Profile, "unclaimed"): 0,
    (Profile, "queue_timeout"): 1,
    (Profile, "start_timeout"): 1,
    (Site, "idle"): 0,
    (Site, "unclaimed"): 0,
    (Site, "keep_logs"): 0,
    # 0 would let the helper act as root.
    (Site, "min_uid"): 1,
    (Site, "format"): 1,
}


@functools.cache
def keys(cls: type) -> dict[str, Key]:
    """The keys of a section, in the order of the model."""
    hints = typing.get_type_hints(cls)
    out: dict[str, Key] = {}
    for field in dataclasses.fields(cls):
        if cls is ClusterSite and field.name == "cluster":
            out.update((key.name, key) for key in _CLUSTER_KEYS)
        elif field.name != "name" or cls is Site:
            out[field.name] = _key(cls, field, hints[field.name])
    return out


def named(cls: type) -> bool:
    """Whether the section's own name is the key above it."""
    return cls is not Site and any(field.name in ("name", "cluster") for field in dataclasses.fields(cls))


def spelling(name: str, known: typing.Iterable[str]) -> str:
    """' (did you mean ...?)' where one of the known names is close, else ' (known: ...)'."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1, 0.6)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (known: {', '.join(names)})" if names else ""


def _key(cls: type, field: dataclasses.Field[Any], hint: Any) -> Key:
    place = (cls, field.name)
    kind, of = _shape(hint)
    default: Any = REQUIRED
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return Key(
        field.name,
        _KINDS.get(place, kind),
        field.metadata.get("doc", ""),
        default,
        of,
        _WORDS.get(place, ()),
        _LEAST.get(place),
    )


def _shape(hint: Any) -> tuple[str, type | None]:
    simple = {str: "text", int: "integer", float: "number", bool: "flag"}
    if hint in simple:
        return simple[hint], None
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return "object", hint
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return "texts", None
    if origin is typing.Union:
        return "value", None
    of: type = inner[1]
    if of is FieldRule:
        return "fields", of
    return ("texts by name", None) if of is str else ("named", of)
