"""Judges a job's report of where its server listens. Pure: no hub, no network, no clock."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import REPORT_PROTOCOL
from .sitemodel import ClusterSite

KEYS = frozenset({"protocol", "tag", "job_id", "run", "host", "port", "url_scheme"})
LIMIT = 4096
"""Bytes that a report may have."""

_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?\Z")
_JOB_ID = re.compile(r"[A-Za-z0-9_.+\[\]-]{0,64}\Z")


class ReportError(Exception):
    """The report is not taken. status is that of the HTTP answer: a job gives up after 4xx, but for 409 and 429."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a server listens, and which run of which job it is."""

    host: str
    port: int
    scheme: str = "http"
    job_id: str = ""
    run: int = 0

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class New(Place):
    """The first report of this server."""


class Same(Place):
    """What was known already; nothing changes."""


class Changed(Place):
    """The scheduler ran the job again, and the server is somewhere else now."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the hub knows about the server whose token came with the report."""

    tag: str
    cluster: ClusterSite
    nodes: tuple[str, ...] = ()
    """The job's nodes as the scheduler names them; empty: not known yet."""
    local: bool = False
    """The job runs on the hub's own machine (the dialect's LOCAL)."""
    job_id: str = ""
    """The job's id; empty: not known yet."""
    run: int = 0
    url: str = ""
    """What was reported before: run and URL (scheme, host and port); empty: nothing."""
    plain: bool = False
    """A site's own batch script runs batchspawner-singleuser, whose report is only {"port": number}."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What names led to when the caller looked them up just now."""

    addresses: tuple[str, ...] = ()
    """Of the reported host."""
    nodes: tuple[str, ...] = ()
    """Of the job's nodes, as far as this hub knows them by the scheduler's names."""
    own: tuple[str, ...] = ()
    """Those of the host's addresses that are the hub's own machine's, where that is no node of the job."""


_NOTHING = Known()


def judge(report: Any, expected: Expected, known: Known = _NOTHING) -> New | Same | Changed:
    """What the report means. Raises ReportError.

    known: needed for names where the site names node_networks, and for names with a domain that the scheduler does not
    say; of other names, it only shows those that lead to the hub itself.
    """
    place = _read(report, expected)
    _check_port(place.port, expected)
    _check_host(place.host, expected, known)
    return _compare(dataclasses.replace(place, host=_pinned(place.host, expected, known)), expected)


def _read(report: Any, expected: Expected) -> Place:
    if not isinstance(report, Mapping):
        raise ReportError(400, "the report is no JSON object")
    if expected.plain and set(report) == {"port"}:
        if not expected.nodes:
            raise ReportError(503, "the job's nodes are not known yet; try again")
        host = "127.0.0.1" if expected.local else expected.nodes[0]
        return Place(host, _integer(report, "port", 1, 65535))
    if report.get("protocol") != REPORT_PROTOCOL:
        text = f"protocol: {_short(report.get('protocol'))} is not {REPORT_PROTOCOL}, which this hub speaks"
        raise ReportError(400, text)
    unknown = sorted(set(report) - KEYS, key=str)
    if unknown:
        raise ReportError(400, f"{_short(unknown[0]).strip(chr(39))}: the report has no such key")
    if _text(report, "tag") != expected.tag:
        raise ReportError(403, "tag: this server belongs to another job")
    scheme = _text(report, "url_scheme")
    if scheme not in ("http", "https"):
        raise ReportError(400, f"url_scheme: {_short(scheme)} is neither http nor https")
    job_id = _text(report, "job_id")
    if not _JOB_ID.match(job_id):
        raise ReportError(400, f"job_id: {_short(job_id)} is no id of a job")
    if job_id and expected.job_id and job_id != expected.job_id:
        # Somebody ran the job's files by hand in another job.
        raise ReportError(403, f"job_id: {job_id} is not {expected.job_id}, the job of this server")
    return Place(
        host=_text(report, "host").lower().rstrip("."),
        port=_integer(report, "port", 1, 65535),
        scheme=scheme,
        job_id=job_id,
        run=_integer(report, "run", 0, 1_000_000),
    )


def _text(report: Mapping[str, Any], key: str) -> str:
    value = report.get(key)
    if not isinstance(value, str):
        raise ReportError(400, f"{key}: {_short(value)} is no text")
    return value


def _integer(report: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = report.get(key)
    # True is an int in Python, and means 1 nowhere.
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ReportError(400, f"{key}: {_short(value)} is no number from {least} to {most}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_port(port: int, expected: Expected) -> None:
    first, last = expected.cluster.ports
    if last and not first <= port <= last:
        raise ReportError(403, f"port: {port} is not within {first}-{last}, the ports of this cluster")
    if port < 1024 and not last:
        raise ReportError(403, f"port: {port} is below 1024")


def _check_host(host: str, expected: Expected, known: Known) -> None:
    literal = _address(host)
    if literal is None and (len(host) > 253 or not _NAME.match(host) or _is_number(host.split(".")[-1])):
        raise ReportError(400, f"host: {_short(host)} is neither a host name nor an address")
    found = [literal] if literal else [x for x in map(_address, known.addresses) if x is not None]
    own = host == "localhost" or host.endswith(".localhost")
    if expected.local and (own or (literal is not None and literal.is_loopback)):
        return
    # A node may be the hub's own machine, whose name Debian gives a loopback address: believed of the very name that
    # the scheduler says, never of a name to which a user could add a domain.
    if literal is not None or not any(host in (node.lower(), node.lower().split(".")[0]) for node in expected.nodes):
        own = own or any(_stays_here(address) or str(address) in known.own for address in found)
    if own and not expected.local:
        raise ReportError(403, f"host: {host} is no address of a node that others can reach")
    _check_node(host, literal is not None, found, expected, known)


def _stays_here(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


def _check_node(host: str, literal: bool, found: Sequence[Any], expected: Expected, known: Known) -> None:
    networks = [ipaddress.ip_network(text, strict=False) for text in expected.cluster.node_networks]
    inside = bool(found) and all(any(_within(address, net) for net in networks) for address in found)
    if networks and inside:
        return
    if networks and found:
        raise ReportError(403, f"host: {host} is outside of node_networks of cluster {expected.cluster.cluster.name}")
    if literal:
        text = f"host: {host} is an address, and cluster {expected.cluster.cluster.name} names no node_networks"
        raise ReportError(403, text)
    if not expected.nodes:
        raise ReportError(503, "the job's nodes are not known yet; try again")
    if not any(is_node(host, node, expected.cluster.address) for node in expected.nodes):
        raise ReportError(403, f"host: {host} is no node of the job, which has {', '.join(expected.nodes[:5])}")
    if _has_a_domain_of_its_own(host, expected) and not (found and {str(x) for x in found} <= set(known.nodes)):
        # node1.evil.example is anybody's.
        raise ReportError(403, f"host: {host} does not lead to the job's node; the site may name node_networks")


def _has_a_domain_of_its_own(host: str, expected: Expected) -> bool:
    """Whether the job, and neither scheduler nor site, chose the domain: its owner may lead the name anywhere."""
    if "." not in host or _address(host) is not None:
        return False
    rule = expected.cluster.address
    nodes = [node.lower().rstrip(".") for node in expected.nodes]
    if "{" in rule:
        made = (rule.lower().replace("{node}", x.split(".")[0]).replace("{fqdn}", x) for x in nodes)
        return host not in made
    return host not in nodes


def _pinned(host: str, expected: Expected, known: Known) -> str:
    """A name that may lead elsewhere tomorrow is replaced by the address that was judged."""
    if expected.local or not _has_a_domain_of_its_own(host, expected):
        return host
    found = sorted((x for x in map(_address, known.addresses) if x is not None), key=lambda x: (x.version, int(x)))
    return str(found[0]) if found else host


def is_node(host: str, node: str, rule: str) -> bool:
    """Whether a reported host name is this node, as the site's address rule names it."""
    host, node = host.lower(), node.lower().rstrip(".")
    short = node.split(".")[0]
    if "{" in rule:
        return _matches(rule.lower(), host, short, node)
    if host == node:
        return True
    # Schedulers and hosts differ in whether they say the domain; where both do, it must be the same.
    one_is_short = "." not in host or "." not in node
    return one_is_short and host.split(".")[0] == short


def _matches(rule: str, host: str, short: str, node: str) -> bool:
    # {fqdn} is the node's own idea of its name, of which the scheduler may know the first part only.
    name = re.escape(node) if "." in node else re.escape(short) + r"(\.[a-z0-9.-]+)?"
    pattern = re.escape(rule).replace(r"\{node\}", re.escape(short)).replace(r"\{fqdn\}", name)
    return re.fullmatch(pattern, host) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _within(address: Any, network: Any) -> bool:
    return address.version == network.version and address in network


def _is_number(label: str) -> bool:
    # Resolvers read 127.1, 2130706433 and 0x7f.1 as addresses.
    return label.isdigit() or re.fullmatch(r"0x[0-9a-f]*", label) is not None


def _compare(place: Place, expected: Expected) -> New | Same | Changed:
    values = dataclasses.astuple(place)
    if not expected.url:
        return New(*values)
    if place.run > expected.run:
        return Changed(*values)
    if place.run < expected.run:
        raise ReportError(409, f"run: {place.run} of the job is over, the hub knows run {expected.run}")
    if place.url == expected.url.rstrip("/"):
        return Same(*values)
    raise ReportError(409, "the hub knows this server at another address already")
