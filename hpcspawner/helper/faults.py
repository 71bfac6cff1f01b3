"""What the helper answers when it cannot do what was asked."""

from __future__ import annotations

import errno
from typing import Dict, NoReturn

KINDS = ("protocol", "site", "refused", "forbidden", "folder", "unavailable", "unknown", "internal")
"""protocol: the two sides do not understand each other. site: the installation or the site file is wrong.
refused: the site's rules do not allow these options. forbidden: not this user. folder: a file or directory.
unavailable: the scheduler gave no usable answer, which says nothing about jobs. unknown: a submit that was cut off, so
that there may be a job. internal: a bug here."""


class Fault(Exception):
    """An error that goes back to the hub: a kind of KINDS, a sentence for people, and the path it is about."""

    def __init__(self, kind: str, text: str, path: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.path = path

    def answer(self) -> Dict[str, str]:
        return {"kind": self.kind, "text": self.text, "path": self.path}


_CAUSES = {
    errno.ENOSPC: "the file system is full",
    errno.EDQUOT: "the disk quota is exhausted",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "there is no such directory",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.ELOOP: "a part of the path is a symbolic link",
    errno.ESTALE: "the file server lost it (stale file handle)",
    errno.EIO: "input/output error of the file system",
}


def fail_folder(doing: str, path: str, error: OSError) -> NoReturn:
    """Raises a folder Fault that names the path and the cause: 'cannot write /x: the disk quota is exhausted'."""
    cause = _CAUSES.get(error.errno or 0) or error.strerror or str(error)
    raise Fault("folder", "cannot {} {}: {}".format(doing, path, cause), path) from error
