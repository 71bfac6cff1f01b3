"""`hpcspawner check`: reads a site file, then tries the machine step by step, and says what to do about failures."""

from __future__ import annotations

import asyncio
import os
import pwd
import tempfile
from logging import getLogger

from ..run_as import Helpers
from ..sitechoice import VARIABLE
from ..sitemodel import Site
from . import account, reach, sitestep, trial
from .steps import Steps
from .subject import Subject

QUEUE_SECONDS = 300.0
"""How long the small job may wait in the queue before the check gives up and cancels it."""


def run(
    site: str | None,
    *,
    user: str | None = None,
    file_only: bool = False,
    hub_ip: str = "",
    queue_seconds: float = QUEUE_SECONDS,
) -> int:
    """Prints each step on standard output. Returns 0 where nothing failed, else 1.

    site: file or preset; None: HPCSPAWNER_SITE. user: account for which all is tried; None: the one that runs this,
    where the hub would act for that one only. hub_ip: address of this machine for the nodes; '': the host of the
    cluster's hub_url, else this machine's name.
    """
    steps = Steps()
    found = sitestep.read(steps, site or os.environ.get(VARIABLE, ""))
    if found is not None and not file_only:
        try:
            asyncio.run(_clusters(steps, found, user or "", hub_ip, queue_seconds))
        except KeyboardInterrupt:
            steps.fail("check", "interrupted; what follows was not tried")
    steps.summary()
    return steps.code


async def _clusters(steps: Steps, site: Site, user: str, hub_ip: str, queue_seconds: float) -> None:
    # A job of the embedded queue may hold files here for a moment longer than the check.
    with tempfile.TemporaryDirectory(prefix="hpcspawner-check-", ignore_cleanup_errors=True) as directory:
        for name in site.clusters:
            helpers = Helpers(site, name, directory, getLogger("hpcspawner"))
            subject = Subject(site, name, helpers, steps, user or _only_user(helpers.kind), hub_ip)
            steps.heading(subject.words)
            try:
                await _cluster(subject, queue_seconds)
            finally:
                await helpers.close()


async def _cluster(subject: Subject, queue_seconds: float) -> None:
    """All steps of one cluster. What cannot be tried because of an earlier failure is skipped, and says so."""
    reached = await reach.helper(subject)
    answers = await reach.scheduler(subject) if reached else subject.skip("scheduler", "the helper is not reached")
    if not subject.user:
        subject.skip("account, directories, small job", "name somebody's account with --user")
        return
    usable = await account.steps(subject) if reached else subject.skip(subject.user, "the helper is not reached")
    if answers and usable:
        await trial.steps(subject, queue_seconds)
    elif reached:
        subject.skip("small job", "needs the steps before it")


def _only_user(kind: str) -> str:
    """For whom a hub that is its only user acts; '' where it acts for others."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name if kind == "self" else ""
    except KeyError:
        return ""
