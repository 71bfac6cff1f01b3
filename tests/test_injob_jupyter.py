"""The real JupyterLab in a job: reports the port it is bound to, is clean, and ends when it should."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from .injobkit import USER_PYTHON, Hub, Running, until

pytestmark = pytest.mark.skipif(not os.path.exists(USER_PYTHON), reason="no JupyterLab: run deploy/test --setup-only")

PORTS = (42000, 42999)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def api(job_hub: Hub, path: str, method: str = "GET", body: Any = None) -> Any:
    port = job_hub.reports[-1]["port"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/user/alice/api/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "token the-servers-token", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Running]:
    hub.reports.clear()
    # The hub is away for a moment: the report comes all the same.
    hub.answers = [(503, ""), (200, '{"message": "taken"}')]
    folder = tmp_path_factory.mktemp("jupyter")
    config = folder / "home" / ".jupyter"
    config.mkdir(parents=True)
    (config / "jupyter_server_config.py").write_text("c.ServerApp.jpserver_extensions = {'notebook': False}\n")
    (folder / "home" / "server.py").write_text("mine = True\n")
    kernel = {
        "name": "Deep Learning",
        "title": "Deep learning",
        "argv": [USER_PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "setup": ["export FROM_SETUP='two words'", 'prefix=/x; export PREFIX="${prefix}"'],
    }
    job = Running(folder, hub, kernels=[kernel], default_kernel="Deep Learning", ports=list(PORTS), idle=600).start()
    until(lambda: len(hub.reports) == 2 or job.process.poll() is not None, "report")
    yield job
    job.stop()


def test_the_port_that_is_bound_is_reported_and_again_until_taken(job: Running, hub: Hub) -> None:
    assert hub.reports[0] == hub.reports[1]
    assert PORTS[0] <= hub.reports[0]["port"] <= PORTS[1]
    assert hub.reports[0]["job_id"] == "77"
    assert api(hub, "status")["kernels"] == 0


def test_the_extensions_that_a_user_configured_stay_as_they_are(job: Running) -> None:
    assert "hpcspawner_jupyter | extension was successfully loaded" in job.text
    assert "jupyterlab | extension was successfully loaded" in job.text
    assert "notebook | extension was successfully loaded" not in job.text


def test_the_kernels_of_the_site_are_offered_and_the_chosen_one_is_the_default(job: Running, hub: Hub) -> None:
    specs = api(hub, "kernelspecs")
    assert specs["default"] == "deep-learning"
    assert specs["kernelspecs"]["deep-learning"]["spec"]["display_name"] == "Deep learning"


def run_code(hub: Hub, code: str) -> str:
    """Runs code in a new default kernel; what it prints."""
    kernel = api(hub, "kernels", "POST", {})["id"]
    port = hub.reports[-1]["port"]
    socket = websocket.create_connection(
        f"ws://127.0.0.1:{port}/user/alice/api/kernels/{kernel}/channels",
        header=["Authorization: token the-servers-token"],
        timeout=60,
    )
    header = {"msg_id": "one", "msg_type": "execute_request", "username": "", "session": "s", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    socket.send(json.dumps(message))
    printed = ""
    while True:
        told = json.loads(socket.recv())
        if told["parent_header"].get("msg_id") != "one":
            continue
        if told["msg_type"] == "stream":
            printed += told["content"]["text"]
        if told["msg_type"] == "execute_reply":
            assert told["content"]["status"] == "ok", told["content"]
        if told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
            socket.close()
            return printed


def test_a_cell_sees_a_clean_environment_and_the_users_own_modules(job: Running, hub: Hub) -> None:
    code = "import os, sys, json, server; print(json.dumps([dict(os.environ), sys.path, server.mine]))"
    environ, path, mine = json.loads(run_code(hub, code))
    assert (environ["FROM_SETUP"], environ["PREFIX"]) == ("two words", "/x")
    assert not [entry for entry in path if "injob" in entry]
    assert "PYTHONPATH" not in environ
    assert "HPCSPAWNER_SESSION" not in environ
    assert mine is True
    assert os.path.isdir(environ["HPCSPAWNER_BUSY"])


def test_no_process_shows_the_token(job: Running, hub: Hub) -> None:
    shown = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    for line in shown:
        try:
            assert b"the-servers-token" not in line.read_bytes()
        except OSError:
            continue
    assert "the-servers-token" not in job.text


def private_folders(job: Running) -> set[str]:
    return {name for name in os.listdir("/tmp") if name.startswith("hpcspawner-" + job.plan["tag"])}


def test_a_term_ends_the_server_in_order(job: Running) -> None:
    before = private_folders(job)  # of jobs that other tests killed, too
    job.stop()
    assert job.end["exit_code"] == 0
    assert job.end["reason"] == "ended from outside (SIGTERM)"
    assert len(before - private_folders(job)) == 1


def test_a_busy_kernel_keeps_the_server_and_its_rest_ends_it(tmp_path: Path, hub: Hub) -> None:
    hub.reports.clear()
    hub.answers = [(200, "{}")]
    job = Running(tmp_path, hub, idle=0.02).start()
    until(lambda: hub.reports, "report")
    run_code(hub, "import time; time.sleep(1.5); open('done', 'w').close()")
    done = time.time()
    end = job.wait()
    assert (tmp_path / "home" / "done").exists()
    assert end["ended"] > done
    assert end["reason"] == "the server was idle for 0.02 minutes"


def test_a_server_that_nobody_opens_ends_and_so_does_one_that_the_hub_refuses(tmp_path: Path, hub: Hub) -> None:
    hub.answers = [(200, "{}")]
    with Hub() as strict:
        strict.answers = [(403, '{"message": "this token is no more"}')]
        # Both at once, since each start takes seconds.
        lonely = Running(tmp_path / "lonely", hub, unclaimed=0.01).start()
        refused = Running(tmp_path / "refused", strict).start()
        assert lonely.wait()["reason"] == "nobody opened the server for 0.01 minutes"
        assert refused.wait()["reason"] == "the hub refused the server (403): this token is no more"
        assert "ending the server" in refused.text


def test_a_python_without_jupyterhub_is_told_by_its_name(tmp_path: Path, hub: Hub) -> None:
    end = Running(tmp_path, hub, python="/usr/bin/python3", wrap=["/usr/bin/env", "PYTHONNOUSERSITE=1"]).start().wait()
    if "no jupyterhub" not in end["reason"]:
        pytest.skip("this machine's own Python has jupyterhub")
    assert end["reason"].startswith("/usr/bin/python3 has no jupyterhub")
