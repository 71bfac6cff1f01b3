"""Many workers in one transaction of the gateway's database. Pinned to the tables of dask-gateway-server 2026.3."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from dask_gateway_server.backends.db_base import Cluster, DataManager, JobStatus, Worker, workers
from dask_gateway_server.utils import timestamp


def create_workers(db: DataManager, cluster: Cluster, count: int) -> list[Worker]:
    """New workers that wait to be submitted. One by one they would cost a transaction each, three until they run."""
    common: dict[str, Any] = {
        "status": JobStatus.SUBMITTED,
        "target": JobStatus.RUNNING,
        "state": {},
        "start_time": timestamp(),
        "close_expected": False,
    }
    names = [uuid.uuid4().hex for _ in range(count)]
    with db.db.begin() as connection:
        rows = [{"cluster_id": cluster.id, "name": name, **common} for name in names]
        connection.execute(workers.insert(), rows)
        found = connection.execute(
            sa.select(workers.c.id, workers.c.name).where(
                workers.c.cluster_id == cluster.id, workers.c.status == JobStatus.SUBMITTED
            )
        )
        ids = {name: id for id, name in found}
    made = [Worker(id=ids[name], name=name, cluster=cluster, **common) for name in names]
    cluster.workers.update((worker.name, worker) for worker in made)
    return made


def hurry(engine: sa.Engine) -> None:
    """Of SQLite, one fsync fewer for each transaction: what a power cut takes is in the journal of the queue."""
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    engine.dispose()
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
