"""For the steps of `hpcspawner check` that tests/real/test_check.py leaves: one test that breaks exactly that."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .hub import until
from .test_check import AS_HUB, LATER, Desk, _page, desk

__all__ = ["desk"]

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

VERSION = '[ "$1" = --version ] && exec /usr/bin/{0} "$@"; '


def test_a_log_directory_that_cannot_be_made_is_told(desk: Desk) -> None:
    closed = desk.folder / "closed"
    closed.mkdir(mode=0o755)
    # The site's directory of logs stands in the place of its directory of state in the text.
    desk.values["folder"] = f"{desk.folder}/{{user}}\nlog_dir: {closed}"
    code, page = desk.check()
    assert (code, page.failed()) == (1, ["directories"])
    assert str(closed) in page.step("directories").found
    assert "log_dir" in page.advice("directories")
    assert page.step("small job").state == "skip"


@contextmanager
def closed(ports: str) -> Iterator[None]:
    """Connections from this machine to these ports of the nodes are refused, as a firewall does."""
    rule = ["to", os.environ["HPCSPAWNER_SANDBOX_SUBNET"], "ipproto", "tcp", "dport", ports, "prohibit"]
    subprocess.run(["ip", "rule", "add", "priority", "50", *rule], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["ip", "rule", "del", "priority", "50", *rule], check=True, timeout=30)


def test_a_node_behind_a_firewall_is_told(desk: Desk) -> None:
    with closed("42990-42999"):
        code, page = desk.check(ports="42990-42999")
    assert (code, page.failed()) == (1, ["hub to node"]), page.text
    assert "does not reach" in page.step("hub to node").found
    assert "ports 42990-42999" in page.advice("hub to node")


def test_nodes_that_do_not_share_the_state_directory_are_told(desk: Desk) -> None:
    elsewhere = "sed -e 's|^exec .*|true|' -e 's|--output=[^ ]*|--output=/dev/null|' | /usr/bin/sbatch \"$@\""
    code, page = desk.check(cluster=desk.commands(sbatch=VERSION.format("sbatch") + elsewhere))
    assert (code, page.failed()) == (1, ["shared storage"]), page.text
    assert "state_dir and log_dir" in page.advice("shared storage")


def test_a_schedulers_clock_that_differs_is_told(desk: Desk) -> None:
    later = "/usr/bin/squeue \"$@\" | perl -pe 's/\\b(1[0-9]{9})\\b/$1+100/ge'"
    code, page = desk.check(cluster=desk.commands(squeue=VERSION.format("squeue") + later))
    assert (code, page.failed()) == (1, ["clocks"]), page.text
    assert "scheduler +" in page.step("clocks").found
    assert "chrony" in page.advice("clocks")


def test_a_partition_that_is_down_is_told(desk: Desk) -> None:
    name = "down" + secrets.token_hex(3)
    create = ["scontrol", "create", f"PartitionName={name}", "Nodes=n1", "MaxTime=60", "State=DOWN"]
    subprocess.run(create, check=True, timeout=60)
    try:
        code, page = desk.check(partitions=f"main: {{}}, {name}: {{}}")
    finally:
        subprocess.run(["scontrol", "delete", f"PartitionName={name}"], check=True, timeout=60)
    assert (code, page.failed()) == (1, ["partitions and limits"]), page.text
    assert f"down at the moment: {name}" in page.step("partitions and limits").found


def test_a_system_account_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run

    def as_system(argv: list[str], **more: object) -> object:
        swapped = ["jupyterhub" if word == "alice" else word for word in argv] if tuple(argv[:4]) == AS_HUB else argv
        return run(swapped, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", as_system)
    code, page = desk.check()
    assert (code, page.failed()) == (1, ["account jupyterhub"]), page.text
    assert "min_uid" in page.advice("account jupyterhub")


def test_a_job_that_cannot_be_cancelled_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; from hpcspawner import check; from hpcspawner.check import smalljob; smalljob.END_SECONDS = 2;"
        "sys.exit(check.run(sys.argv[1], user='alice', hub_ip='127.0.0.1', queue_seconds=3))"
    )
    monkeypatch.setattr(desk, "run", lambda site, ip: _page([*AS_HUB, sys.executable, "-c", program, str(site)]))
    code, page = desk.check(cluster=desk.commands(sbatch=LATER, scancel="echo 'scancel: error: not today' >&2; exit 1"))
    subprocess.run(["scancel", *desk.jobs()], check=True, timeout=60)
    until(lambda: not desk.jobs(), "the job is gone")
    for folder in desk.folder.glob("alice/jobs/*"):
        shutil.rmtree(folder)
    assert (code, page.failed()) == (1, ["small job", "clean-up"]), page.text
    assert "not today" in page.step("clean-up").found
    assert "cancel it by hand" in page.advice("clean-up")
