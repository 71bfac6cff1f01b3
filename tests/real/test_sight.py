"""A site begins to hide jobs from the hub while servers run: none is dropped, and new ones start."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import manyservers as many
from .conftest import Hubs, squeue
from .hub import Hub, until

pytestmark = [pytest.mark.strict, pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

NAMES = [f"s{number}" for number in range(20)]
STUB = {"profile": "stub"}
PROFILE = """
  stub:
    title: Stub
    fields: {{partition: main, cores: 1, memory: 50M, walltime: "00:20:00", app: stub}}
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
"""
CONF = Path(os.environ.get("SLURM_CONF", "/nonexistent"))
HIDING = "PrivateData=jobs,usage,users\n"


def hide(text: str) -> None:
    """What an administrator does: changes one line, no daemon is restarted."""
    before = CONF.read_text()
    CONF.write_text(before.replace("PrivateData=none\n" if text == HIDING else HIDING, text))
    subprocess.run(["scontrol", "reconfigure"], check=True, timeout=60)
    until(lambda: bool(hub_sees()) != (text == HIDING), "the change has come into effect")


def hub_sees() -> str:
    """The jobs of which Slurm tells the hub's account."""
    return subprocess.run(
        ["runuser", "-u", "jupyterhub", "--", "squeue", "-a", "-h"], capture_output=True, text=True, cwd="/"
    ).stdout


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Iterator[Hub]:
    stub = hubs.base / "stub.py"
    stub.write_text(many.STUB)
    stub.chmod(0o644)
    hub = hubs.slurm(query_as="hub", more=PROFILE.format(stub=stub), extra=many.EXTRA)
    witness = subprocess.run(
        ["sbatch", "--parsable", "-p", "gpu", "-t", "10", "-o", "/dev/null", "--wrap", "sleep 600"],
        check=True, capture_output=True, text=True, cwd="/",
    ).stdout.strip()  # fmt: skip
    try:
        yield hub
    finally:
        hide(HIDING)
        subprocess.run(["scancel", witness], check=False)


def mine(hub: Hub) -> list[dict[str, str]]:
    return [row for row in squeue() if hub.prefix in row["name"]]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def hidden(hub: Hub) -> Hub:
    """Twenty servers that were started in sight, and have been hidden since."""
    hide("PrivateData=none\n")
    hub.start()
    many.ask_all(hub, "alice", NAMES, STUB)
    many.wait_ready(hub, "alice", NAMES)
    hide(HIDING)
    return hub


def ready(hub: Hub, user: str) -> set[str]:
    return {name for name, server in many.servers(hub, user).items() if server.get("ready")}


def test_servers_whose_jobs_are_hidden_from_the_hub_stay(hidden: Hub) -> None:
    until(lambda: "not shown all jobs" in hidden.log(), "the hub has noticed")
    time.sleep(12)  # several polls and grace periods of this site: time enough to drop what is not seen
    assert ready(hidden, "alice") == set(NAMES)
    assert len(mine(hidden)) == len(NAMES)


def test_new_servers_start(hidden: Hub) -> None:
    hidden.ask("bob", STUB, "new")
    hidden.ready("bob", "new")
    assert ready(hidden, "alice") == set(NAMES)


def test_a_restarted_hub_finds_them_all(hidden: Hub) -> None:
    hidden.restart()
    until(lambda: ready(hidden, "alice") == set(NAMES), "all servers are back")


def test_the_end_of_one_is_noticed_and_ends_no_other(hidden: Hub) -> None:
    before = ready(hidden, "alice")
    gone = sorted(before)[0]
    subprocess.run(["scancel", hidden.job("alice", gone)], check=True)
    until(lambda: gone not in many.servers(hidden, "alice"), "its end is noticed")
    assert ready(hidden, "alice") == before - {gone}


def test_they_are_stopped_as_any_other(hidden: Hub) -> None:
    left = list(many.servers(hidden, "alice"))
    many.stop_all(hidden, "alice", left)
    many.wait_gone(hidden, "alice", left)
    hidden.delete("bob", "new")
    until(lambda: not mine(hidden), "no job is left")
