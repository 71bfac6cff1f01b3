"""Whether the kernel has ended processes of this job because they needed more memory than the job has."""

from __future__ import annotations

import os
from typing import Iterator

CGROUPS = "/sys/fs/cgroup"
OWN = "/proc/self/cgroup"


def killed(own: str = OWN, mount: str = CGROUPS) -> int:
    """How many processes of this control group the kernel has ended so far; 0 where it does not tell."""
    return max([0, *(_count(path) for path in _files(own, mount))])


def _files(own: str, mount: str) -> Iterator[str]:
    for line in _read(own).splitlines():
        if line.count(":") < 2:
            continue
        _, names, path = line.split(":", 2)
        if not names:  # the one tree of version 2
            yield os.path.join(mount, path.lstrip("/"), "memory.events")
        elif "memory" in names.split(","):
            yield os.path.join(mount, "memory", path.lstrip("/"), "memory.oom_control")


def _count(path: str) -> int:
    rows = (line.split() for line in _read(path).splitlines())
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == "oom_kill" and row[1].isdigit()), 0)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
