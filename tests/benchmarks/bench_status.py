"""Status commands a minute with N servers that run or wait, and commands to stop them, against batchspawner.

Usage: python -m tests.benchmarks.bench_status [RUNNING [PENDING]]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..real import manyservers as many
from ..real.counting import Counter
from ..real.hub import Hub
from . import common

WINDOW = 40.0

# What batchspawner-singleuser does, without its second of imports: tell the hub the port, then serve.
REPORTING_STUB = """
import json, os, socket, sys, urllib.request
probe = socket.socket(); probe.bind(("", 0)); port = probe.getsockname()[1]; probe.close()
request = urllib.request.Request(
    os.environ["JUPYTERHUB_API_URL"] + "/batchspawner", json.dumps({"port": port}).encode(),
    {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"], "Content-Type": "application/json"})
urllib.request.urlopen(request, timeout=60).read()
os.execv(sys.executable, [sys.executable, "-S", "-E", sys.argv[1], str(port)])
"""


@contextmanager
def spawners(running: str, waiting: str) -> Iterator[dict[str, tuple[Hub, Counter, dict[str, str], dict[str, str]]]]:
    """Hub, counter, and options of a server that runs and of one that waits, by spawner."""
    with common.hubs() as made, many.shared_partition() as partition:
        ours, theirs = Counter(made.base / "ours"), Counter(made.base / "theirs")
        text = many.profiles(made.base, partition)
        reporting = made.base / "reporting.py"
        reporting.write_text(REPORTING_STUB)
        # The counter's commands carry a hub as argument so that a partition can be chosen by option.
        config = common.batchspawner_config(made, commands=f"{theirs.commands}/", partition="{partition}", memory="50M")
        config = config.replace('c.SlurmSpawner.req_partition = "{partition}"', "")
        config += f"""
c.Spawner.cmd = ["/usr/bin/python3", {str(reporting)!r}, {str(made.base / "stub.py")!r}]
c.SlurmSpawner.batchspawner_singleuser_cmd = ""
c.SlurmSpawner.req_partition = {partition!r}
"""
        hubs = {
            "hpcspawner": (
                made.slurm(edit=many.edit(ours.commands, partition), more=text, extra=many.EXTRA),
                ours,
                {"profile": running},
                {"profile": waiting},
            ),
            "batchspawner": (
                common.other_hub(made, "batch", config + many.EXTRA),
                theirs,
                {},
                {"partition": partition + "down"},
            ),
        }
        try:
            yield hubs
        finally:
            for hub, *_ in hubs.values():
                hub.close()


def a_minute(counter: Counter, seconds: float) -> float:
    return len(counter.window(seconds)) * 60 / seconds


def main(running: int, pending: int) -> None:
    rows = []
    with spawners("stub", "later") as hubs:
        for name, (hub, counter, runs, waits) in hubs.items():
            hub.start()
            first = [f"r{number}" for number in range(running)]
            many.ask_all(hub, "alice", first, runs)
            many.wait_ready(hub, "alice", first)
            with_running = a_minute(counter, WINDOW)
            began = time.time()
            many.stop_all(hub, "alice", first)
            many.wait_gone(hub, "alice", first)
            stopping = [call for call in counter.calls(began) if call.status or call.name == "scancel"]
            second = [f"w{number}" for number in range(pending)]
            many.ask_all(hub, "bob", second, waits)
            many.wait_jobs(hub, "bob", second)
            with_pending = a_minute(counter, WINDOW / 2)
            rows.append([name, with_running, with_pending, float(len(stopping))])
            hub.close()
    ours, theirs = rows
    rows.append(["ratio", *(mine / other if other else 0.0 for mine, other in zip(ours[1:], theirs[1:], strict=True))])
    common.table(
        f"Status commands a minute: {running} running, {pending} pending; commands to stop {running}",
        ("spawner", "running", "pending", "stop all"),
        rows,
    )


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], "60", "20"][:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 20))
