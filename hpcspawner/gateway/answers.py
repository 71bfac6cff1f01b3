"""What users read: why a cluster failed, as the answer to a client that waits for it, and what a cluster does now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web
from dask_gateway_server.backends.db_base import Cluster, JobStatus
from dask_gateway_server.routes import api_handler

from .scaling import key_of

if TYPE_CHECKING:
    from .backend import HPCBackend

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def one_line(text: str, most: int = 500) -> str:
    """A reason phrase of HTTP must not hold line ends."""
    words = " ".join(text.split())
    return words if len(words) <= most else words[: most - 1] + "…"


def add(app: web.Application, backend: HPCBackend) -> None:
    """Puts both into the gateway's application, before it is frozen."""

    @web.middleware
    async def reasons(request: web.Request, handler: Handler) -> web.StreamResponse:
        # The client says nothing but 'see logs' where a cluster has failed; the text of a 409 it shows.
        answer = await handler(request)
        waits = request.method == "GET" and "wait" in request.query and answer.status == 200
        cluster = backend.db.get_cluster(request.match_info.get("cluster_name", "")) if waits else None
        reason = str((cluster.state or {}).get("reason", "")) if cluster is not None else ""
        if cluster is None or not reason or cluster.target != JobStatus.FAILED:
            return answer
        return web.json_response({"error": reason}, status=409)

    @api_handler(user_authenticated=True)  # type: ignore[untyped-decorator]
    async def state(request: web.Request) -> web.Response:
        name = request.match_info["cluster_name"]
        cluster = backend.db.get_cluster(name)
        if cluster is None or not request["user"].has_permissions(cluster):
            raise web.HTTPNotFound(reason=f"Cluster {name} not found")
        return web.json_response(figures(cluster, backend))

    app.middlewares.append(reasons)
    app.add_routes([web.get("/api/v1/clusters/{cluster_name}/state", state)])


def figures(cluster: Cluster, backend: HPCBackend) -> dict[str, Any]:
    """What a cluster does now; 'text' is the sentence for a user."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for worker in cluster.active_workers():
        if worker.status == JobStatus.RUNNING:
            counts["running"] += 1
            continue
        part = backend.workers.part(worker) if key_of(worker)[0] else None
        if part is not None and not part.state.waits and part.status is not None:
            counts["starting"] += 1
        else:
            counts["pending"] += 1
            reasons.update([part.status.reason] if part is not None and part.status and part.status.reason else [])
    trouble = backend.batch.trouble(cluster) or backend.workers.patience(cluster).text
    return {
        "workers": dict(counts),
        "reasons": dict(reasons),
        "trouble": trouble,
        "reason": (cluster.state or {}).get("reason", ""),
        "text": sentence(counts, reasons, trouble),
    }


def sentence(counts: Mapping[str, int], reasons: Counter[str], trouble: str) -> str:
    """'12 running, 20 pending (Priority)'."""
    parts = [f"{counts[name]} {name}" for name in ("running", "starting", "pending") if counts.get(name)]
    if reasons and parts:
        parts[-1] += f" ({reasons.most_common(1)[0][0]})"
    text = ", ".join(parts) or "no workers"
    return f"{text}; {trouble}" if trouble else text
