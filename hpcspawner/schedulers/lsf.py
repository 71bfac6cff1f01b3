"""LSF: IBM Spectrum LSF with `bjobs -o`, and all those without it (OpenLava, Platform LSF before 9.1).

Families: 'ibm' has `bjobs -o`, and -json from 10.1 fix pack 2 on; 'plain' has only tables of columns. Exit codes tell
little here: 255 comes with good answers, so texts and rows decide.
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
from . import _lsf_inventory, _lsf_long, _lsf_records, _lsf_rows, _lsf_script, _lsf_words
from . import _lsf_text as text

TITLE = "LSF"
DETECT: Tuple[str, ...] = ("bsub", "bjobs", "bkill", "bqueues")
STATES: Mapping[str, JobState] = _lsf_words.STATES
SWITCHES: Mapping[str, str] = _lsf_words.SWITCHES
JOB_ID_VARIABLES: Tuple[str, ...] = ("LSB_JOBID",)
RUN_VARIABLE = ""
END_VARIABLES: Tuple[str, ...] = ("HPCSPAWNER_JOB_END",)
ARRAY_ID = "{id}[{index}]"
ARRAY_VARIABLE = "LSB_JOBINDEX"
FIELDS: Tuple[str, ...] = (
    "partition",
    "account",
    "reservation",
    "nodes",
    "cores",
    "memory",
    "gpus",
    "gpu_type",
    "walltime",
)
LOCAL = False
CONFIG_VARIABLES: Tuple[str, ...] = ("LSF_ENVDIR",)
DIRECTIVE = "#BSUB"
SEE_ALL = "let it see all jobs: SECURE_JOB_INFO_LEVEL and USE_USER_GROUPS_FOR_JOB_INFO in lsb.params"
OWN_DIRECTIVES: Tuple[str, ...] = _lsf_words.OWN_DIRECTIVES


def probe(cluster: Cluster) -> Command:
    """Asks version and family; -V needs no daemon."""
    return _command(cluster, "lsid", "-V")


_IBM = re.compile(r"(?:IBM|Platform|Spectrum)[^\n]*?\bLSF\b[^\n]*?(\d+(?:\.\d+)+|\d+)")
_OTHER = re.compile(r"(OpenLava|LSF)[^\n\d]*(\d[\w.]*)", re.IGNORECASE)


def probed(cluster: Cluster, result: Result) -> Cluster:
    """The cluster with version and family; raises SchedulerUnavailable. A family that is set stays."""
    said = "" if result.code is None else result.out + "\n" + result.err
    ibm, other = _IBM.search(said), _OTHER.search(said)
    if ibm:
        version = ibm.group(1)
        # Custom output came with 9.1.
        family = "ibm" if _numbers(version) >= [9, 1] else "plain"
    elif other:
        version, family = other.group(2), "plain"
    elif cluster.family:
        return cluster
    else:
        raise SchedulerUnavailable(text.words(said) or text.words(result.err) or "LSF did not say its version")
    return dataclasses.replace(cluster, version=cluster.version or version, family=cluster.family or family)


def _numbers(version: str) -> List[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _command(cluster: Cluster, name: str, *words: str) -> Command:
    return Command((cluster.command(name), *words), environment=text.ENVIRONMENT)


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field which LSF can't carry."""
    return _lsf_script.script(cluster, job)


def submit(cluster: Cluster, job: Job, script: str, path: str) -> Command:
    """The script goes in by standard input."""
    return Command((cluster.command("bsub"),), stdin=script, environment=text.ENVIRONMENT)


_SUBMITTED = re.compile(r"^.*?Job <(\d+)> is submitted to (?:default )?queue <[^>]*>\.?", re.MULTILINE)


def submitted(cluster: Cluster, result: Result) -> Submitted:
    """What became of the submit. Filters of the site (esub) may print around LSF's own line."""
    # BSUB_STDERR moves the line to the other stream.
    accepted = _SUBMITTED.search(result.out) or _SUBMITTED.search(result.err)
    said = text.words(result.err)
    if accepted:
        rest = _SUBMITTED.sub("", result.out + "\n" + result.err)
        return Accepted(str(int(accepted.group(1))), text.words(rest))
    if result.code is None:
        return Unknown(said or "bsub did not answer in time")
    said = said or text.words(result.out)
    if result.code == 0 or "Job not submitted" not in said:
        return Unknown(said or "bsub ended with exit code {} and said nothing".format(result.code))
    if text.NOT_SENT.search(said):
        return Refused("the scheduler can't be reached: " + said)
    if text.BROKEN.search(said):
        # The job may be in the queue all the same.
        return Unknown(said)
    return Refused(said)


def query(cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
    """One command for the state of all these jobs. -a: also those that have just ended."""
    text.check_ids(ids)
    return _command(cluster, "bjobs", *_form(cluster), "-a", *ids)


def _form(cluster: Cluster) -> List[str]:
    if cluster.family != "ibm":
        return ["-noheader", "-w"]
    fields = " ".join(_lsf_records.FIELDS)
    if _json(cluster):
        return ["-o", fields, "-json"]
    return ["-noheader", "-o", "{} delimiter='{}'".format(fields, _lsf_records.DELIMITER)]


def _json(cluster: Cluster) -> bool:
    wanted = cluster.switches.get("json")
    if isinstance(wanted, bool):
        return wanted
    numbers = _numbers(cluster.version)
    # Short forms of a version (10.1) don't tell the fix pack; the number of the release does where it is not 0.
    return not numbers or numbers >= [10, 1, 0, 2] or (len(numbers) < 4 and numbers >= [10, 1])


def queried(cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
    """The jobs that were seen. Raises SchedulerUnavailable."""
    jobs: Optional[Dict[str, JobStatus]] = None
    if result.code is not None:
        # An empty list of records is an answer; no row at all is none.
        jobs = _lsf_records.parse(result.out)
        jobs = (_lsf_rows.parse(result.out) or None) if jobs is None else jobs
    text.refuse_trouble(result, jobs is not None)
    if cluster.switches.get("account_option") == "-G":
        # What is shown is the project, and the account was no project.
        return {id: dataclasses.replace(job, account="") for id, job in (jobs or {}).items()}
    return jobs or {}


def detail(cluster: Cluster, id: str) -> Sequence[Command]:
    """The long forms; for what has left the batch daemon's memory the history."""
    text.check_ids([id])
    if cluster.family == "ibm":
        first = [query(cluster, [id], ())]
        if _json(cluster):
            first.append(_command(cluster, "bjobs", "-o", "jobid estimated_start_time", "-json", id))
    else:
        first = [_command(cluster, "bjobs", "-p", id)]
    return (*first, _command(cluster, "bjobs", "-l", id), _command(cluster, "bhist", "-l", id))


def detailed(cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
    """What they told; None where nothing."""
    found: Optional[JobStatus] = None
    told: Optional[JobStatus] = None
    reason, starts = "", None
    for result in results:
        try:
            if cluster.family == "ibm":
                told = told or (_lsf_records.parse(result.out) or {}).get(id)
                starts = starts or _lsf_records.estimate(result.out, id)
            reason = reason or _lsf_rows.reasons(result.out).get(id.partition("[")[0], "")
            long = _lsf_long.parse(result.out, id)
        except SchedulerUnavailable:
            continue
        if long is not None and (found is None or (not found.word and long.word)):
            found = long
    found = _merged(told, found)
    if found is None:
        return None
    if found.state.waits and reason:
        found = dataclasses.replace(found, reason=reason)
    return dataclasses.replace(found, estimated_start=starts) if starts and found.state.waits else found


def _merged(told: Optional[JobStatus], long: Optional[JobStatus]) -> Optional[JobStatus]:
    """The record with what only the long form knows."""
    if told is None or long is None:
        return told or long
    changes = {
        field.name: getattr(long, field.name)
        for field in dataclasses.fields(JobStatus)
        if getattr(told, field.name) in (None, "", ()) and getattr(long, field.name) not in (None, "", ())
    }
    return dataclasses.replace(told, **changes) if told.state is long.state else told


def find(cluster: Cluster, name: str, user: str) -> Command:
    """All jobs of the user: site filters may put something before the name, and not every LSF knows patterns."""
    text.check_user(user)
    return _command(cluster, "bjobs", *_form(cluster), "-a", "-u", user)


def found(cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
    """The jobs of that user whose name is, or ends in, the asked one; every element of an array."""
    jobs = queried(cluster, result).values()
    return [job for job in jobs if job.user == user and re.sub(r"\[[^\]]*\]\Z", "", job.name).endswith(name)]


def cancel(cluster: Cluster, ids: Sequence[str]) -> Command:
    """One command for all. Raises ValueError for an id that is none: 0 would end all jobs of the user."""
    text.check_ids(ids)
    return _command(cluster, "bkill", *ids)


_DONE = re.compile(r"being (terminated|killed|signaled)|already (finished|been)|in progress|No matching|not found")
_ANSWER = re.compile(r"^Job <(\d+(?:\[\d+\])?)>:? +(.*)$", re.MULTILINE)


def cancelled(cluster: Cluster, ids: Sequence[str], result: Result) -> Dict[str, Optional[bool]]:
    """What became of each; a job that is being ended already, or that LSF does not know any more, is no failure."""
    said: Dict[str, List[Optional[bool]]] = {}
    for id, words in _ANSWER.findall(result.out + "\n" + result.err):
        for key in {id, id.partition("[")[0]}:
            said.setdefault(key, []).append(_ends(words))
    out: Dict[str, Optional[bool]] = {}
    for id in ids:
        answers = said.get(id, [])
        out[id] = False if False in answers else None if None in answers or not answers else True
    return out


def _ends(words: str) -> Optional[bool]:
    if re.search(r"denied|not allowed|not permitted|not authorized", words):
        return False
    if text.OUTAGE.search(words):
        return None
    return True if _DONE.search(words) else None


def inventory(cluster: Cluster) -> Mapping[str, Command]:
    """Commands by key."""
    commands = {
        "queues": _command(cluster, "bqueues", "-l"),
        "hosts": _command(cluster, "bhosts", "-w"),
        "machines": _command(cluster, "lshosts", "-w"),
        "groups": _command(cluster, "bmgroup", "-w"),
        "parameters": _command(cluster, "bparams", "-l"),
    }
    if cluster.family == "ibm":
        commands["gpus"] = _command(cluster, "lshosts", "-gpu")
    return commands


def inventoried(cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
    """Queues and limits; what could not be read goes to problems. Raises SchedulerUnavailable for an outage."""
    return _lsf_inventory.inventoried(results)
