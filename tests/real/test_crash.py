"""A crash at any point, a controller that hangs, other hubs, restored backups: one job or none, known to the hub."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import manyservers as many
from . import stopping
from .conftest import Hubs, job_facts, squeue
from .hub import REPOSITORY, Hub, until
from .stopping import Stopping

pytestmark = [pytest.mark.strict_too, pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

STUB = {"profile": "stub"}
PROFILE = """
  stub:
    title: Stub
    fields: {{partition: main, cores: 1, memory: 50M, walltime: "00:20:00", app: stub}}
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
"""
LOST = 10
"""Seconds that the first hub looks for a lost submit; the second looks twice as long."""


@pytest.fixture(scope="module")
def place(hubs: Hubs) -> Stopping:
    (hubs.base / "stub.py").write_text(many.STUB)
    return Stopping(hubs.base)


@pytest.fixture(scope="module")
def hub(hubs: Hubs, place: Stopping) -> Hub:
    def edit(text: str) -> str:
        text = text.replace("    scheduler: slurm\n", f"    scheduler: slurm\n    commands: {place.commands}\n")
        return limits(text, submit=60, lost=LOST)

    return hubs.slurm(edit=edit, more=PROFILE.format(stub=hubs.base / "stub.py")).start()


@pytest.fixture(scope="module")
def second(hubs: Hubs, hub: Hub) -> Hub:
    """Another hub of the same site; it gives up before sbatch does (after 10 seconds)."""
    prefix = hub.prefix  # type: ignore[attr-defined]

    def edit(text: str) -> str:
        text = re.sub("^prefix: .*$", f"prefix: {prefix}", text, flags=re.MULTILINE)
        return limits(text, submit=4, lost=2 * LOST)

    return hubs.slurm(edit=edit, more=PROFILE.format(stub=hubs.base / "stub.py")).start()


def limits(text: str, *, submit: int, lost: int) -> str:
    times = f"    submit_timeout: {submit}\n    command_timeout: 5\n    lost_submit_limit: {lost}\n"
    return text.replace("    lost_submit_limit: 60\n", times)


@pytest.fixture(autouse=True)
def cleanup(hub: Hub, second: Hub) -> Iterator[None]:
    yield
    for each in (hub, second):
        stop_all(each)
    for each in (hub, second):
        until(lambda each=each: not mine(each), "no job is left")


def stop_all(hub: Hub) -> None:
    for user in ("alice", "bob"):
        answer = hub.call("GET", f"/users/{user}")
        for name in answer.json().get("servers", {}) if answer.ok else ():
            hub.delete(user, name)
            hub.stopped(user, name)


def instance(hub: Hub) -> str:
    return (hub.directory / "state/instance").read_text().strip()


def mine(hub: Hub) -> list[dict[str, str]]:
    """The jobs of this hub, whoever's of the same site there are besides."""
    return [row for row in squeue() if f"-{instance(hub)}-" in row["name"]]


def one(hub: Hub, user: str = "alice", name: str = "") -> str:
    """Waits for the good end: the server is ready, and its job is the only one. Returns the id."""
    hub.ready(user, name)
    job = hub.job(user, name)
    until(lambda: [row["id"] for row in mine(hub) if row["user"] == user] == [job], "there is just the one job")
    return job


def none(hub: Hub, user: str = "alice", name: str = "") -> None:
    """Waits for the other good end: no server and no job."""
    hub.stopped(user, name)
    until(lambda: not [row for row in mine(hub) if row["user"] == user], "there is no job")


def controller(verb: str) -> None:
    script = str(REPOSITORY / "deploy/slurm-sandbox")
    subprocess.run([script, "ctld", verb], check=True, timeout=60, capture_output=True)


@contextlib.contextmanager
def hanging() -> Iterator[None]:
    """The controller takes connections and says nothing."""
    controller("hang")
    try:
        yield
    finally:
        controller("continue")


# Killed on the way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["before", "after"])
def test_the_whole_machine_dies_during_the_submit(hub: Hub, place: Stopping, point: str) -> None:
    place.arm(f"sbatch.{point}")
    hub.ask("alice", STUB)
    command = place.wait()
    hub.kill()
    stopping.end(command)
    hub.start()
    if point == "before":
        none(hub)
    else:
        one(hub)


def test_the_hub_dies_and_the_submit_goes_on_while_the_next_hub_looks(hub: Hub, place: Stopping) -> None:
    place.arm("sbatch.before")
    hub.ask("alice", STUB)
    command = place.wait()
    hub.restart()
    until(lambda: hub.server("alice").get("pending") == "spawn", "the new hub looks for the job")
    place.finish(command)
    one(hub)


def receipt(hub: Hub) -> str:
    """The id in the receipt of the only job that is being submitted."""
    found = [json.loads(file.read_text()) for file in Path(hub.jobs).rglob("receipt.json")]  # type: ignore[attr-defined]
    return next((str(row["id"]) for row in found if row.get("id")), "")


@pytest.mark.parametrize("database", ["journal.sqlite", "jupyterhub.sqlite"])
def test_the_hub_dies_with_the_answer_in_hand(hub: Hub, place: Stopping, database: str) -> None:
    """Killed while it waits to write down what it was told; whichever of its two databases lacks the id."""
    place.arm("sbatch.after")
    hub.ask("alice", STUB)
    command = place.wait()
    lock = sqlite3.connect(hub.directory / "state" / database, isolation_level=None, timeout=30)
    lock.execute("BEGIN IMMEDIATE")
    place.finish(command)
    assert until(lambda: receipt(hub), "the helper has written its receipt")
    if database == "jupyterhub.sqlite":
        until(lambda: journal(hub, "SELECT id FROM jobs WHERE ended_at IS NULL AND id != ''"), "the journal has the id")
    hub.kill()
    lock.execute("ROLLBACK")
    lock.close()
    hub.start()
    one(hub)


def journal(hub: Hub, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{hub.directory}/state/journal.sqlite?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


@pytest.mark.parametrize("point", ["before", "after"])
def test_killed_during_the_cancel(hub: Hub, place: Stopping, point: str) -> None:
    hub.ask("alice", STUB)
    one(hub)
    place.arm(f"scancel.{point}")
    hub.delete("alice")
    command = place.wait()
    hub.kill()
    stopping.end(command)
    hub.start()
    none(hub)


def test_killed_during_a_query(hub: Hub, place: Stopping) -> None:
    hub.ask("alice", STUB)
    job = one(hub)
    place.arm("squeue.after")
    command = place.wait()
    hub.kill()
    stopping.end(command)
    hub.start()
    assert one(hub) == job
    until(lambda: hub.visit("alice", path="").ok, "the route is there")


# The controller hangs -------------------------------------------------------------------------------------------------


def test_a_hung_controller_loses_nothing_and_doubles_nothing(hub: Hub, second: Hub) -> None:
    """Submits that time out in sbatch (first hub) or in the helper (second), a cancel and queries, all at once."""
    for name in ("running", "cancelled"):
        hub.ask("bob", STUB, name)
    jobs = {}
    for name in ("running", "cancelled"):
        hub.ready("bob", name)
        jobs[name] = hub.job("bob", name)
    with hanging():
        hub.ask("alice", STUB)
        second.ask("alice", STUB)
        assert hub.delete("bob", "cancelled").status_code in (202, 204)
        for each in (second, hub):
            until(lambda each=each: "no clear answer" in each.log(), "the submit has been given up")
        assert hub.visit("bob", "running", "").ok
        assert hub.server("bob", "running")["ready"]
    hub.stopped("bob", "cancelled")
    until(lambda: [x["id"] for x in mine(hub) if x["user"] == "bob"] == [jobs["running"]], "one of the two is left")
    assert hub.job("bob", "running") == jobs["running"]
    for each in (hub, second):
        one(each)


@pytest.mark.timeout(400)
def test_a_submit_that_happens_after_it_was_given_up_is_cancelled(second: Hub) -> None:
    with hanging():
        second.ask("alice", STUB)
        second.stopped("alice")
        assert "did not say whether" in second.failure("alice")
    late = until(lambda: mine(second), "the job turns up")[0]["id"]
    second.ask("alice", STUB)
    assert one(second) != late


# Others on the cluster ------------------------------------------------------------------------------------------------


def stranger(name: str) -> str:
    """A job of bob's under that name."""
    words = ["sbatch", "--parsable", "-J", name, "-p", "main", "-t", "20", "-o", "/dev/null", "--wrap", "sleep 900"]
    return subprocess.run(
        ["runuser", "-u", "bob", "--", *words], check=True, capture_output=True, text=True, cwd="/"
    ).stdout.strip()


def test_a_strangers_job_with_our_name_is_neither_adopted_nor_cancelled(hub: Hub, place: Stopping) -> None:
    place.arm("sbatch.before")
    hub.ask("alice", STUB)
    command = place.wait()
    tag = str(until(lambda: (hub.server("alice").get("state") or {}).get("tag"), "the tag is known"))
    other = namesake = stranger(tag)
    try:
        hub.kill()
        stopping.end(command)
        hub.start()
        none(hub)
        assert job_facts(other)["JobState"] == "RUNNING"
        hub.ask("alice", STUB)
        one(hub)
        namesake = stranger(hub.server("alice")["state"]["tag"])
        hub.delete("alice")
        none(hub)
        assert job_facts(namesake)["JobState"] == job_facts(other)["JobState"] == "RUNNING"
    finally:
        subprocess.run(["scancel", other, namesake], check=False)


def test_two_hubs_of_one_site_leave_each_other_alone(hub: Hub, second: Hub) -> None:
    for each in (hub, second):
        each.ask("alice", STUB)
    jobs = {each: one(each) for each in (hub, second)}
    assert instance(hub) != instance(second)
    for each in (hub, second):
        each.restart()
    assert {each: one(each) for each in (hub, second)} == jobs
    stop_all(second)
    none(second)
    assert one(hub) == jobs[hub]


# Restored backups -----------------------------------------------------------------------------------------------------


def copy(database: Path, to: Path) -> None:
    """A good backup, whatever its log files hold."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(to)) as target:
        source.backup(target)


def restore(database: Path, copied: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    database.write_bytes(copied.read_bytes())  # owner and mode stay


@pytest.mark.parametrize("older", ["jupyterhub.sqlite", "journal.sqlite"])
def test_a_restored_backup_is_reported_and_cancels_nothing(hub: Hub, older: str, tmp_path: Path) -> None:
    hub.add_user("alice")
    hub.add_user("bob")
    database = hub.directory / "state" / older
    copy(database, tmp_path / "older")
    for user in ("alice", "bob"):
        hub.ask(user, STUB)
    jobs = {user: one(hub, user) for user in ("alice", "bob")}
    hub.kill()
    copy(database, tmp_path / "newer")
    restore(database, tmp_path / "older")
    said = len(hub.log())
    hub.start()
    words = "Jobs that no server of this hub knows" if older == "jupyterhub.sqlite" else "is not in the journal"
    until(lambda: words in hub.log()[said:], "it is reported")
    if older == "journal.sqlite":
        assert {user: one(hub, user) for user in ("alice", "bob")} == jobs
    time.sleep(6)  # more than the slow poll: what would be cancelled is cancelled by then
    assert {row["user"]: row["id"] for row in mine(hub)} == jobs
    assert all(job_facts(job)["JobState"] == "RUNNING" for job in jobs.values())
    if older == "jupyterhub.sqlite":
        hub.kill()
        restore(database, tmp_path / "newer")
        hub.start()
    assert {user: one(hub, user) for user in ("alice", "bob")} == jobs
