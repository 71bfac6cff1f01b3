"""qstat and nodelist."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any

import fakebatch
import trouble
from fakebatch import JobDict, State
from submit import clock
from trouble import Exit

USAGE = "Usage: qstat.py [options] <jobids1> ... <jobidsN>\n\n"
SHORT = "JobID:User:WallTime:Nodes:State:Location"
FULL = (
    "JobID:JobName:User:WallTime:QueuedTime:RunTime:TimeRemaining:Nodes:State:Location:Mode:Procs:Preemptable:Queue:"
    "StartTime:Index"
)
FULL_LONG = (
    "JobID:JobName:User:WallTime:QueuedTime:RunTime:TimeRemaining:Nodes:State:Location:Mode:Procs:Preemptable:"
    "User_Hold:Admin_Hold:Queue:StartTime:Index:SubmitTime:Path:OutputDir:ErrorPath:OutputPath:Envs:Command:Args:"
    "Kernel:KernelOptions:ION_Kernel:ION_KernelOptions:Project:Dependencies:S:Notify:Score:Maxtasktime:attrs:dep_frac:"
    "user_list:Geometry:Est_Start_Time"
)
QUEUES = "Name:Users:Groups:MinTime:MaxTime:MaxRunning:MaxQueued:MaxUserNodes:MaxNodeHours:TotalNodes:State"
LETTERS = {"queued": "Q", "starting": "R", "running": "R", "killing": "K", "exiting": "E"}


def qstat(state: State, words: list[str]) -> int:
    wanted: dict[str, Any] = {"header": os.environ.get("QSTAT_HEADER") or "", "ids": [], "long": False, "full": False}
    rest = list(words)
    while rest:
        one = rest.pop(0)
        if one == "--version":
            print('version: "qstat.py " + $Revision: 406 $ + , Cobalt  + $Version$')
            return 0
        if one.startswith("--header"):
            wanted["header"] = one.partition("=")[2] if "=" in one else rest.pop(0)
        elif one in ("-u", "--user", "--sort"):
            wanted["user" if one != "--sort" else "sort"] = rest.pop(0)
        elif one == "--reverse":
            wanted["reverse"] = True
        elif re.match(r"-[flQ]+\Z", one):
            wanted["long"] = wanted["long"] or "l" in one
            wanted["full"] = wanted["full"] or "f" in one
            wanted["queues"] = wanted.get("queues") or "Q" in one
        elif one.startswith("-"):
            raise Exit(2, f"{USAGE}qstat.py: error: no such option: {one}\n")
        else:
            wanted["ids"].append(one)
    trouble.reach(state, "get_queues")
    return queues(state, wanted["ids"]) if wanted.get("queues") else jobs(state, wanted)


def shown(state: State) -> list[JobDict]:
    return [job for job in state.jobs() if job["state"] != "done" and fakebatch.alive(job)]


def jobs(state: State, wanted: dict[str, Any]) -> int:
    names = state.config["queues"]
    for one in wanted["ids"]:
        if not one.isdigit() and one not in names and one != "*":
            raise Exit(1, f"{one} is not a valid jobid or queue name\n")
    found = shown(state)
    if wanted["ids"]:
        found = [job for job in found if str(job["id"]) in wanted["ids"] or job["queue"] in wanted["ids"]]
    if "user" in wanted:
        found = [job for job in found if job["user"] == wanted["user"]]
    if wanted["ids"] and not found:
        return 1
    full = FULL_LONG if wanted["long"] else FULL
    header = (wanted["header"] or (full if wanted["full"] else SHORT)).split(":")
    if wanted.get("sort"):
        found.sort(key=lambda job: str(values(state, job).get(wanted["sort"].lower())))
    if wanted.get("reverse"):
        found.reverse()
    table = []
    for job in found:
        known = values(state, job)
        table.append([known.get(name.lower(), "-") for name in header])
    header = ["S" if name.lower() == "short_state" else name for name in header]
    print((vertical if wanted["long"] else tabular)(header, table), end="")
    return 0


def tabular(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    lines = ["".join(cell.ljust(widths[place] + 2) for place, cell in enumerate(row)) for row in [header, *rows]]
    return "\n".join([lines[0], "=" * len(lines[0]), *lines[1:]]) + "\n"


def vertical(header: list[str], rows: list[list[str]]) -> str:
    width = max(len(name) for name in header[1:]) if header[1:] else 0
    out = ""
    for row in rows:
        out += f"{header[0]}: {row[0]}\n"
        out += "".join(f"    {header[place].ljust(width)} : {row[place]}\n" for place in range(1, len(header)))
        out += "\n\n"
    return out


def moment(when: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y +0000 (UTC)", time.gmtime(when))


def state_word(state: State, job: JobDict) -> str:
    most = state.config["queues"][job["queue"]].get("maxrunning")
    if job["state"] == "queued" and most is not None:
        running = [one for one in shown(state) if one["queue"] == job["queue"] and one["user"] == job["user"]]
        if sum(1 for one in running if one["hosts"]) >= most:
            return "maxrun_hold"
    word: str = job["state"]
    return word


def values(state: State, job: JobDict) -> dict[str, str]:
    """All fields by name in lower case."""
    now, started, word = time.time(), job.get("started"), state_word(state, job)
    left = max(0.0, job["walltime"] - (now - started)) if started else 0.0
    return {
        "jobid": str(job["id"]),
        "jobname": job["name"] or "N/A",
        "user": job["user"],
        "walltime": clock(job["walltime"]),
        "queuedtime": clock((started or now) - job["submitted"]),
        "runtime": clock(now - started) if started else "N/A",
        "timeremaining": clock(left) if started else "N/A",
        "nodes": str(job["nodes"]),
        "state": word,
        "short_state": LETTERS.get(word, "H"),
        "s": LETTERS.get(word, "H"),
        "location": merged(job["hosts"]) if job["hosts"] else "None",
        "mode": "script",
        "procs": str(job["procs"]),
        "preemptable": "False",
        "user_hold": str(word == "user_hold"),
        "admin_hold": str(word == "admin_hold"),
        "queue": job["queue"],
        "starttime": moment(started) if started else "N/A",
        "index": "None",
        "submittime": moment(job["submitted"]),
        "path": "/usr/bin:/bin",
        "outputdir": job["cwd"],
        "errorpath": job["error"],
        "outputpath": job["output"],
        "envs": " ".join(sorted([*job["env"], "COBALT_JOBID={}".format(job["id"])])),
        "command": job["command"],
        "args": " ".join(job["args"]),
        "kernel": "default",
        "kerneloptions": "None",
        "ion_kernel": "default",
        "ion_kerneloptions": "None",
        "project": str(job["project"]),
        "dependencies": job["dependencies"],
        "notify": "None",
        "score": "  0.1  ",
        "maxtasktime": "None",
        "attrs": str(dict(pair.partition("=")[::2] for pair in job["attrs"].split(":") if pair)),
        "dep_frac": "None",
        "user_list": job["user"],
        "geometry": "Any",
        "est_start_time": "-",
    }


def merged(hosts: list[str]) -> str:
    """a01,a02 as a[01-02]; names without a number stand by themselves. Sorted."""
    groups: dict[str, list[str]] = {}
    for host in sorted(hosts):
        match = re.match(r"(.*?)(\d+)\Z", host)
        groups.setdefault(match.group(1) if match else host, []).append(match.group(2) if match else "")
    out = []
    for head, numbers in groups.items():
        runs: list[list[str]] = []
        for number in numbers:
            if runs and number and int(number) == int(runs[-1][-1]) + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        pieces = [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
        out.append(head + (pieces[0] if pieces == numbers[:1] else "[{}]".format(",".join(pieces))))
    return ",".join(out)


def queues(state: State, names: list[str]) -> int:
    known = state.config["queues"]
    chosen = [name for name in known if not names or name in names]
    if names and not chosen:
        return 1
    rows = []
    for name in chosen:
        queue = known[name]
        users = ":".join(queue.get("users", [])) or "None"
        times = [clock(queue[key]) if queue.get(key) else "None" for key in ("mintime", "maxtime")]
        numbers = [
            str(queue.get(key)) for key in ("maxrunning", "maxqueued", "maxusernodes", "maxnodehours", "totalnodes")
        ]
        rows.append([name, users, "None", *times, *numbers, queue.get("state", "running")])
    print(tabular(QUEUES.split(":"), rows), end="")
    return 0


def nodelist(state: State) -> int:
    busy = {host for job in shown(state) for host in job["hosts"]}
    rows = []
    for name, queues_of in state.config["nodes"].items():
        rows.append([name, ":".join(queues_of), "allocated" if name in busy else "idle", "-"])
    header = ["Host", "Queue", "State", "Backfill"]
    sys.stdout.write(tabular(header, rows))
    return 0
