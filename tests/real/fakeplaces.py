"""The fakes of LSF and Cobalt as places of the suite over all batch systems."""

from __future__ import annotations

import abc
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

from ..schedkit import fakebatch
from .hub import REPOSITORY
from .place import Place

HOST = socket.gethostname().split(".")[0]


class Fake(Place):
    """A fake in a directory that all users may use."""

    config: ClassVar[dict[str, Any]]
    ended: tuple[str, ...]
    words: ClassVar[dict[str, Any]]

    def site(self) -> dict[str, str]:
        there = self.folder / "batch"
        code = REPOSITORY / "tests/schedulers"
        shutil.copytree(code / self.kind, there / self.kind, ignore=shutil.ignore_patterns("*.jsonl", "__pycache__"))
        shutil.copy(code / "fakebatch.py", there)
        subprocess.run(["chmod", "-R", "a+rX", there], check=True)
        self.batch = fakebatch.create(str(self.folder / "fake"), self.config)
        self.fill()
        environment = f"environment: {{FAKE_BATCH_STATE: {self.folder / 'fake'}}}"
        return {"cluster": f"commands: {there / self.kind / 'bin'}\n{environment}\n{self.queues()}"}

    @abc.abstractmethod
    def fill(self) -> None:
        """A job of somebody else takes all of queue 'full', and never ends."""

    @abc.abstractmethod
    def queues(self) -> str:
        """Lines of the site file."""

    def queue(self, name: str, **changes: Any) -> None:
        """What an administrator of the scheduler changes, after the hub has looked."""
        config = self.batch.config
        config["queues"][name] = {**self.config["queues"][name], **changes}
        path = Path(self.batch.path("config.json"))
        path.with_suffix(".new").write_text(json.dumps(config))
        path.with_suffix(".new").chmod(0o644)
        path.with_suffix(".new").replace(path)

    def jobs(self) -> list[dict[str, Any]]:
        found = []
        for job in self.batch.jobs():
            if self.prefix in job["name"] and job["state"] not in self.ended and fakebatch.alive(job):
                word = self.words.get(job["state"], job["state"])
                found.append({**job, "id": str(job["id"]), "state": word, **self.told(job)})
        return found

    def told(self, job: dict[str, Any]) -> dict[str, Any]:
        return {}

    def command(self, user: str, *words: str) -> None:
        """A command of the batch system, as that user."""
        program = self.folder / "batch" / self.kind / "bin" / words[0]
        environment = {"PATH": "/usr/bin:/bin", fakebatch.VARIABLE: self.batch.folder}
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", str(program), *words[1:]]
        subprocess.run(as_user, env=environment, cwd="/", check=True, timeout=60, capture_output=True)


class Lsf(Fake):
    """An LSF without `bjobs -o`; the hub is a service account and acts by sudo."""

    kind = "lsf"
    submits_late = True
    ended = ("DONE", "EXIT")
    words: ClassVar[dict[str, Any]] = {"PEND": "waiting", "RUN": "running"}
    config: ClassVar[dict[str, Any]] = {
        "hosts": {HOST: 64},
        "master": HOST,
        "cluster": "openlava",
        "default_queue": "normal",
        "queues": {
            "normal": {"priority": 30, "about": "Usual."},
            "short": {"priority": 40, "about": "Half an hour.", "most": 1800},
            "full": {"priority": 35, "about": "Always full.", "slots": 2},
        },
    }
    chosen: ClassVar[dict[str, Any]] = {
        "partition": "short",
        "cores": 3,
        "memory": "2G",
        "walltime": "00:25:00",
        "account": "maths",
    }
    facts: ClassVar[dict[str, Any]] = {
        "user": "alice", "queue": "short", "slots": 3, "walltime": 1500, "project": "maths", "memory": str(2 << 20),
        "span": "hosts=1", "hosts": [HOST] * 3,
    }  # fmt: skip

    def site(self) -> dict[str, str]:
        common = 'cores: 1, memory: 100M, walltime: "00:20:00", app: {default: stub}'
        found = super().site()
        self.batch.set("terminate", "2")
        return {**found, "small": f"partition: normal, account: {{}}, {common}", "never": f"partition: full, {common}"}

    def queues(self) -> str:
        limits = 'fields: {cores: {max: 16}, memory: {max: 8G}, walltime: {default: "00:20:00", max: "01:00:00"}}'
        return f"queues:\n  normal: {{{limits}}}\n  short: {{{limits}}}\n  full: {{{limits}}}"

    def fill(self) -> None:
        job: dict[str, Any] = {"id": 1, "user": "bob", "name": "long", "queue": "full", "project": "x", "state": "RUN"}
        job |= {"slots": 2, "require": {}, "hosts": [HOST] * 2, "from": HOST, "cwd": "/", "script": "", "options": {}}
        self.batch.save({**job, "submitted": time.time(), "started": time.time(), "walltime": None, "out": None})

    def told(self, job: dict[str, Any]) -> dict[str, Any]:
        return {"memory": job["options"].get("M"), "span": job["require"].get("span")}

    def cancel(self, id: str) -> None:
        self.command(self.job(id)["user"], "bkill", id)

    def down(self) -> None:
        self.batch.set("mbatchd", "down")

    def hang(self) -> None:
        self.batch.set("mbatchd", "hung")

    def up(self) -> None:
        self.batch.set("mbatchd", None)


class Cobalt(Fake):
    """Cobalt gives out whole nodes: here parts of this machine, as ThetaGPU's single GPUs are parts of a node."""

    kind = "cobalt"
    ended = ("done",)
    words: ClassVar[dict[str, Any]] = {"queued": "waiting", "running": "running"}
    config: ClassVar[dict[str, Any]] = {
        "nodes": {**{f"{HOST}-gpu{number}": ["normal", "short"] for number in range(8)}, f"{HOST}-gpu8": ["full"]},
        "queues": {
            "normal": {"mintime": 300},
            "short": {"mintime": 300, "maxtime": 1800},
            "full": {},
        },
    }
    chosen: ClassVar[dict[str, Any]] = {"partition": "short", "nodes": 2, "walltime": "00:25:00", "account": "maths"}
    facts: ClassVar[dict[str, Any]] = {
        "user": "alice", "queue": "short", "nodes": 2, "walltime": 1500, "project": "maths", "env": [], "args": [],
        "hosts": [f"{HOST}-gpu0", f"{HOST}-gpu1"],
    }  # fmt: skip

    def site(self) -> dict[str, str]:
        found = super().site()
        self.batch.set("qdel", "0.2")
        common = 'nodes: 1, walltime: "00:20:00", app: {default: stub}'
        return {
            **found,
            "small": f"partition: normal, account: {{}}, {common}",
            "never": f"partition: full, {common}",
        }

    def queues(self) -> str:
        limits = 'fields: {nodes: {max: 4}, walltime: {default: "00:20:00", max: "01:00:00"}}'
        return f"queues:\n  normal: {{{limits}}}\n  short: {{{limits}}}\n  full: {{{limits}}}"

    def fill(self) -> None:
        job: dict[str, Any] = {"id": 1, "user": "bob", "name": "long", "queue": "full", "project": "x"}
        job |= {"state": "running", "nodes": 1, "procs": 1, "walltime": 86400, "hosts": [f"{HOST}-gpu8"], "cwd": "/"}
        job |= {"submitted": time.time(), "started": time.time(), "output": "/o", "error": "/e", "cobaltlog": "/c"}
        self.batch.save({**job, "command": "/c", "args": [], "env": [], "attrs": "", "dependencies": ""})

    def cancel(self, id: str) -> None:
        self.command(self.job(id)["user"], "qdel", id)

    def down(self) -> None:
        self.batch.set("down", "all")

    def hang(self) -> None:
        self.batch.set("hung", "")

    def up(self) -> None:
        self.batch.set("down", None)
        self.batch.set("hung", None)
