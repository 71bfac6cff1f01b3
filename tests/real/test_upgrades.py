"""Upgrades and the way back: fifty running servers, whose states another version of hpcspawner has written."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import STATE_SCHEMA
from hpcspawner.jobqueue import journal

from .hub import until
from .populated import Populated, populated

pytestmark = [pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

FIFTY = 50

FORMER = ("tag", "cluster", "job_id", "submitted", "url")
"""Keys of a server's state before it had a schema number."""
LATER_COLUMNS = ("notice", "stored", "cleaned", "abandoned", "view", "seen", "run", "choice")
"""Columns of the journal that the former schema did not have."""


@pytest.fixture(scope="module")
def fifty() -> Iterator[Populated]:
    folder = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o755)
    try:
        with populated(folder, FIFTY) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def all_ready(made: Populated) -> None:
    wanted = {server.user for server in made.servers}
    until(lambda: made.ready() == wanted, f"all {len(wanted)} servers are ready")
    answer = made.hub.call("GET", "/hpcspawner/health").json()
    figures = answer["clusters"]["main"]
    assert answer["schema"] == STATE_SCHEMA
    assert (figures["jobs"], figures["orphans"]) == ({"running": FIFTY}, 0)
    listed = {job["tag"]: job["id"] for job in made.hub.call("GET", "/hpcspawner/jobs").json()["jobs"]}
    assert listed == {server.tag: server.id for server in made.servers}


def schema_of(made: Populated) -> int:
    with contextlib.closing(sqlite3.connect(made.state / "journal.sqlite")) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def former(state: dict[str, Any]) -> dict[str, Any]:
    return {key: state[key] for key in FORMER}


def newer(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "schema": STATE_SCHEMA + 1, "colour": "blue", "places": [{"host": "n1", "since": 1.5}]}


def test_servers_of_the_former_schema_are_ready_after_the_upgrade(fifty: Populated) -> None:
    drops = [f"ALTER TABLE jobs DROP COLUMN {name}" for name in LATER_COLUMNS]
    fifty.rewrite(former, *drops, "PRAGMA user_version = 0")
    fifty.hub.start()
    all_ready(fifty)
    assert schema_of(fifty) == STATE_SCHEMA


def test_servers_of_a_newer_schema_are_ready_after_the_way_back(fifty: Populated) -> None:
    fifty.hub.close()
    fifty.rewrite(
        newer,
        "ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'",
        "CREATE TABLE places (tag TEXT, host TEXT)",
        'UPDATE jobs SET choice = \'{"cores": 1, "colour": "blue"}\'',
        f"PRAGMA user_version = {STATE_SCHEMA + 1}",
    )
    fifty.hub.start()
    all_ready(fifty)
    assert schema_of(fifty) == STATE_SCHEMA + 1


def test_a_restart_of_the_same_version_keeps_them_too(fifty: Populated) -> None:
    fifty.hub.restart()
    all_ready(fifty)


def test_every_column_that_came_later_has_a_default() -> None:
    for name, kind in journal.COLUMNS.items():
        assert name in ("tag", "cluster", "user") or "DEFAULT" in kind or "NOT NULL" not in kind, name
