"""The ways to the helper: what to run so that it acts as a user, and where its files on the hub lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .sitemodel import Way

ROOT_DIRECTORIES = ("/var/lib/hpcspawner", "/run/hpcspawner")
"""Where a hub that is root keeps the packed helper if its own state directory is closed to users."""


def _self(way: Way, user: str, program: str, socket: str) -> list[str]:
    return [way.python, "-I", "-S", program]


def _sudo(way: Way, user: str, program: str, socket: str) -> list[str]:
    helper = [way.python, "-I", "-S", way.helper]
    return [way.sudo, "-n", "-u", user, "--", *helper] if user else helper


def _ssh(way: Way, user: str, program: str, socket: str) -> list[str]:
    """One connection serves all calls; the host's key must be the pinned one, and nothing is ever asked."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": way.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "IdentityFile": way.identity,
        "ControlMaster": "auto",
        "ControlPath": socket,
        "ControlPersist": "600",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "LogLevel": "ERROR",
    }
    host, _, port = way.host.rpartition(":") if way.host.rpartition(":")[2].isdigit() else (way.host, "", "")
    words = ["ssh", "-F", "none", "-T"]
    for name, value in options.items():
        if value:
            words += ["-o", f"{name}={value}"]
    words += ["-p", port] if port else []
    words += ["-l", way.account] if way.account else []
    return [*words, "--", host]


WAYS: Mapping[str, Callable[[Way, str, str, str], list[str]]] = {
    "self": _self,
    "root": _self,
    "sudo": _sudo,
    "ssh": _ssh,
}
"""Way -> argv that reaches the helper for a user ('' is the hub's own account)."""


def program_directory(directory: Path, kind: str) -> Path | None:
    """Where the packed helper may lie; None: nowhere. If the hub is root, users must be able to read, not change it."""
    candidates = [directory]
    if kind == "root" and os.geteuid() == 0:
        candidates += [Path(x) for x in ROOT_DIRECTORIES]
    for candidate in candidates:
        with contextlib.suppress(OSError):
            made = not candidate.exists()
            candidate.mkdir(parents=True, exist_ok=True)
            if made:
                candidate.chmod(0o755)
        if len(candidates) == 1 or open_to_users(candidate):
            return candidate
    return None


def runs_for_users(python: str, kind: str) -> bool:
    """Whether a helper that this Python runs can still load modules after it became a user."""
    return kind != "root" or os.geteuid() != 0 or open_to_users(Path(python).resolve().parent)


def open_to_users(directory: Path) -> bool:
    """Whether every folder on the way may be entered by everybody and changed by root only."""
    for folder in (directory, *directory.parents):
        try:
            info = folder.stat()
        except OSError:
            return False
        changeable = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not info.st_mode & stat.S_ISVTX
        if info.st_uid != 0 or changeable or not info.st_mode & stat.S_IXOTH:
            return False
    return True


def socket_path(directory: Path, cluster: str, way: Way) -> str:
    """For ssh's socket, in a private folder; short: such paths end at 107 characters, and ssh adds 17 for a while."""
    folder = directory / "ssh"
    if len(str(folder)) > 70:
        folder = Path(tempfile.mkdtemp(prefix="hpcspawner-"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The name stands for what is connected, and as whom: a changed site file must not go on with the old connection.
    words = "\0".join((cluster, way.host, way.account, way.identity, way.known_hosts))
    return str(folder / hashlib.sha256(words.encode()).hexdigest()[:16])
