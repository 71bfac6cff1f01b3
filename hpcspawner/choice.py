"""What somebody starts with: a profile and the value of each option, complete and checked.

Standard library only, and Python 3.8 or newer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .fields import FIELDS, Value


@dataclasses.dataclass(frozen=True)
class Choice:
    """Made by options.validate only. Empty text and None: not sent, the batch system's default holds."""

    cluster: str
    profile: str = ""
    """Empty: free choice."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    reservation: str = ""
    nodes: int = 1
    cores: int | None = None
    """Per node, as memory and gpus are."""
    memory: int | None = None
    """MiB."""
    gpus: int = 0
    gpu_type: str = ""
    """The site's name of it."""
    walltime: int | None = None
    """Seconds."""
    environment: str = ""
    app: str = ""
    workdir: str = ""
    title: str = dataclasses.field(default="", compare=False)
    """The profile's heading."""

    def canonical(self) -> dict[str, Value]:
        """For JSON, and for options.validate, which makes the same choice of it again."""
        return {
            name: field.plain(getattr(self, name))
            for name, field in FIELDS.items()
            if getattr(self, name) not in (None, "")
        }

    def summary(self) -> str:
        """One line for people: 'Small · main · 2 cores · 4 GiB · 2 h'."""
        parts: list[str] = [self.title or self.profile or self.cluster, self.partition]
        if self.nodes > 1:
            parts.append(FIELDS["nodes"].say(self.nodes))
        parts += [FIELDS[name].say(getattr(self, name)) for name in ("cores", "memory") if getattr(self, name)]
        if self.gpus:
            parts.append(" ".join(part for part in (FIELDS["gpus"].say(self.gpus), self.gpu_type) if part))
        if self.walltime:
            parts.append(FIELDS["walltime"].say(self.walltime))
        # A card named like its partition is not told twice.
        return " · ".join(dict.fromkeys(part for part in parts if part))


def restored(canonical: Mapping[str, Any], title: str = "") -> Choice:
    """A choice that was kept: values are parsed but no longer measured against the site, whose limits may have changed.

    Raises ValueError where it can't be read at all.
    """
    values = {name: FIELDS[name].parse(value) for name, value in canonical.items() if name in FIELDS}
    return Choice(title=title, **{"cluster": "", **values})  # type: ignore[arg-type]
