"""Many servers at once: submits, queries, and the longest time that the hub's loop stood still.

Compared with the same hub with a spawner that does nothing, and with batchspawner. The block is measured within the
hub by a ticker that its configuration adds: wall time (which holds what other processes took of the machine) and CPU
time of the loop's own thread (which does not).
Usage: python -m tests.benchmarks.bench_burst [SERVERS]
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ..real import manyservers as many
from ..real.conftest import Hubs
from ..real.counting import Counter
from ..real.hub import Hub
from . import common

_TICKER = """
import asyncio, json, time

class _Ticker:
    file, last, cpu = {file!r}, 0.0, 0.0

    def begin(self, spawner):
        if not self.last:
            self.last, self.cpu = time.monotonic(), time.thread_time()
            asyncio.get_running_loop().call_later(0.002, self.tick)

    def tick(self):
        now, cpu = time.monotonic(), time.thread_time()
        if now - self.last > 0.012:
            with open(self.file, "a") as file:
                file.write(json.dumps([time.time(), now - self.last - 0.002, cpu - self.cpu]) + "\\n")
        self.last, self.cpu = time.monotonic(), time.thread_time()
        asyncio.get_running_loop().call_later(0.002, self.tick)

c.Spawner.pre_spawn_hook = _Ticker().begin
"""

_NOTHING = """
from jupyterhub.spawner import Spawner

class NothingSpawner(Spawner):
    async def start(self):
        return {url!r}
    async def stop(self, now=False):
        pass
    async def poll(self):
        return None
c.JupyterHub.spawner_class = NothingSpawner
"""


class _Answer(BaseHTTPRequestHandler):
    """In place of all servers of the spawner that does nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


def ticker(made: Hubs, name: str) -> tuple[Path, str]:
    """File of the blocks and the lines of configuration that write it."""
    folder = made.base / f"blocks-{name}"
    folder.mkdir()
    folder.chmod(0o777)
    return folder / "blocks", _TICKER.format(file=str(folder / "blocks"))


def measure(
    name: str, hub: Hub, blocks: Path, options: dict[str, str], count: int, counter: Counter | None
) -> list[object]:
    """One row of the table."""
    hub.start()
    many.ask_all(hub, "alice", ["first"], options)
    many.wait_ready(hub, "alice", ["first"])
    time.sleep(2)
    names = [f"s{number}" for number in range(count)]
    began = time.time()
    many.ask_all(hub, "alice", names, options)
    many.wait_ready(hub, "alice", names)
    ended = time.time()
    lines = [json.loads(line) for line in blocks.read_text().splitlines()] if blocks.exists() else []
    found = [(wall * 1000, cpu * 1000) for at, wall, cpu in lines if began <= at <= ended]
    submits = len(counter.submits(began, ended)) if counter else 0
    queries = len(counter.status(began, ended)) if counter else 0
    hub.close()
    wall, cpu = max((each for each, _ in found), default=12.0), max((each for _, each in found), default=12.0)
    return [name, ended - began, submits, queries, wall, cpu]


def main(count: int) -> None:
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with common.hubs() as made, many.shared_partition() as partition:
        ours, theirs = Counter(made.base / "ours"), Counter(made.base / "theirs")
        text = many.profiles(made.base, partition)
        rows = []
        blocks, lines = ticker(made, "nothing")
        hub = common.other_hub(made, "nothing", many.EXTRA + lines)
        url = f"http://{hub.ip}:{server.server_port}"
        (hub.directory / "config.py").open("a").write(_NOTHING.format(url=url))
        rows.append(measure("does nothing", hub, blocks, {}, count, None))
        blocks, lines = ticker(made, "ours")
        hub = made.slurm(edit=many.edit(ours.commands, partition), more=text, extra=many.EXTRA + lines)
        rows.append(measure("hpcspawner", hub, blocks, {"profile": "stub"}, count, ours))
        blocks, lines = ticker(made, "theirs")
        config = common.batchspawner_stubs(made, theirs.commands, partition)
        hub = common.other_hub(made, "batch", config + many.EXTRA + lines)
        rows.append(measure("batchspawner", hub, blocks, {}, count, theirs))
    common.table(
        f"{count} servers at once",
        ("spawner", "seconds", "submits", "queries", "longest block ms", "of it CPU ms"),
        rows,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
