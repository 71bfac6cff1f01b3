"""For the tests of the helper: a packed helper, sites for it, and a way to ask it as the hub would."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcspawner import sitejson
from hpcspawner.job import Cluster
from hpcspawner.sitemodel import ClusterSite, Partition, ServerPython, Site

ACTOR = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "alice"
"""For whom the helper acts where any user will do: never root."""
PYTHON = sys.executable if os.geteuid() else "/usr/bin/python3"


def new_tag(prefix: str = "jupyter") -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return f"{prefix}-{secrets.token_hex(3)}-" + "".join(secrets.choice(letters) for _ in range(10))


def make_site(folder: Path, scheduler: str = "slurm", commands: str = "", **changes: Any) -> Site:
    """A site with one cluster 'main', whose state lies in folder/<user>; changes go to the site or the cluster."""
    cluster = Cluster("main", scheduler, commands=commands, environment=changes.pop("environment", {}))
    names = {x.name for x in dataclasses.fields(ClusterSite)}
    of_cluster = {name: changes.pop(name) for name in list(changes) if name in names}
    of_cluster.setdefault("partitions", {"main": Partition("main")})
    of_cluster.setdefault("server", ServerPython(python=PYTHON))
    where = ClusterSite(cluster=cluster, **of_cluster)
    changes.setdefault("free_choice", True)
    changes.setdefault("state_dir", f"{folder}/{{user}}")
    return Site(name="test", clusters={"main": where}, **changes)


def request(verb: str, user: str = "", site: Site | None = None, **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"protocol": 1, "verb": verb, "cluster": "main", "user": user, **fields}
    given.setdefault("probed", {"version": "22.05.8", "family": ""})
    if site is not None:
        given["site"] = sitejson.dump(site)
    return given


def ask(
    program: Path, given: Mapping[str, Any] | bytes, *before: str, arguments: tuple[str, ...] = (), **environ: str
) -> dict[str, Any]:
    """The helper's answer. before: words before the command, such as sudo's."""
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    argv = [*before, PYTHON, "-I", "-S", str(program), *arguments]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environ}
    done = subprocess.run(argv, input=data, capture_output=True, timeout=60, env=environment, check=False)
    assert done.stdout, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["ok"] is (done.returncode == 0)
    return answer


def result(answer: Mapping[str, Any]) -> dict[str, Any]:
    assert answer["ok"], answer
    found: dict[str, Any] = answer["result"]
    return found


def error(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and text of the error."""
    assert not answer["ok"], answer
    return answer["error"]["kind"], answer["error"]["text"]


class FakeSlurm:
    """A folder of stand-ins for Slurm's commands. Each call is written down; what it answers is a shell line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder = folder
        self.calls = folder / "calls"
        self.calls.touch()
        self.calls.chmod(0o666)
        for name, body in {
            "sbatch": '[ "$1" = --version ] && exec echo slurm 22.05.8; cat >/dev/null; echo 4711',
            "squeue": "true",
            "scancel": "true",
            "sinfo": "echo slurm 22.05.8",
            "scontrol": "true",
            "sacct": "true",
        }.items():
            self.command(name, body)

    def command(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{body}\n')
        path.chmod(0o755)

    def called(self, name: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.split(" ", 1)[0] == name]
