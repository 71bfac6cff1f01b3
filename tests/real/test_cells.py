"""What a researcher does in a notebook of a real server: a kernel, srun over the job's nodes, sbatch of another job."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator

import pytest
import requests
import websocket

from .conftest import Hubs, job_facts
from .hub import Hub, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Iterator[Hub]:
    hub = hubs.slurm().start()
    hub.ask("alice", {"profile": "wide"})
    hub.ready("alice")
    yield hub
    hub.delete("alice")
    hub.stopped("alice")


def run(hub: Hub, user: str, code: str) -> str:
    """What a cell prints, its errors included."""
    headers = {"Authorization": f"token {hub.token}"}
    base = f"{hub.ip}:{hub.public}/user/{user}/api/kernels"
    kernel = requests.post(f"http://{base}", headers=headers, json={}, timeout=60).json()["id"]
    channel = websocket.create_connection(f"ws://{base}/{kernel}/channels", header=headers, timeout=120)
    try:
        content = {"code": code, "silent": False}
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "test", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        channel.send(json.dumps(message))
        return _printed(channel, header["msg_id"])
    finally:
        channel.close()
        requests.delete(f"http://{base}/{kernel}", headers=headers, timeout=60)


def _printed(channel: websocket.WebSocket, asked: str) -> str:
    printed = ""
    while True:
        answer = json.loads(channel.recv())
        if answer["parent_header"].get("msg_id") != asked:
            continue
        kind, content = answer["header"]["msg_type"], answer["content"]
        if kind == "stream":
            printed += content["text"]
        elif kind == "error":
            printed += f"{content['ename']}: {content['evalue']}"
        elif kind == "status" and content["execution_state"] == "idle":
            return printed


def shell(command: str) -> str:
    """A cell that runs a shell command and prints what it prints."""
    run = f"subprocess.run({command!r}, shell=True, capture_output=True, text=True)"
    return f"import subprocess; r = {run}; print(r.stdout, r.stderr)"


def test_srun_reaches_both_nodes_of_the_job(hub: Hub) -> None:
    printed = run(hub, "alice", shell("srun -N2 hostname"))
    assert len(set(printed.split())) == 2, printed
    assert all(re.fullmatch(r"n[1-4]", word) for word in printed.split()), printed


def test_sbatch_submits_another_job_in_which_srun_works(hub: Hub) -> None:
    printed = run(hub, "alice", shell("sbatch --parsable -D /tmp -t 5 --mem 200 -o /dev/null --wrap 'srun hostname'"))
    job = printed.strip()
    assert job.isdigit(), printed
    until(lambda: job_facts(job)["JobState"] in ("COMPLETED", "FAILED"), "the second job ended")
    assert job_facts(job)["JobState"] == "COMPLETED"


def test_a_second_user_does_not_reach_the_first_ones_server(hub: Hub) -> None:
    hub.add_user("bob")
    token = hub.call("POST", "/users/bob/tokens", json={}).json()["token"]
    answer = requests.get(f"{hub.url}/user/alice/api/contents", headers={"Authorization": f"token {token}"}, timeout=30)
    assert answer.status_code == 403


def test_the_jobs_environment_is_the_users_own(hub: Hub) -> None:
    printed = run(
        hub, "alice", "import os, getpass; print(getpass.getuser(), os.getcwd(), os.environ.get('HPCSPAWNER_SITE'))"
    )
    assert printed.strip() == "alice /home/alice None"
