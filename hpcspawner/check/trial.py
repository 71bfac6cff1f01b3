"""The steps that need a job: submits the smallest one the user may start, hears it out, and takes it away again."""

from __future__ import annotations

import time

from ..choice import Choice
from ..job import Outcome
from ..options import OptionError, Person
from . import crossing, findings, smallest
from .listener import Listener
from .sight import sight
from .smalljob import SmallJob
from .subject import TROUBLE, Subject, words

TITLE = "small job"


async def steps(subject: Subject, queue_seconds: float) -> None:
    """All steps that a job can tell about."""
    person = Person(name=subject.user, groups=subject.groups)
    try:
        choice = smallest.choice(subject.site, subject.name, person)
    except OptionError as error:
        subject.skip(TITLE, f"{subject.user} may start nothing here ({error}); name somebody else with --user")
        return
    async with Listener(subject.cluster, subject.hub_ip, local=subject.dialect.LOCAL) as listener:
        job = SmallJob(subject)
        try:
            if await _submitted(subject, job, choice, listener):
                await _heard(subject, job, choice, listener, queue_seconds)
        finally:
            left = await job.remove()
            if left:
                subject.steps.fail("clean-up", left, "cancel it by hand")


async def _submitted(subject: Subject, job: SmallJob, choice: Choice, listener: Listener) -> bool:
    title, chosen = subject.dialect.TITLE, choice.summary()
    try:
        refusal = await job.submit(choice, listener.urls)
    except TROUBLE as error:
        return subject.steps.fail(
            TITLE, f"could not be submitted ({chosen}): {words(error)}", *_submit_advice(getattr(error, "kind", ""))
        )
    if refusal:
        return subject.steps.fail(
            TITLE,
            f"{title} refused it ({chosen}): {refusal}",
            "the profile asks for something that the scheduler does not give this user: compare partition, account, "
            "qos and limits; many sites need an account (sacctmgr show assoc, or what your site has)",
        )
    return True


def _submit_advice(kind: str) -> list[str]:
    return {
        "folder": ["the directory is named above: make it, free it, or choose another state_dir or log_dir"],
        "refused": ["the site that the helper obeys forbids it: compile the site file again"],
        "unknown": ["the scheduler gave no answer; look whether it works at all, then raise submit_timeout"],
    }.get(kind, ["see the steps before"])


async def _heard(subject: Subject, job: SmallJob, choice: Choice, listener: Listener, queue_seconds: float) -> None:
    """Waits for the job's word and judges it."""
    try:
        await sight(subject, job)
        await job.wait(queue_seconds)
    except TROUBLE as error:
        subject.steps.fail(TITLE, f"job {job.id}: the scheduler stopped answering: {words(error)}")
        return
    if job.result is None:
        _silent(subject, job, choice)
        return
    where = job.result.get("node") or "a node"
    waited = f"after {job.started_after:.0f} s" if job.started_after is not None else "at once"
    subject.steps.ok(TITLE, f"job {job.id} ({choice.summary()}) ran on {where}, {waited}")
    age = max(0.0, job.result_seen - float(job.result.get("written") or job.result_seen))
    seen = f"; what the node wrote was to be seen after {age:.0f} s" if age >= 3 else ""
    subject.steps.ok("shared storage", f"node and helper see the same {job.folder}{seen}")
    findings.pythons(subject, choice, job.result)
    crossing.node_to_hub(subject, job.result, listener)
    reply = await crossing.hub_to_node(subject, job.result, job.tag)
    crossing.address(subject, job.result, job.tag, job.id, job.nodes)
    crossing.clocks(subject, job.result, listener, reply, job.submit_skew)


def _silent(subject: Subject, job: SmallJob, choice: Choice) -> None:
    """The job left no result: says which of the usual causes it is."""
    steps, status = subject.steps, job.status
    if not job.ended:
        waiting = status.reason or status.word if status is not None else "no state known"
        waited = time.monotonic() - job.submitted
        steps.fail(
            TITLE,
            f"job {job.id} ({choice.summary()}) did not answer within {waited:.0f} s: {waiting}",
            "if it only waits for its turn, check again when the cluster is less busy, or with a user of a test queue",
            lines=job.log,
        )
        return
    how = status.outcome.value if status is not None and status.outcome else Outcome.UNKNOWN.value
    why = f"{how}, {status.reason}" if status is not None and status.reason else how
    python, path = findings.server_of(subject, choice)
    if job.log:
        steps.fail(
            TITLE,
            f"job {job.id} ended before it could answer ({why}); the end of its log {job.log_path}:",
            f"where the log says that a file is not found: {path} is {python}, which must run on the nodes",
            f"or the nodes do not see {job.folder}: state_dir must lie on storage that nodes and helper share",
            lines=job.log,
        )
        return
    steps.fail(
        "shared storage",
        f"job {job.id} ended ({why}); nothing that it wrote is to be seen in {job.folder}, nor its log {job.log_path}",
        "state_dir and log_dir of the site file must lie on storage that the nodes and the helper's machine share "
        "under the same path",
    )
