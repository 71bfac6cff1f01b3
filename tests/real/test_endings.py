"""Why a server ended: told on the page in words, also where it ended while the hub was away.

All servers of this module live at the same time, since their ends take minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from .conftest import Hubs, job_facts
from .hub import Hub, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

PROFILES = """
  unclaimed:
    title: Nobody comes
    unclaimed: 1
    fields: &tiny {partition: main, cores: 1, memory: 500M, walltime: "00:20:00"}
  idle:
    title: Nobody works
    idle: 1
    fields: *tiny
  brief:
    title: Two minutes
    fields: {partition: main, cores: 1, memory: 500M, walltime: "00:02:00"}
"""
SERVERS = {
    ("alice", "unclaimed"): "unclaimed",
    ("alice", "tab"): "idle",
    ("alice", "kernel"): "idle",
    ("alice", "shell"): "idle",
    ("bob", "brief"): "brief",
    ("bob", "cancelled"): "small",
    ("bob", "killed"): "small",
}


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    """A hub whose servers have met their ends, those of idle ones while it was away."""
    hub = hubs.slurm(more=PROFILES).start()
    for (user, name), profile in SERVERS.items():
        hub.ask(user, {"profile": profile}, name)
    for user, name in SERVERS:
        hub.ready(user, name)
    busy_kernel(hub, "alice", "kernel")
    busy_terminal(hub, "alice", "shell")
    hub.jobs_then = {key: hub.job(*key) for key in SERVERS}  # type: ignore[attr-defined]
    hub.kill()
    until(lambda: look(hub, "alice", "tab") and ended(hub, "alice", "tab"), "the idle server ended", 200)
    until(lambda: ended(hub, "alice", "unclaimed"), "the unclaimed server ended", 200)
    hub.start()
    return hub


def ended(hub: Hub, user: str, name: str) -> bool:
    job = hub.jobs_then[user, name]  # type: ignore[attr-defined]
    return job_facts(job)["JobState"] not in ("RUNNING", "COMPLETING")


def look(hub: Hub, user: str, name: str) -> bool:
    """What an open tab does every few seconds."""
    with contextlib.suppress(requests.RequestException):
        hub.visit(user, name, "api/kernels")
        time.sleep(2)
    return True


def connect(hub: Hub, user: str, name: str, path: str) -> Any:
    return websocket.create_connection(
        f"{hub.url.replace('http', 'ws', 1)}/user/{user}/{name}/{path}",
        header=[f"Authorization: token {hub.token}"],
        timeout=60,
    )


def post(hub: Hub, user: str, name: str, path: str) -> dict[str, Any]:
    url = f"{hub.url}/user/{user}/{name}/{path}"
    answer = requests.post(url, headers={"Authorization": f"token {hub.token}"}, timeout=60)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def busy_kernel(hub: Hub, user: str, name: str) -> None:
    kernel = post(hub, user, name, "api/kernels")["id"]
    message = {
        "channel": "shell",
        "header": {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1", "version": "5.3"},
        "parent_header": {},
        "metadata": {},
        "content": {"code": "import time; time.sleep(900)", "silent": False},
        "buffers": [],
    }
    channels = connect(hub, user, name, f"api/kernels/{kernel}/channels")
    channels.send(json.dumps(message))
    busy = lambda: hub.visit(user, name, f"api/kernels/{kernel}").json()["execution_state"] == "busy"  # noqa: E731
    until(busy, "the kernel is busy")
    channels.close()


def busy_terminal(hub: Hub, user: str, name: str) -> None:
    terminal = post(hub, user, name, "api/terminals")["name"]
    shell = connect(hub, user, name, f"terminals/websocket/{terminal}")
    shell.send(json.dumps(["stdin", "echo read''y; sleep 900\n"]))
    until(lambda: "ready" in shell.recv(), "the program in the terminal runs")
    shell.close()


def browser(hub: Hub, user: str) -> requests.Session:
    """Logged in as a user."""
    session = requests.Session()
    session.headers["Sec-Fetch-Mode"] = "navigate"
    session.get(f"{hub.url}/hub/login", timeout=30)
    form = {"username": user, "password": "x", "_xsrf": session.cookies.get("_xsrf", path="/hub/")}
    assert "/hub/login" not in session.post(f"{hub.url}/hub/login", data=form, timeout=30).url
    return session


def test_an_unclaimed_server_ends_while_the_hub_is_away(hub: Hub) -> None:
    hub.stopped("alice", "unclaimed")
    assert hub.ending("alice", "unclaimed") == "Nobody opened the server for 1 minute."


def test_an_open_tab_is_no_work(hub: Hub) -> None:
    hub.stopped("alice", "tab")
    assert hub.ending("alice", "tab") == "The server was idle for 1 minute."


def test_form_and_page_tell_why_the_last_server_ended(hub: Hub) -> None:
    hub.stopped("alice", "tab")
    alice = browser(hub, "alice")
    words = f"Your last job ({hub.jobs_then['alice', 'tab']}) ended on "  # type: ignore[attr-defined]
    for path in ("spawn/alice/tab", "user/alice/tab/lab"):
        page = alice.get(f"{hub.url}/hub/{path}", timeout=30).text
        assert words in page
        assert "The server was idle for 1 minute." in page


@pytest.mark.parametrize("name", ["kernel", "shell"])
def test_what_works_is_not_idle(hub: Hub, name: str) -> None:
    hub.ready("alice", name)
    assert hub.visit("alice", name).ok
    assert hub.job("alice", name) == hub.jobs_then["alice", name]  # type: ignore[attr-defined]


def test_a_cancel_from_outside_is_told_as_such(hub: Hub) -> None:
    hub.ready("bob", "cancelled")
    subprocess.run(["scancel", hub.job("bob", "cancelled")], check=True, timeout=60)
    hub.stopped("bob", "cancelled")
    assert hub.ending("bob", "cancelled") == "The job was cancelled on the cluster, by its owner or an administrator."


def test_a_server_that_is_killed_tells_the_signal(hub: Hub) -> None:
    hub.ready("bob", "killed")
    tag = hub.server("bob", "killed")["state"]["tag"]
    os.kill(server_process(tag), signal.SIGKILL)
    hub.stopped("bob", "killed")
    assert "signal 9: perhaps it needed more memory than the job has" in hub.ending("bob", "killed")


def server_process(tag: str) -> int:
    """The Jupyter server of that job, seen as root."""
    mark = f"HPCSPAWNER_TAG={tag}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                mark in (folder / "environ").read_bytes()
                and b"hpcspawner_jupyter.py" in (folder / "cmdline").read_bytes()
            ):
                return int(folder.name)
    raise AssertionError(f"no server of {tag}")


@pytest.mark.timeout(400)
def test_the_walltime_is_announced_and_told(hub: Hub) -> None:
    job = hub.jobs_then["bob", "brief"]  # type: ignore[attr-defined]
    log = job_facts(job)["StdOut"]
    until(lambda: "this job ends in 1 minute: save your work" in Path(log).read_text(), "the end is announced")
    until(lambda: job_facts(job)["JobState"] == "TIMEOUT", "the walltime is over", 200)
    hub.stopped("bob", "brief")
    assert hub.ending("bob", "brief") == "The job reached the end of its walltime (00:02:00)."


def test_an_own_stop_leaves_nothing_to_tell_and_a_new_start_forgets(hub: Hub) -> None:
    hub.delete("alice", "kernel")
    hub.stopped("alice", "kernel")
    assert not hub.ending("alice", "kernel")
    hub.ask("alice", {"profile": "small"}, "tab")
    hub.ready("alice", "tab")
    assert not hub.ending("alice", "tab")
