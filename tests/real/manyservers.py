"""Many servers at small cost: a stub instead of JupyterLab, in a partition of Slurm whose cores take several jobs."""

from __future__ import annotations

import concurrent.futures
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .hub import Hub, until

# Light enough for a hundred of them: 10 ms of CPU, no thread, no framework.
STUB = """
import socket, sys
listener = socket.create_server(("", int(sys.argv[1])), backlog=64)
while True:
    caller, _ = listener.accept()
    try:
        caller.recv(65536)
        caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    except OSError:
        pass
    caller.close()
"""

EXTRA = """
c.JupyterHub.named_server_limit_per_user = 0
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0, "slow_stop_timeout": 0}
c.JupyterHub.log_level = "WARN"
"""

_PROFILES = """
  stub:
    title: Stub
    fields: {{partition: {partition}, cores: 1, memory: 50M, walltime: "00:20:00", app: stub}}
  later:
    title: Stub that waits
    fields: {{partition: {partition}down, cores: 1, memory: 50M, walltime: "00:20:00", app: stub}}
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
"""


@contextmanager
def shared_partition() -> Iterator[str]:
    """Two partitions for this test alone: NAME takes 512 jobs of one core, NAMEdown takes jobs and starts none."""
    name = "many" + secrets.token_hex(3)
    _scontrol("create", f"PartitionName={name}", "Nodes=n[1-4]", "OverSubscribe=FORCE:8", "MaxTime=60", "State=UP")
    _scontrol("create", f"PartitionName={name}down", "Nodes=n[1-4]", "MaxTime=60", "State=DOWN")
    try:
        yield name
    finally:
        for partition in (name, name + "down"):
            subprocess.run(["scancel", f"--partition={partition}"], check=False, timeout=60)
        # A partition goes only after its last job has.
        until(lambda: not _jobs_of(f"{name},{name}down"), "the partitions are empty")
        for partition in (name, name + "down"):
            _scontrol("delete", f"PartitionName={partition}")


def _scontrol(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=True, timeout=60)


def _jobs_of(partitions: str) -> str:
    return subprocess.run(["squeue", "-h", "-p", partitions], capture_output=True, text=True, timeout=60).stdout


def profiles(folder: Path, partition: str) -> str:
    """Text for the end of the test's site: profiles 'stub' and 'later' (stays pending), and their app."""
    stub = folder / "stub.py"
    stub.write_text(STUB)
    stub.chmod(0o644)
    return _PROFILES.format(partition=partition, stub=stub)


def edit(commands: Path, partition: str) -> Callable[[str], str]:
    """Changes the test's site: counted commands, the extra partition, the default pace, no rate limit in the way."""

    def change(text: str) -> str:
        text = text.replace("    scheduler: slurm\n", f"    scheduler: slurm\n    commands: {commands}\n")
        text = text.replace("    poll_fast: 1\n    poll_slow: 5\n", "    submits_per_second: 100\n")
        more = f"      {partition}: {{}}\n      {partition}down: {{}}\n"
        return text.replace("      short: {}\n", "      short: {}\n" + more)

    return change


def ask_all(hub: Hub, user: str, names: list[str], options: dict[str, Any]) -> None:
    """Asks for all these servers at once."""
    hub.add_user(user)

    def ask(name: str) -> None:
        answer = hub.call("POST", f"/users/{user}/servers/{name}", json=options)
        assert answer.status_code in (201, 202), answer.text

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, names))


def stop_all(hub: Hub, user: str, names: list[str]) -> None:
    """Stops all these servers at once."""

    def stop(name: str) -> None:
        answer = hub.delete(user, name)
        assert answer.status_code in (202, 204), answer.text

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(stop, names))


def servers(hub: Hub, user: str) -> dict[str, Any]:
    """The hub's records of all servers of that user."""
    found: dict[str, Any] = hub.call("GET", f"/users/{user}").json().get("servers", {})
    return found


def wait_ready(hub: Hub, user: str, names: list[str]) -> None:
    """Until all of them are ready."""
    wanted = set(names)

    def look() -> bool:
        return wanted <= {name for name, server in servers(hub, user).items() if server.get("ready")}

    until(look, f"{len(names)} servers are ready")


def wait_jobs(hub: Hub, user: str, names: list[str]) -> None:
    """Until all of them have a job."""
    wanted = set(names)

    def look() -> bool:
        found = servers(hub, user).items()
        return wanted <= {name for name, server in found if (server.get("state") or {}).get("job_id")}

    until(look, f"{len(names)} servers have jobs")


def wait_gone(hub: Hub, user: str, names: list[str]) -> None:
    """Until the hub has none of them any more."""
    until(lambda: set(names).isdisjoint(servers(hub, user)), f"{len(names)} servers are gone")
