"""One suite over all batch systems: the main job, and what may go wrong, with a real hub process on each of them.

On Slurm much of it stands in test_lifecycle and test_faults too, in more depth: here is what all must do alike.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .fakeplaces import Fake
from .hub import Hub, listening, until
from .place import Place
from .places import PLACES

pytestmark = [pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

SMALL = {"profile": "small"}
NEVER = {"profile": "never"}
KINDS = [pytest.param(kind, marks=[pytest.mark.slurm] if kind == "slurm" else []) for kind in PLACES]


@pytest.fixture(scope="module", params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    base = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    base.mkdir(mode=0o755)
    made = PLACES[request.param](base)
    try:
        yield made.open()
    finally:
        made.close()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def hub(place: Place) -> Iterator[Hub]:
    place.hub.ensure()
    yield place.hub
    place.hub.ensure()
    for user in ("alice", "bob"):
        answer = place.hub.call("GET", f"/users/{user}")
        for name in answer.json().get("servers", {}) if answer.ok else ():
            place.hub.delete(user, name)
            place.hub.stopped(user, name)
    until(lambda: not place.jobs(), "no job is left")


def on(kind: str, *values: Any, name: str = "") -> Any:
    """A case for one of the places."""
    marks = [pytest.mark.slurm] if kind == "slurm" else []
    return pytest.param(kind, *values, marks=marks, id="-".join((kind, name)).rstrip("-"))


# The main job ---------------------------------------------------------------------------------------------------------


def test_jupyterlab_runs_as_the_users_job_with_the_resources_she_chose(place: Place, hub: Hub) -> None:
    answer = hub.ask("alice", {**place.chosen, "app": "lab"})
    assert answer.status_code in (201, 202), f"{answer.text}\n{hub.log()[-3000:]}"
    with listening(hub, "alice") as events:
        hub.ready("alice")
    job = place.job(hub.job("alice"))
    assert {key: job[key] for key in place.facts} == place.facts
    assert hub.visit("alice").json()["version"]
    words = " ".join(event.get("message", "") for event in events)
    assert f"Job {job['id']}" in words
    secret = next(place.state.rglob("secret.json"))
    assert oct(secret.stat().st_mode & 0o777) == "0o600"
    token = json.loads(secret.read_text())["JUPYTERHUB_API_TOKEN"]
    assert token not in json.dumps(job)
    assert token not in hub.log()
    hub.delete("alice")
    hub.stopped("alice")
    until(lambda: not place.jobs(), "no job is left")
    until(lambda: not secret.exists(), "the secret is gone")


def test_two_servers_of_one_user_and_one_of_another(place: Place, hub: Hub) -> None:
    servers = (("alice", ""), ("alice", "second"), ("bob", ""))
    for server in servers:
        hub.ask(server[0], SMALL, server[1])
    for server in servers:
        hub.ready(*server)
        assert hub.visit(*server).ok
    assert sorted(job["user"] for job in place.jobs()) == ["alice", "alice", "bob"]
    hub.delete("alice", "second")
    hub.stopped("alice", "second")
    until(lambda: len(place.jobs()) == 2, "only the named server's job ended")
    assert hub.visit("alice").ok


# Stopped in the middle ------------------------------------------------------------------------------------------------


def test_delete_while_the_jobs_wait(place: Place, hub: Hub) -> None:
    for name in ("", "named"):
        hub.ask("alice", NEVER, name)
    for name in ("", "named"):
        assert place.job(hub.pending("alice", name))["state"] == "waiting"
        assert hub.delete("alice", name).status_code in (202, 204)
    for name in ("", "named"):
        hub.stopped("alice", name)
    until(lambda: not place.jobs(), "the jobs are cancelled")


def test_delete_at_once_during_the_submit(place: Place, hub: Hub) -> None:
    for name in ("", "named"):
        hub.ask("alice", SMALL, name)
        assert hub.delete("alice", name).status_code in (202, 204)
    for name in ("", "named"):
        hub.stopped("alice", name)
    until(lambda: not place.jobs(), "the jobs are cancelled")


def test_delete_while_the_server_starts(place: Place, hub: Hub) -> None:
    hub.ask("alice", {**SMALL, "app": "lab"})
    job = hub.pending("alice")
    until(lambda: place.job(job)["state"] == "running", "the job runs")
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")


# The hub is killed ----------------------------------------------------------------------------------------------------


def test_hub_killed_while_one_job_waits_and_one_runs_finds_both(place: Place, hub: Hub) -> None:
    hub.ask("bob", SMALL)
    hub.ready("bob")
    hub.ask("alice", NEVER)
    before = [hub.pending("alice"), hub.job("bob")]
    hub.restart()
    hub.ready("bob")
    until(lambda: hub.visit("bob").ok, "bob's server is reachable though alice's waits")
    until(lambda: hub.server("alice").get("pending") == "spawn", "the restarted hub waits for the job")
    assert [hub.job("alice"), hub.job("bob")] == before
    assert sorted(job["id"] for job in place.jobs()) == sorted(before)
    assert hub.delete("alice").status_code in (202, 204)
    hub.stopped("alice")


def test_hub_killed_during_the_submit_leaves_no_orphan(place: Place, hub: Hub) -> None:
    hub.add_user("alice")
    hub.ask("alice", SMALL)
    hub.restart()

    def settled() -> bool:
        jobs, server = [job["id"] for job in place.jobs()], hub.server("alice")
        return (server.get("ready") and jobs == [hub.job("alice")]) or (not server.get("pending") and not jobs)

    until(settled, "the job is adopted or cancelled")


def test_while_the_hub_is_away_one_job_reports_and_one_ends(place: Place, hub: Hub) -> None:
    hub.ask("bob", SMALL)
    hub.ready("bob")
    ended = hub.job("bob")
    hub.ask("alice", {**SMALL, "app": "lab"})
    job = hub.pending("alice")
    hub.kill()
    place.cancel(ended)
    until(lambda: place.job(job)["state"] == "running", "alice's job runs")
    until(lambda: not place.job(ended), "bob's job ended")
    hub.start()
    hub.ready("alice")
    assert hub.job("alice") == job
    hub.stopped("bob")
    hub.ask("bob", SMALL)
    hub.ready("bob")


# Ended from outside ---------------------------------------------------------------------------------------------------


def test_cancelled_from_outside_while_waiting_ends_the_start_with_the_reason(place: Place, hub: Hub) -> None:
    hub.ask("alice", NEVER)
    job = hub.pending("alice")
    until(
        lambda: "wait" in " ".join(e.get("message", "") for e in hub.events("alice", patience=1)), "it is seen to wait"
    )
    place.cancel(job)
    hub.stopped("alice")
    assert job in hub.failure("alice")


def test_cancelled_from_outside_while_running_is_noticed(place: Place, hub: Hub) -> None:
    hub.ask("alice", SMALL)
    hub.ready("alice")
    place.cancel(hub.job("alice"))
    hub.stopped("alice")
    assert hub.ending("alice")


def test_a_job_that_dies_at_once_shows_its_log(place: Place, hub: Hub) -> None:
    hub.ask("alice", {**SMALL, "app": "broken"})
    hub.stopped("alice")
    assert "the license server is away" in hub.failure("alice")


# The scheduler is away ------------------------------------------------------------------------------------------------


# Slurm's own is in test_faults, which nothing else may use the sandbox with.
@pytest.mark.parametrize("place", [on(kind) for kind in PLACES if kind != "slurm"], indirect=True)
def test_an_outage_drops_nothing(place: Place, hub: Hub) -> None:
    hub.ask("bob", SMALL)
    hub.ready("bob")
    hub.ask("alice", NEVER)
    known = [hub.pending("alice"), hub.job("bob")]
    for trouble in (place.down, place.hang):
        trouble()
        try:
            time.sleep(8)  # the length of the outage is the matter of this test: queries fail
            assert hub.server("bob")["ready"]
            assert hub.server("alice")["pending"] == "spawn"
            assert hub.visit("bob").ok
        finally:
            place.up()
        until(lambda: [hub.job("alice"), hub.job("bob")] == known, "both jobs are known")
    hub.delete("alice")
    hub.stopped("alice")
    hub.ask("bob", SMALL, "after")
    hub.ready("bob", "after")
    assert sorted(job["user"] for job in place.jobs()) == ["bob", "bob"]


@pytest.mark.parametrize("place", [on(kind) for kind in PLACES if PLACES[kind].daemon], indirect=True)
def test_a_submit_without_an_answer_is_looked_for_and_never_repeated(place: Place, hub: Hub) -> None:
    place.hang()
    try:
        hub.ask("alice", SMALL)
        until(lambda: "the submit got no clear answer" in hub.log(), "the time of the submit is over")
        assert not place.jobs()
        assert not hub.server("alice").get("ready")
    finally:
        place.up()

    def settled() -> bool:
        """Some carry out what was asked while they hung; of others the server never saw it."""
        jobs, server = [job["id"] for job in place.jobs()], hub.server("alice")
        return (server.get("ready") and jobs == [hub.job("alice")]) or (bool(server.get("stopped")) and not jobs)

    until(settled, "the job is found, or it is sure that there is none")
    assert bool(hub.server("alice").get("ready")) == place.submits_late


# Refusals in the scheduler's own words --------------------------------------------------------------------------------

REFUSALS: list[tuple[str, str, dict[str, Any], str]] = [
    ("lsf", "closed", {"closed": True}, "normal: Queue has been closed"),
    ("lsf", "not a member", {"users": ["bob"]}, "normal: User cannot use the queue"),
    ("lsf", "walltime", {"most": 600}, "RUNLIMIT: Cannot exceed queue's hard limit(s)"),
    ("lsf", "project", {"project": True}, "No project specified. Use -P <project>"),
    ("cobalt", "closed", {"state": "draining"}, "The 'normal' queue is draining"),
    ("cobalt", "not a member", {"users": ["bob"]}, "You are not allowed to submit to the 'normal' queue"),
    ("cobalt", "walltime", {"maxtime": 600}, "queue max walltime of 00:10:00"),
    ("cobalt", "project", {"project": True}, "No project specified. Use -A <project>"),
]


@pytest.mark.parametrize(
    ("place", "case", "change", "sentence"), [on(*row, name=row[1]) for row in REFUSALS], indirect=["place"]
)
def test_the_refusal_reaches_the_page_in_its_own_words(
    place: Place, hub: Hub, case: str, change: dict[str, Any], sentence: str
) -> None:
    assert isinstance(place, Fake)
    place.queue("normal", **change)
    try:
        hub.ask("alice", SMALL)
        hub.stopped("alice")
    finally:
        place.queue("normal")
    assert sentence in hub.failure("alice")
    assert not place.jobs()
    if case == "project":
        hub.ask("alice", {**SMALL, "account": "maths"})
        hub.ready("alice")


@pytest.mark.parametrize(
    ("place", "change", "sentence"),
    [
        on("lsf", {"jobs_per_user": 1}, "User's pending job slot limit has been reached"),
        on("cobalt", {"maxqueued": 1}, "The limit of 1 jobs per user in the 'normal' queue has been reached"),
    ],
    indirect=["place"],
)
def test_the_queues_limit_stops_the_second_server_alone(
    place: Place, hub: Hub, change: dict[str, Any], sentence: str
) -> None:
    assert isinstance(place, Fake)
    place.queue("normal", **change)
    try:
        hub.ask("alice", SMALL)
        hub.ready("alice")
        hub.ask("alice", SMALL, "second")
        hub.stopped("alice", "second")
        assert sentence in hub.failure("alice", "second")
        hub.ask("bob", SMALL)
        hub.ready("bob")
    finally:
        place.queue("normal")
    assert hub.visit("alice").ok
