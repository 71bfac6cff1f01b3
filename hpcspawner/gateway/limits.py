"""How much one user may have, all Dask clusters on one batch system together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dask_gateway_server.backends.db_base import Cluster

from ..sitemodel import Dask


def cores_of_worker(config: Any) -> int:
    """Cores that one worker of a cluster takes."""
    return max(1, int(config.worker_cores))


def most_workers(dask: Dask, cores: int) -> int | None:
    """The most workers of that many cores that one user may have; None: any number."""
    found = [dask.max_workers] if dask.max_workers else []
    if dask.max_cores:
        found.append(dask.max_cores // max(1, cores))
    return min(found) if found else None


def allowed(dask: Dask, cluster: Cluster, others: Iterable[Cluster]) -> int | None:
    """The most workers that a cluster may have now, beside the user's others; None: any number."""
    counted = [(len(other.active_workers()), cores_of_worker(other.config)) for other in others if other is not cluster]
    found = []
    if dask.max_workers:
        found.append(dask.max_workers - sum(count for count, _ in counted))
    if dask.max_cores:
        left = dask.max_cores - sum(count * cores for count, cores in counted)
        found.append(left // cores_of_worker(cluster.config))
    return max(0, min(found)) if found else None


def one_more(dask: Dask, clusters: int) -> str:
    """Why a user with so many clusters may not have another one; empty where that is fine."""
    if not dask.max_clusters or clusters < dask.max_clusters:
        return ""
    have = "1 cluster runs" if clusters == 1 else f"{clusters} clusters run"
    return f"you may have {dask.max_clusters} Dask clusters at one time, and {have}; shut one down first"
