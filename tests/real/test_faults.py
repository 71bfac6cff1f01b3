"""Nothing is lost: crashes, outages, cancels and refusals on a real Slurm with a real hub process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import STRICT
from .conftest import Hubs, job_facts, squeue
from .hub import REPOSITORY, Hub, until

pytestmark = [pytest.mark.strict_too, pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

SMALL = {"profile": "small"}
NEVER = {"profile": "never"}


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    return hubs.slurm().start()


@pytest.fixture(scope="module", autouse=True)
def full_gpus(hub: Hub) -> Iterator[None]:
    """Occupies all GPUs, so that a job of the profile 'never' stays in the queue."""
    job = subprocess.run(
        ["sbatch", "--parsable", "-pgpu", "--gres=gpu:a100:4", "-t60", "-o/dev/null", "--wrap", "sleep 3600"],
        check=True, capture_output=True, text=True, cwd="/",
    ).stdout.strip()  # fmt: skip
    yield
    subprocess.run(["scancel", job], check=False)


@pytest.fixture(autouse=True)
def cleanup(hub: Hub) -> Iterator[None]:
    yield
    for user in ("alice", "bob"):
        answer = hub.call("GET", f"/users/{user}")
        for name in answer.json().get("servers", {}) if answer.ok else ():
            hub.delete(user, name)
            hub.stopped(user, name)
    until(lambda: not mine(hub), "no job is left")


def mine(hub: Hub) -> list[dict[str, str]]:
    return [row for row in squeue() if hub.prefix in row["name"]]  # type: ignore[attr-defined]


def controller(verb: str) -> None:
    subprocess.run(
        [str(REPOSITORY / "deploy/slurm-sandbox"), "ctld", verb], check=True, timeout=120, capture_output=True
    )


# The hub is killed ----------------------------------------------------------------------------------------------------


def test_hub_killed_while_the_job_waits_finds_it_again(hub: Hub) -> None:
    hub.ask("alice", NEVER)
    job = hub.pending("alice")
    hub.restart()
    until(lambda: hub.server("alice").get("pending") == "spawn", "the restarted hub waits for the job")
    assert hub.job("alice") == job
    assert [row["id"] for row in mine(hub)] == [job]
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")
    until(lambda: not mine(hub), "the job is cancelled")


def test_hub_killed_while_the_server_runs_finds_it_again(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    hub.ready("alice")
    job = hub.job("alice")
    hub.restart()
    hub.ready("alice")
    assert hub.job("alice") == job
    until(lambda: hub.visit("alice").ok, "the route is there")


def test_hub_away_when_the_job_reports_the_report_is_repeated(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    job = hub.pending("alice")
    hub.kill()
    until(lambda: job_facts(job)["JobState"] == "RUNNING", "the job runs")
    hub.start()
    hub.ready("alice")
    assert hub.job("alice") == job


def test_job_that_ended_while_the_hub_was_away_is_cleanly_gone(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    hub.ready("alice")
    job = hub.job("alice")
    hub.kill()
    subprocess.run(["scancel", job], check=True)
    until(lambda: job_facts(job)["JobState"] not in ("RUNNING", "COMPLETING"), "the job ended")
    hub.start()
    hub.stopped("alice")
    hub.ask("alice", SMALL)
    hub.ready("alice")


def test_a_queued_server_delays_no_other_after_a_restart(hub: Hub) -> None:
    hub.ask("alice", NEVER)
    hub.ask("bob", SMALL)
    hub.ready("bob")
    hub.pending("alice")
    hub.restart()
    hub.ready("bob")
    until(lambda: hub.visit("bob").ok, "bob's server is reachable")
    assert hub.server("alice").get("pending") == "spawn"


def test_hub_killed_during_the_submit_leaves_no_orphan(hub: Hub) -> None:
    hub.add_user("alice")
    hub.ask("alice", SMALL)
    hub.kill()
    hub.start()

    def settled() -> bool:
        jobs = [row["id"] for row in mine(hub)]
        server = hub.server("alice")
        return (server.get("ready") and jobs == [hub.job("alice")]) or (not server.get("pending") and not jobs)

    until(settled, "the job is adopted or cancelled")


# Stopped in the middle ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", pytest.param("named", marks=pytest.mark.strict_too(False))])
def test_delete_while_the_job_waits(hub: Hub, name: str) -> None:
    hub.ask("alice", NEVER, name)
    hub.pending("alice", name)
    assert hub.delete("alice", name).status_code in (202, 204)
    hub.stopped("alice", name)


@pytest.mark.parametrize("name", ["", pytest.param("named", marks=pytest.mark.strict_too(False))])
def test_delete_at_once_during_the_submit(hub: Hub, name: str) -> None:
    hub.ask("alice", SMALL, name)
    assert hub.delete("alice", name).status_code in (202, 204)
    hub.stopped("alice", name)
    until(lambda: not mine(hub), "the job is cancelled")


@pytest.mark.strict_too(False)
def test_delete_while_the_server_starts(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    job = hub.pending("alice")
    until(lambda: job_facts(job)["JobState"] == "RUNNING", "the job runs")
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")


# Ended from outside ---------------------------------------------------------------------------------------------------


def test_scancel_while_waiting_ends_the_start_with_the_reason(hub: Hub) -> None:
    hub.ask("alice", NEVER)
    job = hub.pending("alice")
    subprocess.run(["scancel", job], check=True)
    hub.stopped("alice")
    assert job in hub.failure("alice")
    assert "cancel" in hub.failure("alice").lower()


def test_scancel_of_a_running_server_is_noticed(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    hub.ready("alice")
    subprocess.run(["scancel", hub.job("alice")], check=True)
    hub.stopped("alice")


def test_a_job_that_dies_at_once_shows_its_log(hub: Hub, hubs: Hubs) -> None:
    other = hubs.slurm(edit=lambda text: text.replace("user/bin/python", "user/bin/nosuchpython")).start()
    other.ask("alice", SMALL)
    other.stopped("alice")
    text = other.failure("alice")
    assert "nosuchpython" in text
    assert "nosuchpython" in other.log()
    other.close()


@pytest.mark.strict_too(False)
def test_a_state_directory_that_cannot_be_written_is_named(hub: Hub, hubs: Hubs) -> None:
    other = hubs.slurm()
    Path(other.jobs).chmod(0o755)  # type: ignore[attr-defined]
    other.start()
    other.ask("alice", SMALL)
    other.stopped("alice")
    assert str(other.jobs) in other.failure("alice")  # type: ignore[attr-defined]
    assert not mine(other)
    other.close()


@pytest.mark.strict_too(False)
def test_queue_time_is_limited_by_the_profile(hub: Hub) -> None:
    hub.ask("alice", {"profile": "hasty"})
    hub.stopped("alice")
    assert "did not start within" in hub.failure("alice")


@pytest.mark.strict_too(False)
def test_a_suspended_job_keeps_its_server(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    hub.ready("alice")
    job = hub.job("alice")
    subprocess.run(["scontrol", "suspend", job], check=True)
    until(lambda: job_facts(job)["JobState"] == "SUSPENDED", "the job is suspended")
    time.sleep(8)  # more than a slow poll and the grace period of this site: the state must have been seen
    assert hub.server("alice")["ready"]
    subprocess.run(["scontrol", "resume", job], check=True)
    until(lambda: hub.visit("alice").ok, "it goes on")


# The scheduler is away ------------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_outage_of_the_controller_drops_nothing(hub: Hub) -> None:
    hub.ask("alice", NEVER)
    waiting = hub.pending("alice")
    hub.ask("bob", SMALL)
    hub.ready("bob")
    running = hub.job("bob")
    controller("stop")
    try:
        started = hub.ask("bob", SMALL, "during")
        time.sleep(20 if STRICT else 120)  # the length of the outage is the matter of this test
        assert hub.server("bob")["ready"]
        assert hub.server("alice")["pending"] == "spawn"
        assert hub.visit("bob").ok
    finally:
        controller("start")
    assert started.status_code in (201, 202, 503)
    until(lambda: hub.job("alice") == waiting and hub.job("bob") == running, "both jobs are known")
    if hub.server("bob", "during"):
        hub.delete("bob", "during")
        hub.stopped("bob", "during")
    hub.ask("bob", SMALL, "after")
    hub.ready("bob", "after")


@pytest.mark.strict_too(False)  # test_strict.py has it with a Slurm that forgets
@pytest.mark.timeout(400)
def test_walltime_is_told_as_the_reason(hub: Hub) -> None:
    hub.ask("alice", {"partition": "main", "walltime": "00:01:00"})
    hub.ready("alice")
    job = hub.job("alice")
    until(lambda: job_facts(job)["JobState"] == "TIMEOUT", "the walltime is over", 180)
    hub.stopped("alice")
    assert "walltime" in hub.log()


# Reports --------------------------------------------------------------------------------------------------------------


def report_of(hub: Hub) -> tuple[dict[str, Any], str]:
    state = hub.server("alice")["state"]
    folder = next(Path(hub.jobs).rglob("secret.json"))  # type: ignore[attr-defined]
    token = __import__("json").loads(folder.read_text())["JUPYTERHUB_API_TOKEN"]
    host, port = state["url"].split("//")[1].rstrip("/").split(":")
    body = {"protocol": 1, "tag": state["tag"], "job_id": state["job_id"], "run": 0, "host": host, "port": int(port)}
    return {**body, "url_scheme": "http"}, token


def test_reports_that_are_not_the_jobs_own_change_nothing(hub: Hub) -> None:
    hub.ask("alice", SMALL)
    hub.ready("alice")
    url = hub.server("alice")["state"]["url"]
    body, token = report_of(hub)

    def send(change: dict[str, Any], as_token: str = token) -> int:
        return hub.call("POST", "/batchspawner", token=as_token, json={**body, **change}).status_code

    other = hub.call("POST", "/users/bob/tokens", json={}).json()["token"] if hub.add_user("bob") is None else ""
    assert send({}) == 200
    assert send({"port": body["port"] + 1}) == 409
    assert send({"host": "127.0.0.1"}) in (400, 403, 409)
    assert send({"host": "198.51.100.7"}) in (400, 403, 409)
    assert send({"port": 70000}) == 400
    assert send({"colour": "red"}) == 400
    assert send({}, other) in (403, 404)
    assert send({}, "nonsense") == 403
    assert hub.call("POST", "/batchspawner", token=token, data=b"{nonsense").status_code == 400
    assert hub.server("alice")["state"]["url"] == url
    assert hub.visit("alice").ok
