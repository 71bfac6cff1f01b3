"""The main job on a real Slurm: choose, start, use, stop."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from .conftest import Hubs, job_facts, squeue
from .hub import Hub, listening, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    return hubs.slurm().start()


@pytest.fixture(autouse=True)
def cleanup(hub: Hub) -> Iterator[None]:
    yield
    for user in ("alice", "bob"):
        for name in hub.call("GET", f"/users/{user}").json().get("servers", {}):
            hub.delete(user, name)
            hub.stopped(user, name)


def mine(hub: Hub) -> list[dict[str, str]]:
    return [row for row in squeue() if hub.prefix in row["name"]]  # type: ignore[attr-defined]


@pytest.mark.strict_too
def test_server_runs_as_the_users_job_with_the_resources_she_chose(hub: Hub) -> None:
    chosen = {"partition": "short", "cores": 3, "memory": "2G", "walltime": "00:25:00"}
    assert hub.ask("alice", chosen).status_code in (201, 202)
    hub.ready("alice")
    facts = job_facts(hub.job("alice"))
    assert facts["UserId"].startswith("alice(")
    assert facts["Partition"] == "short"
    assert facts["NumCPUs"] == "3"
    assert facts["TimeLimit"] == "00:25:00"
    assert facts["MinMemoryNode"] == "2G"
    assert facts["Requeue"] == "0"
    assert hub.visit("alice").json()["version"]
    hub.delete("alice")
    hub.stopped("alice")
    until(lambda: not mine(hub), "no job is left")


def test_token_is_in_no_script_no_record_and_no_log(hub: Hub) -> None:
    hub.ask("alice", {"profile": "small"})
    hub.ready("alice")
    job = hub.job("alice")
    folder = next(path for path in hub.jobs.rglob("secret.json"))  # type: ignore[attr-defined]
    token = __import__("json").loads(folder.read_text())["JUPYTERHUB_API_TOKEN"]
    assert oct(folder.stat().st_mode & 0o777) == "0o600"
    script = subprocess.run(["scontrol", "write", "batch_script", job, "-"], capture_output=True, text=True).stdout
    record = subprocess.run(["scontrol", "show", "job", "-d", job], capture_output=True, text=True).stdout
    processes = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    for text in (script, record, processes, hub.log()):
        assert token not in text
    assert script.startswith("#!/bin/bash")


def test_progress_tells_job_and_state_until_ready(hub: Hub) -> None:
    hub.ask("alice", {"profile": "small"})
    with listening(hub, "alice") as events:
        hub.ready("alice")
    words = " ".join(event.get("message", "") for event in events)
    assert f"Job {hub.job('alice')}" in words
    assert events[-1]["ready"]


@pytest.mark.strict_too
def test_two_servers_of_one_user_on_one_node(hub: Hub) -> None:
    hub.ask("alice", {"profile": "small"})
    hub.ask("alice", {"profile": "small"}, "second")
    hub.ready("alice")
    hub.ready("alice", "second")
    assert hub.visit("alice").ok
    assert hub.visit("alice", "second").ok
    assert len(mine(hub)) == 2
    hub.delete("alice", "second")
    hub.stopped("alice", "second")
    until(lambda: len(mine(hub)) == 1, "only the named server's job ended")
    assert hub.visit("alice").ok


def test_two_users_each_run_as_themselves(hub: Hub) -> None:
    for user in ("alice", "bob"):
        hub.ask(user, {"profile": "small"})
    for user in ("alice", "bob"):
        hub.ready(user)
    assert sorted(row["user"] for row in mine(hub)) == ["alice", "bob"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "nosuch"}, "profile"),
        ({"cores": 17}, "16"),
        ({"cores": "two"}, "cores"),
        ({"partition": "main\n#SBATCH --qos=x"}, "partition"),
        ({"memory": "999G"}, "memory"),
        ({"walltime": "9-00:00:00"}, "walltime"),
        ({"profile": "small", "cores": 2}, "cores"),
        ({"colour": "red"}, "colour"),
        ({"partition": "main", "queue": "short"}, "queue"),
    ],
)
def test_a_choice_that_is_not_allowed_is_refused_by_name_and_nothing_is_submitted(
    hub: Hub, options: dict[str, object], words: str
) -> None:
    before = {row["id"] for row in squeue()}
    answer = hub.ask("bob", options)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert {row["id"] for row in squeue()} <= before


def test_the_last_valid_choice_stays_after_a_refused_one(hub: Hub) -> None:
    hub.ask("alice", {"partition": "short", "cores": 2})
    hub.ready("alice")
    hub.delete("alice")
    hub.stopped("alice")
    assert hub.ask("alice", {"cores": 400}).status_code == 400
    assert hub.ask("alice").status_code in (201, 202)
    hub.ready("alice")
    facts = job_facts(hub.job("alice"))
    assert (facts["Partition"], facts["NumCPUs"]) == ("short", "2")


@pytest.mark.strict_too
def test_the_schedulers_refusal_reaches_the_user(hub: Hub) -> None:
    hub.add_user("alice")
    answer = hub.ask("alice", {"partition": "short", "walltime": "00:31:00"})
    text = answer.json()["message"] if answer.status_code == 400 else hub.failure("alice")
    assert "00:30:00" in text or "time limit" in text.lower()


@pytest.mark.strict_too
def test_a_gpu_job_gets_gpus(hub: Hub) -> None:
    hub.ask("alice", {"partition": "gpu", "gpus": 2, "gpu_type": "a100"})
    hub.ready("alice")
    assert "gres/gpu" in job_facts(hub.job("alice"))["TRES"] or "gpu:a100:2" in str(job_facts(hub.job("alice")))


def test_nothing_reaches_a_node_by_loopback(hub: Hub) -> None:
    hub.ask("alice", {"profile": "small"})
    hub.ready("alice")
    url = (hub.server("alice").get("state") or {})["url"]
    assert "127." not in url
    assert "localhost" not in url
    assert any(node in url for node in os.environ["HPCSPAWNER_SANDBOX_NODES"].split())
