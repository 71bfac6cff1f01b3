"""A small batch queue on this machine: a way to try and to test the whole product, with nothing to install.

Cores and memory are counted, first come, first served; jobs run as the account that submitted them. There is no
daemon: every job has a supervisor process that waits for its turn, runs the script and writes down how it ended, so a
restart of the hub changes nothing. Standard library only, Python 3.8 or newer.

    python3 -I -S PROGRAM localqueue submit|query|find|cancel|inventory|prepare   (JSON on stdin, JSON on stdout)

PROGRAM is the helper's zip file or this folder. The queue's folder is in HPCSPAWNER_LOCALQUEUE.
"""

from __future__ import annotations

from typing import List, Optional


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs one verb; returns the exit code."""
    from . import program

    return program.main(arguments)


def prepare(folder: str, shared: bool) -> None:
    """Makes the queue's folder: for all users of the machine (shared), or for this account only.

    Raises OSError, or ValueError for a folder that can't be trusted.
    """
    from .store import Store

    Store.prepare(folder, shared)
