"""bjobs, bhist and bpeek: jobs as LSF shows them."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

import fakebatch
from fakebatch import JobDict, State

USAGE = """Usage: bjobs [-h] [-V] [-w |-l] [-W] [-a] [-d] [-p] [-s] [-r] [-g job_group]
             [-A] [-m host_name] [-q queue_name] [-u user_name | -u all]
             [-P project_name] [-N host_spec] [-J name_spec] [-UF] [-WL|-WP|-WF] [-noheader]
             [jobId | "jobId[idxList]" ...]
"""
HEAD = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
SCHEDULING = """ SCHEDULING PARAMETERS:
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -
 loadStop    -     -     -     -       -     -    -     -     -      -      -
"""
REASONS = {
    "slots": "The queue has reached its job slot limit: 1 host;",
    "need": "Job's resource requirements not satisfied: 1 host;",
    "new": "New job is waiting for scheduling: 1 host;",
}
FINISHED = ("DONE", "EXIT")


def word(state: State, job: JobDict) -> str:
    """The state as it is shown: with the daemon of the host down LSF can't tell, and a killed job lingers."""
    known: str = job["state"]
    if known in ("RUN", "PEND") and not fakebatch.alive(job):
        return "EXIT"
    if known == "RUN" and state.switch("sbatchd") == "down":
        return "ZOMBI" if job["kill"] else "UNKWN"
    return known


class Wanted:
    """The options of bjobs."""

    def __init__(self) -> None:
        self.form = ""
        self.states = ""
        self.header = True
        self.user = fakebatch.user_name()
        self.filters: dict[str, str] = {}
        self.ids: list[str] = []
        self.fields: list[str] = []
        self.delimiter = " "
        self.json = False


def bjobs(state: State, words: list[str], ibm: bool) -> int:
    try:
        wanted = parsed(words, ibm)
    except ValueError as error:
        sys.stderr.write(f"bjobs: invalid option -- '{error}'\n{USAGE}")
        return 255
    if wanted.form == "h":
        sys.stderr.write(USAGE)
        return 255
    bad = [id for id in wanted.ids if not re.match(r"\d+(\[\d+\])?\Z", id)]
    if bad:
        sys.stderr.write(f"{bad[0]}: Illegal job ID.\n")
        return 255
    found, missing = chosen(state, wanted)
    lost = [f"Job <{name}> is not found" for name in missing]
    if wanted.fields and wanted.json:
        print(as_json(state, found, wanted, missing))
    elif found:
        show(state, found, wanted)
    if not found and not lost:
        kind = {"a": "", "d": "DONE/EXIT ", "p": "pending ", "r": "running ", "s": "suspended "}
        sys.stderr.write("No {}job found\n".format(kind.get(wanted.states, "unfinished ")))
        return 255
    if not (wanted.fields and wanted.json):
        sys.stderr.write("".join(line + "\n" for line in lost))
    return 255 if lost else 0


def parsed(words: list[str], ibm: bool) -> Wanted:
    """Raises ValueError with the letter that is no option."""
    wanted, rest = Wanted(), list(words)
    while rest:
        one = rest.pop(0)
        if one == "-noheader":
            wanted.header = False
        elif one in ("-w", "-l", "-W", "-UF", "-A", "-h"):
            wanted.form = one[1:]
        elif one in ("-a", "-d", "-p", "-r", "-s"):
            wanted.states = one[1:]
        elif one in ("-J", "-P", "-q", "-m"):
            wanted.filters[one[1:]] = rest.pop(0)
        elif one == "-u":
            wanted.user = rest.pop(0)
        elif ibm and one == "-o":
            text = rest.pop(0)
            match = re.search(r"\s*delimiter='(.)'", text)
            wanted.delimiter = match.group(1) if match else " "
            wanted.fields = re.sub(r"\s*delimiter='.'", "", text).split()
        elif ibm and one == "-json":
            wanted.json = True
        elif one.startswith("-"):
            raise ValueError(one[1:2])
        else:
            wanted.ids.append(one)
    return wanted


def chosen(state: State, wanted: Wanted) -> tuple[list[JobDict], list[str]]:
    """The jobs to show, in LSF's order, and what was asked for in vain."""
    mine = fakebatch.user_name()
    hidden = state.switch("secure") is not None and mine != "root"
    jobs = [dict(job, word=word(state, job)) for job in state.jobs()]
    jobs = [job for job in jobs if not hidden or job["user"] == mine]
    missing: list[str] = []
    if wanted.ids:
        names = {str(job["id"]) for job in jobs} | {shown_id(job) for job in jobs}
        missing = [id for id in wanted.ids if id not in names]
        jobs = [job for job in jobs if str(job["id"]) in wanted.ids or shown_id(job) in wanted.ids]
    else:
        jobs = [job for job in jobs if wanted.user in ("all", job["user"])]
        jobs = [job for job in jobs if in_states(job["word"], wanted.states)]
    keys = {"J": "name", "P": "project", "q": "queue"}
    for option, value in wanted.filters.items():
        if option == "m":
            jobs = [job for job in jobs if value in job["hosts"]]
        else:
            jobs = [job for job in jobs if re.sub(r"\[\d+\]\Z", "", job[keys[option]]) == value]
        if option == "J" and not jobs:
            missing.append(value)
    return sorted(jobs, key=rank), missing


def shown_id(job: JobDict) -> str:
    return "{}[{}]".format(job["id"], job["index"]) if job.get("index") else str(job["id"])


def in_states(word_of: str, states: str) -> bool:
    if states == "a":
        return True
    if states == "d":
        return word_of in FINISHED
    if states == "p":
        return word_of == "PEND"
    if states == "r":
        return word_of == "RUN"
    return word_of.endswith("SUSP") if states == "s" else word_of not in FINISHED


def rank(job: JobDict) -> tuple[Any, ...]:
    if job["word"] in FINISHED:
        return 2, job.get("ended") or 0, job["id"], job.get("index", 0)
    return (1 if job["word"] == "PEND" else 0), 0, job["id"], job.get("index", 0)


def moment(when: float, form: str = "%b %d %H:%M") -> str:
    return time.strftime(form, time.localtime(when))


def show(state: State, jobs: list[JobDict], wanted: Wanted) -> None:
    if wanted.fields:
        if wanted.header:
            print(wanted.delimiter.join(wanted.fields).upper())
        for job in jobs:
            values = record(state, job)
            print(wanted.delimiter.join(values.get(name, "-") or "-" for name in wanted.fields))
        return
    if wanted.form in ("l", "UF"):
        print(("\n" + "-" * 78 + "\n").join(long(state, job, wanted.form == "UF") for job in jobs))
        return
    if wanted.form == "A":
        summary(jobs)
        return
    if wanted.header:
        print(HEAD + ("  PROJ_NAME CPU_USED MEM SWAP PIDS START_TIME FINISH_TIME" if wanted.form == "W" else ""))
    for job in jobs:
        print(row(job, wanted.form))
        if wanted.states == "p":
            print(" " + reason(state, job))


def row(job: JobDict, form: str) -> str:
    wide = form in ("w", "W")
    hosts, name, queue = job["hosts"], job["name"], job["queue"]
    if wide:
        host = ":".join(hosts) or "   -       "
    else:
        host, queue = hosts[0] if hosts else "", queue[:10]
        name = "*" + name[-9:] if len(name) > 10 else name
    when = moment(job["submitted"], "%m/%d-%H:%M:%S" if form == "W" else "%b %d %H:%M")
    text = "{:<7} {:<7} {:<5} {:<10} {:<11} {:<11} {:<10} {}".format(
        job["id"], job["user"], job["word"], queue, job["from"], host, name, when
    )
    if form == "W":
        started = moment(job["started"], "%m/%d-%H:%M:%S") if job.get("started") else " -"
        text += " {:<10} 000:00:00.00 0      0       {}  {} - ".format(
            job["project"], (job.get("runner") or 1) if hosts else "-", started
        )
    elif not wide:
        text += "  " + "".join("\n" + " " * 45 + other for other in hosts[1:])
    return text


def summary(jobs: list[JobDict]) -> None:
    print("JOBID    ARRAY_SPEC  OWNER   NJOBS PEND DONE  RUN EXIT SSUSP USUSP PSUSP")
    words = [job["word"] for job in jobs]
    counts = [words.count(one) for one in ("PEND", "DONE", "RUN", "EXIT", "SSUSP", "USUSP", "PSUSP")]
    name = re.sub(r"\[\d+\]\Z", f"[1-{len(jobs)}]", jobs[0]["name"])
    numbers = " ".join(f"{count:>5}" for count in counts)
    print("{:<8} {:<11} {:<7} {:>5} {}".format(jobs[0]["id"], name, jobs[0]["user"], len(jobs), numbers))


def reason(state: State, job: JobDict) -> str:
    if job.get("reason"):
        return REASONS[job["reason"]]
    most = state.config["queues"][job["queue"]].get("slots")
    return REASONS["slots" if most is not None else "need" if "select" in job["require"] else "new"]


def wrapped(text: str) -> str:
    """LSF's long lines: cut at column 79, and on below 21 blanks."""
    out = [text[:79]]
    rest = text[79:]
    while rest:
        rest = rest[1:] if rest.startswith(" ") else rest
        out.append(" " * 21 + rest[:58])
        rest = rest[58:]
    return "\n".join(out)


def long(state: State, job: JobDict, unwrapped: bool) -> str:
    wrap = str if unwrapped else wrapped
    head = "Job <{}>, " if unwrapped else "Job Id <{}>, "
    command = job["script"].strip().replace("\n", ";")
    lines = [
        "",
        wrap(
            head.format(shown_id(job))
            + "Job Name <{}>, User <{}>, Project <{}>, Status <{}>, Queue <{}>, Command <{}>".format(
                job["name"], job["user"], job["project"], job["word"], job["queue"], command
            )
        ),
        wrap(submitted_line(job, "")),
    ]
    if job["options"].get("W"):
        lines += ["", " RUNLIMIT                ", " {:.1f} min of {}".format(job["walltime"] / 60, job["from"])]
    if job["options"].get("M"):
        lines += ["", " MEMLIMIT", " {} K".format(job["options"]["M"])]
    if job.get("started"):
        home = os.path.expanduser("~" + job["user"])
        where = ", Execution Home <{}>, Execution CWD <{}>;".format(home, job["cwd"])
        lines.append(wrap(stamp(job["started"]) + "Started on " + host_words(job) + where))
    if job["word"] == "PEND":
        lines += [" PENDING REASONS:", " " + reason(state, job)]
    if job["word"] in FINISHED:
        lines.append(wrap(stamp(job.get("ended") or 0) + ending(job, ".")))
    more = "\n RESOURCE REQUIREMENT DETAILS:\n Combined: \n Effective: \n\n" if unwrapped else ""
    return "\n".join([*lines, "", SCHEDULING + more])


def stamp(when: float) -> str:
    return moment(when, "%a %b %d %H:%M:%S: ")


def submitted_line(job: JobDict, queue: str) -> str:
    parts = ["Submitted from host <{}>{}".format(job["from"], queue), "CWD <{}>".format(job["cwd"])]
    if job["out"]:
        parts.append("Output File <{}>".format(job["out"]))
    if job["options"].get("e"):
        parts.append("Error File <{}>".format(job["options"]["e"]))
    if job["slots"] > 1:
        parts.append("{} Processors Requested".format(job["slots"]))
    if job["options"].get("R"):
        parts.append("Requested Resources <{}>".format(job["options"]["R"]))
    if job["options"].get("m"):
        parts.append("Specified Hosts <{}>".format(job["options"]["m"]))
    return stamp(job["submitted"]) + ", ".join(parts) + ";"


def host_words(job: JobDict) -> str:
    names = " ".join(f"<{host}>" for host in job["hosts"])
    return "{} Hosts/Processors {}".format(len(job["hosts"]), names) if len(job["hosts"]) > 1 else names


def ending(job: JobDict, end: str) -> str:
    used = " The CPU time used is 0.0 seconds" + end
    if job["word"] == "DONE":
        return "Done successfully." + used
    if job.get("signal"):
        return "Exited by signal {}.".format(job["signal"]) + used
    if job.get("exit") is not None:
        return "Exited with exit code {}.".format(job["exit"]) + used
    if job.get("started"):
        return "Exited{} The CPU time used is unknown{}".format("" if end == "." else ".", end)
    return "Exited"


def record(state: State, job: JobDict) -> dict[str, str]:
    """The fields of bjobs -o."""
    over, killed = job["word"] == "EXIT", job["kill"]
    walltime = job.get("walltime")
    ends = job.get("ended") or (job["started"] + walltime if walltime and job.get("started") else None)
    return {
        "jobid": str(job["id"]),
        "jobindex": str(job.get("index", 0)),
        "stat": job["word"],
        "user": job["user"],
        "queue": job["queue"],
        "job_name": job["name"],
        "proj_name": job["project"],
        "exec_host": ":".join(job["hosts"]),
        "exit_code": str(job["exit"]) if over and job.get("exit") is not None else "",
        "exit_reason": "TERM_OWNER: job killed by owner"
        if over and killed
        else "TERM_RUNLIMIT: job killed after reaching LSF run time limit"
        if over and job.get("timeout")
        else "",
        "pend_reason": reason(state, job) if job["word"] == "PEND" else "",
        "submit_time": moment(job["submitted"]),
        "start_time": moment(job["started"]) if job.get("started") else "",
        "finish_time": moment(ends) + (" L" if not job.get("ended") else "") if ends else "",
        "runtimelimit": f"{walltime / 60:.1f}" if walltime else "",
        "estimated_start_time": "",
    }


def as_json(state: State, jobs: list[JobDict], wanted: Wanted, missing: list[str]) -> str:
    records: list[dict[str, str]] = []
    for job in jobs:
        values = record(state, job)
        records.append({name.upper(): values.get(name, "") for name in wanted.fields})
    records += [{"JOBID": name, "ERROR": f"Job <{name}> is not found"} for name in missing]
    return json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2, separators=(",", ":"))


def bhist(state: State, words: list[str]) -> int:
    ids = [one for one in words if re.match(r"\d+\Z", one)]
    jobs = [dict(job, word=word(state, job)) for job in state.jobs()]
    if ids:
        jobs = [job for job in jobs if str(job["id"]) in ids]
    else:
        jobs = [job for job in jobs if job["user"] == fakebatch.user_name()]
        jobs = [job for job in jobs if "-a" in words or job["word"] not in FINISHED]
    if not jobs:
        print("No matching job found")
        return 255
    titles = ("PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "UNKWN", "TOTAL")
    if "-l" in words:
        for job in jobs:
            print(history(job))
            numbers = "  " + "".join(f"{number:<9}" for number in spent(job))
            print("Summary of time in seconds spent in various states by  " + stamp(time.time())[:-2])
            print("  " + "".join(f"{title:<9}" for title in titles).rstrip() + "\n" + numbers + "\n")
        return 0
    print("Summary of time in seconds spent in various states:")
    print("JOBID   USER    JOB_NAME  " + "".join(f"{title:<8}" for title in titles).rstrip())
    for job in jobs:
        name = "*" + job["name"][-8:] if len(job["name"]) > 9 else job["name"]
        print(
            "{:<7} {:<7} {:<9} ".format(shown_id(job), job["user"], name)
            + "".join(f"{number:<8}" for number in spent(job))
            + "  "
        )
    return 0


def spent(job: JobDict) -> list[int]:
    end = job.get("ended") or time.time()
    started: float | None = job.get("started")
    pend, run = int((started or end) - job["submitted"]), int(end - started) if started else 0
    return [pend, 0, run, 0, 0, 0, pend + run]


def history(job: JobDict) -> str:
    command = job["script"].strip().replace("\n", ";")
    lines = [
        "",
        wrapped(
            "Job Id <{}>, Job Name <{}>, User <{}>, Project <{}>, Command <{}>".format(
                shown_id(job), job["name"], job["user"], job["project"], command
            )
        ),
        wrapped(submitted_line(job, " to Queue <{}>".format(job["queue"]))),
    ]
    if job["options"].get("W"):
        lines += ["", " RUNLIMIT                ", " {:.1f} min of {}".format(job["walltime"] / 60, job["from"])]
    if job["options"].get("M"):
        lines += ["", " MEMLIMIT", " {} K".format(job["options"]["M"])]
    if job.get("started"):
        when, pid = stamp(job["started"]), job.get("runner") or 1
        home = os.path.expanduser("~" + job["user"])
        running = "Running with execution home <{}>, Execution CWD <{}>, Execution Pid <{}>;"
        lines += [when + f"Dispatched to {host_words(job)};", when + f"Starting (Pid {pid});"]
        lines.append(wrapped(when + running.format(home, job["cwd"], pid)))
    if job["word"] in FINISHED:
        lines.append(wrapped(stamp(job.get("ended") or 0) + ending(job, ";")))
    if job["word"] == "DONE":
        lines.append(stamp(job.get("ended") or 0) + "Post job process done successfully;")
    return "\n".join([*lines, ""])


def bpeek(state: State, words: list[str]) -> int:
    job = state.job(words[0]) if words else None
    if job is None or job["state"] != "RUN":
        sys.stderr.write("Job <{}> : Not yet started.\n".format(words[0] if words else ""))
        return 255
    try:
        with open(state.path("jobs", fakebatch.key_of(job) + ".out")) as file:
            print(file.read(), end="")
    except OSError:
        pass
    print("<< output from stdout >>\n\n<< output from stderr >>")
    return 0
