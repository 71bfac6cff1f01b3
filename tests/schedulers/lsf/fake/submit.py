"""bsub, and the life of a job."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from typing import Any

import fakebatch
import options
from fakebatch import JobDict, State
from options import Refusal


class Policy(fakebatch.Policy):
    ended = ("DONE", "EXIT")
    signals = (
        (signal.SIGINT, "terminate", 10.0),
        (signal.SIGTERM, "terminate", 10.0),
        (signal.SIGKILL, "never", 3600.0),
    )

    def place(self, job: JobDict, jobs: list[JobDict]) -> list[str] | None:
        if job["state"] != "PEND":
            return None
        config = self.state.config
        free = dict(config["hosts"])
        running = [one for one in jobs if one["state"] in ("RUN", "USUSP", "SSUSP", "UNKWN", "ZOMBI")]
        for one in running:
            for host in one["hosts"]:
                free[host] = free.get(host, 0) - 1
        most = config["queues"][job["queue"]].get("slots")
        used = sum(len(one["hosts"]) for one in running if one["queue"] == job["queue"])
        if "select" in job["require"] and re.search(r"mem>\d{6}", job["require"]["select"]):
            return None
        if most is not None and used + job["slots"] > most:
            return None
        return spread(free, job)

    def start(self, job: JobDict) -> tuple[list[str], dict[str, str], Any, Any]:
        spool = open(self.state.path("jobs", fakebatch.key_of(job) + ".out"), "ab", 0)  # noqa: SIM115
        path = self.state.path("jobs", fakebatch.key_of(job) + ".script")
        with open(path, "w") as file:
            file.write(job["script"])
        os.chmod(path, 0o700)
        argv = [path] if job["script"].startswith("#!") else ["/bin/sh", path]
        return argv, {**os.environ, **environment(job)}, spool, spool

    def mark(self, job: JobDict, what: str, code: int | None = None) -> None:
        if what in ("starting", "running"):
            job["state"] = "RUN"
        elif what == "cancelled":
            job["state"], job["exit"] = "EXIT", None
        elif what == "ended":
            assert code is not None
            job["state"] = "DONE" if code == 0 else "EXIT"
            # A script that a signal ended without a shell's own exit code is shown so, except for the first one.
            if code < 0 and -code != signal.SIGINT:
                job["exit"], job["signal"] = None, -code
            else:
                job["exit"] = 130 if code < 0 else code

    def over(self, job: JobDict) -> None:
        """LSF delivers the output only now."""
        spool = self.state.path("jobs", fakebatch.key_of(job) + ".out")
        target = (job.get("out") or "").replace("%J", str(job["id"])).replace("%I", str(job.get("index", 0)))
        try:
            with open(spool) as file:
                text = file.read()
            if "I" in job["options"]:
                job["text"] = text
            elif target:
                with open(os.path.join(job["cwd"], target), "a") as file:
                    file.write("Sender: LSF System\nSubject: Job {}\n\n{}\n\n".format(job["id"], job["script"]) + text)
            os.unlink(spool)
        except OSError:
            pass


def spread(free: dict[str, int], job: JobDict) -> list[str] | None:
    """A host for each slot, as span asks for it."""
    wanted, chosen = job["slots"], []
    span = job["require"].get("span", "")
    tile = re.search(r"ptile=(\d+)", span)
    for host, slots in sorted(free.items(), key=lambda pair: -pair[1]):
        if job.get("hosts_asked") and host not in job["hosts_asked"]:
            continue
        if "hosts=1" in span and slots < wanted:
            continue
        take = min(slots, wanted - len(chosen), int(tile.group(1)) if tile else wanted)
        chosen += [host] * max(take, 0)
        if len(chosen) == wanted:
            return chosen
    return None


def environment(job: JobDict) -> dict[str, str]:
    hosts = job["hosts"]
    pairs = " ".join(f"{host} {hosts.count(host)}" for host in dict.fromkeys(hosts))
    return {
        "LSB_JOBID": str(job["id"]),
        "LSB_JOBINDEX": str(job.get("index", 0)),
        "LSB_JOBNAME": job["name"],
        "LSB_QUEUE": job["queue"],
        "LSB_HOSTS": " ".join(hosts),
        "LSB_MCPU_HOSTS": pairs + " ",
        "LSB_DJOB_NUMPROC": str(len(hosts)),
        "LSB_SUB_HOST": job["from"],
        "LS_SUBCWD": job["cwd"],
    }


def bsub(state: State, words: list[str], program: str, ibm: bool, script: str | None = None) -> int:
    """Submits; prints and returns what bsub does."""
    try:
        jobs, default = accepted(state, words, ibm, script)
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}. Job not submitted.\n")
        return 255
    job = jobs[0]
    where = "default queue" if default else "queue"
    print("Job <{}> is submitted to {} <{}>.".format(job["id"], where, job["queue"]), flush=True)
    for one in jobs:
        if state.switch("dry") is None:
            fakebatch.detach(program, state, fakebatch.key_of(one), dict(os.environ))
    return waited(state, job) if "I" in job["options"] or "K" in job["options"] else 0


def waited(state: State, job: JobDict) -> int:
    interactive = "I" in job["options"]
    sys.stderr.write("<<Waiting for dispatch ...>>\n")
    while True:
        now = state.job(fakebatch.key_of(job)) or job
        if now["state"] in Policy.ended:
            break
        time.sleep(fakebatch.TICK)
    sys.stderr.write("<<Starting on {}>>\n".format(now["hosts"][0]) if interactive else "<<Job is finished>>\n")
    sys.stdout.write(now.get("text", ""))
    return 0


def accepted(state: State, words: list[str], ibm: bool, script: str | None) -> tuple[list[JobDict], bool]:
    given, command = options.parse(words, ibm)
    if command:
        script = command[0] if len(command) == 1 else " ".join(shlex.quote(word) for word in command)
    else:
        script = sys.stdin.read() if script is None else script
        given = {**options.directives(script, ibm), **given}
    if not script.strip():
        raise Refusal("No command is specified")
    config = state.config
    require = checked(given, ibm, config)
    queue = given.get("q") or config["default_queue"]
    with state.lock():
        for_queue(state, config, given, queue)
        number = state.new_id()
        jobs = []
        name = given.get("J") or script.strip().replace("\n", ";")
        array = re.match(r"(.*)\[(\d+)-(\d+)\]\Z", given.get("J", ""))
        for index in range(int(array.group(2)), int(array.group(3)) + 1) if array else [0]:
            job = {
                "id": number,
                "index": index,
                "user": fakebatch.user_name(),
                "name": f"{array.group(1)}[{index}]" if array else name,
                "queue": queue,
                "project": given.get("P", "default"),
                "state": "PEND",
                "slots": int(given.get("n", "1")),
                "require": require,
                "hosts": [],
                "hosts_asked": given["m"].split() if "m" in given else [],
                "from": config["master"],
                "submitted": time.time(),
                "walltime": options.runlimit(given["W"]) if "W" in given else config["queues"][queue].get("default"),
                "cwd": os.getcwd(),
                "out": given.get("o") or given.get("-oo"),
                "script": script,
                "options": given,
            }
            state.save(job)
            jobs.append(job)
    return jobs, "q" not in given


def checked(given: dict[str, str], ibm: bool, config: dict[str, Any]) -> dict[str, str]:
    """What can be judged without the daemon."""
    if "g" in given and not ibm:
        # A new job group ends the whole daemon of the recorded version.
        raise Refusal(
            "Failed in an LSF library call: Failed in sending/receiving a message: Connection reset by peer"
            if given["g"] not in config.setdefault("groups", [])
            else "Job group exists already"
        )
    if "c" in given and not re.match(r"[\d:]+\Z", given["c"]):
        raise Refusal("{}: Bad CPULIMIT specification".format(given["c"]))
    if "n" in given and not re.match(r"[1-9]\d*\Z", given["n"]):
        raise Refusal("The number of processors must be a positive integer")
    if "W" in given:
        options.runlimit(given["W"])
    if "M" in given and not re.match(r"\d+{}\Z".format("([KMGT]B?)?" if ibm else ""), given["M"]):
        raise Refusal("{}: MEMLIMT value should be a positive integer".format(given["M"]))
    return options.requirements(given["R"], ibm, config.get("resources", [])) if "R" in given else {}


def for_queue(state: State, config: dict[str, Any], given: dict[str, str], name: str) -> None:
    """What the daemon says about queue, user and limits."""
    if fakebatch.user_name() == "root" and not config.get("root"):
        raise Refusal("User permission denied")
    queue = config["queues"].get(name)
    if queue is None:
        raise Refusal(f"{name}: No such queue")
    if queue.get("users") and fakebatch.user_name() not in queue["users"]:
        raise Refusal(f"{name}: User cannot use the queue")
    if queue.get("closed"):
        raise Refusal(f"{name}: Queue has been closed")
    if queue.get("project") and "P" not in given:
        # What a site's esub says.
        raise Refusal("No project specified. Use -P <project>")
    for host in given.get("m", "").split():
        if host not in config["hosts"]:
            raise Refusal(f"{host}: Bad host name, host group name or cluster name")
    if "W" in given and queue.get("most") and options.runlimit(given["W"]) > queue["most"]:
        raise Refusal("RUNLIMIT: Cannot exceed queue's hard limit(s)")
    if int(given.get("n", "1")) > sum(config["hosts"].values()):
        raise Refusal("Too many processors requested")
    limit = queue.get("jobs_per_user")
    mine = [one for one in state.jobs() if one["user"] == fakebatch.user_name() and one["queue"] == name]
    if limit is not None and sum(1 for one in mine if one["state"] not in Policy.ended) >= limit:
        raise Refusal("User's pending job slot limit has been reached")
