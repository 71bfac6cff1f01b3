"""Four batch systems for one suite: fakes of LSF and Cobalt, the embedded queue, and the Slurm sandbox.

A Place is a hub on one of them, and what the suite has to do to that batch system behind the hub's back: look at its
jobs, end them, take it away, change a queue. On all but Slurm the hub's own machine is the node.
"""

from __future__ import annotations

import abc
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import hpcspawner.localqueue

from ..schedkit import fakebatch
from . import conftest
from .hub import REPOSITORY, USER_PYTHON, Hub
from .manyservers import STUB

HOST = socket.gethostname().split(".")[0]
SITE = """
name: test
prefix: {prefix}
state_dir: {state}/{{user}}
clusters:
  main:
    scheduler: {kind}
    way: {{kind: {way}, helper: {helper}}}
    server: {{python: {python}}}
    poll_fast: 0.5
    poll_slow: 2
    grace: 1
    command_timeout: 6
    submit_timeout: 6
    lost_submit_limit: 60
{cluster}
free_choice: true
profiles:
  small: {{title: Small, fields: {{{small}}}}}
  never: {{title: Waits for ever, fields: {{{never}}}}}
"""
APPS = """
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
  broken: {{title: Broken, command: [/bin/sh, -c, "echo the license server is away; exit 3", "{{port}}"], url: /}}
"""


class Place(abc.ABC):
    """A hub, and hands on its batch system."""

    kind = ""
    account = "jupyterhub"
    """Account of the hub; '': root."""
    daemon = True
    """The batch system has a daemon that the suite can let hang with a submit inside it."""
    submits_late = False
    """It carries out a submit that was asked while it hung, though the command has been ended since."""
    chosen: dict[str, Any]
    """A free choice of every resource that the batch system knows."""
    facts: dict[str, Any]
    """What jobs() must say of such a job."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.prefix = "d" + secrets.token_hex(4)
        self.folder = base / self.prefix
        self.folder.mkdir(mode=0o755)
        self.helper = conftest.HELPERS / self.prefix / "helper.pyz"
        self.state = self.folder / "jobs"
        self.state.mkdir()
        self.state.chmod(0o1777)
        self.stub = self.folder / "stub.py"
        self.stub.write_text(STUB)
        self.stub.chmod(0o644)

    def open(self) -> Place:
        """Starts hub and batch system."""
        self.hub = self._hub().start()
        return self

    def _hub(self) -> Hub:
        site = self.folder / "site.yaml"
        values = self.site()
        cluster = "".join(f"    {line}\n" for line in values.pop("cluster").splitlines())
        text = SITE.format(
            prefix=self.prefix,
            state=self.state,
            kind=self.kind,
            way="sudo" if self.account else "root",
            helper=self.helper,
            python=USER_PYTHON,
            cluster=cluster.rstrip("\n"),
            **values,
        )
        site.write_text(text + APPS.format(stub=self.stub))
        if self.account:
            conftest.install_helper(site, self.helper)
        return Hub(self.folder / "hub", site, account=self.account)

    def close(self) -> None:
        self.hub.close()
        for job in self.jobs():
            self.cancel(job["id"])
        if self.account:
            conftest.sudoers(self.helper).unlink(missing_ok=True)
            shutil.rmtree(self.helper.parent, ignore_errors=True)

    @abc.abstractmethod
    def site(self) -> dict[str, str]:
        """What stands in the site file: cluster (lines), and the fields of the profiles small and never."""

    @abc.abstractmethod
    def jobs(self) -> list[dict[str, Any]]:
        """The hub's jobs that have not ended: id, user, state (waiting, running, ending), and what facts names."""

    @abc.abstractmethod
    def cancel(self, id: str) -> None:
        """Ends a job as its owner would by hand."""

    @abc.abstractmethod
    def down(self) -> None:
        """The commands fail."""

    def hang(self) -> None:
        """The commands give no answer."""
        raise NotImplementedError

    @abc.abstractmethod
    def up(self) -> None:
        """All is well again."""

    def job(self, id: str) -> dict[str, Any]:
        """One of the jobs; {} once it has ended."""
        return next((one for one in self.jobs() if one["id"] == id), {})


class Fake(Place):
    """A fake in a directory that all users may use."""

    config: dict[str, Any]
    ended: tuple[str, ...]
    words: dict[str, str]

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
    words = {"PEND": "waiting", "RUN": "running"}
    config = {
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
    chosen = {"partition": "short", "cores": 3, "memory": "2G", "walltime": "00:25:00", "account": "maths"}
    facts = {
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
    words = {"queued": "waiting", "running": "running"}
    config = {
        "nodes": {**{f"{HOST}-gpu{number}": ["normal", "short"] for number in range(8)}, f"{HOST}-gpu8": ["full"]},
        "queues": {
            "normal": {"mintime": 300},
            "short": {"mintime": 300, "maxtime": 1800},
            "full": {},
        },
    }
    chosen = {"partition": "short", "nodes": 2, "walltime": "00:25:00", "account": "maths"}
    facts = {
        "user": "alice", "queue": "short", "nodes": 2, "walltime": 1500, "project": "maths", "env": [], "args": [],
        "hosts": [f"{HOST}-gpu0", f"{HOST}-gpu1"],
    }  # fmt: skip

    def site(self) -> dict[str, str]:
        common = 'nodes: 1, walltime: "00:20:00", app: {default: stub}'
        return {
            **super().site(),
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


class Local(Place):
    """The embedded queue; the hub is root, as in the demo, and one long job keeps a core."""

    kind = "local"
    account = ""
    daemon = False
    chosen = {"cores": 2, "memory": "600M", "walltime": "00:25:00"}
    facts = {"user": "alice", "cores": 2, "memory": 600, "walltime": 1500}

    def site(self) -> dict[str, str]:
        self.away = self.folder / "away"
        python = self.folder / "python"
        # There is no daemon that could be away; what can is what the commands need, the Python of the queue here.
        python.write_text(
            f'#!/bin/sh\n[ "$(cat {self.away} 2>/dev/null)" = hung ] && exec sleep 600\n'
            f'[ -e {self.away} ] && exec false\nexec /usr/bin/python3 "$@"\n'
        )
        python.chmod(0o755)
        self.environment = {"HPCSPAWNER_LOCALQUEUE": str(self.folder / "queue")}
        cluster = f"environment: {json.dumps(self.environment)}\n"
        cluster += f"switches: {{cores: 6, memory: 4000, grace: 3, python: {python}}}"
        common = 'memory: 100M, walltime: "00:20:00", app: {default: stub}'
        self.blocker = self.ask("submit", script="exec sleep 3600\n", name="long", cores=1, total_cores=6)["id"]
        return {"cluster": cluster, "small": f"cores: 1, {common}", "never": f"cores: 6, {common}"}

    def ask(self, verb: str, user: str = "bob", **request: Any) -> dict[str, Any]:
        """The queue's own program, as that user."""
        program = str(Path(hpcspawner.localqueue.__file__).parent)
        argv = ["/usr/bin/python3", "-I", "-S", program, "localqueue"]
        if verb == "submit":
            subprocess.run([*argv, "prepare"], env=self.environment, check=True, input="{}", text=True, timeout=60)
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *argv, verb]
        text = json.dumps(request)
        ran = subprocess.run(
            as_user, env=self.environment, cwd="/", check=True, input=text, capture_output=True, text=True, timeout=60
        )
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def close(self) -> None:
        super().close()
        self.ask("cancel", ids=[self.blocker])

    def jobs(self) -> list[dict[str, Any]]:
        rows = [row for row in self.ask("query", ids=[])["jobs"] if self.prefix in row["name"]]
        words = {"PENDING": "waiting", "RUNNING": "running", "ENDING": "ending"}
        return [{**row, "state": words[row["state"]]} for row in rows if row["state"] in words]

    def cancel(self, id: str) -> None:
        self.ask("cancel", user=self.job(id)["user"], ids=[id])

    def down(self) -> None:
        self.away.write_text("down")

    def hang(self) -> None:
        self.away.write_text("hung")

    def up(self) -> None:
        self.away.unlink(missing_ok=True)


class Slurm(Place):
    """The sandbox; a job of root takes all GPUs."""

    kind = "slurm"
    daemon = False
    chosen = {"partition": "short", "cores": 3, "memory": "2G", "walltime": "00:25:00"}
    facts = {"user": "alice", "partition": "short", "cores": "3", "memory": "2G", "walltime": "25:00"}

    def open(self) -> Place:
        self.blocker = subprocess.run(
            ["sbatch", "--parsable", "-p", "gpu", "--gres=gpu:a100:4", "-t", "60", "-o", "/dev/null", "--wrap", "sleep 3600"],
            check=True, capture_output=True, text=True, cwd="/",
        ).stdout.strip()  # fmt: skip
        self.hubs = conftest.Hubs(self.folder)
        self.hub = self.hubs.slurm(more=APPS.format(stub=self.stub), edit=self._with_stub).start()
        self.prefix = self.hub.prefix  # type: ignore[attr-defined]
        self.state = self.hub.jobs  # type: ignore[attr-defined]
        return self

    @staticmethod
    def _with_stub(text: str) -> str:
        return text.replace("fields: {partition", "fields: {app: {default: stub}, partition")

    def close(self) -> None:
        self.hubs.close()
        subprocess.run(["scancel", self.blocker], check=False, timeout=60)

    def site(self) -> dict[str, str]:
        raise NotImplementedError

    def jobs(self) -> list[dict[str, Any]]:
        words = {"PENDING": "waiting", "RUNNING": "running"}
        rows = [row for row in conftest.squeue() if self.prefix in row["name"]]
        return [{**row, "state": words.get(row["state"], row["state"])} for row in rows]

    def cancel(self, id: str) -> None:
        subprocess.run(["scancel", id], check=True, timeout=60)

    def down(self) -> None:
        self._controller("stop")

    def up(self) -> None:
        self._controller("start")

    def _controller(self, verb: str) -> None:
        command = [str(REPOSITORY / "deploy/slurm-sandbox"), "ctld", verb]
        subprocess.run(command, check=True, timeout=120, capture_output=True)


class GridEngine(Place):
    """A real one, where this machine has it: queues all.q, short.q and closed.q, which is for bob only; project maths."""

    kind = "gridengine"
    account = ""
    chosen = {"partition": "short.q", "cores": 2, "walltime": "00:25:00", "account": "maths"}
    facts = {"user": "alice", "queue": "short.q", "cores": "2", "walltime": "1500"}

    def site(self) -> dict[str, str]:
        names = ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        limits = 'fields: {cores: {max: 4}, walltime: {default: "00:20:00", max: "01:00:00"}}'
        cluster = f"environment: {json.dumps(environment)}\n"
        cluster += f"queues:\n  all.q: {{{limits}}}\n  short.q: {{{limits}}}\n  closed.q: {{{limits}}}"
        common = 'cores: 1, walltime: "00:20:00", app: {default: stub}'
        return {"cluster": cluster, "small": f"partition: all.q, {common}", "never": f"partition: closed.q, {common}"}

    def jobs(self) -> list[dict[str, Any]]:
        argv = ["qstat", "-u", "*", "-r", "-xml"]
        out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
        found = []
        for row in re.findall(r"<job_list.*?</job_list>", out, re.DOTALL):
            job = dict(re.findall(r"<(\w+)[^>]*>([^<]*)</", row))
            if self.prefix in job["full_job_name"]:
                state = {"qw": "waiting", "r": "running"}.get(job["state"], "ending")
                told = {"id": job["JB_job_number"], "user": job["JB_owner"], "state": state, "cores": job["slots"]}
                walltime = re.search(r'name="h_rt"[^>]*>(\d+)', row)
                queue = job["queue_name"].partition("@")[0] or job.get("hard_req_queue", "")
                found.append({**told, "queue": queue, "walltime": walltime.group(1) if walltime else ""})
        return found

    def cancel(self, id: str) -> None:
        subprocess.run(["qdel", id], check=True, capture_output=True, timeout=60)

    def _master(self, signal: str) -> None:
        subprocess.run(["pkill", f"-{signal}", "-x", "sge_qmaster"], check=True, timeout=60)

    def down(self) -> None:
        self._master("TERM")

    def hang(self) -> None:
        self._master("STOP")

    def up(self) -> None:
        if subprocess.run(["pkill", "-CONT", "-x", "sge_qmaster"], check=False, timeout=60).returncode:
            subprocess.run(["sge_qmaster"], check=True, timeout=60)


PLACES: dict[str, type[Place]] = {place.kind: place for place in (Lsf, Cobalt, Local, Slurm)}
if shutil.which("sge_qmaster"):
    PLACES["gridengine"] = GridEngine
