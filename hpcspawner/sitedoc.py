"""docs/reference-site.md, made from the model: each section of the site file, each key, its default and meaning."""

from __future__ import annotations

from typing import Any

from . import schedulers, sitekeys
from .fields import FIELDS
from .sitekeys import REQUIRED, Key
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
from .units import MEMORY_GRAMMAR, WALLTIME_GRAMMAR, format_memory

_HEAD = """# Site file: reference

Made from the code (`hpcspawner/sitemodel.py`); [site-file.md](site-file.md) is the guide. Editors with a YAML plugin
complete and check keys with [site.schema.json](../deploy/sites/site.schema.json) (`hpcspawner site schema` prints it).

- Memory is {memory}. Walltime is {walltime}.
- A list may be written as a single value. Lines (of a shell, or directives) may also be a block (`|`).
- `true`/`false` may be written yes/no and on/off. Times, leading zeros and words such as `no` need no quotes.
- A key that is not known, or is written twice, is an error. So is a key without a value.
"""

_WHERE: dict[type, tuple[str, str]] = {
    Site: ("The file", ""),
    ClusterSite: ("A cluster", "`clusters.<name>`"),
    Way: ("The way to the helper", "`clusters.<name>.way`. A single word is its `kind`: `way: sudo`."),
    ServerPython: ("The server's Python", "`clusters.<name>.server`. A single text is its `python`."),
    Partition: ("A partition or queue", "`clusters.<name>.partitions.<name>`"),
    GpuType: ("A GPU type", "`clusters.<name>.partitions.<name>.gpu_types.<name>`. A single number is its `max`."),
    Dask: ("Dask", "`clusters.<name>.dask`"),
    Environment: ("A software environment", "`environments.<name>`"),
    App: ("An app", "`apps.<name>`"),
    Profile: ("A profile", "`profiles.<name>`"),
    FieldRule: (
        "The fields",
        "`profiles.<name>.fields`, `clusters.<name>.partitions.<name>.fields` and `fields`: one entry for each option. "
        "A single value is fixed, a list is a choice whose first entry is the default, and keys say more:",
    ),
    Rules: (
        "Rules",
        "`rules` of a partition, environment, app or profile, and the entries of `account_rules`. One match in any "
        "list is enough. Without rules everybody may; rules that name nobody are an error.",
    ),
}


def reference() -> str:
    """The whole page."""
    parts = [_HEAD.format(memory=MEMORY_GRAMMAR, walltime=WALLTIME_GRAMMAR)]
    for cls in sitekeys.SECTIONS:
        title, where = _WHERE[cls]
        parts.append(f"## {title}\n")
        if where:
            parts.append(f"{where}\n")
        parts.append(_table(cls))
        if cls is FieldRule:
            parts.append(_options())
    parts.append(_schedulers())
    return "\n".join(parts)


def _table(cls: type) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    aliases = {name: alias for alias, name in sitekeys.ALIASES.get(cls, {}).items()}
    for key in sitekeys.keys(cls).values():
        name = f"`{key.name}`" + (f" or `{aliases[key.name]}`" if key.name in aliases else "")
        rows.append(f"| {name} | {_value(key)} | {_default(key)} | {_cell(key.doc)} |")
    return "\n".join(rows) + "\n"


def _value(key: Key) -> str:
    if key.name == "scheduler":
        return "one of the [schedulers](#schedulers)"
    if key.words:
        return ", ".join(f"`{word}`" for word in key.words)
    if key.of is not None and key.kind in ("object", "named"):
        title = _WHERE[key.of][0]
        anchor = title.lower().replace(" ", "-").replace("'", "")
        link = f"[{title[0].lower()}{title[1:]}](#{anchor})"
        return link if key.kind == "object" else f"by name: {link}"
    if key.kind in ("fields", "omit"):
        return "[by option](#the-fields)" if key.kind == "fields" else "list of [options](#the-fields)"
    least = f", at least {key.least:g}" if key.least is not None else ""
    return sitekeys.KINDS[key.kind] + least


def _default(key: Key) -> str:
    default: Any = key.default
    if default is REQUIRED:
        return "must be there"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple) and key.kind == "ports":
        return f"`{default[0]}-{default[1]}`"
    if key.kind == "memory":
        return f"`{format_memory(default)}`"
    if isinstance(default, (int, str)) and default != "":
        return f"`{default}`"
    return f"`{default:g}`" if isinstance(default, float) else ""


def _options() -> str:
    rows = ["| option | value | meaning |", "|---|---|---|"]
    for name in sitekeys.FIELD_OPTIONS:
        field = FIELDS[name]
        kind = {"count": "whole number", "name": "name", "path": "directory"}.get(field.kind, field.kind)
        rows.append(f"| `{name}` | {kind} | {_cell(f'{field.label}. {field.help}'.strip())} |")
    return "The options:\n\n" + "\n".join(rows) + "\n"


def _schedulers() -> str:
    lines = ["## Schedulers\n", "| `scheduler` | batch system | options that its jobs can carry |", "|---|---|---|"]
    switches = []
    for name in schedulers.names():
        dialect = schedulers.load(name)
        fields = ", ".join(option for option in sitekeys.FIELD_OPTIONS if option in dialect.FIELDS)
        lines.append(f"| `{name}` | {_cell(dialect.TITLE)} | {fields} |")
        switches += [f"| `{name}` | `{switch}` | {_cell(text)} |" for switch, text in sorted(dialect.SWITCHES.items())]
    if switches:
        lines += ["\nTheir `switches`:\n", "| `scheduler` | switch | meaning |", "|---|---|---|", *switches]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
