"""Kernel specifications for the users' environments, written into a directory of the job."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Iterable, Mapping

STARTER = """#!/bin/bash
# The modules of the server's Python have set these for another Python.
unset PYTHONPATH PYTHONHOME
{setup}
exec "$@"
"""


def directory_name(name: str) -> str:
    """A kernel's name as Jupyter allows it."""
    return re.sub(r"[^a-z0-9._-]", "-", name.lower())


def write(directory: str, kernels: Iterable[Mapping[str, Any]]) -> int:
    """Writes DIRECTORY/kernels/NAME for each kernel {"name", "title", "argv", "setup"}; how many. Raises OSError.

    A kernel without argv runs ipykernel with the "python3" that its set-up lines bring.
    """
    count = 0
    for kernel in kernels:
        folder = os.path.join(directory, "kernels", directory_name(str(kernel["name"])))
        os.makedirs(folder, 0o700, exist_ok=True)
        argv = [os.path.expanduser(word) for word in kernel.get("argv") or ["python3"]]
        if "{connection_file}" not in argv:
            argv += ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # In a file: in kernel.json, Jupyter would replace words in braces, such as those of ${prefix}.
        starter = os.path.join(folder, "start.sh")
        with open(starter, "w", encoding="utf-8") as file:
            file.write(STARTER.replace("{setup}", "\n".join(kernel.get("setup") or ())))
        spec = {
            "argv": ["/bin/bash", starter, *argv],
            "display_name": kernel.get("title") or kernel["name"],
            "language": kernel.get("language") or "python",
            "metadata": {"debugger": True},
        }
        with open(os.path.join(folder, "kernel.json"), "w", encoding="utf-8") as file:
            json.dump(spec, file)
        count += 1
    return count
