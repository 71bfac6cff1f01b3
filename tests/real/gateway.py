"""A real gateway process for tests, and programs of users that run in an environment without hpcspawner."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from .hub import PREFIX, REPOSITORY, free_port, until

DASK_PYTHON = os.environ.get("HPCSPAWNER_TEST_DASK_PYTHON", str(PREFIX / "dask/bin/python"))

CONFIG = """
load_subconfig({reference!r})
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = {password!r}
c.Proxy.address = c.Proxy.tcp_address = "{ip}:{port}"
c.DaskGateway.address = "127.0.0.1:{private}"
c.HPCBackend.cluster_heartbeat_period = 2
c.HPCBackend.check_timeouts_period = 1
c.HPCClusterConfig.adaptive_period = 1
{extra}
"""

PROGRAM = """
import json, sys, time
from dask_gateway import Gateway, BasicAuth
def gateway(user={user!r}):
    return Gateway({url!r}, auth=BasicAuth(user, {password!r}))
def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("not within {{}} s".format(seconds))
        time.sleep(0.1)
def answer(value):
    print("ANSWER " + json.dumps(value), flush=True)
"""


class GatewayServer:
    """One gateway with its own database, ports and instance id; survives being killed."""

    def __init__(self, directory: Path, site: Path, *, ip: str = "127.0.0.1", extra: str = "") -> None:
        self.directory, self.site, self.ip = directory, site, ip
        self.password = secrets.token_hex(8)
        self.port, self.private = free_port(ip), free_port("127.0.0.1")
        self.url = f"http://{ip}:{self.port}"
        self.log = directory / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700)
        reference = str(REPOSITORY / "dask_gateway_config.py")
        (directory / "config.py").write_text(
            CONFIG.format(
                reference=reference, password=self.password, ip=ip, port=self.port, private=self.private, extra=extra
            )
        )

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "HPCSPAWNER_SITE": str(self.site),
            "HPCSPAWNER_GATEWAY_STATE": str(self.directory / "state"),
        }
        command = [sys.executable, "-m", "dask_gateway_server", "-f", str(self.directory / "config.py")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, f"the gateway answers; see {self.log}")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(self.log.read_text()[-3000:])
        try:
            return requests.get(self.url + "/api/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
            self._process.wait(60)
        if self._process is not None and number == signal.SIGKILL:
            # Its proxy is a child that a killed gateway cannot take along.
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process = None

    def api(self, method: str, path: str, user: str = "alice", **kwargs: Any) -> requests.Response:
        return requests.request(method, self.url + path, auth=(user, self.password), timeout=60, **kwargs)

    def program(self, body: str, *, user: str = "alice", timeout: float = 120) -> list[Any]:
        """Runs a user's program; what it gave to answer()."""
        text = PROGRAM.format(user=user, url=self.url, password=self.password) + body
        ran = subprocess.run([DASK_PYTHON, "-c", text], capture_output=True, text=True, timeout=timeout, cwd="/")
        found = [json.loads(line[7:]) for line in ran.stdout.splitlines() if line.startswith("ANSWER ")]
        assert ran.returncode == 0, f"{ran.stdout[-1000:]}\n{ran.stderr[-3000:]}\n{self.log.read_text()[-4000:]}"
        return found
