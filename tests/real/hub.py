"""A real hub process for tests: started, killed, asked over its API. Nothing in it reaches into hpcspawner's code."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

PREFIX = Path(os.environ.get("HPCSPAWNER_TEST_PREFIX", "/opt/hpcspawner-test"))
REPOSITORY = Path(__file__).resolve().parents[2]
USER_PYTHON = os.environ.get("HPCSPAWNER_TEST_USER_PYTHON", str(PREFIX / "user/bin/python"))
PATIENCE = 90.0
"""Seconds before a condition that must come true counts as failed; generous, since machines may be slow."""


def free_port(ip: str) -> int:
    """A port that the OS says is free there now."""
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Waits for a true answer and returns it; fails with the last answer."""
    end = time.monotonic() + patience
    answer = condition()
    while not answer:
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience:.0f} s: {what}; last answer {answer!r}")
        time.sleep(0.1)
        answer = condition()
    return answer


CONFIG = """
load_subconfig({reference!r})
c.JupyterHub.bind_url = "http://{ip}:{public}"
c.JupyterHub.hub_ip = {ip!r}
c.JupyterHub.hub_connect_ip = {ip!r}
c.JupyterHub.hub_port = {internal}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.ConfigurableHTTPProxy.auth_token = {proxy_token!r}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 1, "slow_stop_timeout": 1}}
c.JupyterHub.authenticator_class = {authenticator!r}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"admin"}}
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "test", "services": ["test"], "scopes": [
        "admin:users", "admin:servers", "list:users", "tokens", "proxy", "read:hub", "access:servers", "shutdown"]}},
]
{extra}
"""


class Hub:
    """One hub with its own database, ports, instance id and site file; survives being killed."""

    def __init__(
        self,
        directory: Path,
        site: Path,
        *,
        ip: str = "127.0.0.1",
        account: str = "",
        environment: dict[str, str] | None = None,
        authenticator: str = "dummy",
        extra: str = "",
        within: tuple[str, ...] = (),
    ) -> None:
        """within: words before the hub's own command, run as root: they make the world that the hub sees."""
        self.within = within
        self.directory, self.site, self.ip, self.account = directory, site, ip, account
        self.token = secrets.token_hex(16)
        self.public, self.internal, self.proxy_port = free_port(ip), free_port(ip), free_port("127.0.0.1")
        self.url = f"http://{ip}:{self.public}"
        self.log_file = directory / "hub.log"
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(
            reference=str(REPOSITORY / "jupyterhub_config.py"),
            ip=ip,
            public=self.public,
            internal=self.internal,
            proxy=self.proxy_port,
            proxy_token=secrets.token_hex(16),
            authenticator=authenticator,
            token=self.token,
            extra=extra,
        )
        (directory / "config.py").write_text(text)
        if account:
            for path in (directory, directory / "config.py"):
                shutil.chown(path, account, account)

    def environment(self) -> dict[str, str]:
        """What the hub's process sees: little, so that nothing is found by chance."""
        path = [str(Path(sys.executable).parent), str(PREFIX / "node/bin"), "/usr/bin", "/bin", "/usr/sbin"]
        return {
            "PATH": ":".join([*path, str(Path(shutil.which("node") or "/usr/bin/node").parent)]),
            "HOME": pwd.getpwnam(self.account).pw_dir if self.account else os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "HPCSPAWNER_SITE": str(self.site),
            "HPCSPAWNER_STATE": str(self.directory / "state"),
            **self._environment,
        }

    def start(self, *, wait: bool = True) -> Hub:
        """Starts the process and waits for its API."""
        argv = [sys.executable, "-m", "jupyterhub", "-f", str(self.directory / "config.py")]
        if self.account:
            entry = pwd.getpwnam(self.account)
            argv = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", *argv]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.within, *argv],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            until(self.answers, "the hub's API answers")
        return self

    def answers(self) -> bool:
        """Whether the hub is up; a hub that died fails the test with its log."""
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"the hub ended with {self._process.returncode}:\n{self.log()[-4000:]}")
        with contextlib.suppress(requests.RequestException):
            return self.call("GET", "/info").status_code == 200
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of the hub's own process, as a crash would; the proxy stays, as it does in a crash."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ensure(self) -> Hub:
        """Starts it where a test has left it dead, so that the next one is judged by itself."""
        return self if self._process is not None and self._process.poll() is None else self.start()

    def restart(self) -> Hub:
        """A crash and a new start."""
        self.kill()
        return self.start()

    def close(self) -> None:
        """Ends hub and proxy for good."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # There only where the hub was killed before: a hub that stops ends its proxy.
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self.directory / "state/jupyterhub-proxy.pid").read_text()), signal.SIGTERM)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    # The API -----------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, *, token: str = "", **kwargs: Any) -> requests.Response:
        """One request to the hub's API, directly (the proxy's route may be stale just after a crash)."""
        headers = {"Authorization": f"token {token or self.token}"}
        url = f"http://{self.ip}:{self.internal}/hub/api{path}"
        return requests.request(method, url, headers=headers, timeout=60, **kwargs)

    def add_user(self, user: str) -> None:
        assert self.call("POST", f"/users/{user}").status_code in (201, 409)

    def ask(self, user: str, options: dict[str, Any] | None = None, name: str = "") -> requests.Response:
        """POST for a server; returns at once."""
        self.add_user(user)
        path = f"/users/{user}/servers/{name}" if name else f"/users/{user}/server"
        return self.call("POST", path, **({"json": options} if options is not None else {}))

    def server(self, user: str, name: str = "") -> dict[str, Any]:
        """The hub's record of the server, {} where there is none."""
        answer = self.call("GET", f"/users/{user}", params={"include_stopped_servers": "1"})
        if answer.status_code != 200:
            return {}
        found: dict[str, Any] = answer.json().get("servers", {}).get(name, {})
        return found

    def job(self, user: str, name: str = "") -> str:
        """The job's id as the hub keeps it."""
        return str((self.server(user, name).get("state") or {}).get("job_id") or "")

    def ready(self, user: str, name: str = "") -> dict[str, Any]:
        """Waits until the server is ready; a start that failed fails the test at once with its message."""

        def look() -> dict[str, Any]:
            server = self.server(user, name)
            if server.get("ready"):
                return server
            if server and server.get("stopped") and not server.get("pending"):
                raise AssertionError(f"the server did not start: {self.failure(user, name)}\n{self.log()[-3000:]}")
            return {}

        found: dict[str, Any] = until(look, f"{user}/{name} is ready")
        return found

    def pending(self, user: str, name: str = "") -> str:
        """Waits until the job is in the queue, and returns its id."""
        return str(until(lambda: self.job(user, name), f"{user}/{name} has a job"))

    def stopped(self, user: str, name: str = "") -> None:
        """Waits until the hub has no such server any more."""

        def look() -> bool:
            server = self.server(user, name)
            return not server or (bool(server.get("stopped")) and not server.get("pending"))

        until(look, f"{user}/{name} is stopped")

    def delete(self, user: str, name: str = "") -> requests.Response:
        path = f"/users/{user}/servers/{name}" if name else f"/users/{user}/server"
        return self.call("DELETE", path)

    def stream(self, user: str, name: str = "", *, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
        """The progress events as they come, until the last one."""
        path = f"/users/{user}/servers/{name}/progress" if name else f"/users/{user}/server/progress"
        with self.call("GET", path, stream=True) as answer:
            end = time.monotonic() + patience
            for line in answer.iter_lines():
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    yield event
                    if event.get("ready") or event.get("failed"):
                        break
                if time.monotonic() > end:
                    break

    def events(self, user: str, name: str = "", *, patience: float = PATIENCE) -> list[dict[str, Any]]:
        """The progress events until the last one."""
        return list(self.stream(user, name, patience=patience))

    def failure(self, user: str, name: str = "") -> str:
        """What the page says about a start that failed."""
        events = self.events(user, name, patience=5)
        return str(events[-1].get("message", "")) if events else ""

    def ending(self, user: str, name: str = "") -> str:
        """What the hub keeps about how the last job ended."""
        state = self.server(user, name).get("state") or {}
        return str((state.get("last_ending") or {}).get("text") or "")

    def visit(self, user: str, name: str = "", path: str = "api") -> requests.Response:
        """A request to the user's server through the proxy."""
        where = f"{self.url}/user/{user}/{name + '/' if name else ''}{path}"
        return requests.get(where, headers={"Authorization": f"token {self.token}"}, timeout=30)


@contextlib.contextmanager
def listening(hub: Hub, user: str, name: str = "") -> Iterator[list[dict[str, Any]]]:
    """Collects the progress events while the block runs."""
    found: list[dict[str, Any]] = []

    def listen() -> None:
        with contextlib.suppress(requests.RequestException):
            for event in hub.stream(user, name):
                found.append(event)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        thread.join(timeout=30)
