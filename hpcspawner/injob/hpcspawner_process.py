"""Processes and listeners as /proc shows them."""

from __future__ import annotations

import os
import signal
from typing import Dict, List, Optional, Set, Tuple

PR_SET_CHILD_SUBREAPER = 36


def parents() -> Dict[int, int]:
    """Process id -> id of its parent, for all processes that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                found[int(name)] = int(fields[1])
    return found


def _stat(pid: int) -> List[str]:
    """The fields of /proc/PID/stat from the state on; empty where the process is gone."""
    try:
        with open("/proc/{}/stat".format(pid)) as file:
            # The command's name, in parentheses, may hold spaces and parentheses itself.
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def family(pid: int) -> Set[int]:
    """A process and all that descend from it."""
    children: Dict[int, List[int]] = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)
    found, todo = set(), [pid]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo.extend(children.get(one, ()))
    return found


def listeners(port: int) -> List[Tuple[str, int]]:
    """The sockets that listen on a TCP port of this machine: (inode, uid)."""
    return [(row[9], int(row[7])) for row in _sockets(port, "0A")]


def connections(port: int) -> int:
    """How many TCP connections a server on this port of this machine has."""
    return len(_sockets(port, "01"))


def _sockets(port: int, state: str) -> List[List[str]]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                rows = [line.split() for line in file]
        except OSError:
            continue
        found += [row for row in rows[1:] if row[3] == state and int(row[1].rpartition(":")[2], 16) == port]
    return found


def listens(pid: int, port: int) -> Optional[bool]:
    """Whether the process or a descendant listens on the port; False: somebody else does; None: nobody (yet)."""
    sockets = listeners(port)
    if not sockets:
        return None
    inodes = {"socket:[{}]".format(inode) for inode, _ in sockets}
    hidden = False
    for one in family(pid):
        descriptors = "/proc/{}/fd".format(one)
        try:
            for name in os.listdir(descriptors):
                if os.readlink(os.path.join(descriptors, name)) in inodes:
                    return True
        except PermissionError:
            hidden = True  # a container's process may hide its files from us
        except OSError:
            continue
    return hidden and all(uid == os.getuid() for _, uid in sockets)


def cpu_seconds(pids: Set[int]) -> float:
    """CPU time that the processes and their ended children have used."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends, so that none outlives the job."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # the scheduler cleans up as well


def end_family() -> None:
    """Ends all descendants of this process at once."""
    me = os.getpid()
    for _ in range(5):  # a process may make a new one while we look
        others = family(me) - {me}
        if not others:
            return
        for pid in others:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        reap()


def reap() -> None:
    """Collects ended children that nobody waits for."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
