"""Where a job runs: its id, its run, its end, the address that others reach it by, and a port that is really free."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit, urlunsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class PlaceError(Exception):
    """The site's address rule or port range cannot be met on this node; the text says why."""


def job_id(plan: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """The scheduler's id of this job; empty where the scheduler does not tell."""
    return next((environ[name] for name in plan.get("job_id_variables") or () if environ.get(name)), "")


def run(plan: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    """How often the scheduler has restarted this job."""
    return _integer(environ.get(plan.get("run_variable") or "", "")) or 0


def ends(plan: Mapping[str, Any], environ: Mapping[str, str]) -> Optional[int]:
    """When the walltime ends, in seconds since the epoch; None: not known."""
    found = (_integer(environ.get(name, "")) for name in plan.get("end_variables") or ())
    return next((value for value in found if value), None)


def _integer(text: str) -> Optional[int]:
    text = text.strip()
    return int(text) if text.isdigit() else None


def host(plan: Mapping[str, Any]) -> str:
    """The name or address by which the hub reaches this node. Raises PlaceError."""
    rule = plan.get("address") or "hostname"
    name = socket.gethostname()
    if rule == "hostname":
        # On one machine the name may resolve to nothing, or to an address that no server listens on.
        return "127.0.0.1" if plan.get("local") else name
    if rule == "fqdn":
        return socket.getfqdn(name)
    if rule.startswith("interface:"):
        return interface_address(rule[len("interface:") :])
    return str(rule).replace("{node}", name.split(".")[0]).replace("{fqdn}", socket.getfqdn(name))


def interface_address(name: str) -> str:
    """The IPv4 address of a network interface, else its global IPv6 address. Raises PlaceError."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", name.encode()[:15]))  # SIOCGIFADDR
            return socket.inet_ntoa(answer[20:24])
        except OSError:
            pass
    for address, interface in _ipv6_addresses():
        if interface == name and not address.startswith("fe80"):
            return address
    known = ", ".join(sorted(n for _, n in socket.if_nameindex()))
    raise PlaceError("address: the node has no interface {!r} with an address; it has {}".format(name, known))


def _ipv6_addresses() -> List[Tuple[str, str]]:
    try:
        with open("/proc/net/if_inet6") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    return [(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])), row[5]) for row in rows]


def bind_address(plan: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """The address that the server listens on; empty: all.

    It is the hub's wish (JUPYTERHUB_SERVICE_URL), but a loopback address, which is JupyterHub's
    default, would make a server on another machine unreachable.
    """
    wish = urlsplit(environ.get("JUPYTERHUB_SERVICE_URL") or "").hostname or ""
    if wish in LOOPBACK and not plan.get("local"):
        return "0.0.0.0"  # noqa: S104
    return wish


def with_port(url: str, port: int, bind: str) -> str:
    """JUPYTERHUB_SERVICE_URL with the port and address that the server is to use."""
    parts = urlsplit(url or "http://")
    host = "[{}]".format(bind) if ":" in bind else bind
    return urlunsplit((parts.scheme or "http", "{}:{}".format(host, port), parts.path, "", ""))


class HeldPort:
    """A port nobody else gets while this object lives, though a server of ours may listen on it.

    Linux lets a second socket bind a port when both have SO_REUSEADDR and none listens yet. So the port
    is bound without that flag first (which fails if anybody has it), and the flag is set afterwards:
    from then on only a server with SO_REUSEADDR, as Jupyter's is, can take it.
    """

    def __init__(self, port: int, sockets: List[socket.socket]) -> None:
        self.port = port
        self._sockets = sockets

    def release(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets = []


def hold_port(ports: Tuple[int, int], bind: str = "", preferred: Optional[int] = None) -> HeldPort:
    """A free port of the range (0-0: any), the preferred one if it is free. Raises PlaceError."""
    first, last = ports
    if not last:
        candidates = [0] if preferred is None else [preferred, 0]
    else:
        # Not from the beginning: jobs that start together on a node should not try the same ports.
        start = int.from_bytes(os.urandom(4), "big") % (last - first + 1)
        candidates = [*range(first + start, last + 1), *range(first, first + start)]
        if preferred is not None and first <= preferred <= last:
            candidates.insert(0, preferred)
    # The second pass takes ports that only have old connections in TIME_WAIT.
    for shared in (False, True):
        for port in candidates:
            held = _hold(port, bind, shared)
            if held:
                return held
    raise PlaceError("ports: no port from {} to {} is free on {}".format(first, last, socket.gethostname()))


def _hold(port: int, bind: str, shared: bool) -> Optional[HeldPort]:
    sockets: List[socket.socket] = []
    for family, address in _addresses(bind):
        try:
            each = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # the kernel has no such family
        sockets.append(each)
        try:
            if shared:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and len(sockets) > 1:
                sockets.pop().close()  # IPv6 is switched off
                continue
            HeldPort(port, sockets).release()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return None
            raise PlaceError("cannot listen on {}: {}".format(address, error.strerror)) from error
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = port or each.getsockname()[1]
    return HeldPort(port, sockets) if sockets else None


def _addresses(bind: str) -> List[Tuple[socket.AddressFamily, str]]:
    if not bind:
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104
    try:
        found = socket.getaddrinfo(bind, None, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    except OSError as error:
        raise PlaceError("cannot listen on {}: {}".format(bind, error)) from error
    return [(info[0], str(info[4][0])) for info in found]
