"""Cobalt, the batch system of Argonne's clusters, as its version 1.0 talks.

Jobs get whole nodes. Silence is an answer here (none of these jobs is known) and must be told apart from an outage,
which has a text on stderr. Ids may come again after a restart of the queue manager, so user and name are always asked.
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
from . import _cobalt_inventory, _cobalt_script
from . import _cobalt_text as text
from . import _cobalt_words as words

TITLE = "Cobalt"
DETECT: Tuple[str, ...] = ("qsub", "qstat", "qdel", "cqstat")
STATES: Mapping[str, JobState] = words.STATES
SWITCHES: Mapping[str, str] = words.SWITCHES
JOB_ID_VARIABLES: Tuple[str, ...] = ("COBALT_JOBID",)
RUN_VARIABLE = ""
END_VARIABLES: Tuple[str, ...] = ("COBALT_ENDTIME", "HPCSPAWNER_JOB_END")
ARRAY_ID = ""
ARRAY_VARIABLE = ""
FIELDS: Tuple[str, ...] = ("partition", "account", "nodes", "walltime")
LOCAL = False
CONFIG_VARIABLES: Tuple[str, ...] = ("COBALT_CONFIG_FILES",)
DIRECTIVE = "#COBALT"
SEE_ALL = ""
OWN_DIRECTIVES: Tuple[str, ...] = words.OWN_DIRECTIVES

_HEADER = "JobID:User:State:Queue:Project:Location:WallTime:SubmitTime:StartTime:Est_Start_Time:JobName"
"""JobName last: users choose it."""


def probe(cluster: Cluster) -> Command:
    """Asks version and family."""
    return Command((cluster.command("qstat"), "--version"))


def probed(cluster: Cluster, result: Result) -> Cluster:
    """The cluster with version and family; raises SchedulerUnavailable. Some builds don't know their own number."""
    said = result.out + "\n" + result.err
    if result.code is None or not re.search(r"cobalt|qstat\.py", said, re.IGNORECASE):
        if cluster.family:
            return cluster
        raise SchedulerUnavailable(text.words(said) or "Cobalt did not say its version")
    number = re.search(r"Cobalt[^\n]*?(\d+(?:\.\d+)+)", said)
    version = cluster.version or (number.group(1) if number else "")
    return dataclasses.replace(cluster, version=version, family=cluster.family or "cobalt")


def script(cluster: Cluster, job: Job) -> str:
    """The whole script. Raises ValueError that names the field which Cobalt can't carry."""
    return _cobalt_script.script(cluster, job)


def submit(cluster: Cluster, job: Job, script: str, path: str) -> Command:
    """The file at path is submitted, without arguments and without --env: both are public, and go unquoted
    through a remote shell. Raises ValueError for a path that would not survive that."""
    _cobalt_script.check_path(path)
    environment = {}
    if cluster.commands and "PATH" not in cluster.environment:
        # Without PATH qsub breaks down; it is also what the job gets where it runs on the service node.
        environment["PATH"] = cluster.commands.rstrip("/") + ":/usr/local/bin:/usr/bin:/bin"
    return Command((cluster.command("qsub"), path), environment=environment)


_ID_LINE = re.compile(r"^\s*([1-9]\d*)(?:[ \t]+(\S.*?))?[ \t]*$", re.MULTILINE)


def submitted(cluster: Cluster, result: Result) -> Submitted:
    """What became of the submit. The id stands on stdout alone; filters of the site write on stderr at any time."""
    accepted = _ID_LINE.search(result.out)
    said = text.words(result.err)
    if accepted:
        notice = " ".join(part for part in (accepted.group(2) or "", said) if part)
        return Accepted(accepted.group(1), notice)
    if result.code is None:
        return Unknown(said or "qsub did not answer in time")
    if "failed to create the job" in said:
        return Refused(said)
    if result.code == 0 or not said:
        return Unknown(said or "qsub ended with exit code {} and gave no job id".format(result.code))
    if text.NOT_SENT.search(result.err):
        return Refused("the scheduler can't be reached: " + said)
    number = text.fault(result.err)
    if number is not None:
        return Refused(_own_words(said)) if 1000 <= number < 2000 else Unknown(said)
    return Unknown(said) if text.OUTAGE.search(result.err) else Refused(_own_words(said))


def _own_words(said: str) -> str:
    """A refusal without what Cobalt wraps around it."""
    usage = re.search(r"qsub\.py: error: .*", said)
    if usage:
        return usage.group(0)
    return re.sub(r"^component error: XMLRPC failure (.*?)(?: in \w+\.\w+)?\Z", r"\1", said)


def query(cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
    """One command for the state of all these jobs. --header: what is shown without it depends on site and user."""
    text.check_ids(ids)
    return Command((cluster.command("qstat"), "-l", "--header", _HEADER, *ids))


def queried(cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
    """The jobs that were seen. Raises SchedulerUnavailable."""
    out = text.answered(result)
    jobs: Dict[str, JobStatus] = {}
    rows = text.table(out)
    for block in rows or text.blocks(out):
        status = _status(cluster, block)
        known = jobs.get(status.id)
        # Cobalt names a job once; a job's name must not be able to end somebody else's job.
        if known is None or known.state is JobState.ENDED:
            jobs[status.id] = status
    if not jobs and result.code == 0 and not text.is_table(out):
        # That it knows none of the jobs it says with exit code 1, or with a table that has only a head.
        raise SchedulerUnavailable("garbled answer of qstat: {}".format(text.words(out)[:200] or "nothing"))
    return jobs


def _status(cluster: Cluster, block: Mapping[str, str]) -> JobStatus:
    word, id = _field(block, "state"), _field(block, "jobid")
    if not word or not text.ID.match(id):
        raise SchedulerUnavailable("garbled answer of qstat: job {!r} in state {!r}".format(id[:40], word[:40]))
    state = STATES.get(word.lower(), JobState.UNKNOWN)
    started = None if state.waits else text.epoch(_field(block, "starttime"))
    walltime = text.seconds(_field(block, "walltime"))
    return JobStatus(
        id=str(int(id)),
        state=state,
        word=word,
        reason=words.REASONS.get(word.lower(), ""),
        name=_field(block, "jobname"),
        user=_field(block, "user"),
        partition=_field(block, "queue"),
        account=_field(block, "project"),
        nodes=_hosts(cluster, _field(block, "location")),
        submitted=text.epoch(_field(block, "submittime")),
        started=started,
        ends=started + walltime if started is not None and walltime is not None and state.lives else None,
        walltime=walltime,
        estimated_start=text.epoch(_field(block, "est_start_time")) if state.waits else None,
    )


def _field(block: Mapping[str, str], key: str) -> str:
    value = block.get(key, "").strip()
    return "" if text.empty(value) else value


def _hosts(cluster: Cluster, location: str) -> Tuple[str, ...]:
    """The nodes, sorted by name: where the script runs only the job itself can tell, but for a job of one node."""
    names = list(text.nodes(location))
    device = re.compile("(?:{})\\Z".format(cluster.switches.get("device", "-gpu[0-9]+")))
    for name in list(names):
        host = device.sub("", name)
        if host and host not in names:
            names.append(host)
    return tuple(names)


def detail(cluster: Cluster, id: str) -> Sequence[Command]:
    """Cobalt keeps nothing of jobs that ended, so this is all there is."""
    return (query(cluster, [id], ()),)


def detailed(cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
    """What it told; None where nothing."""
    for result in results:
        try:
            found = queried(cluster, result).get(id)
        except SchedulerUnavailable:
            continue
        if found is not None:
            return found
    return None


def find(cluster: Cluster, name: str, user: str) -> Command:
    """All jobs of the user; a job that ended is not known any more."""
    if not re.match(r"[^\s\-\"'][^\s\"']{0,255}\Z", user):
        raise ValueError("user: {!r} is no user name".format(user[:60]))
    return Command((cluster.command("qstat"), "-l", "-u", user, "--header", _HEADER))


def found(cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
    """The jobs of that user whose name is, or ends in, the asked one."""
    if result.code == 0 and not result.out.strip() and not result.err.strip():
        return []
    return [job for job in queried(cluster, result).values() if job.user == user and job.name.endswith(name)]


def cancel(cluster: Cluster, ids: Sequence[str]) -> Command:
    """One command for all. Raises ValueError for an id that is none."""
    text.check_ids(ids)
    return Command((cluster.command("qdel"), *ids))


def cancelled(cluster: Cluster, ids: Sequence[str], result: Result) -> Dict[str, Optional[bool]]:
    """True for those in the list of deleted jobs. qdel is silent, and exits with 0, about jobs that have ended and
    about those of other users alike: look again."""
    _, _, below = result.out.partition("Deleted Jobs")
    deleted = {str(int(number)) for number in re.findall(r"^\s*(\d+)\s+\S+\s*$", below, re.MULTILINE)}
    return {id: True if str(int(id)) in deleted else None for id in ids}


def inventory(cluster: Cluster) -> Mapping[str, Command]:
    """Commands by key."""
    return {
        "queues": Command((cluster.command("qstat"), "-Q")),
        "nodes": Command((cluster.command("nodelist"),)),
    }


def inventoried(cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
    """Queues and limits; what could not be read goes to problems. Raises SchedulerUnavailable for an outage."""
    return _cobalt_inventory.inventoried(cluster, results)
