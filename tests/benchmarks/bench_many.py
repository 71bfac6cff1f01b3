"""A thousand running servers on one hub: status queries a minute, the hub's CPU and its memory for each server.

Usage: python -m tests.benchmarks.bench_many [SERVERS [FOREIGN JOBS]]       (as root; needs no Slurm)
"""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from pathlib import Path

import psutil

from tests.real.hub import until
from tests.real.populated import Populated, populated

WINDOW = 60.0


def settled(made: Populated, count: int) -> psutil.Process:
    """The hub's process, once all servers are ready and the load of the start is over."""
    began = time.monotonic()
    made.hub.start()
    until(lambda: len(made.ready()) == count, f"{count} servers are ready", patience=300)
    print(f"{count} servers ready {time.monotonic() - began:.1f} s after the hub's start")
    process = psutil.Process(made.hub._process.pid)  # type: ignore[union-attr]
    time.sleep(WINDOW / 2)
    return process


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def measure(folder: Path, count: int, foreign: int) -> tuple[float, float, float]:
    """Queries a minute, share of a core in percent, resident memory in MiB."""
    folder.mkdir(mode=0o755)
    with populated(folder, count, foreign=foreign) as made:
        process = settled(made, count)
        began, used = time.time(), cpu(process)
        time.sleep(WINDOW)
        took = time.time() - began
        share = (cpu(process) - used) / took * 100
        return made.queries(began) / took * 60, share, process.memory_info().rss / 1024**2


def main(count: int, foreign: int) -> None:
    base = Path("/var/tmp") / f"hpcspawner-bench-{secrets.token_hex(4)}"
    base.mkdir(mode=0o755)
    try:
        _, idle, empty = measure(base / "none", 0, foreign)
        queries, share, memory = measure(base / "many", count, foreign)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"servers {count}, jobs of others {foreign}")
    print(f"status queries a minute  {queries:6.1f}   at most 12")
    print(
        f"CPU of the hub, % core   {share:6.2f}   without servers {idle:.2f}; difference {share - idle:.2f}, at most 1"
    )
    print(f"memory for each server   {(memory - empty) * 1024 / max(count, 1):6.1f} KiB   hub {memory:.0f} MiB")


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["1000", "3000"][len(sys.argv) - 1 :])))
