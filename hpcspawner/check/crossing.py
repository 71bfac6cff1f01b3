"""Between hub and node: both directions, the address that a server would report, and the clocks."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from collections.abc import Mapping
from typing import Any

from .. import REPORT_PROTOCOL, report
from .listener import Listener
from .subject import Subject

CONNECT_SECONDS = 10.0
SKEW_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the job's port answered."""

    problem: str = ""
    skew: float | None = None
    """Seconds by which the node's clock is ahead of this machine's."""


def node_to_hub(subject: Subject, result: Mapping[str, Any], listener: Listener) -> bool:
    """Judges what the job heard at each URL."""
    node, title = result.get("node") or "the node", "node to hub"
    asked = {str(row.get("url")): row for row in result.get("hubs") or () if isinstance(row, dict)}
    here = asked.get(listener.url) or {}
    hub = asked.get(listener.hub_url) or {}
    if listener.hub_url and hub.get("status") == 200:
        ours = listener.stands_in and listener.called
        who = "this check, in the hub's place," if ours else f"hub {hub.get('version')}"
        return subject.steps.ok(title, f"{node} reaches {listener.hub_url}: {who} answers")
    if listener.hub_url:
        why = hub.get("text") or f"HTTP status {hub.get('status')}"
        reached = f" ({listener.url} on this machine is reached)" if here.get("status") == 200 else ""
        return subject.steps.fail(
            title,
            f"{node} gets no answer at {listener.hub_url}: {why}{reached}",
            "is the hub running? Servers report to clusters.*.hub_url; check again while it runs",
            "the nodes must resolve that name, and the firewall must let them reach that port of the hub's machine",
        )
    if here.get("status") == 200 and listener.called:
        open_too = "" if subject.dialect.LOCAL else "; the hub's own port (8081) must be as open as this one"
        return subject.steps.ok(title, f"{node} reaches this machine at {listener.url}{open_too}")
    return subject.steps.fail(
        title,
        f"{node} does not reach this machine at {listener.url}: {here.get('text') or 'no answer'}",
        "name an address of this machine that nodes can reach: --hub-ip, and in jupyterhub_config.py hub_connect_ip",
        "or open the firewall for connections from the nodes",
        "or set clusters.*.hub_url in the site file, where nodes know the hub by another name",
    )


async def hub_to_node(subject: Subject, result: Mapping[str, Any], tag: str) -> Reply:
    """Connects to the port that the job listens on, as the proxy would."""
    title, host, port = "hub to node", str(result.get("host") or ""), result.get("port")
    first, last = subject.cluster.ports
    span = f"ports {first}-{last}" if last else "all unprivileged ports ('ports' of the cluster is not set)"
    if not isinstance(port, int):
        told = [str(text) for text in result.get("problems") or ()]
        why = [text for text in told if text.startswith(("port", "address", "cannot"))]
        subject.steps.fail(
            title,
            f"the job could not listen: {'; '.join(why) or 'reason not known'}",
            "'address' and 'ports' of the cluster in the site file must fit the nodes",
        )
        return Reply()
    reply = await _connect(host, port, tag)
    if reply.problem:
        subject.steps.fail(
            title,
            f"this machine does not reach {host}:{port}: {reply.problem}",
            f"the firewall of the nodes must let this machine through to {span}",
            f"the name must lead to the node: getent hosts {host}; else choose another 'address', such as "
            "interface:NAME or {node}-ib0.cluster",
        )
    else:
        rule = "" if subject.dialect.LOCAL else f"; the firewall must be open for {span}"
        subject.steps.ok(title, f"{host}:{port} answers{rule}")
    return reply


async def _connect(host: str, port: int, tag: str) -> Reply:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
    except asyncio.TimeoutError:
        return Reply(f"no answer within {CONNECT_SECONDS:.0f} s")
    except OSError as error:
        return Reply(error.strerror or str(error))
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        before = time.time()
        text = (await asyncio.wait_for(reader.read(), CONNECT_SECONDS)).decode("utf-8", "replace")
        after = time.time()
    except (OSError, asyncio.TimeoutError) as error:
        return Reply(f"it was connected, and then lost: {error or 'no answer'}")
    finally:
        writer.close()
    if tag not in text:
        return Reply("something else than the job listens there: a proxy or another machine of that name")
    clock = next((line[8:] for line in text.splitlines() if line.startswith("X-Clock:")), "")
    return Reply(skew=_outside(float(clock), before, after) if clock else None)


def _outside(clock: float, before: float, after: float) -> float:
    return min(0.0, clock - before) or max(0.0, clock - after)


def address(subject: Subject, result: Mapping[str, Any], tag: str, id: str, nodes: tuple[str, ...]) -> bool:
    """Whether the hub would take the report of a server from there: the same rules, from the same code."""
    title, host, port = "address", str(result.get("host") or ""), result.get("port")
    if not host or not isinstance(port, int):
        return subject.skip(title, "the job could not listen")
    body = {
        "protocol": REPORT_PROTOCOL,
        "tag": tag,
        "job_id": str(result.get("job_id") or ""),
        "run": result.get("run") or 0,
        "host": host,
        "port": port,
        "url_scheme": "http",
    }
    expected = report.Expected(tag, subject.cluster, nodes, subject.dialect.LOCAL, id)
    try:
        of_nodes = tuple(address for node in nodes[:5] for address in _addresses(node))
        report.judge(body, expected, report.Known(_addresses(host), of_nodes))
    except report.ReportError as error:
        return subject.steps.fail(
            title,
            f"the hub would refuse a server that reports {host}: {error}",
            "node_networks of the cluster must hold the addresses of the nodes; 'address' says what they report",
        )
    return subject.steps.ok(title, f"a server there reports {host}, which the site file allows")


def _addresses(host: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({str(info[4][0]) for info in socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM)}))
    except (OSError, UnicodeError):
        return ()


def clocks(
    subject: Subject, result: Mapping[str, Any], listener: Listener, reply: Reply, scheduler: float | None
) -> bool:
    """How far the clocks of node and scheduler are from this machine's."""
    node = reply.skew if reply.skew is not None else _by_call(result, listener)
    known = {str(result.get("node") or "node"): node, "scheduler": scheduler}
    told = {name: skew for name, skew in known.items() if skew is not None}
    if not told:
        return subject.skip("clocks", "no clock but this machine's was seen")
    text = ", ".join(f"{name} {skew:+.0f} s" if abs(skew) >= 1 else f"{name} the same" for name, skew in told.items())
    if any(abs(skew) > SKEW_SECONDS for skew in told.values()):
        return subject.steps.fail(
            "clocks",
            f"differ from this machine's: {text}",
            "run chrony or ntpd everywhere: times on the pages, the end of the walltime and munge depend on it",
        )
    return subject.steps.ok("clocks", text)


def _by_call(result: Mapping[str, Any], listener: Listener) -> float | None:
    """From the job's call, whose way here took at most seconds."""
    rows = [row for row in result.get("hubs") or () if isinstance(row, dict) and row.get("url") == listener.url]
    sent = rows[0].get("sent") if rows else None
    if not listener.called or not isinstance(sent, (int, float)):
        return None
    return _outside(float(sent), listener.called[0] - CONNECT_SECONDS, listener.called[0])
