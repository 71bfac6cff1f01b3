"""What an answer about 5,000 jobs costs the hub: CPU, and the longest time for which the loop is held. Prints only.

python -m tests.benchmarks.bench_jobqueue
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from hpcspawner.jobqueue import Settings
from tests.jobqueue.world import Process, World

JOBS = 5000


class Held:
    """The longest CPU time between two turns of the loop."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest, last = max(self.longest, now - last), now


async def main() -> None:
    world = World()
    with tempfile.TemporaryDirectory() as directory:
        hub = Process(world, Path(directory), Settings())
        for number in range(JOBS):
            tag, user = hub.queue.new_tag(), f"u{number % 100}"
            id = world.put(tag, user, nodes=["n1"], reason="Resources", partition="main", estimated_start=2e9)
            hub.journal.add(tag=tag, cluster="main", user=user, began=1.0, submitted=1.0, id=id)
        await hub.queue.begin()
        asked = {entry.tag: entry.id for entry in hub.queue.entries()}
        for what, state in (("first answer", "pending"), ("same answer", "pending"), ("all changed", "running")):
            rows = {id: {**row, "state": state} for id, row in world.jobs.items()}
            held = Held()
            watching = asyncio.create_task(held.watch())
            await asyncio.sleep(0)
            began = time.thread_time()
            await hub.queue._applying.apply(rows, asked, time.monotonic(), "")
            spent = time.thread_time() - began
            watching.cancel()
            print(f"{what}: {spent * 1000:.0f} ms of CPU, loop held for {held.longest * 1000:.1f} ms at most")
        await hub.close()


if __name__ == "__main__":
    asyncio.run(main())
