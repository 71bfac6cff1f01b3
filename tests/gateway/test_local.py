"""Dask Gateway on the embedded queue, for real: the account that runs the tests, or alice where that is root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcspawner.job import Cluster, Result
from hpcspawner.schedulers import local
from tests.real.gateway import DASK_PYTHON, GatewayServer
from tests.real.hub import until

pytestmark = [
    pytest.mark.skipif(not Path(DASK_PYTHON).exists(), reason="there is no environment with Dask: run deploy/test"),
    pytest.mark.skipif(os.geteuid() == 0 and os.environ.get("HPCSPAWNER_TEST_REAL") != "1", reason="needs alice"),
]

SITE = """
name: here
prefix: {prefix}
state_dir: {base}/jobs/{{user}}
clusters:
  here:
    scheduler: local
    environment: {{HPCSPAWNER_LOCALQUEUE: {base}/queue}}
    switches: {{cores: 8, memory: 8000, grace: 5}}
    poll_fast: 0.5
    dask: {{python: {python}, scheduler_memory: 300M}}
free_choice: true
fields:
  cores: {{default: 1, max: 8}}
  memory: {{default: 300M, max: 2G}}
  walltime: {{default: "00:10:00"}}
"""


@pytest.fixture
def base() -> Iterator[Path]:
    # Sockets and the queue lie where other accounts can enter; pytest's own directory is closed to them.
    path = Path(tempfile.mkdtemp(prefix="hpcspawner-", dir="/var/tmp"))
    path.chmod(0o755)
    (path / "jobs").mkdir()
    (path / "jobs").chmod(0o1777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def gateway(base: Path) -> Iterator[GatewayServer]:
    site = base / "site.yaml"
    site.write_text(SITE.format(prefix="l" + secrets.token_hex(3), base=base, python=DASK_PYTHON))
    server = GatewayServer(base / "gateway", site)
    server.start()
    yield server
    server.stop()


def living(base: Path) -> list[str]:
    """Jobs of the queue that have not ended, as the dialect shows them."""
    cluster = Cluster("here", "local", environment={"HPCSPAWNER_LOCALQUEUE": str(base / "queue")})
    command = local.query(cluster, [], [])
    ran = subprocess.run(
        command.argv,
        input=command.stdin,
        env={**os.environ, **command.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    jobs = local.queried(cluster, Result(ran.returncode, ran.stdout, ran.stderr))
    return [id for id, job in jobs.items() if job.state.lives]


def test_scale_compute_and_shutdown(base: Path, gateway: GatewayServer) -> None:
    user = "alice" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    (found,) = gateway.program(
        """
import getpass
c = gateway().new_cluster()
c.scale(2)
client = c.get_client()
client.wait_for_workers(2, timeout=60)
answer([client.submit(sum, range(10)).result(), client.submit(getpass.getuser).result()])
c.shutdown()
""",
        user=user,
    )
    assert found == [45, user]
    until(lambda: not living(base), "the queue is empty")
    until(lambda: not list((base / "jobs" / user / "jobs").glob("*/secret.json")), "no secret is left")
