"""What an admin does to a running hub: health, metrics, jobs, orphans, drained clusters."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from . import manyservers
from .conftest import Hubs, squeue
from .hub import Hub, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

TEXT = "Maintenance until 17:00."

APP = """
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
"""


@pytest.fixture(scope="module")
def hub(hubs: Hubs) -> Hub:
    stub = hubs.base / "stub.py"
    stub.write_text(manyservers.STUB)
    stub.chmod(0o644)
    made = hubs.slurm(more=APP.format(stub=stub))
    text = made.directory / "config.py"
    text.write_text(text.read_text() + EXTRA)
    return made.start()


EXTRA = """
c.JupyterHub.load_roles.append({"name": "monitor", "services": ["monitor"], "scopes": ["read:metrics"]})
c.JupyterHub.services.append({"name": "monitor", "api_token": "monitor-token-of-the-test"})
"""
STUB = {"profile": "small", "app": "stub"}


def command(hub: Hub, *words: str, token: str = "") -> subprocess.CompletedProcess[str]:
    """hpcspawner WORDS as an admin of this hub."""
    file = hub.directory / "token"
    file.write_text((token or hub.token) + "\n")
    url = f"http://{hub.ip}:{hub.internal}/hub/api"
    argv = [sys.executable, "-m", "hpcspawner.cli", *words, "--hub", url, "--token-file", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/", check=False)


def health(hub: Hub) -> dict[str, Any]:
    answer = hub.call("GET", "/hpcspawner/health")
    assert answer.status_code == 200, answer.text
    figures: dict[str, Any] = answer.json()["clusters"]["main"]
    return figures


def metrics(hub: Hub) -> dict[str, float]:
    url = f"http://{hub.ip}:{hub.internal}/hub/metrics"
    answer = requests.get(url, headers={"Authorization": "token monitor-token-of-the-test"}, timeout=30)
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if line.startswith("hpcspawner_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def jobs(hub: Hub, *words: str) -> list[dict[str, Any]]:
    done = command(hub, "jobs", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def forget_state(hub: Hub, user: str) -> None:
    """As if the hub's database had been restored from a time before the server started."""
    with sqlite3.connect(hub.directory / "state/jupyterhub.sqlite") as db:
        db.execute(
            "UPDATE spawners SET state = '{}', server_id = NULL WHERE user_id = (SELECT id FROM users WHERE name = ?)",
            (user,),
        )


def test_health_and_metrics_before_any_server(hub: Hub) -> None:
    figures = health(hub)
    assert (figures["query_age"], figures["orphans"], figures["problems"]) == (0.0, 0, [])
    found = metrics(hub)
    assert found['hpcspawner_jobs{cluster="main",state="running"}'] == 0
    assert found['hpcspawner_query_age_seconds{cluster="main"}'] == 0


def test_a_running_server_is_seen_everywhere(hub: Hub) -> None:
    hub.ask("alice", STUB)
    hub.ready("alice")
    until(lambda: health(hub)["jobs"] == {"running": 1}, "one job runs")
    (row,) = jobs(hub)
    assert (row["id"], row["server"], row["orphan"], row["notes"]) == (hub.job("alice"), "alice", False, [])
    found = metrics(hub)
    assert found['hpcspawner_jobs{cluster="main",state="running"}'] == 1
    assert found['hpcspawner_submits_total{cluster="main"}'] == 1
    assert found['hpcspawner_queue_wait_seconds_count{cluster="main"}'] == 1
    until(lambda: 'hpcspawner_inventory_age_seconds{cluster="main"}' in metrics(hub), "the inventory has an age")
    table = command(hub, "jobs", "main").stdout
    assert hub.job("alice") in table.splitlines()[1]
    assert "main: 1 running" in command(hub, "health").stdout


def test_a_failed_submit_is_counted_by_its_cause(hub: Hub) -> None:
    hub.ask("bob", {"partition": "main", "reservation": "nosuch", "app": "stub"})
    until(lambda: metrics(hub).get('hpcspawner_submit_failures_total{cause="refused",cluster="main"}'), "counted")


def test_a_drained_cluster_takes_nothing_new_and_keeps_what_runs(hub: Hub) -> None:
    done = command(hub, "drain", "main", TEXT)
    assert (done.returncode, done.stdout) == (0, "main takes no new servers; those that run stay\n")
    answer = hub.ask("bob", STUB)
    assert answer.status_code == 503
    assert TEXT in answer.json()["message"]
    hub.restart()
    assert hub.ask("bob", STUB).status_code == 503
    assert health(hub)["drained"] == TEXT
    assert metrics(hub)['hpcspawner_drained{cluster="main"}'] == 1
    assert "drained: " + TEXT in command(hub, "health").stdout
    assert hub.ready("alice")["ready"]
    assert TEXT in form(hub, "bob")
    assert command(hub, "resume", "main").stdout == "main takes new servers again\n"
    hub.ask("bob", STUB)
    hub.ready("bob")
    assert TEXT not in form(hub, "bob")


def form(hub: Hub, user: str) -> str:
    """The page with the form for a new server, as that user sees it."""
    session = requests.Session()
    login = f"{hub.url}/hub/login"
    session.get(login, timeout=30)
    data = {"username": user, "password": "x", "_xsrf": session.cookies["_xsrf"]}
    assert session.post(login, data=data, timeout=30, allow_redirects=False).status_code == 302
    return session.get(f"{hub.url}/hub/spawn/{user}/other", timeout=30).text


def test_orphans_are_told_and_disposed_of(hub: Hub) -> None:
    """Needs the servers of the tests before."""
    mine, other = hub.job("alice"), hub.job("bob")
    hub.kill()
    for user in ("alice", "bob"):
        forget_state(hub, user)
    hub.start()
    found = {row["user"]: row for row in jobs(hub, "--orphans")}
    assert {user: row["id"] for user, row in found.items()} == {"alice": mine, "bob": other}
    assert metrics(hub)['hpcspawner_orphans{cluster="main"}'] == 2
    assert command(hub, "health").returncode == 1
    assert {mine, other} <= {row["id"] for row in squeue()}

    adopted = command(hub, "adopt", found["alice"]["tag"])
    assert "is watched until it ends" in adopted.stdout
    assert [row["user"] for row in jobs(hub, "--orphans")] == ["bob"]
    assert command(hub, "forget", found["bob"]["tag"], "--cancel").returncode == 0
    until(lambda: other not in {row["id"] for row in squeue()}, "bob's job is cancelled")
    assert mine in {row["id"] for row in squeue()}
    assert command(hub, "forget", found["alice"]["tag"]).returncode == 0
    assert jobs(hub) == [] or until(lambda: jobs(hub) == [], "nothing is watched")
    assert mine in {row["id"] for row in squeue()}
    assert health(hub)["orphans"] == 0
    again = command(hub, "forget", found["alice"]["tag"])
    assert again.returncode == 1
    assert "has ended" in again.stderr

    # A journal that is older than the job: with cluster and owner it is taken over by its name.
    hub.kill()
    with sqlite3.connect(hub.directory / "state/journal.sqlite") as db:
        db.execute("DELETE FROM jobs")
    hub.start()
    assert "name its cluster and its user" in command(hub, "adopt", found["alice"]["tag"]).stderr
    words = ("adopt", found["alice"]["tag"], "--cluster", "main", "--user", "alice")
    assert command(hub, *words).returncode == 0
    until(lambda: [row["id"] for row in jobs(hub)] == [mine], "found by its name")
    assert command(hub, "forget", found["alice"]["tag"], "--cancel").returncode == 0
    until(lambda: mine not in {row["id"] for row in squeue()}, "alice's job is cancelled")


def test_a_job_of_a_server_is_not_forgotten(hub: Hub) -> None:
    hub.ask("alice", STUB)
    hub.ready("alice")
    (row,) = [row for row in jobs(hub) if row["user"] == "alice"]
    refused = command(hub, "forget", row["tag"])
    assert refused.returncode == 1
    assert "stop that server instead" in refused.stderr
    assert "which the hub knows" in command(hub, "adopt", row["tag"]).stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("drain", "nosuch", "x"), "cluster: 'nosuch' is not known; known are main"),
        (("drain", "main", " "), "one sentence for users"),
        (("resume", "nosuch"), "known are main"),
        (("jobs", "nosuch"), "known are main"),
        (("forget", "jupyter-000000-aaaaaaaaaa"), "is not in the journal"),
        (("adopt", "stranger-000000-aaaaaaaaaa", "--cluster", "nosuch", "--user", "bob"), "known are main"),
    ],
)
def test_what_cannot_be_done_is_told(hub: Hub, words: tuple[str, ...], text: str) -> None:
    done = command(hub, *words)
    assert done.returncode == 1
    assert text in done.stderr


def test_only_admins_may(hub: Hub) -> None:
    token = hub.call("POST", "/users/bob/tokens", json={}).json()["token"]
    for words in (("jobs",), ("drain", "main", "x"), ("forget", "jupyter-000000-aaaaaaaaaa"), ("health",)):
        done = command(hub, *words, token=token)
        assert (done.returncode, "does not allow it" in done.stderr) == (1, True), done.stderr
    monitor = "monitor-token-of-the-test"
    assert hub.call("GET", "/hpcspawner/health", token=monitor).status_code == 200
    assert command(hub, "jobs", token=monitor).returncode == 1
    assert Path(hub.directory / "token").exists()
