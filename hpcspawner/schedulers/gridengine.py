"""Grid Engine (Sun's, Son of, Open, Univa), as SGE 8.1.9 of Debian talks; its recorded output is in the tests.

What is special here: a job that ended is gone from qstat, and qacct tells of it only after a while. qdel kills at
once unless the job asked to be told before. One job of one node: nodes are not asked for.
"""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..job import (
    Accepted,
    Cluster,
    Command,
    Inventory,
    Job,
    JobState,
    JobStatus,
    Outcome,
    PartitionInfo,
    Refused,
    Result,
    SchedulerUnavailable,
    Submitted,
    Unknown,
)
from . import _shell as shell

TITLE = "Grid Engine"
DETECT: Tuple[str, ...] = ("qsub", "qstat", "qdel", "qconf")
SWITCHES: Mapping[str, str] = {
    "parallel": "Parallel environment that puts all slots on one node (default smp).",
    "memory": "Resource that limits memory, such as h_vmem or mem_free; without it memory is not asked for.",
    "memory_per": "slot (default) or job: what the value of that resource counts for.",
    "gpu": "Resource that counts GPUs, such as gpu; without it there are none.",
}
CONFIG_VARIABLES: Tuple[str, ...] = ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_CLUSTER_NAME")
JOB_ID_VARIABLES: Tuple[str, ...] = ("JOB_ID",)
RUN_VARIABLE = "RESTARTED"
END_VARIABLES: Tuple[str, ...] = ("HPCSPAWNER_JOB_END",)
ARRAY_ID = "{id}.{index}"
ARRAY_VARIABLE = "SGE_TASK_ID"
FIELDS: Tuple[str, ...] = ("partition", "account", "reservation", "cores", "memory", "gpus", "walltime")
LOCAL = False
DIRECTIVE = "#$"
SEE_ALL = ""
OWN_DIRECTIVES: Tuple[str, ...] = (
    *("-N", "-q", "-P", "-ar", "-pe", "-t", "-r", "-S", "-j", "-o", "-e", "-cwd", "-wd", "-notify", "-terse"),
    *("-V", "-v", "-b", "-sync", "-now", "-h", "-hold_jid", "-a", "-i", "-shell", "-inherit", "-verify"),
)
STATES: Mapping[str, JobState] = {
    "qw": JobState.PENDING,
    "hqw": JobState.HELD,
    "hRwq": JobState.HELD,
    "hRqw": JobState.HELD,
    "Eqw": JobState.HELD,
    "Ehqw": JobState.HELD,
    "EhRqw": JobState.HELD,
    "Rq": JobState.PENDING,
    "Rqw": JobState.PENDING,
    "t": JobState.STARTING,
    "Rt": JobState.STARTING,
    "r": JobState.RUNNING,
    "hr": JobState.RUNNING,
    "Rr": JobState.RUNNING,
    **{mark + word: JobState.SUSPENDED for mark in ("", "h", "R") for word in ("s", "ts", "S", "tS", "T", "tT")},
    **{"d" + word: JobState.ENDING for word in ("r", "t", "Rr", "Rt", "s", "ts", "S", "tS", "T", "tT", "Rs", "hr")},
    **{"d" + word: JobState.ENDING for word in ("qw", "hqw", "Eqw", "Rq")},
}

_ID = re.compile(r"[1-9][0-9]{0,9}(\.[1-9][0-9]{0,9})?\Z")
_VALUE = re.compile(r"[A-Za-z0-9_.@][A-Za-z0-9_.@+-]{0,199}\Z")
_PATH = re.compile(r"/[A-Za-z0-9_./+=,@%-]*\Z")
_DOWN = re.compile(r"commlib error|unable to (send|contact|connect)|got (send|select|read) error|can't connect|timeout")


def probe(cluster: Cluster) -> Command:
    """Its help begins with its name and version, and needs no daemon."""
    return Command((cluster.command("qstat"), "-help"))


def probed(cluster: Cluster, result: Result) -> Cluster:
    """The cluster with its version; raises SchedulerUnavailable."""
    said = re.match(r"\s*([A-Z]*GE\b[A-Z/]*) *([\w.-]+)", result.out)
    if result.code is None or not said:
        if cluster.family:
            return cluster
        raise SchedulerUnavailable(_words(result) or "Grid Engine did not say its version")
    return dataclasses.replace(cluster, version=cluster.version or said.group(2), family=cluster.family or said.group(1))


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field."""
    if job.resources.nodes != 1 or job.tasks_per_node not in (None, 1):
        raise ValueError("nodes: jobs of Grid Engine get one node here, and one task")
    if job.qos:
        raise ValueError("qos: Grid Engine has none")
    if not job.command:
        raise ValueError("command: is empty")
    lines = ["#!/bin/bash"] + ["#$ " + _directive(line) for line in job.directives]
    lines += ["#$ " + option for option in _options(cluster, job)]
    # Told before a suspension by USR1, which would end what does not know it; USR2 comes before KILL.
    lines += ["trap '' USR1", "unset XDG_RUNTIME_DIR"]
    if job.resources.walltime:
        lines.append("export HPCSPAWNER_JOB_END=$(( $(date +%s) + {:d} ))".format(job.resources.walltime))
    for line in job.setup:
        if line.lstrip().startswith("#$"):
            # qsub looks for directives in every line.
            raise ValueError("setup: {!r} is a directive".format(line[:80]))
        lines.append(shell.line("setup", line))
    if job.workdir:
        lines.append("cd -- {} || exit 1".format(shell.word(job.workdir)))
    return "\n".join([*lines, "exec " + " ".join(shell.word(word) for word in job.command)]) + "\n"


def _options(cluster: Cluster, job: Job) -> List[str]:
    ask, slots = job.resources, job.resources.cores or 1
    out = ["-N " + _value("name", job.name), "-S /bin/bash", "-notify", "-r " + ("y" if job.requeue else "n"), "-j y"]
    if job.output:
        if not _PATH.match(job.output):
            raise ValueError("output: {!r} is not an absolute path in plain characters".format(job.output[:200]))
        out.append("-o " + job.output)
    for option, field, value in (
        ("-q", "partition", job.partition),
        ("-P", "account", job.account),
        ("-ar", "reservation", job.reservation),
    ):
        if value:
            out.append("{} {}".format(option, _value(field, value)))
    if slots > 1:
        out.append("-pe {} {:d}".format(_switch(cluster, "parallel", "smp"), slots))
    if ask.walltime:
        out.append("-l h_rt={:d}".format(ask.walltime))
    if ask.memory and cluster.switches.get("memory"):
        amount = ask.memory if cluster.switches.get("memory_per") == "job" else -(-ask.memory // slots)
        out.append("-l {}={:d}M".format(_switch(cluster, "memory", ""), amount))
    if ask.gpus:
        if not cluster.switches.get("gpu"):
            raise ValueError("gpus: cluster {} has no switch gpu that says how to ask for them".format(cluster.name))
        out.append("-l {}={:d}".format(_switch(cluster, "gpu", ""), ask.gpus))
    if ask.exclusive:
        raise ValueError("exclusive: write the site's own directive, such as -l exclusive=true")
    if job.array:
        out.append("-t {:d}-{:d}".format(*job.array))
    return out


def _value(field: str, value: str) -> str:
    if not _VALUE.match(value):
        raise ValueError("{}: {!r} holds a character that can't stand in a name".format(field, value[:80]))
    return value


def _switch(cluster: Cluster, name: str, default: str) -> str:
    return _value(name, str(cluster.switches.get(name) or default))


def _directive(line: str) -> str:
    if shell.ODD.search(line) or not re.match(r"-[a-z]", line):
        raise ValueError("directives: {!r} is no option of qsub".format(line[:80]))
    return line


def submit(cluster: Cluster, job: Job, script: str, path: str) -> Command:
    """The script goes in by standard input; the environment stays behind, as nobody asks for -V."""
    return Command((cluster.command("qsub"), "-terse"), stdin=script)


def submitted(cluster: Cluster, result: Result) -> Submitted:
    """What became of the submit. Scripts of the site (JSV) may print other lines."""
    accepted = re.search(r"^(\d+)(?:\.\d+-\d+:\d+)?\s*$", result.out, re.MULTILINE)
    accepted = accepted or re.search(r"^Your job(?:-array)? (\d+)[ .].* has been submitted", result.out, re.MULTILINE)
    said = _words(result)
    if accepted:
        return Accepted(accepted.group(1), " ".join(result.err.split()))
    if result.code is None or not re.search(r"Unable to (run job|read script)", said):
        return Unknown(said or "qsub did not answer")
    text = re.sub(r"^.*?Unable to run job: (?:job rejected: |error: )?(.*?)\s*(?:Exiting\.)?\Z", r"\1", said)
    if _DOWN.search(said):
        # Nothing listened; where the line broke later, the job may be there.
        refused = "Connection refused" in said
        return Refused("the scheduler can't be reached: " + text) if refused else Unknown(said)
    return Refused(text)


def _words(result: Result) -> str:
    return " ".join((result.err + " " + result.out).split())[:2000]


def query(cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
    """All jobs of these users: qstat with ids has another shape, and fails as a whole for an unknown one."""
    _check(ids)
    return _qstat(cluster, ",".join(map(_user, users)) or "*")


def _qstat(cluster: Cluster, users: str) -> Command:
    return Command((cluster.command("qstat"), "-u", users, "-g", "d", "-r", "-xml"))


def _user(user: str) -> str:
    if not re.match(r"[^\s\-,*\"'][^\s,*\"']{0,255}\Z", user):
        raise ValueError("user: {!r} is no user name".format(user[:60]))
    return user


def _check(ids: Sequence[str]) -> None:
    for id in ids:
        if not _ID.match(id):
            raise ValueError("ids: {!r} is no job id of Grid Engine".format(id[:60]))


def _xml(result: Result) -> Any:
    """The root of an answer; raises SchedulerUnavailable."""
    from xml.etree import ElementTree  # costs some milliseconds, which only these answers are worth

    if result.code != 0:
        raise SchedulerUnavailable(_words(result) or "Grid Engine did not answer in time")
    try:
        return ElementTree.fromstring(result.out)
    except ElementTree.ParseError:
        raise SchedulerUnavailable("garbled answer: {}".format(result.out.strip()[:200] or "nothing")) from None


def queried(cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
    """Only the jobs that were seen. Raises SchedulerUnavailable."""
    root = _xml(result)
    if root.tag != "job_info" or root.find("queue_info") is None:
        raise SchedulerUnavailable("garbled answer of qstat")
    found: Dict[str, JobStatus] = {}
    for row in root.iter("job_list"):
        status = _status({item.tag: item.text or "" for item in row}, row)
        found[status.id] = status
        if "." in status.id:
            whole = status.id.partition(".")[0]
            found.setdefault(whole, dataclasses.replace(status, id=whole))
    return found


def _status(row: Mapping[str, str], element: Any) -> JobStatus:
    word, id = row.get("state", ""), row.get("JB_job_number", "")
    task = row.get("tasks", "")
    if not _ID.match(id) or not word:
        raise SchedulerUnavailable("garbled answer of qstat: job {!r} in state {!r}".format(id[:40], word[:40]))
    queue, _, host = row.get("queue_name", "").partition("@")
    started = _epoch(row.get("JAT_start_time", ""))
    limits = [item.text or "" for item in element.findall("hard_request") if item.get("name") == "h_rt"]
    walltime = int(limits[0]) if limits and limits[0].isdigit() else None
    return JobStatus(
        id="{}.{}".format(id, task) if task.isdigit() else id,
        state=STATES.get(word, JobState.UNKNOWN),
        word=word,
        reason="its start failed, and it waits for its owner or an admin" if word.startswith("E") else "",
        name=row.get("full_job_name") or row.get("JB_name", ""),
        user=row.get("JB_owner", ""),
        partition=queue or row.get("hard_req_queue", ""),
        account=row.get("JB_project", ""),
        nodes=(host,) if host else (),
        submitted=_epoch(row.get("JB_submission_time", "")),
        started=started,
        ends=started + walltime if started and walltime else None,
        walltime=walltime,
    )


def _epoch(text: str) -> Optional[float]:
    for shape in ("%Y-%m-%dT%H:%M:%S", "%a %b %d %H:%M:%S %Y"):
        try:
            return time.mktime(time.strptime(text.strip(), shape))
        except (ValueError, OverflowError):
            continue
    return None


def detail(cluster: Cluster, id: str) -> Sequence[Command]:
    """Why it waits; how it ended, where the accounting is a file that can be read here."""
    _check([id])
    number, _, task = id.partition(".")
    ended = Command((cluster.command("qacct"), "-j", number, *(["-t", task] if task else [])))
    return (Command((cluster.command("qstat"), "-j", number)), ended)


def detailed(cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
    """What they told; None where nothing."""
    for result in results:
        rows = dict(re.findall(r"^(\w[\w ]*?):? {2,}(\S.*?)\s*$", result.out, re.MULTILINE)) if result.code == 0 else {}
        if rows.get("jobnumber") == id.partition(".")[0]:
            return _ended(id, rows)
        if rows.get("job_number") == id.partition(".")[0]:
            return _waiting(id, result.out, rows)
    return None


def _waiting(id: str, out: str, rows: Mapping[str, str]) -> JobStatus:
    failed = re.search(r"^error reason.*?: +(?:\S+ \S+ \[\d+:\d+\]: )?(.*?)\s*$", out, re.MULTILINE)
    told = out.partition("scheduling info:")[2].split("\n")
    reasons = [line.strip() for line in told if line.strip() and "not contained in its hard queue list" not in line]
    waits = "usage" not in "".join(rows)
    return JobStatus(
        id=id,
        state=JobState.HELD if failed else JobState.PENDING if waits else JobState.RUNNING,
        reason=failed.group(1) if failed else "; ".join(reasons) if waits else "",
        name=rows.get("job_name", ""),
        user=rows.get("owner", ""),
    )


def _ended(id: str, rows: Mapping[str, str]) -> JobStatus:
    failed, code = _number(rows.get("failed", "")), _number(rows.get("exit_status", ""))
    signal = code - 128 if code is not None and code > 128 and failed else None
    outcome = Outcome.FAILED if failed or code else Outcome.COMPLETED
    if failed == 37:
        # h_rt, h_cpu or h_vmem: only the first counts time, so it is the walltime if that has passed.
        outcome = Outcome.TIMEOUT if "h_rt" in rows.get("category", "") else outcome
    elif failed is not None and 0 < failed < 100:
        outcome = Outcome.LAUNCH_FAILURE
    return JobStatus(
        id=id,
        state=JobState.ENDED,
        reason=rows.get("failed", "").partition(":")[2].strip(),
        name=rows.get("jobname", ""),
        user=rows.get("owner", ""),
        partition=rows.get("qname", ""),
        nodes=(rows["hostname"],) if rows.get("hostname") else (),
        submitted=_epoch(rows.get("qsub_time", "")),
        started=_epoch(rows.get("start_time", "")),
        outcome=outcome,
        exit_code=code if signal is None else None,
        signal=signal,
    )


def _number(text: str) -> Optional[int]:
    match = re.match(r"\s*(\d+)", text)
    return int(match.group(1)) if match else None


def find(cluster: Cluster, name: str, user: str) -> Command:
    """The user's jobs; those that ended are not among them."""
    return _qstat(cluster, _user(user))


def found(cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
    """The jobs of that user whose name is, or ends in, the asked one."""
    return [job for job in queried(cluster, result).values() if job.user == user and job.name.endswith(name)]


def cancel(cluster: Cluster, ids: Sequence[str]) -> Command:
    """One command for all. Raises ValueError for an id that is none."""
    _check(ids)
    if not ids:
        raise ValueError("ids: none given")
    return Command((cluster.command("qdel"), *ids))


_GONE = re.compile(r"has deleted|registered the job|already in deletion|does not exist|do not exist")


def cancelled(cluster: Cluster, ids: Sequence[str], result: Result) -> Dict[str, Optional[bool]]:
    """What became of each, line by line."""
    out: Dict[str, Optional[bool]] = {}
    for id in ids:
        mine = re.compile(r"(?<![\d.]){}(?![\d])".format(re.escape(id)))
        lines = [line for line in (result.out + "\n" + result.err).splitlines() if mine.search(line)]
        refused = any("privileges" in line for line in lines)
        out[id] = False if refused else True if any(_GONE.search(line) for line in lines) else None
    return out


def inventory(cluster: Cluster) -> Mapping[str, Command]:
    """Commands by key."""
    return {
        "queues": Command((cluster.command("qstat"), "-g", "c", "-xml")),
        "limits": Command((cluster.command("qconf"), "-sq", "*")),
        "hosts": Command((cluster.command("qhost"), "-q", "-xml")),
    }


def inventoried(cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
    """Queues and limits; what could not be read goes to problems. Raises SchedulerUnavailable for an outage."""
    nothing, problems = Result(None, "", "was not asked"), []
    rows = [{item.tag: item.text or "" for item in row} for row in _xml(results.get("queues", nothing))]
    limits: Dict[str, Dict[str, str]] = {}
    for block in re.split(r"^qname +", results.get("limits", nothing).out.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        limits[block.split("\n", 1)[0].strip()] = dict(re.findall(r"^(\w+) +(.*?)\s*$", block, re.MULTILINE))
    if not limits:
        problems.append("limits: {}".format(_words(results.get("limits", nothing)) or "no answer"))
    try:
        hosts = _hosts(_xml(results.get("hosts", nothing)))
    except SchedulerUnavailable as error:
        hosts = {}
        problems.append("hosts: {}".format(error))
    found = [_queue(row, limits.get(row.get("name", ""), {}), hosts) for row in rows if row.get("name")]
    return Inventory(partitions=tuple(found), problems=tuple(problems))


def _queue(row: Mapping[str, str], limits: Mapping[str, str], hosts: Mapping[str, List[Dict[str, int]]]) -> PartitionInfo:
    total, away = _number(row.get("total", "")) or 0, _number(row.get("manual_intervention", "")) or 0
    mine = hosts.get(row["name"], [])
    return PartitionInfo(
        name=row["name"],
        up=total > away,
        nodes=len(mine) or None,
        free_nodes=sum(1 for host in mine if not host["used"]) if mine else None,
        cores=max((host["slots"] for host in mine), default=0) or None,
        free_cores=_number(row.get("available", "")),
        memory=max((host["memory"] for host in mine), default=0) or None,
        max_walltime=_seconds(limits.get("h_rt", "")),
        max_nodes=1,
    )


def _hosts(root: Any) -> Dict[str, List[Dict[str, int]]]:
    """Slots, slots in use and memory of the hosts of each queue."""
    found: Dict[str, List[Dict[str, int]]] = {}
    for host in root.iter("host"):
        facts = {item.get("name"): item.text or "" for item in host.findall("hostvalue")}
        for queue in host.findall("queue"):
            values = {item.get("name"): _number(item.text or "") or 0 for item in queue.findall("queuevalue")}
            one = {"slots": values.get("slots", 0), "used": values.get("slots_used", 0)}
            found.setdefault(queue.get("name", ""), []).append({**one, "memory": _mebibytes(facts.get("mem_total", ""))})
    return found


def _mebibytes(text: str) -> int:
    match = re.match(r"([\d.]+)([KMGT])", text)
    return int(float(match.group(1)) * 1024.0 ** ("KMGT".index(match.group(2)) - 1)) if match else 0


def _seconds(text: str) -> Optional[int]:
    match = re.match(r"(?:(\d+):)?(\d+):(\d+):(\d+)\Z", text)
    if not match:
        return int(text) if text.isdigit() else None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
