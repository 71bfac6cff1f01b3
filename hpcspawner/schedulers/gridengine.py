"""Grid Engine (Sun's, Son of, Open, Univa), as SGE 8.1.9 of Debian talks; its recorded output is in the tests.

What is special here: a job that ended is gone from qstat, and qacct tells of it only after a while. qdel kills at
once unless the job asked to be told before. One job of one node: nodes are not asked for.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..job import (
    Accepted,
    Cluster,
    Command,
    Inventory,
    Job,
    JobState,
    JobStatus,
    Refused,
    Result,
    SchedulerUnavailable,
    Submitted,
    Unknown,
)
from . import _gridengine_inventory, _gridengine_script
from . import _gridengine_text as text

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
STATES: Mapping[str, JobState] = text.STATES

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
        raise SchedulerUnavailable(text.words(result) or "Grid Engine did not say its version")
    return dataclasses.replace(
        cluster, version=cluster.version or said.group(2), family=cluster.family or said.group(1)
    )


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field."""
    return _gridengine_script.script(cluster, job)


def submit(cluster: Cluster, job: Job, script: str, path: str) -> Command:
    """The script goes in by standard input; the environment stays behind, as nobody asks for -V."""
    return Command((cluster.command("qsub"), "-terse"), stdin=script)


def submitted(cluster: Cluster, result: Result) -> Submitted:
    """What became of the submit. Scripts of the site (JSV) may print other lines."""
    accepted = re.search(r"^(\d+)(?:\.\d+-\d+:\d+)?\s*$", result.out, re.MULTILINE)
    accepted = accepted or re.search(r"^Your job(?:-array)? (\d+)[ .].* has been submitted", result.out, re.MULTILINE)
    said = text.words(result)
    if accepted:
        return Accepted(accepted.group(1), " ".join(result.err.split()))
    if result.code is None or not re.search(r"Unable to (run job|read script)", said):
        return Unknown(said or "qsub did not answer")
    why = re.sub(r"^.*?Unable to run job: (?:job rejected: |error: )?(.*?)\s*(?:Exiting\.)?\Z", r"\1", said)
    if _DOWN.search(said):
        # Nothing listened; where the line broke later, the job may be there.
        refused = "Connection refused" in said
        return Refused("the scheduler can't be reached: " + why) if refused else Unknown(said)
    return Refused(why)


def query(cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
    """All jobs of these users: qstat with ids has another shape, and fails as a whole for an unknown one."""
    text.check_ids(ids)
    return _qstat(cluster, ",".join(map(text.check_user, users)) or "*")


def _qstat(cluster: Cluster, users: str) -> Command:
    return Command((cluster.command("qstat"), "-u", users, "-g", "d", "-r", "-xml"))


def queried(cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
    """Only the jobs that were seen. Raises SchedulerUnavailable."""
    root = text.xml(result)
    if root.tag != "job_info" or root.find("queue_info") is None:
        raise SchedulerUnavailable("garbled answer of qstat")
    found: Dict[str, JobStatus] = {}
    for row in root.iter("job_list"):
        status = text.status({item.tag: item.text or "" for item in row}, row)
        found[status.id] = status
        if "." in status.id:
            whole = status.id.partition(".")[0]
            found.setdefault(whole, dataclasses.replace(status, id=whole))
    return found


def detail(cluster: Cluster, id: str) -> Sequence[Command]:
    """Why it waits; how it ended, where the accounting is a file that can be read here."""
    text.check_ids([id])
    number, _, task = id.partition(".")
    ended = Command((cluster.command("qacct"), "-j", number, *(["-t", task] if task else [])))
    return (Command((cluster.command("qstat"), "-j", number)), ended)


def detailed(cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
    """What they told; None where nothing."""
    for result in results:
        rows = dict(re.findall(r"^(\w[\w ]*?):? {2,}(\S.*?)\s*$", result.out, re.MULTILINE)) if result.code == 0 else {}
        if rows.get("jobnumber") == id.partition(".")[0]:
            return text.ended(id, rows)
        if rows.get("job_number") == id.partition(".")[0]:
            return text.waiting(id, result.out, rows)
    return None


def find(cluster: Cluster, name: str, user: str) -> Command:
    """The user's jobs; those that ended are not among them."""
    return _qstat(cluster, text.check_user(user))


def found(cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
    """The jobs of that user whose name is, or ends in, the asked one."""
    return [job for job in queried(cluster, result).values() if job.user == user and job.name.endswith(name)]


def cancel(cluster: Cluster, ids: Sequence[str]) -> Command:
    """One command for all. Raises ValueError for an id that is none."""
    text.check_ids(ids)
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
    return _gridengine_inventory.inventoried(results)
