"""The helper on a real Slurm, as a real user."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
from pathlib import Path

import pytest

from hpcspawner.run_as import Helpers
from hpcspawner.sitemodel import App, Site
from tests.helper.kit import make_site, new_tag

pytestmark = [pytest.mark.slurm, pytest.mark.other_user]

SECRET = "5ecre7-t0ken"


@pytest.fixture
def site(shared: Path) -> Site:
    apps = {"wait": App("wait", command=("/bin/sh", "-c", "exec sleep 1000 # {port}"))}
    return make_site(shared, environment={"SLURM_CONF": os.environ["SLURM_CONF"]}, apps=apps)


async def test_a_users_job_from_submit_to_end(site: Site, shared: Path) -> None:
    helpers = Helpers(site, "main", shared / "hub", logging.getLogger())
    tag = new_tag()
    choice = {"partition": "main", "cores": 1, "memory": "100M", "walltime": "00:10:00", "app": "wait"}
    answer = await helpers.call("submit", "alice", tag=tag, choice=choice, environment={"TOKEN": SECRET})
    id = answer["id"]
    try:
        facts = subprocess.run(["scontrol", "show", "job", "-d", id], capture_output=True, text=True, check=True).stdout
        assert f"JobName={tag}" in facts
        assert "UserId=alice(" in facts
        assert "TimeLimit=00:10:00" in facts
        script = subprocess.run(
            ["scontrol", "write", "batch_script", id, "-"], capture_output=True, text=True, check=True
        )
        assert SECRET not in facts + script.stdout
        assert [job["id"] for job in (await helpers.call("find", "alice", tag=tag))["jobs"]] == [id]
        assert (await helpers.call("cancel", "bob", ids=[id]))["cancelled"][id] is False
        assert (await helpers.call("cancel", "alice", ids=[id]))["cancelled"][id] is True
        for _ in range(600):
            job = (await helpers.call("query", "alice", ids=[id], users=["alice"]))["jobs"].get(id)
            if job is None or job["state"] == "ended":
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"still there: {job}")
        assert (await helpers.call("clean", "alice", tags=[tag]))["left"] == []
    finally:
        subprocess.run(["scancel", id], check=False)
