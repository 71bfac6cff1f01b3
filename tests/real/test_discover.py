"""`hpcspawner discover` on a real Slurm: what it prints passes the check, and follows the scheduler."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from hpcspawner import sitefile
from tests.check.kit import Page

from .conftest import Hubs, job_facts
from .hub import USER_PYTHON

pytestmark = [pytest.mark.slurm, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

COMMAND = [sys.executable, "-m", "hpcspawner.cli"]


def discovered(path: Path) -> Path:
    """What an admin does first."""
    argv = [*COMMAND, "discover", "--scheduler", "slurm", "--python", USER_PYTHON]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout)
    return path


def test_its_output_passes_the_check_unedited(tmp_path: Path) -> None:
    site = discovered(tmp_path / "site.yaml")
    argv = [*COMMAND, "check", str(site), "--user", "alice", "--hub-ip", os.environ["HPCSPAWNER_SANDBOX_HUB"]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, cwd="/", check=False)
    page = Page(done.stdout)
    assert (done.returncode, page.failed()) == (0, []), page.text
    assert page.step("small job").state == "ok"
    assert page.step("partitions and limits").state == "ok"


def test_it_changes_when_a_partition_is_added(tmp_path: Path) -> None:
    name = "new" + secrets.token_hex(3)
    before = sitefile.read(str(discovered(tmp_path / "before.yaml")))
    create = ["scontrol", "create", f"PartitionName={name}", "Nodes=n[1-2]", "MaxTime=17", "DefaultTime=7", "State=UP"]
    subprocess.run(create, check=True, timeout=60)
    try:
        after = sitefile.read(str(discovered(tmp_path / "after.yaml")))
    finally:
        subprocess.run(["scontrol", "delete", f"PartitionName={name}"], check=True, timeout=60)
    added = set(after.clusters["main"].partitions) - set(before.clusters["main"].partitions)
    # Others may add theirs at the same time.
    assert name in added
    limits = after.clusters["main"].partitions[name].fields
    assert (limits["walltime"].max, limits["walltime"].default, limits["nodes"].max) == (17 * 60, 7 * 60, 2)
    assert name in after.profiles


def test_a_hub_without_a_site_file_asks_the_scheduler_that_it_finds_once(hubs: Hubs) -> None:
    hub = hubs.slurm(account="", environment={"HPCSPAWNER_SITE": "", "SLURM_CONF": os.environ["SLURM_CONF"]}).start()
    try:
        assert hub.ask("alice", {"partition": "short", "cores": 2}).status_code in (201, 202)
        hub.ready("alice")
        facts = job_facts(hub.job("alice"))
        assert (facts["Partition"], facts["NumCPUs"], facts["UserId"].split("(")[0]) == ("short", "2", "alice")
        made = hub.directory / "state" / "discovered-site.yaml"
        edited = made.read_text().replace("title: main", "title: Ours")
        made.write_text(edited)
        hub.restart()
        assert made.read_text() == edited
        hub.ready("alice")
    finally:
        hub.delete("alice")
        hub.stopped("alice")
