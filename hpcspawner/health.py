"""How a hub's queues fare: one table for the health page and for Prometheus. From memory, no scheduler is asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from . import STATE_SCHEMA, __version__
from .fleet import Fleet

LATE = 300.0
"""Seconds after which a missing answer is trouble; a site's slowest interval is well below."""


def report(fleets: Iterable[Fleet]) -> dict[str, Any]:
    """status ('ok' or 'trouble'), version, and for each cluster what cluster() tells."""
    clusters = {name: cluster(fleet, name) for fleet in fleets for name in fleet.queues}
    trouble = any(figures["problems"] for figures in clusters.values())
    return {
        "status": "trouble" if trouble else "ok",
        "version": __version__,
        "schema": STATE_SCHEMA,
        "time": time.time(),
        "clusters": clusters,
    }


def cluster(fleet: Fleet, name: str) -> dict[str, Any]:
    """Figures of one cluster. Ages and durations are seconds, errors and failures counts since the hub's start."""
    figures = fleet.queues[name].stats()
    known = fleet.inventory.peek(name)
    counts: Mapping[str, int] = figures["counts"]
    found = {
        "drained": fleet.drains.text(name),
        "query_age": figures["query_age"],
        "query_seconds": figures["query_seconds"],
        "query_errors": counts.get("queries.failed", 0) + counts.get("queries.garbled", 0),
        "jobs": figures["jobs"],
        "in_line": figures["in_line"],
        "lost_submits": figures["lost"],
        "cancels_wanted": figures["cancels_wanted"],
        "orphans": figures["orphans"],
        "outages": counts.get("outages", 0),
        "submits": counts.get("submits.accepted", 0),
        "submit_failures": _of("submits.", counts, but="accepted"),
        "helper_errors": _of("errors.", counts),
        "inventory_age": known.age,
        "scheduler_trouble": figures["trouble"],
        "inventory_trouble": known.problem,
        "journal_trouble": figures["journal_trouble"],
    }
    return {**found, "problems": problems(found)}


def problems(figures: Mapping[str, Any]) -> list[str]:
    """What an admin should look at, in words; a drained cluster is no problem."""
    found = []
    if figures["query_age"] > LATE:
        found.append(f"no good answer about jobs for {round(figures['query_age'])} s: {figures['scheduler_trouble']}")
    if figures["journal_trouble"]:
        found.append(f"the journal cannot be written: {figures['journal_trouble']}")
    if figures["orphans"]:
        found.append(f"{figures['orphans']} jobs that no server of this hub knows; see hpcspawner jobs --orphans")
    if figures["inventory_trouble"]:
        found.append(f"partitions cannot be read: {figures['inventory_trouble']}")
    return found


def _of(prefix: str, counts: Mapping[str, int], but: str = "") -> dict[str, int]:
    found = {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}
    found.pop(but, None)
    return dict(sorted(found.items()))
