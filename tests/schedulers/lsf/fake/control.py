"""bkill, bstop and bresume."""

from __future__ import annotations

import re
import sys
import time

import fakebatch
import show
from fakebatch import JobDict, State

USAGE = """Usage: bkill [-h] [-V] [-l] [-m host_name] [-q queue_name] [-g job_group]
               [-u user_name | -u all] [0] [-r | -s sigval] [-J job_name]
               [jobId | "jobId[index_list]"]...
"""


def bkill(state: State, words: list[str]) -> int:
    ids, rest = [], list(words)
    while rest:
        one = rest.pop(0)
        if one == "-s":
            rest.pop(0)
        elif one != "-r":
            ids.append(one)
    if not ids:
        need = "Job ID or one of '-m', '-u' '-q' -'g' and '-J' must be specified"
        sys.stderr.write(need + USAGE)
        return 255
    bad = [id for id in ids if not re.match(r"\d+(\[\d+\])?\Z", id)]
    if bad:
        sys.stderr.write(f"{bad[0]}: Illegal job ID.\n")
        return 255
    me = fakebatch.user_name()
    if ids == ["0"]:
        ids = [str(job["id"]) for job in state.jobs() if job["user"] == me and job["state"] not in show.FINISHED]
    answers = [end(state, id) for id in ids]
    for good, text in answers:
        (sys.stdout if good else sys.stderr).write(text + "\n")
    return 0 if all(good for good, _ in answers) else 255


def end(state: State, id: str) -> tuple[bool, str]:
    jobs = [job for job in state.jobs() if id in (str(job["id"]), show.shown_id(job))]
    if not jobs:
        return False, f"Job <{id}>: No matching job found"
    if jobs[0]["user"] != fakebatch.user_name() and fakebatch.user_name() != "root":
        return False, f"Job <{id}>: User permission denied"
    left = [job for job in jobs if show.word(state, job) not in show.FINISHED]
    if not left:
        return False, f"Job <{id}>: Job has already finished"
    busy = False
    for job in left:
        busy = busy or (state.switch("sbatchd") == "down" and job["state"] == "RUN")
        ask(state, job)
    if busy:
        return False, f"Job <{id}>: Operation is in progress"
    return True, f"Job <{id}> is being terminated"


def ask(state: State, job: JobDict) -> None:
    """A job that waits is gone at once; one that runs ends when its runner sees the request."""
    with state.lock():
        state.ask_to_end(job)
        now = state.job(fakebatch.key_of(job)) or job
        if now["state"] == "PEND" or (now["state"] != "RUN" and not now.get("runner")):
            now["state"], now["exit"], now["ended"] = "EXIT", None, time.time()
            state.save(now)


def stop(state: State, words: list[str], resume: bool) -> int:
    job = state.job(words[0]) if words else None
    if job is None:
        sys.stderr.write("Job <{}>: No matching job found\n".format(words[0] if words else ""))
        return 255
    with state.lock():
        job["state"] = "RUN" if resume else "USUSP"
        state.save(job)
    print("Job <{}> is being {}".format(job["id"], "resumed" if resume else "stopped"))
    return 0
