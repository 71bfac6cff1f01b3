"""Hubs on real parts: on Slurm as a service account through sudo, on the embedded queue as root or as oneself."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import STRICT
from .hub import PREFIX, REPOSITORY, USER_PYTHON, Hub

HELPERS = Path("/opt/hpcspawner-test/helpers")

SLURM_SITE = """
name: test
prefix: {prefix}
state_dir: {state}/{{user}}
clusters:
  main:
    scheduler: slurm
    environment: {{SLURM_CONF: {conf}}}
    way: {{kind: {way}, helper: {helper}}}
    query_as: {query_as}
    node_networks: [{subnet}]
    server: {{python: {python}}}
    poll_fast: 1
    poll_slow: 5
    grace: 4
    lost_submit_limit: 60
    partitions:
      main: {{}}
      short: {{}}
      gpu:
        gpu_types: {{a100: {{request: a100, max: 4}}}}
free_choice: true
fields:
  cores: {{default: 1, min: 1, max: 16}}
  memory: {{default: 500M, max: 32G}}
  nodes: {{default: 1, max: 4}}
  walltime: {{default: "00:20:00", max: "1-00:00:00"}}
profiles:
  small:
    title: Small
    fields: {{partition: main, cores: 1, memory: 500M, walltime: "00:20:00"}}
  wide:
    title: Two nodes
    fields: {{partition: main, cores: 2, memory: 1G, nodes: 2, walltime: "00:20:00"}}
  never:
    title: Waits for ever
    fields: {{partition: gpu, cores: 1, memory: 500M, gpus: 4, gpu_type: a100, walltime: "00:20:00"}}
  hasty:
    title: Gives up
    queue_timeout: 3
    fields: {{partition: gpu, cores: 1, memory: 500M, gpus: 4, gpu_type: a100, walltime: "00:20:00"}}
{more}
"""


class Hubs:
    """Makes hubs for one test module and takes everything away afterwards: hubs, jobs, helpers."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._hubs: list[Hub] = []
        self._prefixes: list[str] = []
        self._helpers: list[Path] = []

    def slurm(
        self,
        *,
        more: str = "",
        account: str = "jupyterhub",
        edit: Callable[[str], str] = str,
        query_as: str = "owner" if STRICT else "hub",
        **kwargs: Any,
    ) -> Hub:
        """A hub on the Slurm sandbox; as the service account with its own installed helper, or as root (account='')."""
        prefix = "t" + secrets.token_hex(4)
        self._prefixes.append(prefix)
        folder = self.base / prefix
        folder.mkdir()
        folder.chmod(0o755)
        state = folder / "jobs"
        state.mkdir()
        state.chmod(0o1777)
        helper = HELPERS / prefix / "helper.pyz"
        text = SLURM_SITE.format(
            prefix=prefix,
            state=state,
            conf=os.environ["SLURM_CONF"],
            way="sudo" if account else "root",
            helper=helper,
            query_as=query_as,
            subnet=os.environ["HPCSPAWNER_SANDBOX_SUBNET"],
            python=USER_PYTHON,
            more=more,
        )
        site = folder / "site.yaml"
        site.write_text(edit(text))
        if account:
            install_helper(site, helper)
            self._helpers.append(helper.parent)
        hub = Hub(folder / "hub", site, ip=os.environ["HPCSPAWNER_SANDBOX_HUB"], account=account, **kwargs)
        hub.prefix = prefix  # type: ignore[attr-defined]
        hub.jobs = state  # type: ignore[attr-defined]
        self._hubs.append(hub)
        return hub

    def close(self) -> None:
        for hub in self._hubs:
            hub.close()
        for prefix in self._prefixes:
            mine = [row for row in squeue() if prefix in row["name"]]
            if mine:
                subprocess.run(["scancel", *(row["id"] for row in mine)], check=False, timeout=60)
        for helper in self._helpers:
            sudoers(helper / "helper.pyz").unlink(missing_ok=True)
            shutil.rmtree(helper, ignore_errors=True)


def install_helper(site: Path, helper: Path) -> None:
    """What an admin does: the zipapp and the compiled site, owned by root."""
    helper.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hpcspawner.cli"]
    subprocess.run([*command, "helper", "install", str(helper)], check=True, timeout=60)
    subprocess.run([*command, "site", "compile", str(site), str(helper.parent / "site.json")], check=True, timeout=60)
    rule = (REPOSITORY / "deploy/sudoers/hpcspawner").read_text().replace("/opt/hpcspawner/helper.pyz", str(helper))
    rule = rule.replace("HPCSPAWNER_HELPER", f"HPCSPAWNER_{helper.parent.name.upper()}")
    file = sudoers(helper)
    file.write_text(rule)
    file.chmod(0o440)
    subprocess.run(["visudo", "-c", "-q", "-f", str(file)], check=True, timeout=60)


def sudoers(helper: Path) -> Path:
    """The file of the rule for that helper."""
    return Path("/etc/sudoers.d") / f"hpcspawner-{helper.parent.name}"


def squeue(*more: str) -> list[dict[str, str]]:
    """All jobs of the sandbox that have not ended, seen as root."""
    out = subprocess.run(
        ["squeue", "-a", "-h", "-o", "%i|%u|%T|%P|%C|%m|%l|%N|%r|%j", *more],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    names = ("id", "user", "state", "partition", "cores", "memory", "walltime", "nodes", "reason", "name")
    return [dict(zip(names, line.split("|", len(names) - 1), strict=True)) for line in out.splitlines()]


def job_facts(job: str) -> dict[str, str]:
    """scontrol show job, as a mapping; the state is FORGOTTEN where Slurm knows the job no longer."""
    ran = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True)
    if "Invalid job id" in ran.stderr:
        return {"JobState": "FORGOTTEN"}
    ran.check_returncode()
    return dict(part.split("=", 1) for part in ran.stdout.split() if "=" in part)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One place after the other: pytest would mix those of tests that run on some places only, with a hub for each."""
    at = [number for number, item in enumerate(items) if _place(item)]
    for number, item in zip(at, sorted((items[number] for number in at), key=_place), strict=True):
        items[number] = item


def _place(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("place", "")) if callspec is not None else ""


@pytest.fixture(scope="session", autouse=True)
def private_homes() -> Iterator[None]:
    """A strict site's homes are closed to everybody else, the hub's account included."""
    homes = [Path(pwd.getpwnam(user).pw_dir) for user in ("alice", "bob")] if STRICT else []
    before = {home: home.stat().st_mode & 0o7777 for home in homes}
    for home in homes:
        home.chmod(0o700)
    yield
    for home, mode in before.items():
        home.chmod(mode)


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    base = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    base.mkdir(mode=0o755)
    made = Hubs(base)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(base, ignore_errors=True)


__all__ = ["PREFIX", "Hubs", "job_facts", "json", "squeue"]
