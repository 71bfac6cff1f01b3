"""What LSF tells about itself, its queues and its hosts."""

from __future__ import annotations

import os
import sys
from typing import Any

import fakebatch
from fakebatch import State

PLAIN = "OpenLava 4.0dev4, Nov 20 2026"
IBM = "IBM Spectrum LSF Standard 10.1.0.8, May 10 2019\nCopyright International Business Machines Corp. 1992, 2016."


def version(state: State) -> int:
    ibm = state.switch("family") == "ibm"
    sys.stderr.write((IBM if ibm else PLAIN) + "\n")
    return 0


def lsid(state: State, words: list[str]) -> int:
    if "-V" in words:
        return version(state)
    print(IBM if state.switch("family") == "ibm" else PLAIN, end="\n\n")
    if state.switch("lim") == "down":
        print()
        sys.stderr.write("ls_getclustername(): LIM is down; try later\n")
        return 255
    print("My cluster name is {}\nMy master name is {}\n".format(state.config["cluster"], state.config["master"]))
    return 0


def lshosts(state: State, words: list[str]) -> int:
    if state.switch("lim") == "down":
        sys.stderr.write("ls_gethostinfo(): LIM is down; try later\n")
        return 255
    if "-gpu" in words:
        print("HOST_NAME   gpu_id       gpu_model   gpu_driver   gpu_factor      numa_id")
        return 0
    cores, memory = state.config.get("cores", 2), state.config.get("memory", "24105M")
    if "-l" in words:
        for host in [word for word in words if word in state.config["hosts"]]:
            print("\nHOST_NAME:  " + host)
            print("type             model  cpuf ncpus ndisks maxmem maxswp maxtmp rexpri server")
            print(f"linux          IntelI5 100.0 {cores:>5}      0 {memory}     0M 258019M      0    Yes")
            print("\nRESOURCES: (cs)\nRUN_WINDOWS:  (always open)\n\nLOAD_THRESHOLDS:")
            print("  r15s   r1m  r15m   ut    pg    io   ls   it   tmp   swp   mem")
            print("     -     -     -    -     -     -    -     -     -     -    -\n")
        return 0
    print("HOST_NAME      type    model  cpuf ncpus maxmem maxswp server RESOURCES")
    for host in state.config["hosts"]:
        print(f"{host:<13} linux  IntelI5 100.0 {cores:>5} {memory:>6}      -    Yes (cs)")
    return 0


def lsload(state: State, words: list[str]) -> int:
    print("HOST_NAME       status  r15s   r1m  r15m   ut    pg  ls    it   tmp   swp   mem")
    for host in state.config["hosts"]:
        print(f"{host:<18}  ok   1.2   1.3   0.7  88%   0.0   0 2e+08   77G    0M   22G")
    return 0


def counts(state: State, key: str, value: str) -> dict[str, int]:
    """Slots by state, of a host or a queue."""
    found = {"PEND": 0, "RUN": 0, "SSUSP": 0, "USUSP": 0}
    for job in state.jobs():
        word = "RUN" if job["state"] in ("UNKWN", "ZOMBI") else job["state"]
        if word in found and fakebatch.alive(job):
            slots = job["slots"] if job["state"] == "PEND" else len(job["hosts"])
            if key == "host":
                found[word] += job["hosts"].count(value)
            elif job[key] == value:
                found[word] += slots
    found["NJOBS"] = sum(found.values())
    return found


def bhosts(state: State, words: list[str]) -> int:
    names = [word for word in words if not word.startswith("-")]
    hosts = state.config["hosts"]
    for name in names:
        if name not in hosts:
            sys.stderr.write(f"{name}: Bad host name, host group name or cluster name\n")
            return 255
    status = "unreach" if state.switch("sbatchd") == "down" else "ok"
    if "-l" in words:
        for name in names or hosts:
            print(long_host(state, name, status))
        return 0
    print("HOST_NAME          STATUS       JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV ")
    for name in sorted(names or hosts):
        used = counts(state, "host", name)
        numbers = " ".join(f"{used[key]:>6}" for key in ("NJOBS", "RUN", "SSUSP", "USUSP"))
        print(f"{name:<18} {status:<15} - {hosts[name]:>6} {numbers}      0")
    return 0


def long_host(state: State, name: str, status: str) -> str:
    used = counts(state, "host", name)
    numbers = " ".join(f"{used[key]:>6}" for key in ("NJOBS", "RUN", "SSUSP", "USUSP"))
    return "\n".join(
        [
            "HOST  " + name,
            "STATUS           CPUF  JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV DISPATCH_WINDOW",
            "{:<14} 100.00     - {:>6} {}      0      -".format(status, state.config["hosts"][name], numbers),
            "",
            " CURRENT LOAD USED FOR SCHEDULING:",
            "              r15s   r1m  r15m    ut    pg    io   ls    it   tmp   swp   mem",
            " Total         0.2   0.4   0.2   12%   0.0     0    0 2e+08   77G    0M   23G",
            " Reserved      0.0   0.0   0.0    0%   0.0     0    0     0    0M    0M    0M",
            "",
            "",
            " LOAD THRESHOLD USED FOR SCHEDULING:",
            "           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem",
            " loadSched   -     -     -     -       -     -    -     -     -      -      -  ",
            " loadStop    -     -     -     -       -     -    -     -     -      -      -  ",
            "",
            "",
        ]
    )


def status_of(queue: dict[str, Any]) -> str:
    return "{}:{}".format("Closed" if queue.get("closed") else "Open", "Inact" if queue.get("inactive") else "Active")


def bqueues(state: State, words: list[str]) -> int:
    queues = state.config["queues"]
    if "-o" in words and state.switch("family") != "ibm":
        sys.stderr.write(
            "bqueues: invalid option -- 'o'\n: bqueues [-h] [-V] [-w | -l] [-m host_name | -m cluster_name]\n"
        )
        sys.stderr.write(" [-u user_name] [queue_name ...]\n")
        return 255
    user = words[words.index("-u") + 1] if "-u" in words else ""
    names = [word for word in words if not word.startswith("-") and word != user]
    for name in names:
        if name not in queues:
            sys.stderr.write(f"{name}: No such queue\n")
            return 255
    chosen = [name for name in names or queues if not user or user in queues[name].get("users", [user])]
    if "-l" in words:
        print(("-" * 79 + "\n").join(long_queue(state, name) for name in chosen))
        return 0
    print("QUEUE_NAME     PRIO      STATUS      MAX  JL/U JL/P JL/H NJOBS  PEND  RUN  SUSP")
    for name in chosen:
        queue, used = queues[name], counts(state, "queue", name)
        susp = used["SSUSP"] + used["USUSP"]
        print(
            "{:<15} {:<5} {:<14} {:>3}    -    -    - {:>5} {:>5} {:>5} {:>5} ".format(
                name,
                queue["priority"],
                status_of(queue),
                queue.get("slots", "-"),
                used["NJOBS"],
                used["PEND"],
                used["RUN"],
                susp,
            )
        )
    return 0


def long_queue(state: State, name: str) -> str:
    queue, used = state.config["queues"][name], counts(state, "queue", name)
    keys = ("NJOBS", "PEND", "RUN", "SSUSP", "USUSP")
    numbers = " ".join(f"{used[key]:>5}" for key in keys)
    lines = [
        "",
        "QUEUE: " + name,
        "  -- " + queue["about"],
        "",
        "PARAMETERS/STATISTICS",
        "PRIO NICE     STATUS       MAX JL/U JL/P JL/H NJOBS  PEND  RUN  SSUSP USUSP  RSV",
        "{:>4} {:>3}    {:<14} {:>3}   -    -    - {}     0".format(
            queue["priority"], queue.get("nice", 0), status_of(queue), queue.get("slots", "-"), numbers
        ),
        "",
    ]
    lines += ["Schedule delay for a new job is 0 seconds"] if queue.get("delay", True) else []
    lines += ["Interval for a host to accept two jobs is 0 seconds", ""]
    for title, key in (("DEFAULT", "default"), ("MAXIMUM", "most")):
        if queue.get(key):
            limit = " {:.1f} min of {}".format(queue[key] / 60, state.config["master"])
            lines += [title + " LIMITS:", " RUNLIMIT                ", limit + "         ", ""]
    lines += [
        "SCHEDULING PARAMETERS",
        "           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem",
        " loadSched   -     -     -     -       -     -    -     -     -      -      -  ",
        " loadStop    -     -     -     -       -     -    -     -     -      -      -  ",
        "",
        "USERS:  " + (" ".join(queue["users"]) + " " if queue.get("users") else "all users"),
        "HOSTS:  all hosts used by the OpenLava system",
        "",
        "",
    ]
    return "\n".join(lines)


def bparams(state: State, words: list[str]) -> int:
    with open(os.path.join(os.path.dirname(os.path.realpath(__file__)), "bparams.txt")) as file:
        print(file.read().format(state.config["default_queue"]), end="")
    return 0


def busers(state: State, words: list[str]) -> int:
    print("USER/GROUP          JL/P    MAX  NJOBS   PEND    RUN  SSUSP  USUSP    RSV ")
    for name in words:
        used = counts(state, "user", name)
        numbers = " ".join(f"{used[key]:>6}" for key in ("NJOBS", "PEND", "RUN", "SSUSP", "USUSP"))
        print(f"{name:<22} -      - {numbers}      0")
    return 0
