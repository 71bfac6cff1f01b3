"""Whether a user's directories can be used: made, written, read back. Asked by `hpcspawner check`."""

from __future__ import annotations

import os
from typing import Any, Dict

from .faults import Fault
from .folders import Folder
from .jobfolder import JobFolders

_SAMPLE = b"hpcspawner check\n" * 256


def tried(folders: JobFolders) -> Dict[str, Any]:
    """{"uid", "home": {...}, "state": {...}, "log": {...}}, see _home and _folder; raises a folder Fault."""
    found = {"uid": os.geteuid(), "home": _home(folders.who.home)}
    with folders.state() as state:
        for name in ("jobs", "lib"):
            state.sub(name).__exit__(None, None, None)
        found["state"] = _folder(state)
    with folders.logs() as logs:
        found["log"] = _folder(logs)
    return found


def _home(path: str) -> Dict[str, Any]:
    """{"path", "usable": it can be entered, where jobs without a working directory of their own begin}."""
    return {"path": path, "usable": os.path.isdir(path) and os.access(path, os.X_OK)}


def _folder(folder: Folder) -> Dict[str, Any]:
    """{"path", "filesystem": its type, "free": MiB}, after a file was written there, read and removed."""
    name = ".check-" + os.urandom(4).hex()
    path = folder.write(name, _SAMPLE)
    try:
        if folder.read(name, len(_SAMPLE) + 1) != _SAMPLE:
            raise Fault("folder", "{} does not hold what was written to it".format(path), path)
    finally:
        folder.remove(name)
    space = os.fstatvfs(folder.fd)
    return {
        "path": folder.path,
        "filesystem": filesystem(os.fstat(folder.fd).st_dev),
        "free": space.f_bavail * space.f_frsize // 1024**2,
    }


def filesystem(device: int) -> str:
    """The type of a mounted file system (nfs4, lustre, ext4, ...); empty where the kernel does not tell."""
    wanted = "{}:{}".format(os.major(device), os.minor(device))
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
            for line in table:
                if line.split(" ", 3)[2] == wanted:
                    return line.partition(" - ")[2].split(" ")[0]
    except (OSError, IndexError):
        pass
    return ""
