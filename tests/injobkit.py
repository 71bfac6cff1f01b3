"""A small hub that takes reports, and jobs that run the in-job programs as a batch script would."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hpcspawner.injob

INJOB = Path(hpcspawner.injob.__file__).parent
USER_PYTHON = os.environ.get("HPCSPAWNER_TEST_USER_PYTHON", "/opt/hpcspawner-test/user/bin/python")
TAG = f"jupyter-{secrets.token_hex(3)}-aaaaaaaaaa"
"""Of this test process alone: what a job leaves in the temporary directory bears its tag."""
LIMIT = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a condition and returns its value; fails after a minute."""
    limit = time.monotonic() + LIMIT
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < limit, f"{what}: not within {LIMIT} s"
        time.sleep(0.02)


class Hub:
    """Answers GET as a hub does, and POST with the answers it was given, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = [(200, '{"message": "taken"}')]
        self.reports: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []
        self.server: ThreadingHTTPServer | None = None
        self.port = 0

    def __enter__(self) -> Hub:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                user = '{"name": "alice", "kind": "user", "scopes": ["access:servers!server=alice/"], "groups": []}'
                self.answer(200, user if self.path.endswith("/user") else '{"version": "6.1.1"}')

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not self.path.endswith("/batchspawner"):
                    self.answer(200, "{}")
                    return
                hub.reports.append(json.loads(body))
                hub.tokens.append(self.headers.get("Authorization"))
                self.answer(*(hub.answers.pop(0) if len(hub.answers) > 1 else hub.answers[0]))

            def answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("X-JupyterHub-Version", "6.1.1")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/hub/api"

    @property
    def report(self) -> dict[str, Any]:
        return {"urls": [f"{self.api}/batchspawner"], "proxy": ""}

    def environment(self) -> dict[str, str]:
        """What a spawner gives a server in its secret environment."""
        return {
            "JUPYTERHUB_API_TOKEN": "the-servers-token",
            "JUPYTERHUB_API_URL": self.api,
            "JUPYTERHUB_ACTIVITY_URL": f"{self.api}/users/alice/activity",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice",
            "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=alice/"]',
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=alice/"]',
            "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/",
            "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/user/alice/",
            "JUPYTERHUB_USER": "alice",
        }


class Running:
    """One job that runs server.py or probe.py."""

    def __init__(self, folder: Path, hub: Hub, program: str = "server.py", **plan: Any) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self.end_file = folder / "end.json"
        secret = folder / "secret.json"
        secret.write_text(json.dumps({**hub.environment(), **plan.pop("secret_environment", {})}))
        self.plan = {
            "tag": TAG,
            "kind": "server",
            "state": str(folder),
            "secret": str(secret),
            "jupyter": True,
            "command": ["jupyterhub-singleuser", "--allow-root"],
            "python": USER_PYTHON,
            "address": "hostname",
            "ports": [0, 0],
            "report": hub.report,
            "idle": 0,
            "unclaimed": 0,
            "job_id_variables": ["TEST_JOB_ID"],
            "run_variable": "TEST_RUN",
            "end_variables": ["TEST_END"],
            "local": True,
            "log": str(self.log),
            "end": str(self.end_file),
            **plan,
        }
        (folder / "plan.json").write_text(json.dumps(self.plan))
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, python: str = sys.executable, **environ: str) -> Running:
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "TEST_JOB_ID": "77",
            **environ,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [python, "-I", str(INJOB / self.program), str(self.folder / "plan.json")],
                env=environment,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        return self

    @property
    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait(self) -> Mapping[str, Any]:
        """Waits for the end; the record of it."""
        assert self.process
        self.process.wait(LIMIT)
        return self.end

    @property
    def end(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.end_file.read_text())
        return value

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(LIMIT)
