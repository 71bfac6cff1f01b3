"""A pretended cluster behind the helper's seam: it replays what schedulers, networks and disks do to a hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hpcspawner.job import Cluster, JobState
from hpcspawner.jobqueue import Entry, JobQueue, Journal, Settings
from hpcspawner.run_as import HelperError
from hpcspawner.sitemodel import ClusterSite, Site

Proceed = Callable[[], Awaitable[dict[str, Any]]]
Hook = Callable[[str, dict[str, Any], Proceed], Awaitable[dict[str, Any]]]

FAST = Settings(
    cancel_window=0.01,
    cancel_retry=0.03,
    cancel_retry_most=0.1,
    look_first=0.01,
    look_most=0.05,
    no_receipt=0.05,
    lost_pause=0.03,
    mass_limit=60.0,
    backoff_most=0.02,
    urgent_gap=0.01,
    urgent_per_minute=100,
    answer_margin=1.0,
    close_wait=0.05,
    housekeeping=0.05,
)


class World:
    """The scheduler's memory and the users' directories. Every queue reaches it by a seam of its own."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        """What the scheduler shows, by id, as the helper would tell it."""
        self.receipts: dict[str, str | None] = {}
        self.ends: dict[str, dict[str, Any]] = {}
        self.details: dict[str, dict[str, Any]] = {}
        self.log = ["first line", "last line"]
        self.hidden = False
        """PrivateData: the hub's account is shown nothing."""
        self.down = ""
        """The scheduler does not answer, with this text."""
        self.garbled: Any = None
        self.next_id = 1
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.hooks: dict[str, Hook] = {}
        self.cancelled: list[str] = []
        self.cleaned: list[str] = []

    def count(self, verb: str, user: str | None = None) -> int:
        return sum(1 for name, who, _ in self.calls if name == verb and user in (None, who))

    def put(self, tag: str, user: str, id: str = "", **fields: Any) -> str:
        """A job appears in the queue."""
        if not id:
            id, self.next_id = str(self.next_id), self.next_id + 1
        self.jobs[id] = {"id": id, "state": "pending", "name": tag, "user": user, "submitted": time.time(), **fields}
        return id

    def set(self, id: str, **fields: Any) -> None:
        self.jobs[id] = {**self.jobs[id], **fields}

    def run(self, id: str, *nodes: str) -> None:
        self.set(id, state="running", nodes=list(nodes or ("n1",)))

    # Verbs -------------------------------------------------------------------------------------------------------

    def submit(self, user: str, tag: str, array: int = 0, **_: Any) -> dict[str, Any]:
        self._answers()
        self.receipts[tag] = None
        if array:
            id, self.next_id = str(self.next_id), self.next_id + 1
            for index in range(1, array + 1):
                self.put(tag, user, f"{id}_{index}")
        else:
            id = self.put(tag, user)
        self.receipts[tag] = id
        return {"outcome": "accepted", "id": id, "notice": "", "log": f"/logs/{tag}.log", "folder": f"/jobs/{tag}"}

    def query(self, user: str, ids: list[str], users: list[str]) -> dict[str, Any]:
        self._answers()
        if self.garbled is not None:
            return {"jobs": self.garbled}
        asked = [own for id in ids for own in self._elements(id)]
        shown = {id: self.jobs[id] for id in asked if id in self.jobs and self._sees(user, self.jobs[id])}
        return {"jobs": {id: dict(row) for id, row in shown.items()}, "seconds": 0.0}

    def find(self, user: str, tag: str) -> dict[str, Any]:
        self._answers()
        jobs = [dict(row) for row in self.jobs.values() if row["name"].endswith(tag) and self._sees(user, row)]
        return {"receipt": self.receipts.get(tag, "none"), "jobs": jobs, "end": self.ends.get(tag)}

    def tail(self, user: str, tag: str, id: str, lines: int) -> dict[str, Any]:
        shown = None if self.down else self.details.get(id)
        log = self.log[-lines:] if lines else []
        return {"log": log, "path": f"/logs/{tag}.log", "end": self.ends.get(tag), "detail": shown}

    def cancel(self, user: str, ids: list[str]) -> dict[str, Any]:
        self._answers()
        done: dict[str, bool | None] = {}
        for id in ids:
            self.cancelled.append(id)
            mine = [own for own in self._elements(id) if own in self.jobs]
            done[id] = all(self.jobs[own]["user"] == user for own in mine)
            for own in mine if done[id] else []:
                self.set(own, state="ended", outcome="cancelled")
        return {"cancelled": done, "text": ""}

    def clean(self, user: str, tags: list[str], keep: list[str] | None = None) -> dict[str, Any]:
        self.cleaned.extend(tags)
        return {"removed": tags, "left": [], "old": []}

    def _elements(self, id: str) -> list[str]:
        """The job itself, or all jobs of the array with that id."""
        return [own for own in self.jobs if own.startswith(f"{id}_")] or [id]

    def _sees(self, user: str, row: dict[str, Any]) -> bool:
        return row["user"] == user if user else not self.hidden

    def _answers(self) -> None:
        if self.down:
            raise HelperError("unavailable", self.down)


class Seam:
    """What one queue calls. dead: the process was killed, nothing of it happens any more."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False

    async def call(self, verb: str, user: str, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        await self._alive()
        self.world.calls.append((verb, user, fields))

        async def proceed() -> dict[str, Any]:
            answer: dict[str, Any] = getattr(self.world, verb)(user, **fields)
            return answer

        hook = self.world.hooks.get(verb)
        answer = await hook(user, fields, proceed) if hook else await proceed()
        await asyncio.sleep(0)
        await self._alive()
        return answer

    async def _alive(self) -> None:
        if self.dead:
            await asyncio.Event().wait()


def site(**cluster: Any) -> Site:
    """One cluster 'main' with short pauses."""
    values: dict[str, Any] = {
        "poll_fast": 0.01,
        "poll_slow": 0.03,
        "grace": 0.05,
        "lost_submit_limit": 0.4,
        "submits_per_second": 1000.0,
        **cluster,
    }
    return Site(name="test", prefix="jupyter", clusters={"main": ClusterSite(Cluster("main", "slurm"), **values)})


class Process:
    """A hub process: journal, seam and queue."""

    def __init__(self, world: World, directory: Path, settings: Settings = FAST, **cluster: Any) -> None:
        self.world = world
        self.directory = directory
        self.seam = Seam(world)
        self.journal = Journal(directory)
        self.queue = JobQueue(
            site(**cluster),
            "main",
            self.journal,
            self.seam,
            instance=self.journal.instance,
            log=logging.getLogger("test.jobqueue"),
            settings=settings,
        )
        self._settings, self._cluster = settings, cluster

    async def submit(self, user: str = "alice", **fields: Any) -> Entry:
        tag = self.queue.new_tag()
        return await self.queue.submit(tag, user, {"kind": "server", "choice": {}, **fields}, f"{user}/")

    def copy(self, directory: Path) -> Path:
        """The journal as it lies on disk at this moment."""
        directory.mkdir()
        for name in ("journal.sqlite", "journal.sqlite-wal", "instance"):
            if (self.directory / name).exists():
                shutil.copy(self.directory / name, directory / name)
        return directory

    def killed(self, directory: Path) -> Process:
        """kill -9 now: nothing of this process happens any more, and a new one begins with what is on disk."""
        self.seam.dead = True
        return Process(self.world, self.copy(directory), self._settings, **self._cluster)

    async def close(self) -> None:
        await self.queue.close()
        self.journal.close()


def on_disk(process: Process, tag: str) -> dict[str, Any]:
    """What another process would read at this moment."""
    with contextlib.closing(sqlite3.connect(process.directory / "journal.sqlite")) as db:
        row = db.execute("SELECT began, id, cancel_wanted FROM jobs WHERE tag = ?", (tag,)).fetchone()
    return dict(zip(("began", "id", "cancel_wanted"), row or (), strict=False))


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        await asyncio.sleep(0.002)


async def answers(world: World, number: int = 3) -> None:
    """Until so many more queries have been answered and their consequences drawn."""
    start = world.count("query")
    await until(lambda: world.count("query") >= start + number + 1, "more queries")


def state(process: Process, tag: str) -> JobState:
    entry = process.queue.entry(tag)
    assert entry is not None
    return entry.state
