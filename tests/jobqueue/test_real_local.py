"""The queue over the real helper and the embedded local queue."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.job import JobState, Outcome
from hpcspawner.jobqueue import JobQueue, Journal, SubmitRefused
from hpcspawner.run_as import Helpers
from hpcspawner.sitemodel import App
from tests.helper.kit import ACTOR, make_site

pytestmark = [pytest.mark.other_user] if os.geteuid() == 0 else []
LOG = logging.getLogger("test.jobqueue")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Other users must be able to reach it, which tmp_path does not let them."""
    path = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    path.mkdir()
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def queue(folder: Path) -> AsyncIterator[JobQueue]:
    site = make_site(
        folder,
        "local",
        environment={"HPCSPAWNER_LOCALQUEUE": str(folder / "queue")},
        poll_fast=0.1,
        apps={"sleep": App("sleep", command=("sleep", "600")), "fail": App("fail", command=("false",))},
    )
    hub = folder / "hub"
    hub.mkdir(0o755)
    hub.chmod(0o755)
    journal = Journal(hub)
    helpers = Helpers(site, "main", hub, LOG)
    queue = JobQueue(site, "main", journal, helpers, instance=journal.instance, log=LOG)
    await queue.begin()
    yield queue
    for entry in queue.entries():
        await queue.cancel(entry.tag)
    for entry in queue.entries():
        await _until(queue, entry.tag, lambda now: now.ended)
    await queue.close()
    await helpers.close()
    journal.close()


async def _until(queue: JobQueue, tag: str, condition: Any) -> Any:
    deadline = asyncio.get_running_loop().time() + 60
    entry = queue.entry(tag)
    while not condition(entry):
        assert asyncio.get_running_loop().time() < deadline, entry
        entry = await queue.changed(tag, 1.0, entry)
    return entry


async def _submit(queue: JobQueue, app: str, **choice: Any) -> str:
    tag = queue.new_tag()
    wanted = {"partition": "main", "app": app, **choice}
    fields = {"kind": "server", "choice": wanted, "environment": {}, "report": {"urls": ["http://127.0.0.1:9/hub/api"]}}
    await queue.submit(tag, ACTOR, fields, f"{ACTOR}/")
    return tag


async def test_a_job_runs_and_is_cancelled(queue: JobQueue) -> None:
    tag = await _submit(queue, "sleep")
    entry = await _until(queue, tag, lambda now: now.state is JobState.RUNNING)
    assert entry.status.user == ACTOR
    assert entry.status.nodes
    assert await queue.cancel(tag) is True
    entry = await _until(queue, tag, lambda now: now.ended)
    assert entry.ending.outcome is Outcome.CANCELLED
    await queue.clean(tag)
    assert queue.entry(tag).cleaned  # type: ignore[union-attr]


async def test_a_job_that_dies_at_once_says_why(queue: JobQueue) -> None:
    tag = await _submit(queue, "fail")
    await _until(queue, tag, lambda now: now.ended)
    ending = await queue.why(tag)
    assert ending.outcome is Outcome.FAILED
    assert ending.text
    assert ending.log.endswith(f"{tag}.log")


async def test_what_the_site_forbids_is_refused(queue: JobQueue) -> None:
    with pytest.raises(SubmitRefused, match="cores"):
        await _submit(queue, "sleep", cores=100_000_000)
