"""qsub, and the life of a job."""

from __future__ import annotations

import optparse
import os
import signal
import sys
import time
from typing import Any

import fakebatch
import trouble
from fakebatch import JobDict, State
from trouble import Exit

USAGE = """Usage: qsub.py --help
Usage: qsub.py [options] <executable> [<excutable options>]

Refer to man pages for JOBID EXPANSION and SCRIPT JOB DIRECTIVES.


"""
LARGEST = 24
LEAST_MINUTES = 5


class Policy(fakebatch.Policy):
    ended = ("done",)
    signals = ((signal.SIGTERM, "force_kill_delay", 300.0), (signal.SIGKILL, "never", 3600.0))

    def place(self, job: JobDict, jobs: list[JobDict]) -> list[str] | None:
        config = self.state.config
        if job["state"] != "queued" or self.state.switch("down") == "scheduler":
            return None
        queue = config["queues"][job["queue"]]
        busy = [one for one in jobs if one["state"] in ("starting", "running", "killing", "exiting")]
        mine = [one for one in busy if one["user"] == job["user"] and one["queue"] == job["queue"]]
        if queue.get("state", "running") in ("stopped", "dead") or len(mine) >= queue.get("maxrunning", 10**6):
            return None
        taken = {host for one in busy for host in one["hosts"]}
        free = [name for name, queues in config["nodes"].items() if job["queue"] in queues and name not in taken]
        return free[: job["nodes"]] if len(free) >= job["nodes"] else None

    def start(self, job: JobDict) -> tuple[list[str], dict[str, str], Any, Any]:
        nodefile = self.state.path("jobs", "{}.nodes".format(job["id"]))
        with open(nodefile, "w") as file:
            file.write("".join(host + "\n" for host in job["hosts"]))
        home = os.path.expanduser("~" + job["user"])
        environment = {"HOME": home, "USER": job["user"], "LOGNAME": job["user"], "SHELL": "/bin/bash"}
        environment.update(PATH="/usr/local/bin:/usr/bin:/bin", COBALT_JOBID=str(job["id"]), COBALT_NODEFILE=nodefile)
        environment[fakebatch.VARIABLE] = self.state.folder
        if self.state.switch("run_remote") == "false":
            ends = int(job["started"] + job["walltime"])
            environment.update(COBALT_PARTNAME=job["hosts"][0], COBALT_STARTTIME=str(int(job["started"])))
            environment.update(COBALT_ENDTIME=str(ends), COBALT_PARTSIZE=str(job["nodes"]))
        return [job["command"], *job["args"]], environment, _log(job, "output"), _log(job, "error")

    def mark(self, job: JobDict, what: str, code: int | None = None) -> None:
        if what == "running" and job["state"] == "killing":
            return
        words = {
            "starting": "starting",
            "running": "running",
            "ending": "killing",
            "cancelled": "done",
            "ended": "done",
        }
        job["state"] = words[what]
        if what == "ended":
            _note(job, f"Info: task completed normally with an exit code of {code}")


def _log(job: JobDict, stream: str) -> Any:
    try:
        return open(job[stream].replace("$jobid", str(job["id"])), "ab", 0)
    except OSError:
        return open(os.devnull, "ab", 0)


def _note(job: JobDict, text: str) -> bool:
    try:
        with open(job["cobaltlog"].replace("$jobid", str(job["id"])), "a") as file:
            file.write(text + "\n")
        return True
    except OSError:
        return False


class Parser(optparse.OptionParser):
    def error(self, msg: str) -> Any:
        raise Exit(2, f"{USAGE}qsub.py: error: {msg}\n")


def parser() -> Parser:
    made = Parser(prog="qsub.py", add_help_option=False)
    made.disable_interspersed_args()
    made.add_option("-n", "--nodecount", dest="nodes", type="int")
    for short, long in (("-t", "--time"), ("-q", "--queue"), ("-A", "--project"), ("-O", "--outputprefix")):
        made.add_option(short, long)
    for short, long in (("-o", "--output"), ("-e", "--error"), ("-M", "--notify"), ("-u", "--umask")):
        made.add_option(short, long)
    for long in ("--cwd", "--jobname", "--debuglog", "--dependencies", "--mode", "--proccount"):
        made.add_option(long)
    made.add_option("--attrs", action="append")
    made.add_option("--env", action="append")
    made.add_option("-h", "--held", action="store_true")
    made.add_option("-I", "--interactive", action="store_true")
    made.add_option("-d", "--debug", action="store_true")
    return made


def qsub(state: State, words: list[str], program: str) -> int:
    if "PATH" not in os.environ:
        raise Exit(1, "*** FATAL EXCEPTION: 'PATH' ***\n", "{}\n")
    options, args = parser().parse_args(words)
    if not args:
        raise Exit(1, "No executable or script specified\n\n", USAGE)
    if options.interactive:
        raise Exit(1, "An executable may not be specified if using the interactive option.\n")
    cwd = options.cwd or os.getcwd()
    command = args[0] if args[0].startswith("/") else os.path.join(cwd, args[0])
    if not os.path.isfile(command):
        raise Exit(1, f"command {command} not found, or is not a file\n")
    if not os.access(command, os.X_OK | os.R_OK):
        raise Exit(1, f"command {command} is not executable\n")
    more = directives(command)
    given, _ = parser().parse_args([*more, *words])
    checked(given, bool(more or len(words) > len(args)))
    trouble.reach(state, "add_jobs")
    with state.lock():
        job, said = accepted(state, given, command, args[1:], cwd if given.cwd is None else given.cwd)
        state.save(job)
    print(job["id"], flush=True)
    if not _note(job, "Jobid: {}".format(job["id"])):
        where = job["cobaltlog"]
        sys.stderr.write(f"WARNING: failed to create cobalt log file at: {where}\n")
        sys.stderr.write(f"WARNING:     Error information: [Errno 13] Permission denied: '{where}'\n")
    sys.stderr.write(said)
    if state.switch("dry") is None:
        fakebatch.detach(program, state, fakebatch.key_of(job), dict(os.environ))
    return 0


def directives(path: str) -> list[str]:
    """Words of the #COBALT lines that follow the first line at once."""
    words: list[str] = []
    with open(path, errors="replace") as file:
        if not file.readline().startswith("#!"):
            return words
        for line in file:
            if not line.startswith("#COBALT ") or len(line) <= len("#COBALT "):
                break
            words += line[len("#COBALT ") :].split()
    return words


def minutes(text: str) -> int:
    """Of minutes, HH:MM, HH:MM:SS or DD:HH:MM:SS; seconds are dropped."""
    parts = text.split(":")
    for part in parts:
        if not part.isdigit():
            raise Exit(1, f"invalid time specification: illegal value '{part}' for minutes\n")
    if len(parts) > 2 and int(parts[-1]) > 59:
        text = "invalid time specification: seconds value '{}' outside range [0, 59]\n"
        raise Exit(1, text.format(parts[-1]))
    if len(parts) == 1:
        return int(parts[0])
    if len(parts) == 2:
        return int(parts[0]) * 60 + int(parts[1])
    days = int(parts[0]) if len(parts) == 4 else 0
    return days * 1440 + int(parts[-3]) * 60 + int(parts[-2])


def checked(given: Any, any_option: bool) -> None:
    """What qsub judges by itself."""
    if not any_option:
        raise Exit(1, "No required options provided\n\n", USAGE)
    if given.attrs and len(given.attrs) > 1:
        text = "Multiple --attrs options not supported.  Specify multiple attributes as follows: --attrs FOO=1:BAR=2\n"
        raise Exit(1, text)
    for pair in given.attrs[0].split(":") if given.attrs else ():
        if pair.count("=") > 1:
            raise Exit(1, f"Improperly formatted argument to attrs : {given.attrs[0]}\n")
    for one in given.env or ():
        if "=" not in one:
            raise Exit(1, f"Improperly formatted argument to env : {[one]}\n")
    if given.mode not in (None, "script", "co", "vn", "interactive"):
        text = "Specifed mode '{}' not valid, valid modes are\nco\nvn\nscript\ninteractive\n"
        raise Exit(1, text.format(given.mode))
    if given.nodes is not None and not 0 < given.nodes <= LARGEST:
        raise Exit(1, "node count out of realistic range\n")
    if given.time is not None:
        minutes(given.time)
    for path in (given.output, given.error, given.debuglog):
        if path and path.startswith("/") and not os.path.isdir(os.path.dirname(path)):
            raise Exit(1, f"directory {path} does not exist\n")
    if given.time is None:
        raise Exit(1, "'time' not provided\n")
    if given.nodes is None:
        raise Exit(1, "'nodecount' not provided\n")


def accepted(state: State, given: Any, command: str, args: list[str], cwd: str) -> tuple[JobDict, str]:
    """The new job and what the site's filters say; raises Exit with what system, filters or queue refuse."""
    config, time_limit = state.config, minutes(given.time)
    validate = "{}component error: XMLRPC failure <Fault 1004: '{}'> in system.validate_job\n\n"
    if given.nodes > len(config["nodes"]):
        raise Exit(1, validate.format(trouble.NOISE, "Node count out of realistic range"))
    if 0 < time_limit < LEAST_MINUTES:
        raise Exit(1, validate.format(trouble.NOISE, "Walltime less than minimum"))
    said, name = filtered(state, given), given.queue or "default"
    for_queue(state, config, name, time_limit)
    number = state.new_id()
    prefix = given.outputprefix or os.path.join(cwd, "$jobid" if cwd != "/" else "/$jobid")
    depends, held = given.dependencies or "", "user_hold" if given.held else "queued"
    if depends:
        there = [job for job in state.jobs() if str(job["id"]) in depends.split(":") and job["state"] != "done"]
        held = "dep_hold" if there else "dep_fail"
        said += "" if there else f"WARNING: dependencies {depends} do not match jobs currently in the queue\n"
    job = {
        "id": number,
        "user": fakebatch.user_name(),
        "name": given.jobname or "",
        "queue": name,
        "project": given.project,
        "state": held,
        "nodes": given.nodes,
        "procs": int(given.proccount or given.nodes),
        "walltime": time_limit * 60,
        "hosts": [],
        "submitted": time.time(),
        "cwd": cwd,
        "output": absolute(given.output or prefix + ".output", cwd),
        "error": absolute(given.error or prefix + ".error", cwd),
        "cobaltlog": absolute(given.debuglog or prefix + ".cobaltlog", cwd).replace("$jobid", str(number)),
        "command": command,
        "args": args,
        "env": given.env or [],
        "attrs": given.attrs[0] if given.attrs else "",
        "dependencies": depends,
    }
    return job, said


def absolute(path: str, cwd: str) -> str:
    return path if path.startswith("/") else os.path.join(cwd, path)


def filtered(state: State, given: Any) -> str:
    """A filter of the site: it may require a project, or say something and let the job pass."""
    kind = state.switch("filter")
    queue = state.config["queues"].get(given.queue or "default") or {}
    if (kind == "project" or queue.get("project")) and not given.project:
        raise Exit(1, "No project specified. Use -A <project>\nFilter /opt/cobalt/etc/filter.sh failed\n")
    return kind[5:] + "\n" if kind and kind.startswith("note ") else ""


def for_queue(state: State, config: dict[str, Any], name: str, time_limit: int) -> None:
    queue = config["queues"].get(name)
    if queue is None:
        raise trouble.fault(f"trying to add job to non-existent queue '{name}'")
    if queue.get("users") and fakebatch.user_name() not in queue["users"]:
        raise trouble.fault(f"You are not allowed to submit to the '{name}' queue\n")
    if queue.get("state") in ("draining", "dead"):
        raise trouble.fault("The '{}' queue is {}".format(name, queue["state"]))
    mine = [job for job in state.jobs() if job["user"] == fakebatch.user_name() and job["queue"] == name]
    most = queue.get("maxqueued")
    if most is not None and sum(1 for job in mine if job["state"] != "done") >= most:
        text = "The limit of {} jobs per user in the '{}' queue has been reached\n"
        raise trouble.fault(text.format(most, name))
    for key, word, wrong in (("maxtime", "greater", 1), ("mintime", "less", -1)):
        limit = queue.get(key)
        if limit and (time_limit * 60 - limit) * wrong > 0:
            text = "Walltime {} than the '{}' queue {} walltime of {}\n"
            raise trouble.fault(text.format(word, name, key[:3], clock(limit)))


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
