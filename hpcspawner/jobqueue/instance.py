"""The instance: an id made once, and the lock that keeps two processes from one journal."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path

_INSTANCE = re.compile(r"[0-9a-f]{6}\Z")


class JournalError(Exception):
    """The journal cannot be used; str() names the file and the cause."""


def lock(path: Path) -> int:
    """Holds the lock as long as the descriptor is open; the kernel gives it back when the process dies."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise JournalError(f"{path}: another process (pid {owner}) uses this journal") from error
    os.truncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def instance(path: Path) -> str:
    """Six hex digits, made once: they tell this hub's jobs from those of a test hub or a gateway."""
    try:
        found = path.read_text("ascii").strip()
    except FileNotFoundError:
        found = ""
    except (OSError, UnicodeDecodeError) as error:
        raise JournalError(f"{path}: {error}") from error
    if found:
        if not _INSTANCE.match(found):
            raise JournalError(f"{path}: {found!r} is no instance id (six hex digits)")
        return found
    made = secrets.token_hex(3)
    new = path.with_suffix(".new")
    with open(new, "w", encoding="ascii") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    return made
