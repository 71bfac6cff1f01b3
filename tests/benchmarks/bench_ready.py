"""JupyterLab ready through the hub on Slurm, against the same hub without a scheduler and against batchspawner.

Usage: python -m tests.benchmarks.bench_ready [ROUNDS]
"""

from __future__ import annotations

import sys

from . import common


def main(rounds: int) -> None:
    """Rounds go in turn, so that a busy moment of the machine hits all alike; medians count."""
    with common.hubs() as made:
        share = made.base / "stamps"
        share.mkdir()
        share.chmod(0o1777)
        kinds = {
            "LocalProcessSpawner": (common.other_hub(made, "local", common.LOCAL), None),
            "hpcspawner": (made.slurm(edit=common.default_pace), {"profile": "small"}),
            "batchspawner": (common.other_hub(made, "batch", common.batchspawner_config(made)), None),
        }
        seconds: dict[str, list[float]] = {name: [] for name in (*kinds, "sbatch to start")}
        for hub, _ in kinds.values():
            hub.start()
        for number in range(rounds + 1):
            for name, (hub, options) in kinds.items():
                took = common.ready_seconds(hub, "alice", options)
                common.stop(hub, "alice")
                if number:  # the first round fills caches
                    seconds[name].append(took)
            took = common.submit_to_start(share, "alice")
            if number:
                seconds["sbatch to start"].append(took)
        base = common.median(seconds["LocalProcessSpawner"]) + common.median(seconds["sbatch to start"])
        common.table(
            f"JupyterLab ready, seconds, {rounds} rounds; ratio to (LocalProcessSpawner + sbatch to start)",
            ("what", "median", "least", "most", "ratio"),
            [
                (name, common.median(took), min(took), max(took), common.median(took) / base)
                for name, took in seconds.items()
            ],
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
