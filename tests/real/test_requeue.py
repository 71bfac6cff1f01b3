"""Put back into the queue: a job that may be started again brings its server back, on another node, by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from .conftest import Hubs, job_facts, squeue
from .hub import Hub, listening, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

ONCE = {"profile": "small"}
AGAIN = {"profile": "again"}
PROFILES = """
  hurried:
    title: Comes back soon or never
    requeue: true
    queue_timeout: 8
    fields: {partition: main, cores: 1, memory: 500M, walltime: "00:20:00"}
  far: &far
    title: Comes back, starts where few others do
    requeue: true
    directives: ["--exclude=n1,n2"]
    fields: {partition: main, cores: 1, memory: 500M, walltime: "00:20:00"}
  far-once:
    <<: *far
    requeue: false
  again:
    title: Comes back
    requeue: true
    fields: {partition: main, cores: 1, memory: 500M, walltime: "00:20:00"}
"""


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    return hubs.slurm(more=PROFILES).start()


@pytest.fixture(autouse=True)
def cleanup(hub: Hub) -> Iterator[None]:
    yield
    for user in ("alice", "bob"):
        if hub.server(user):
            hub.delete(user)
            hub.stopped(user)
    until(lambda: not [row for row in squeue() if hub.prefix in row["name"]], "no job is left")  # type: ignore[attr-defined]


def scontrol(*words: str) -> int:
    return subprocess.run(["scontrol", *words], check=False, capture_output=True, timeout=60).returncode


def node_of(hub: Hub, user: str) -> str:
    return job_facts(hub.job(user))["NodeList"]


def waits_again(hub: Hub, user: str) -> str:
    """Waits until the hub says so; the job's id."""
    until(lambda: hub.server(user).get("pending") == "spawn", "the hub waits for the job again")
    return hub.job(user)


def start_elsewhere(hub: Hub, user: str, node: str) -> None:
    """Slurm would wait for two minutes, and might take the same node again."""
    job = hub.job(user)
    until(lambda: job_facts(job)["JobState"] == "PENDING", "the job is in the queue")
    scontrol("update", f"JobId={job}", f"ExcNodeList={node}")
    scontrol("update", f"JobId={job}", "StartTime=now")


def came_back(hub: Hub, user: str, job: str, node: str) -> dict[str, Any]:
    server = hub.ready(user)
    assert hub.job(user) == job
    assert node_of(hub, user) != node
    assert node not in server["state"]["url"]
    until(lambda: hub.visit(user).ok, "the route leads to the new node")
    return server


def test_no_job_is_started_again_unless_its_profile_says_so(hub: Hub) -> None:
    hub.ask("alice", ONCE)
    hub.ready("alice")
    assert scontrol("requeue", hub.job("alice")) != 0
    assert hub.visit("alice").ok


def test_a_requeued_server_comes_back_on_another_node(hub: Hub) -> None:
    hub.ask("alice", AGAIN)
    hub.ready("alice")
    job, node = hub.job("alice"), node_of(hub, "alice")
    assert scontrol("requeue", job) == 0
    assert waits_again(hub, "alice") == job
    with listening(hub, "alice") as events:
        until(lambda: not hub.visit("alice").ok, "the dead route is gone")
        page = requests.get(f"{hub.url}/user/alice/lab", headers={"Authorization": f"token {hub.token}"}, timeout=30)
        assert any("/hub/spawn-pending/alice" in step.url for step in (*page.history, page))
        start_elsewhere(hub, "alice", node)
        came_back(hub, "alice", job, node)
    told = "\n".join(str(event.get("message")) for event in events)
    assert "starts again by itself" in told
    assert f"Job {job}: waits in the queue" in told
    assert events[-1]["ready"]


def test_a_hub_that_was_away_meanwhile_finds_the_new_place(hub: Hub) -> None:
    hub.ask("alice", AGAIN)
    hub.ready("alice")
    job, node = hub.job("alice"), node_of(hub, "alice")
    hub.kill()
    assert scontrol("requeue", job) == 0
    until(lambda: job_facts(job)["JobState"] == "PENDING", "the job is in the queue")
    hub.start()
    assert waits_again(hub, "alice") == job
    start_elsewhere(hub, "alice", node)
    came_back(hub, "alice", job, node)


def test_what_waits_again_can_be_cancelled(hub: Hub) -> None:
    hub.ask("alice", AGAIN)
    hub.ready("alice")
    scontrol("requeue", hub.job("alice"))
    waits_again(hub, "alice")
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")


def test_what_waits_again_for_too_long_is_given_up(hub: Hub) -> None:
    hub.ask("alice", {"profile": "hurried"})
    hub.ready("alice")
    scontrol("requeue", hub.job("alice"))
    waits_again(hub, "alice")
    hub.stopped("alice")
    assert "did not start within 8 s" in hub.ending("alice")
    assert "did not start within 8 s" in hub.failure("alice")


def test_what_is_held_says_so_and_a_new_try_is_possible(hub: Hub) -> None:
    hub.ask("alice", AGAIN)
    hub.ready("alice")
    scontrol("requeuehold", hub.job("alice"))
    job = waits_again(hub, "alice")
    with listening(hub, "alice") as events:
        until(lambda: any((event.get("job") or {}).get("held") for event in events), "the page offers a new try")
        assert any("will not start without an admin" in event["message"] for event in events)
        hub.delete("alice")
    hub.stopped("alice")
    hub.ask("alice", ONCE)
    hub.ready("alice")
    assert hub.job("alice") != job


def test_a_node_that_fails_ends_the_one_and_moves_the_other(hub: Hub) -> None:
    hub.ask("alice", {"profile": "far"})
    hub.ask("bob", {"profile": "far-once"})
    for user in ("alice", "bob"):
        hub.ready(user)
    job, node, other = hub.job("alice"), node_of(hub, "alice"), node_of(hub, "bob")
    prefix = hub.prefix  # type: ignore[attr-defined]
    strangers = lambda: [row for row in squeue("-w", f"{node},{other}") if prefix not in row["name"]]  # noqa: E731
    until(lambda: not strangers(), "no job of another test is on those nodes")
    try:
        for name in {node, other}:
            assert scontrol("update", f"NodeName={name}", "State=DOWN", "Reason=test") == 0
        hub.stopped("bob")
        assert "node of the job failed" in hub.ending("bob")
        start_elsewhere(hub, "alice", node)
        came_back(hub, "alice", job, node)
    finally:
        for name in {node, other}:
            scontrol("update", f"NodeName={name}", "State=RESUME")
