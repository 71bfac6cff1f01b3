"""What the benchmarks share: hubs with other spawners for comparison, a user to start servers for, tables."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import batchspawner
import requests

from ..real.conftest import Hubs
from ..real.hub import USER_PYTHON, Hub, until

SUBMIT = "sbatch --parsable"


@contextlib.contextmanager
def hubs() -> Iterator[Hubs]:
    """Hubs on the sandbox, taken away afterwards."""
    if os.geteuid() != 0 or "SLURM_CONF" not in os.environ:
        sys.exit("run as root after: deploy/test --setup-only; deploy/slurm-sandbox up; . the env file that it names")
    base = Path("/var/tmp") / f"hpcspawner-bench-{secrets.token_hex(4)}"
    base.mkdir(mode=0o755)
    made = Hubs(base)
    try:
        yield made
    finally:
        made.close()
        # Jobs of a batchspawner hub that ended before them; all of its jobs have this name.
        subprocess.run(["scancel", "--name=spawner-jupyterhub"], check=False, timeout=60)
        shutil.rmtree(base, ignore_errors=True)


def default_pace(text: str) -> str:
    """The test's site with the pace that a site has by default."""
    return text.replace("    poll_fast: 1\n    poll_slow: 5\n", "    submits_per_second: 100\n")


def other_hub(made: Hubs, name: str, extra: str) -> Hub:
    """The same hub with another spawner, as root; extra: lines of its configuration."""
    site = made.base / f"{name}.yaml"
    if not site.exists():
        site.write_text("name: none\nclusters: {none: {scheduler: local}}\nfree_choice: true\n")
    hub = Hub(
        made.base / name,
        site,
        ip=os.environ["HPCSPAWNER_SANDBOX_HUB"],
        environment={"SLURM_CONF": os.environ["SLURM_CONF"]},
        extra="c.JupyterHub.template_paths = []\n" + extra,
    )
    made._hubs.append(hub)
    return hub


LOCAL = f"""
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = [{str(Path(USER_PYTHON).parent / "jupyterhub-singleuser")!r}]
c.Spawner.ip = "10.77.0.1"
""".replace("10.77.0.1", os.environ.get("HPCSPAWNER_SANDBOX_HUB", "127.0.0.1"))


def batchspawner_config(made: Hubs, *, commands: str = "", partition: str = "main", memory: str = "500M") -> str:
    """batchspawner's SlurmSpawner as it comes; commands: directory of counted commands with a slash at its end."""
    return f"""
import hpcspawner.callback  # the hub loads all spawners that are installed, and ours takes that URL
from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub.apihandlers import default_handlers
default_handlers[:] = [entry for entry in default_handlers if entry[0] != hpcspawner.callback.PATTERN]
default_handlers.append((hpcspawner.callback.PATTERN, BatchSpawnerAPIHandler))
c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.Spawner.env_keep = ["PATH", "LANG", "SLURM_CONF"]
c.Spawner.cmd = [{str(Path(USER_PYTHON).parent / "jupyterhub-singleuser")!r}]
c.SlurmSpawner.batchspawner_singleuser_cmd = {str(_batchspawner_singleuser(made))!r}
c.SlurmSpawner.batch_submit_cmd = "{commands}{SUBMIT}"
c.SlurmSpawner.batch_query_cmd = "{commands}squeue -h -j {{job_id}} -o '%T %B'"
c.SlurmSpawner.batch_cancel_cmd = "{commands}scancel {{job_id}}"
c.SlurmSpawner.req_partition = "{partition}"
c.SlurmSpawner.req_memory = "{memory}"
c.SlurmSpawner.req_nprocs = "1"
c.SlurmSpawner.req_runtime = "00:20:00"
"""


# What batchspawner-singleuser does, without its second of imports: tell the hub the port, then serve.
_REPORTING_STUB = """
import json, os, socket, sys, urllib.request
probe = socket.socket()
probe.bind(("", 0))
port = probe.getsockname()[1]
probe.close()
request = urllib.request.Request(
    os.environ["JUPYTERHUB_API_URL"] + "/batchspawner", json.dumps({"port": port}).encode(),
    {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"], "Content-Type": "application/json"})
urllib.request.urlopen(request, timeout=60).read()
os.execv(sys.executable, [sys.executable, "-S", "-E", sys.argv[1], str(port)])
"""


def batchspawner_stubs(made: Hubs, commands: Path, partition: str) -> str:
    """batchspawner with counted commands and the stub of manyservers instead of JupyterLab."""
    script = made.base / "reporting.py"
    script.write_text(_REPORTING_STUB)
    config = batchspawner_config(made, commands=f"{commands}/", partition=partition, memory="50M")
    return f"""{config}
c.Spawner.cmd = ["/usr/bin/python3", {str(script)!r}, {str(made.base / "stub.py")!r}]
c.SlurmSpawner.batchspawner_singleuser_cmd = ""
"""


def _batchspawner_singleuser(made: Hubs) -> Path:
    """Its command for the users' environment, which on a real site would hold batchspawner."""
    folder = made.base / "batchspawner"
    if not folder.exists():
        folder.mkdir()
        (folder / "batchspawner").symlink_to(Path(batchspawner.__file__).parent)
        script = folder / "batchspawner-singleuser"
        lines = [f"#!{USER_PYTHON}", "import sys", f"sys.path.append({str(folder)!r})"]
        script.write_text("\n".join([*lines, "from batchspawner.singleuser import main", "main()", ""]))
        script.chmod(0o755)
    return folder / "batchspawner-singleuser"


def ready_seconds(hub: Hub, user: str, options: dict[str, str] | None) -> float:
    """From the request to the event that says the server is ready."""
    hub.add_user(user)
    began = time.monotonic()
    answer = hub.call("POST", f"/users/{user}/server", **({"json": options} if options else {}))
    assert answer.status_code in (201, 202), answer.text
    events = hub.events(user)
    seconds = time.monotonic() - began
    assert events, hub.log()[-2000:]
    assert events[-1].get("ready"), (events, hub.log()[-2000:])
    return seconds


def stop(hub: Hub, user: str) -> None:
    """Stops the server and lets the machine come to rest."""
    hub.delete(user)
    hub.stopped(user)
    time.sleep(1)


def submit_to_start(folder: Path, user: str) -> float:
    """Seconds from calling sbatch to the first line of the job."""
    stamp = folder / f"started-{secrets.token_hex(4)}"
    script = f"#!/bin/bash\ndate +%s.%N > {stamp}.new && mv {stamp}.new {stamp}\n"
    began = time.time()
    subprocess.run(
        [*SUBMIT.split(), "-p", "main", "-n1", "--mem=500M", "-o", "/dev/null", "-D", str(folder)],
        input=script, text=True, check=True, capture_output=True, user=user, group=user, extra_groups=[], cwd="/",
    )  # fmt: skip
    until(stamp.exists, "the job has started")
    return float(stamp.read_text()) - began


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints it; figures with three digits that matter."""
    lines = [list(heads), *[[_shown(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    print(f"\n{title}")
    for number, line in enumerate(lines):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return str(value)


def warm(hub: Hub) -> None:
    """The first request of a hub imports and compiles; no figure should hold that."""
    with contextlib.suppress(requests.RequestException):
        hub.call("GET", "/users")
