"""Batch systems for one suite: fakes of LSF and Cobalt, the embedded queue, the Slurm sandbox, a real Grid Engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import hpcspawner.localqueue

from . import conftest
from .fakeplaces import Cobalt, Lsf
from .hub import REPOSITORY
from .place import APPS, Place


class Local(Place):
    """The embedded queue; the hub is root, as in the demo, and one long job keeps a core."""

    kind = "local"
    account = ""
    daemon = False
    chosen: ClassVar[dict[str, Any]] = {"cores": 2, "memory": "600M", "walltime": "00:25:00"}
    facts: ClassVar[dict[str, Any]] = {"user": "alice", "cores": 2, "memory": 600, "walltime": 1500}

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
    chosen: ClassVar[dict[str, Any]] = {"partition": "short", "cores": 3, "memory": "2G", "walltime": "00:25:00"}
    facts: ClassVar[dict[str, Any]] = {
        "user": "alice",
        "partition": "short",
        "cores": "3",
        "memory": "2G",
        "walltime": "25:00",
    }

    def open(self) -> Place:
        occupy = ["-p", "gpu", "--gres=gpu:a100:4", "-t", "60", "-o", "/dev/null", "--wrap", "sleep 3600"]
        self.blocker = subprocess.run(
            ["sbatch", "--parsable", *occupy], check=True, capture_output=True, text=True, cwd="/"
        ).stdout.strip()
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
    """A real one, where the machine has it: queues all.q, short.q (30 min), closed.q (for bob only); project maths."""

    kind = "gridengine"
    account = ""
    chosen: ClassVar[dict[str, Any]] = {"partition": "short.q", "cores": 2, "walltime": "00:25:00", "account": "maths"}
    facts: ClassVar[dict[str, Any]] = {"user": "alice", "queue": "short.q", "cores": "2", "walltime": "1500"}

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
