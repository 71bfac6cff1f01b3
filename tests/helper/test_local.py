"""The whole way on the embedded queue: hub side, helper, queue, and a job that really runs."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.job import Cluster
from hpcspawner.run_as import HelperError, Helpers
from hpcspawner.sitemodel import App, ServerPython, Site, Way
from tests.helper.kit import ACTOR, PYTHON, make_site, new_tag

LOG = logging.getLogger("test")
OTHER = "bob"


@pytest.fixture
def site(shared: Path) -> Site:
    apps = {
        "wait": App("wait", command=("/bin/sh", "-c", "echo waiting; exec sleep 1000 # {port}")),
        "fail": App("fail", command=("/bin/sh", "-c", "echo $WORD went wrong; exit 3 # {port}")),
    }
    site = make_site(shared, "local", apps=apps, partitions={}, server=ServerPython(PYTHON), way=Way(python=PYTHON))
    cluster = Cluster("main", "local", environment={"HPCSPAWNER_LOCALQUEUE": str(shared / "queue")})
    return dataclasses.replace(site, clusters={"main": dataclasses.replace(site.clusters["main"], cluster=cluster)})


@pytest.fixture
def helpers(site: Site, shared: Path) -> Helpers:
    return Helpers(site, "main", shared / f"hub-{ACTOR}", LOG)


async def submitted(helpers: Helpers, app: str, user: str = ACTOR) -> tuple[str, str]:
    """Tag and id of a new job."""
    tag = new_tag()
    fields = {"choice": {"app": app, "walltime": 10}, "environment": {"WORD": "secretly"}}
    answer = await helpers.call("submit", user, tag=tag, report={"urls": ["http://127.0.0.1:9/"]}, **fields)
    assert answer["outcome"] == "accepted", answer
    return tag, answer["id"]


async def state(helpers: Helpers, id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for _ in range(600):
        job = (await helpers.call("query", "", ids=[id]))["jobs"].get(id, {})
        if wanted(job):
            return dict(job)
        await asyncio.sleep(0.1)
    raise AssertionError(f"job {id} stays {job}")


async def test_a_job_runs_is_cancelled_and_leaves_nothing(helpers: Helpers, shared: Path) -> None:
    tag, id = await submitted(helpers, "wait")
    assert (await state(helpers, id, lambda job: job.get("state") == "running"))["user"] == ACTOR
    found = await helpers.call("find", ACTOR, tag=tag)
    assert (found["receipt"], [job["id"] for job in found["jobs"]]) == (id, [id])
    assert [job["id"] for job in (await helpers.call("find", "", tag=tag, owner=ACTOR))["jobs"]] == [id]
    assert (await helpers.call("cancel", ACTOR, ids=[id]))["cancelled"] == {id: True}
    assert (await state(helpers, id, lambda job: job.get("state") == "ended"))["outcome"] == "cancelled"
    assert (await helpers.call("clean", ACTOR, tags=[tag], keep=[]))["removed"] == [tag]
    assert not (shared / ACTOR / "jobs" / tag).exists()


async def test_why_a_job_failed_is_told_by_record_log_and_queue(helpers: Helpers) -> None:
    tag, id = await submitted(helpers, "fail")
    await state(helpers, id, lambda job: job.get("state") == "ended")
    told = await helpers.call("tail", ACTOR, tag=tag, id=id, lines=20)
    assert (told["end"]["tag"], told["end"]["exit_code"]) == (tag, 3)
    assert "secretly went wrong" in told["log"]
    assert (told["detail"]["outcome"], told["detail"]["exit_code"]) == ("failed", 3)


async def test_the_inventory_is_this_machine(helpers: Helpers) -> None:
    (partition,) = (await helpers.call("inventory", ""))["partitions"]
    assert partition["name"] == "local"
    assert partition["cores"] >= 1


async def test_a_choice_that_the_site_forbids_reaches_the_hub_as_refusal(helpers: Helpers) -> None:
    with pytest.raises(HelperError, match="nodes: ") as caught:
        await helpers.call("submit", ACTOR, tag=new_tag(), choice={"nodes": 2})
    assert caught.value.kind == "refused"


@pytest.mark.other_user
async def test_two_users_share_the_queue_and_not_their_jobs(helpers: Helpers) -> None:
    _, mine = await submitted(helpers, "wait")
    _, theirs = await submitted(helpers, "wait", OTHER)
    assert mine != theirs
    assert (await helpers.call("cancel", OTHER, ids=[mine]))["cancelled"][mine] is not True
    for user, id in ((ACTOR, mine), (OTHER, theirs)):
        await helpers.call("cancel", user, ids=[id])
        await state(helpers, id, lambda job: job.get("state") == "ended")
