"""5,000 jobs known to one queue: CPU of one status answer, in the helper and in the hub. Needs no scheduler.

Usage: python -m tests.benchmarks.bench_parse [JOBS]
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcspawner.job import Cluster, Result, plain
from hpcspawner.jobqueue import JobQueue, Journal, Settings
from hpcspawner.schedulers import _slurm_query, slurm
from hpcspawner.sitemodel import ClusterSite, Site

from . import common

CLUSTER = Cluster("main", "slurm")


def squeue_output(names: dict[str, str], word: str) -> str:
    """What squeue prints for these jobs (id -> name)."""
    begin, sep, end = _slurm_query.marks(_slurm_query.SECRET)
    start = "1795270000" if word == "RUNNING" else "N/A"
    nodes = "n1|n1" if word == "RUNNING" else "|"
    row = f"%s|alice|{word}|main|1795269990|{start}|{start}|1:00:00|{nodes}{sep}(null){sep}Priority{sep}%s"
    return "".join(f"{begin}{row % pair}{end}\n" for pair in names.items())


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of CPU, the best of five, and the result."""
    best, result = float("inf"), None
    for _ in range(5):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best * 1000, result


class Answers:
    """In place of the helper: the queue's loop gets no other answer than the one that is measured."""

    async def call(self, verb: str, user: str, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}


class Ticker:
    """Longest time that the loop was kept from its next turn."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def stop(self) -> float:
        """Milliseconds."""
        self._handle.cancel()
        return self.longest * 1000


async def applied(queue: JobQueue, ids: dict[str, str], answer: Any) -> tuple[float, float]:
    """CPU of the loop's thread and longest single block while one answer is applied; milliseconds."""
    await queue._book.stored()
    # What this benchmark itself has made is none of the hub's garbage collector's work.
    gc.collect()
    gc.freeze()
    ticker, began = Ticker(), time.thread_time()
    await queue._applying.apply(answer, ids, time.monotonic(), "")
    # The ticker itself turns all the time; what it needs is a few microseconds for each of the queue's breaks.
    return (time.thread_time() - began) * 1000, ticker.stop()


async def hub_side(directory: Path, count: int) -> list[tuple[str, float, float | str]]:
    site = Site(name="bench", prefix="bench", clusters={"main": ClusterSite(cluster=CLUSTER)})
    journal = Journal(directory)
    queue = JobQueue(
        site, "main", journal, Answers(), instance=journal.instance, log=logging.getLogger("bench"), settings=Settings()
    )
    tags = [queue.new_tag() for _ in range(count)]
    await asyncio.gather(
        *(queue.adopt(tag, "alice", str(number), time.time()) for number, tag in enumerate(tags, 100000))
    )
    ids = {tag: str(number) for number, tag in enumerate(tags, 100000)}
    rows: list[tuple[str, float, float | str]] = []
    names = {id: tag for tag, id in ids.items()}
    pending, running = squeue_output(names, "PENDING"), squeue_output(names, "RUNNING")
    parse, jobs = cpu(lambda: slurm.queried(CLUSTER, Result(0, running, "")))
    rows.append(("helper: parse squeue's text", parse, "-"))
    write, text = cpu(lambda: json.dumps({"jobs": {id: plain(job) for id, job in jobs.items()}}))
    rows.append((f"helper: write the answer ({len(text) / 1e6:.1f} MB)", write, "-"))
    read, answer = cpu(lambda: json.loads(text)["jobs"])
    rows.append(("hub: read the answer", read, read))
    waiting = {id: plain(job) for id, job in slurm.queried(CLUSTER, Result(0, pending, "")).items()}
    for what, given in (
        ("hub: apply the first answer", waiting),
        ("hub: apply, all jobs changed", answer),
        ("hub: apply, nothing changed", json.loads(text)["jobs"]),
    ):
        rows.append((what, *await applied(queue, ids, given)))
    await queue.close()
    journal.close()
    return rows


def main(count: int) -> None:
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        rows = asyncio.run(hub_side(Path(directory), count))
    common.table(f"One status answer about {count} jobs", ("what", "CPU ms", "longest block ms"), rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
