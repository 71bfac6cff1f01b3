"""Status commands a minute with N servers that run or wait, and commands to stop them, against batchspawner.

Usage: python -m tests.benchmarks.bench_status [RUNNING [PENDING]]
"""

from __future__ import annotations

import sys
import time

from ..real import manyservers as many
from ..real.counting import Counter
from ..real.hub import Hub
from . import common

WINDOW = 30.0


def a_minute(counter: Counter) -> float:
    return len(counter.window(WINDOW)) * 60 / WINDOW


def measure(
    hub: Hub, counter: Counter, runs: dict[str, str], waits: dict[str, str], counts: tuple[int, int]
) -> list[float]:
    """Status commands a minute with running, and with pending servers; all commands that it takes to stop the former.

    runs, waits: options of a server that runs and of one that waits.
    """
    hub.start()
    first, second = (
        [f"{letter}{number}" for number in range(count)] for letter, count in zip("rw", counts, strict=True)
    )
    many.ask_all(hub, "alice", first, runs)
    many.wait_ready(hub, "alice", first)
    with_running, began = a_minute(counter), time.time()
    many.stop_all(hub, "alice", first)
    many.wait_gone(hub, "alice", first)
    stopping = [call for call in counter.calls(began) if call.status or call.name == "scancel"]
    many.ask_all(hub, "bob", second, waits)
    many.wait_jobs(hub, "bob", second)
    with_pending = a_minute(counter)
    hub.close()
    return [with_running, with_pending, float(len(stopping))]


def main(running: int, pending: int) -> None:
    with common.hubs() as made, many.shared_partition() as partition:
        counter, other_counter = Counter(made.base / "ours"), Counter(made.base / "theirs")
        text = many.profiles(made.base, partition)
        hub = made.slurm(edit=many.edit(counter.commands, partition), more=text, extra=many.EXTRA)
        config = common.batchspawner_stubs(made, other_counter.commands, partition) + many.EXTRA
        other = common.other_hub(made, "batch", config)
        counts = (running, pending)
        ours = measure(hub, counter, {"profile": "stub"}, {"profile": "later"}, counts)
        theirs = measure(other, other_counter, {}, {"partition": partition + "down"}, counts)
    ratio = [mine / peer if peer else 0.0 for mine, peer in zip(ours, theirs, strict=True)]
    common.table(
        f"Status commands a minute: {running} running, {pending} pending; all commands to stop {running}",
        ("spawner", "running", "pending", "stop all"),
        [("hpcspawner", *ours), ("batchspawner", *theirs), ("ratio", *ratio)],
    )


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:]]
    main(*(asked + [60, 20][len(asked) :]))
