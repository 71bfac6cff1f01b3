"""How one job of Slurm ended, or why it waits: scontrol and, where there is accounting, sacct."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, Mapping, Optional, Sequence

from ..job import Cluster, Command, JobState, JobStatus, Outcome, Result, SchedulerUnavailable
from . import _slurm_text as text
from . import _slurm_words as words
from ._slurm_query import first_node, judged

_SACCT = (
    "JobID",
    "User",
    "State",
    "ExitCode",
    "Partition",
    "SubmitTime",
    "StartTime",
    "EndTime",
    "NodeList",
    "UID",
    "Reason",
)
"""Fields of sacct by the names that scontrol gives them."""
_SACCT_NAMES = {"SubmitTime": "Submit", "StartTime": "Start", "EndTime": "End"}


_ON_NODES = (JobState.RUNNING, JobState.SUSPENDED, JobState.STARTING)


def detail(cluster: Cluster, id: str) -> Sequence[Command]:
    """The controller remembers an ended job for some minutes, the accounting (where there is one) for ever."""
    text.check_ids([id])
    columns = ",".join(_SACCT_NAMES.get(name, name) for name in _SACCT)
    return (
        Command((cluster.command("scontrol"), "-a", "-o", "show", "job", id), environment=text.TIME_FORMAT),
        Command(
            (cluster.command("sacct"), "-X", "-n", "-P", "-j", id, "-o", columns),
            environment=text.TIME_FORMAT,
        ),
    )


def detailed(cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
    """What they told; None where nothing. Never raises."""
    found = []
    for index, read in enumerate((_of_scontrol, _of_sacct)):
        if index < len(results) and results[index].code == 0:
            try:
                found.append(read(id, results[index].out))
            except (ValueError, IndexError, SchedulerUnavailable):
                continue
    known = [status for status in found if status is not None]
    if len(known) > 1 and known[0].outcome is Outcome.CANCELLED is known[1].outcome:
        # Only the accounting knows by whom.
        return dataclasses.replace(known[0], reason=known[1].reason)
    return known[0] if known else None


def _canceller(uid: str, owner: str) -> str:
    if uid == owner:
        return "cancelled by its owner"
    return "cancelled by an administrator" if uid == "0" else "cancelled by the user with number {}".format(uid)


_JOB = re.compile(r"^(?=JobId=[0-9]+ )", re.MULTILINE)
_HEAD = re.compile(
    r"JobId=(?P<id>\S+) (?:ArrayJobId=(?P<array>\d+) ArrayTaskId=(?P<task>\S+) )?"
    r"(?:HetJobId=(?P<het>\d+) HetJobOffset=(?P<offset>\d+) )?"
    r"JobName=(?P<name>.*?) UserId=(?P<user>[^\s(]+)\(\d+\) GroupId=(?P<rest>.*)",
    re.DOTALL,
)
_FIELD = re.compile(r"(?:^|\s)([A-Z][A-Za-z]+)=(\S*)")
_REASON = re.compile(r"\sReason=(.*?) Dependency=", re.DOTALL)


def _of_scontrol(id: str, out: str) -> Optional[JobStatus]:
    for record in _JOB.split(out):
        head = _HEAD.match(record)
        if not head:
            continue
        names = (
            head.group("id"),
            "{}_{}".format(head.group("array"), head.group("task")),
            "{}+{}".format(head.group("het"), head.group("offset")),
        )
        if id not in names:
            continue
        fields: Dict[str, str] = {"User": head.group("user")}
        for key, value in _FIELD.findall(head.group("rest")):
            # What the owner wrote (comment, command, paths) comes behind all of these: the first one counts.
            fields.setdefault(key, value)
        reason = _REASON.search(head.group("rest"))
        fields["Reason"] = (reason.group(1) if reason else "").replace("_", " ")
        return _status(id, fields, head.group("name"))
    return None


def _of_sacct(id: str, out: str) -> Optional[JobStatus]:
    for line in reversed(out.splitlines()):
        row = line.split("|", len(_SACCT) - 1)
        if len(row) == len(_SACCT) and row[0] == id and row[2]:
            fields = dict(zip(_SACCT, row))  # noqa: B905  (Python 3.8)
            return _status(id, dict(fields, JobState=row[2]), "")
    return None


def _status(id: str, fields: Mapping[str, str], name: str) -> JobStatus:
    said = fields.get("JobState", "")
    word = said.split()[0].rstrip("+")
    native = fields.get("Reason", "")
    code, _, number = fields.get("ExitCode", "0:0").partition(":")
    exit_code, signal = int(code), int(number or 0)
    state, reason = judged(word, native)
    ended = state is JobState.ENDED
    nodes = first_node(text.nodes(fields.get("NodeList", "")), fields.get("BatchHost", ""))
    outcome: Optional[Outcome] = None
    if ended:
        at_once = bool(nodes) and fields.get("StartTime") == fields.get("EndTime")
        outcome, reason = words.ending(word, native, exit_code, signal, at_once)
        by = re.match(r"CANCELLED by (\d+)", said)
        if by:
            reason = _canceller(by.group(1), fields.get("UID", ""))
    begun = text.epoch(fields.get("StartTime", ""))
    return JobStatus(
        id=id,
        state=state,
        word=word,
        reason=reason,
        name=name,
        user=fields.get("User", ""),
        partition=fields.get("Partition", ""),
        account="" if fields.get("Account") == "(null)" else fields.get("Account", ""),
        nodes=nodes,
        submitted=text.epoch(fields.get("SubmitTime", "")),
        started=begun if nodes and not state.waits else None,
        ends=text.epoch(fields.get("EndTime", "")) if state in _ON_NODES else None,
        walltime=text.duration(fields.get("TimeLimit", "")),
        estimated_start=begun if state is JobState.PENDING else None,
        outcome=outcome,
        exit_code=exit_code if ended else None,
        signal=signal or None if ended else None,
    )
