"""A hub whose database and journal already hold many running servers: one stub answers for all, and a pretended Slurm
shows their jobs. For questions of number and of versions, where the jobs themselves do not matter."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyterhub import orm

from hpcspawner.jobqueue import Journal, tags

from .hub import Hub, free_port
from .manyservers import STUB

SITE = """
name: test
prefix: jupyter
state_dir: {folder}/jobs/{{user}}
clusters:
  main:
    scheduler: slurm
    commands: {folder}/bin
    partitions: {{main: {{}}}}
    {cluster}
free_choice: true
"""

SQUEUE = """#!{python} -SE
import json, os, sys, time
with open({calls!r}, "a") as calls:
    calls.write("%f squeue\\n" % time.time())
wanted = set(sys.argv[sys.argv.index("-j") + 1].split(",")) if "-j" in sys.argv else None
for job in json.load(open({jobs!r})):
    if wanted is None or job["%i"] in wanted:
        line = os.environ["SQUEUE_FORMAT"]
        for mark, value in job.items():
            line = line.replace(mark, value)
        print(line)
"""

OTHERS = {
    "sbatch": '[ "$1" = --version ] && exec echo slurm 23.11.4; exit 1',
    "scancel": "true",
    "sinfo": "exit 1",
    "scontrol": "exit 1",
    "sacct": "exit 1",
}


@dataclasses.dataclass(frozen=True)
class Server:
    """One running server."""

    user: str
    tag: str
    id: str
    url: str
    submitted: float

    def state(self) -> dict[str, Any]:
        """What the hub of today keeps of it."""
        return {
            "schema": 1, "last": {"cores": 1}, "tag": self.tag, "cluster": "main", "job_id": self.id, "run": 0,
            "submitted": self.submitted, "token_id": 0, "url": self.url, "summary": "Small", "plain": False,
        }  # fmt: skip


class Populated:
    """The hub, not started yet, and what it knows."""

    def __init__(self, folder: Path, count: int, *, cluster: str = "", foreign: int = 0, extra: str = "") -> None:
        self.folder, self.calls = folder, folder / "calls"
        folder.chmod(0o755)
        port = free_port("127.0.0.1")
        stub = folder / "stub.py"
        stub.write_text(STUB)
        self.stub = subprocess.Popen([sys.executable, "-S", "-E", str(stub), str(port)])
        site = folder / "site.yaml"
        site.write_text(SITE.format(folder=folder, cluster=cluster))
        self.hub = Hub(folder / "hub", site, extra=extra)
        self.state = folder / "hub/state"
        self.state.mkdir(mode=0o700)
        self.servers = self._journal(count, f"http://127.0.0.1:{port}")
        self._commands(foreign)
        self._database(port)

    def _journal(self, count: int, url: str) -> list[Server]:
        journal, now, found = Journal(self.state), time.time(), []
        for number in range(count):
            tag = tags.new("jupyter", journal.instance)
            server = Server(f"user{number}", tag, str(1000 + number), url, now - 600)
            journal.add(
                tag=tag, cluster="main", user=server.user, owner_key=f"{server.user}/", submitted=now - 600,
                began=now - 600, id=server.id, reported=1, seen=2, stored=1, choice={"cores": 1},
            )  # fmt: skip
            found.append(server)
        journal.close()
        return found

    def _commands(self, foreign: int) -> None:
        folder, jobs = self.folder / "bin", self.folder / "jobs.json"
        folder.mkdir()
        start = str(int(time.time()) - 590)
        row = {
            "%T": "RUNNING",
            "%P": "main",
            "%V": start,
            "%S": start,
            "%e": "N/A",
            "%l": "8:00:00",
            "%B": "n1",
            "%N": "n1",
        }
        free = {"%a": "(null)", "%r": "None"}
        mine = [{"%i": s.id, "%u": s.user, **row, **free, "%j": s.tag} for s in self.servers]
        others = [
            {"%i": str(10_000_000 + n), "%u": f"other{n % 200}", **row, **free, "%j": f"job{n}"} for n in range(foreign)
        ]
        both = [*mine, *others]
        random.Random(1).shuffle(both)
        jobs.write_text(json.dumps(both))
        self.calls.touch()
        self.calls.chmod(0o666)
        python = shutil.which("python3", path="/usr/bin") or sys.executable
        programs = {"squeue": SQUEUE.format(python=python, calls=str(self.calls), jobs=str(jobs))}
        programs.update({name: f"#!/bin/sh\n{body}\n" for name, body in OTHERS.items()})
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def _database(self, port: int) -> None:
        session = orm.new_session_factory(f"sqlite:///{self.state}/jupyterhub.sqlite")()
        for server in self.servers:
            user = orm.User(name=server.user)
            base = f"/user/{server.user}/"
            where = orm.Server(proto="http", ip="127.0.0.1", port=port, base_url=base, cookie_name=f"c-{server.user}")
            session.add(orm.Spawner(name="", user=user, server=where, state=server.state()))
        session.commit()
        session.close()
        session.get_bind().dispose()

    # Other versions ----------------------------------------------------------------------------------------------

    def rewrite(self, change: Callable[[dict[str, Any]], dict[str, Any]], *statements: str) -> None:
        """While the hub is down: each server's state becomes what change makes of it; statements: for the journal."""
        with contextlib.closing(sqlite3.connect(self.state / "jupyterhub.sqlite")) as db, db:
            for row, state in db.execute("SELECT id, state FROM spawners WHERE server_id IS NOT NULL").fetchall():
                changed = json.dumps(change(json.loads(state)))
                db.execute("UPDATE spawners SET state = ? WHERE id = ?", (changed, row))
        with contextlib.closing(sqlite3.connect(self.state / "journal.sqlite")) as db, db:
            for statement in statements:
                db.execute(statement)

    def ready(self) -> set[str]:
        """Users whose server is ready."""
        found: set[str] = set()
        for offset in range(0, len(self.servers), 200):
            answer = self.hub.call("GET", "/users", params={"state": "ready", "limit": 200, "offset": offset})
            found |= {user["name"] for user in answer.json() if user["servers"].get("", {}).get("ready")}
        return found

    def queries(self, since: float = 0.0) -> int:
        """Status queries since then (seconds since the epoch)."""
        return sum(float(line.split()[0]) >= since for line in self.calls.read_text().splitlines())

    def close(self) -> None:
        self.hub.close()
        self.stub.kill()
        self.stub.wait()


@contextlib.contextmanager
def populated(folder: Path, count: int, **more: Any) -> Iterator[Populated]:
    """Taken away at the end."""
    made = Populated(folder, count, **more)
    try:
        yield made
    finally:
        made.close()
