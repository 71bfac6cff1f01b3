"""The service account's side of a submit host: goes on as the user that the request names, through sudo.

Used as the forced command of the hub's ssh key: `python3 -I -S helper.pyz gate`. Whatever the hub sends, this can only
start the same installed helper as a user that the sudo rule permits.
"""

from __future__ import annotations

import os
import tempfile
from typing import NoReturn

from ..sitemodel import ClusterSite
from .faults import Fault


def pass_on(data: bytes, out: int, user: str, where: ClusterSite, program: str) -> NoReturn:
    """Replaces this process by the helper as that user: the same request as its input, its answer to descriptor out."""
    way = where.way
    argv = [way.sudo, "-n", "-u", user, "--", way.python, "-I", "-S", program]
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.dup2(file.fileno(), 0)
    os.dup2(out, 1)
    try:
        os.execve(way.sudo, argv, {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})  # noqa: S606
    except OSError as error:
        raise Fault("site", "cannot start {}: {}".format(way.sudo, error.strerror), way.sudo) from None
