"""Looks for a Python that can run servers: jupyterhub and JupyterLab installed, open to every user.

Only looks at files. Whether the nodes see the same file is for `hpcspawner check` to find out.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

NEEDED = ("jupyterhub", "jupyterlab")
OLDEST = (3, 10)
PLACES = (
    "/opt/*/bin/python3",
    "/opt/*/*/bin/python3",
    "/usr/local/*/bin/python3",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
)

_LIB = re.compile(r"python(\d+)\.(\d+)\Z")


def find(environ: Mapping[str, str]) -> str:
    """The first Python that fits, the hub's own last; '' where there is none."""
    here = Path(sys.prefix) / "bin" / "python3"
    for python in [*candidates(environ), here]:
        if fits(python) and (python == here or python.parent.parent != here.parent.parent):
            return str(python)
    return ""


def candidates(environ: Mapping[str, str], places: Iterable[str] = PLACES) -> list[Path]:
    """Pythons worth a look: those of PATH, then those of the usual places."""
    on_path = [Path(folder) / "python3" for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    usual = [Path(found) for place in places for found in sorted(glob.glob(place))]
    return list(dict.fromkeys(python for python in [*on_path, *usual] if python.is_file()))


def fits(python: Path) -> bool:
    """Whether it holds what a server needs, and other users may run it."""
    # The path is not resolved: in a virtual environment python3 is a link out of it.
    prefix = python.parent.parent
    for lib in (*prefix.glob("lib/python3*"), *prefix.glob("local/lib/python3*")):
        version = _LIB.match(lib.name)
        if version and (int(version[1]), int(version[2])) < OLDEST:
            continue
        for packages in (lib / "site-packages", lib / "dist-packages"):
            if all((packages / name / "__init__.py").is_file() for name in NEEDED) and open_to_all(packages):
                return open_to_all(python.resolve())
    return False


def open_to_all(path: Path) -> bool:
    """Whether any user may reach it: a Python below somebody's closed home would run for nobody else."""
    try:
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents)):
            return False
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
