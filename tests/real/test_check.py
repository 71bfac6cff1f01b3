"""`hpcspawner check` as an admin runs it: as the hub's account, through the sudo rule, on a real Slurm."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import sitefile
from tests.check.kit import Page, folder_for_all
from tests.helper.installed import SAFE, installed, sudo_rule

from .conftest import squeue
from .hub import USER_PYTHON, Hub, free_port, until

pytestmark = [pytest.mark.slurm, pytest.mark.other_user]

AS_HUB = ("runuser", "-u", "jupyterhub", "--")

SITE = """
name: test
prefix: {prefix}
state_dir: {folder}/{{user}}
clusters:
  main:
    scheduler: slurm
    environment: {{SLURM_CONF: {conf}}}
    way: {{kind: sudo, helper: {helper}}}
    node_networks: ["{subnet}"]
    ports: {ports}
    server: {{python: {python}}}
    partitions: {{{partitions}}}
    {cluster}
environments:
  user: {{python: {python}}}
profiles:
  small:
    fields: {{partition: main, cores: 1, memory: 300M, walltime: "00:20:00"}}
"""


class Desk:
    """A site, its installed helper, and the check run as the service account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = "k" + secrets.token_hex(4)
        self.values: dict[str, Any] = {
            "prefix": self.prefix,
            "folder": folder,
            "conf": os.environ["SLURM_CONF"],
            "subnet": os.environ["HPCSPAWNER_SANDBOX_SUBNET"],
            "python": USER_PYTHON,
            "ports": "42000-42999",
            "partitions": "main: {}",
            "cluster": "",
        }

    def check(self, *, rule: bool = True, stale: bool = False, hub_ip: str = "", **changes: Any) -> tuple[int, Page]:
        """Installs the helper with the site, runs the check, takes the helper away again."""
        values = {**self.values, **changes}
        path = self.folder / "site.yaml"
        with installed(sitefile.read_text(SITE.format(helper=SAFE / "none/helper.pyz", **values))) as helper:
            path.write_text(SITE.format(helper=helper, **values))
            if not stale:
                self.compile(path, helper.parent / "site.json")
            if not rule:
                return self.run(path, hub_ip)
            with sudo_rule(helper):
                return self.run(path, hub_ip)

    def compile(self, site: Path, out: Path) -> None:
        subprocess.run([sys.executable, "-m", "hpcspawner.cli", "site", "compile", site, out], check=True, timeout=60)

    def run(self, site: Path, hub_ip: str) -> tuple[int, Page]:
        ip = hub_ip or os.environ["HPCSPAWNER_SANDBOX_HUB"]
        argv = [*AS_HUB, sys.executable, "-m", "hpcspawner.cli", "check", str(site), "--user", "alice", "--hub-ip", ip]
        return _page(argv)

    def jobs(self) -> list[str]:
        return [row["id"] for row in squeue() if self.prefix in row["name"]]

    def commands(self, **bodies: str) -> str:
        """A folder with Slurm's commands, some of them replaced by a shell line."""
        folder = self.folder / "bin"
        folder.mkdir(mode=0o755)
        for name in ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "sacct"):
            body = bodies.get(name, f'exec /usr/bin/{name} "$@"')
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
        return f"commands: {folder}"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with folder_for_all() as folder:
        made = Desk(folder)
        yield made
        until(lambda: not made.jobs(), "no job of the check is left")
        assert not list(folder.glob("alice/jobs/*"))


def test_a_good_site_passes_every_step(desk: Desk) -> None:
    code, page = desk.check()
    assert (code, page.failed()) == (0, []), page.text
    assert [line.title for line in page.lines if line.state == "skip"] == []
    assert "Slurm" in page.step("scheduler").found
    assert page.step("helper's site").state == "ok"
    assert "uid" in page.step("acting as alice").found
    assert "one query serves all users" in page.step("sight of jobs").found
    assert "jupyterlab" in page.step("server's Python").found
    assert "ipykernel" in page.step("environment user").found
    assert ":42" in page.step("hub to node").found
    assert page.step("clocks").state == "ok"


def test_without_the_sudo_rule_it_names_the_command_that_the_rule_must_allow(desk: Desk) -> None:
    code, page = desk.check(rule=False)
    assert (code, page.failed()) == (1, ["acting as alice"])
    assert "sudo" in page.step("acting as alice").found
    assert "-I -S" in page.advice("acting as alice")
    assert page.step("small job").state == "skip"


def test_an_installed_site_that_is_out_of_date_is_told(desk: Desk) -> None:
    code, page = desk.check(stale=True)
    assert (code, page.failed()) == (1, ["helper's site"])
    assert "site compile" in page.advice("helper's site")


def test_a_helper_that_others_could_change_is_refused(desk: Desk) -> None:
    path = desk.folder / "site.yaml"
    path.write_text(SITE.format(helper=desk.folder / "helper.pyz", **desk.values))
    subprocess.run(
        [sys.executable, "-m", "hpcspawner.cli", "helper", "install", desk.folder / "helper.pyz"], check=True
    )
    desk.compile(path, desk.folder / "site.json")
    desk.folder.chmod(0o777)
    code, page = desk.run(path, "")
    assert (code, page.failed()) == (1, ["helper"])
    assert "can be changed by others than root" in page.step("helper").found


def test_a_scheduler_out_of_reach_stops_the_job_and_nothing_else(desk: Desk) -> None:
    code, page = desk.check(conf="/nonexistent/slurm.conf", cluster="command_timeout: 3")
    assert (code, page.failed()) == (1, ["scheduler"])
    assert "SLURM_CONF" in page.advice("scheduler")
    assert page.step("acting as alice").state == "ok"
    assert page.step("small job").state == "skip"


def test_partitions_that_are_not_there_are_told(desk: Desk) -> None:
    code, page = desk.check(partitions="main: {}, nosuch: {}")
    assert (code, page.failed()) == (1, ["partitions and limits"])
    assert "clusters.main.partitions.nosuch" in page.advice("partitions and limits")


def test_an_address_outside_of_the_nodes_networks_is_told(desk: Desk) -> None:
    code, page = desk.check(subnet="10.254.0.0/24")
    assert (code, page.failed()) == (1, ["address"])
    assert "node_networks" in page.advice("address")


def test_nodes_that_do_not_reach_the_hub_are_told(desk: Desk) -> None:
    code, page = desk.check(hub_ip="127.0.0.1")
    assert (code, page.failed()) == (1, ["node to hub"])
    assert "--hub-ip" in page.advice("node to hub")


def test_the_hubs_own_port_is_tried_where_no_hub_runs(desk: Desk) -> None:
    ip = os.environ["HPCSPAWNER_SANDBOX_HUB"]
    code, page = desk.check(cluster=f"hub_url: http://{ip}:{free_port(ip)}/hub/api")
    assert (code, page.failed()) == (0, [])
    assert "in the hub's place" in page.step("node to hub").found


def test_a_running_hub_answers_the_job_at_its_own_url(desk: Desk) -> None:
    ip = os.environ["HPCSPAWNER_SANDBOX_HUB"]
    site = desk.folder / "hub.yaml"
    hub = Hub(desk.folder / "hub", site, ip=ip, account="jupyterhub")
    site.write_text(SITE.format(helper=SAFE / "none/helper.pyz", **desk.values))
    try:
        hub.start()
        code, page = desk.check(cluster=f"hub_url: http://{ip}:{hub.internal}/hub/api")
    finally:
        hub.close()
    assert (code, page.failed()) == (0, []), page.text
    assert "hub 6." in page.step("node to hub").found


def test_an_address_rule_that_no_node_can_meet_is_told(desk: Desk) -> None:
    code, page = desk.check(cluster="address: interface:nosuch0")
    assert (code, page.failed()) == (1, ["hub to node"])
    assert "has no interface 'nosuch0'" in page.step("hub to node").found


LATER = '[ "$1" = --version ] || set -- --begin=now+1hour "$@"; exec /usr/bin/sbatch "$@"'


def test_a_job_that_does_not_start_is_cancelled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; from hpcspawner import check;"
        "sys.exit(check.run(sys.argv[1], user='alice', hub_ip='127.0.0.1', queue_seconds=3))"
    )
    monkeypatch.setattr(
        desk,
        "run",
        lambda site, ip: _page([*AS_HUB, sys.executable, "-c", program, str(site)]),
    )
    code, page = desk.check(cluster=desk.commands(sbatch=LATER))
    assert (code, page.failed()) == (1, ["small job"])
    assert "did not answer within" in page.step("small job").found
    assert not desk.jobs()


def _page(argv: list[str]) -> tuple[int, Page]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, cwd="/")
    assert done.stdout, done.stderr
    return done.returncode, Page(done.stdout)


def test_a_refusal_is_told_in_the_schedulers_words(desk: Desk) -> None:
    code, page = desk.check(cluster="directives: [--constraint=nosuchfeature]")
    assert (code, page.failed()) == (1, ["small job"])
    assert "Slurm refused it" in page.step("small job").found
    assert "feature" in page.step("small job").found


def test_a_server_python_that_is_not_on_the_nodes_is_told(desk: Desk) -> None:
    code, page = desk.check(python="/nonexistent/bin/python")
    assert (code, page.failed()) == (1, ["small job"])
    assert "/nonexistent/bin/python" in page.advice("small job").split("->")[0]
    assert "clusters.main.server.python" in page.advice("small job")


# What root and other users may see --------------------------------------------------------------------------------

OWN_ONLY = 'exec /usr/bin/squeue "$@" --user="$(id -un)"'
"""As under PrivateData=jobs: everybody sees the own jobs."""


def test_a_hub_that_does_not_see_its_users_jobs_is_told(desk: Desk) -> None:
    commands = desk.commands(squeue=OWN_ONLY)
    code, page = desk.check(cluster=commands)
    assert (code, page.failed()) == (1, ["sight of jobs"])
    assert "query_as: owner" in page.advice("sight of jobs")
    assert "adminlevel=operator" in page.advice("sight of jobs")
    code, page = desk.check(cluster=f"{commands}\n    query_as: owner")
    assert (code, page.failed()) == (0, [])


@pytest.mark.strict
def test_a_slurm_that_hides_jobs_and_partitions_is_found_out(desk: Desk) -> None:
    there = "main: {}, secret: {}, members: {}"
    code, page = desk.check(partitions=there)
    assert (code, page.failed()) == (1, ["sight of jobs"]), page.text
    assert "query_as: owner" in page.advice("sight of jobs")
    code, page = desk.check(partitions=there, cluster="query_as: owner")
    assert (code, page.failed()) == (0, []), page.text


def test_a_submit_without_an_answer_is_found_by_its_name(desk: Desk) -> None:
    silent = '[ "$1" = --version ] || exec >/dev/null; exec /usr/bin/sbatch "$@"'
    code, page = desk.check(cluster=desk.commands(sbatch=silent))
    assert (code, page.failed()) == (0, []), page.text


def test_root_is_told_that_its_check_says_nothing_about_the_rule(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ip = os.environ["HPCSPAWNER_SANDBOX_HUB"]
    argv = [sys.executable, "-m", "hpcspawner.cli", "check"]
    monkeypatch.setattr(desk, "run", lambda site, _: _page([*argv, str(site), "--user", "alice", "--hub-ip", ip]))
    code, page = desk.check()
    assert (code, page.failed()) == (0, [])
    assert "runuser -u jupyterhub" in page.step("sudo rule").found
    assert page.step("sight of jobs").state == "skip"
