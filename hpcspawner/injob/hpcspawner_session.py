"""What the wrapper tells the server it starts, and what the server notes for the wrapper to read when it has ended."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Mapping

VARIABLE = "HPCSPAWNER_SESSION"
"""Names the session file: {"report", "body", "bind", "ports", "idle", "unclaimed", "ends", "notes", "busy"}."""


def read(path: str) -> Dict[str, Any]:
    """A JSON object; empty where there is none (yet)."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write(path: str, value: Mapping[str, Any], lasting: bool = False) -> None:
    """Replaces a JSON file at once, readable by its owner only; lasting: other machines read it. Raises OSError."""
    temporary = "{}.{}".format(path, os.getpid())
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def note(path: str, **items: Any) -> None:
    """Adds to the notes: "port" that was tried, "reported": true, "reason" why the server is to end."""
    try:
        write(path, {**read(path), **items})
    except OSError:
        pass  # a full disk must not end a server
