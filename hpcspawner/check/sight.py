"""Whether the hub's account sees other people's jobs, as one status query for all of them needs."""

from __future__ import annotations

from .smalljob import SmallJob
from .subject import TROUBLE, Subject, own_name, words

TITLE = "sight of jobs"


async def sight(subject: Subject, job: SmallJob) -> None:
    """To be asked right after the submit, while the job is surely there. Raises TROUBLE of the owner's own question."""
    if job.status is None:
        await job.look()
    if job.status is None:
        subject.steps.fail(
            TITLE,
            f"not even {subject.user} sees job {job.id}, which was just submitted",
            "as that user the scheduler's status command must show the own jobs; see also clusters.*.environment",
        )
        return
    if subject.cluster.query_as == "owner":
        subject.steps.ok(TITLE, f"{subject.user} sees the job; the site asks as the owner (query_as: owner)")
        return
    try:
        seen = await subject.status(job.id, owner=False)
    except TROUBLE as error:
        subject.steps.fail(TITLE, f"the hub's account cannot ask for jobs: {words(error)}")
        return
    if seen is None:
        await job.look()
        if job.ended:
            subject.skip(TITLE, "the job ended too soon to tell; check again")
            return
        _blind(subject)
    elif subject.way == "self":
        subject.steps.ok(TITLE, f"{own_name()} sees the own job")
    elif subject.as_root:
        subject.skip(TITLE, f"root sees all jobs; {subject.as_hub}")
    else:
        subject.steps.ok(TITLE, f"{own_name()} sees the job of {subject.user}: one query serves all users")


def _blind(subject: Subject) -> None:
    path = f"clusters.{subject.name}.query_as"
    advice = subject.dialect.SEE_ALL.format(account=own_name()) or "give the hub's account the right to see all jobs"
    subject.steps.fail(
        TITLE,
        f"{own_name()} does not see the job of {subject.user}: this scheduler shows jobs to their owners only",
        f"write `{path[9:].partition('.')[2]}: owner` for this cluster in the site file ({path})",
        f"or {advice}",
    )
