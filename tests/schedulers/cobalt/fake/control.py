"""qdel, qhold, qrls, qalter and cqadm."""

from __future__ import annotations

import time

import fakebatch
import show
import trouble
from fakebatch import JobDict, State
from trouble import Exit


def qdel(state: State, words: list[str]) -> int:
    if not words:
        raise Exit(1, "No Jobid(s) given\n\n", "Usage: qdel.py [options] <jobid1> [ ... <jobidN>]\n\n")
    for word in words:
        if not word.isdigit() and word != "*":
            raise Exit(1, f"jobid must be an integer: {word}\n")
    trouble.reach(state, "del_jobs")
    me = fakebatch.user_name()
    deleted = []
    for job in show.shown(state):
        if str(job["id"]) in words and job["user"] == me:
            end(state, job)
            deleted.append([str(job["id"]), me])
    time.sleep(state.seconds("qdel", 1))
    if deleted:
        print("      Deleted Jobs\n" + show.tabular(["JobID", "User"], deleted), end="")
    return 0


def end(state: State, job: JobDict) -> None:
    """A job that waits is gone at once; one that runs is seen as killing until its runner has ended it."""
    with state.lock():
        now = state.job(fakebatch.key_of(job)) or job
        state.ask_to_end(now)
        now["state"] = "killing" if now["hosts"] else "done"
        state.save(now)


def hold(state: State, words: list[str], release: bool) -> int:
    job = state.job(words[0])
    if job is not None:
        job["state"] = "queued" if release else "user_hold"
        state.save(job)
    print("   Removed user hold on jobs: " if release else "Placed user hold on jobs: ")
    print("      " + words[0])
    return 0


def qalter(state: State, words: list[str]) -> int:
    change, id = words[1], words[2]
    job: JobDict | None = state.job(id)
    if job is None:
        raise Exit(0, "Failed to match any jobs or queues\n")
    old = job["walltime"] // 60
    new = float(old + int(change[1:])) if change.startswith("+") else int(change)
    job["walltime"] = int(new) * 60
    state.save(job)
    print(f"walltime changed from {old} to {new}")
    return 0


def cqadm(state: State, words: list[str]) -> int:
    job = state.job(words[-1])
    if job is not None:
        job["state"] = "done"
        state.save(job)
    return 0
