"""Slurm's words: states, outcomes and reasons, and what they mean to a user."""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Tuple

from ..job import JobState, Outcome

STATES: Mapping[str, JobState] = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.STARTING,
    "POWER_UP_NODE": JobState.STARTING,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "EXPEDITING": JobState.PENDING,
    "SUSPENDED": JobState.SUSPENDED,
    "STOPPED": JobState.SUSPENDED,
    "COMPLETING": JobState.ENDING,
    "STAGE_OUT": JobState.ENDING,
    # Comes back by itself, under the same id.
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    # Flags that tell nothing about the job itself; REVOKED means that a sibling cluster has it.
    "REVOKED": JobState.UNKNOWN,
    "LAUNCH_FAILED": JobState.UNKNOWN,
    "RECONFIG_FAIL": JobState.UNKNOWN,
    "UPDATE_DB": JobState.UNKNOWN,
    "COMPLETED": JobState.ENDED,
    "FAILED": JobState.ENDED,
    "CANCELLED": JobState.ENDED,
    "TIMEOUT": JobState.ENDED,
    "DEADLINE": JobState.ENDED,
    "OUT_OF_MEMORY": JobState.ENDED,
    "NODE_FAIL": JobState.ENDED,
    "BOOT_FAIL": JobState.ENDED,
    # Only without a requeue: with one Slurm shows its flag, REQUEUED or COMPLETING, instead.
    "PREEMPTED": JobState.ENDED,
}

OUTCOMES: Mapping[str, Outcome] = {
    "COMPLETED": Outcome.COMPLETED,
    "FAILED": Outcome.FAILED,
    "CANCELLED": Outcome.CANCELLED,
    "TIMEOUT": Outcome.TIMEOUT,
    "DEADLINE": Outcome.TIMEOUT,
    "OUT_OF_MEMORY": Outcome.OUT_OF_MEMORY,
    "NODE_FAIL": Outcome.NODE_FAILURE,
    "BOOT_FAIL": Outcome.NODE_FAILURE,
    "PREEMPTED": Outcome.PREEMPTED,
}

NO_REASON = ("", "None", "(null)", "NONE", "N/A", "Prolog_None")

# Reason -> (words for a user, whether somebody must act before the job can start).
_WAITS: Dict[str, Tuple[str, bool]] = {
    "Priority": ("jobs with a higher priority are first", False),
    "Resources": ("waiting for free nodes", False),
    "Dependency": ("waiting for another job", False),
    "BeginTime": ("it may not start before a set time, two minutes after a requeue", False),
    "Licenses": ("waiting for a software license", False),
    "Cleaning": ("the nodes are being cleaned up after its former run", False),
    "Prolog": ("the nodes are being prepared", False),
    "NodeDown": ("a node that it needs is down", False),
    "ReqNodeNotAvail": ("nodes that it needs are not available now (reserved, down or in maintenance)", False),
    "Reservation": ("waiting for its reservation to begin", False),
    "PartitionDown": ("the partition starts no jobs now", False),
    "PartitionInactive": ("the partition takes no jobs now", False),
    "JobArrayTaskLimit": ("the most elements of this array that may run at one time are running", False),
    "FrontEndDown": ("no front end node is available", False),
    "SchedDefer": ("the scheduler will look at it soon", False),
    "SystemFailure": ("the scheduler had a failure and tries again", False),
    "JobHeldUser": ("held by its owner", True),
    "JobHeldAdmin": ("held by an administrator", True),
    "DependencyNeverSatisfied": ("it depends on a job that did not end as asked", True),
    "JobHoldMaxRequeue": ("it was started too often in vain; it will not start without an admin", True),
    "job requeued in held state": ("put back into the queue on hold; it will not start without an admin", True),
    "launch failed requeued held": ("the launch on the node failed; it will not start without an admin", True),
    "InvalidAccount": ("its account may not be used", True),
    "InvalidQOS": ("its QOS may not be used", True),
    "AccountNotAllowed": ("its account may not use the partition", True),
    "QOSNotAllowed": ("its QOS may not use the partition", True),
    "QOSJobLimit": ("the limit of running jobs of its QOS is reached", False),
    "QOSResourceLimit": ("a limit of its QOS is reached", False),
    "QOSTimeLimit": ("the time limit of its QOS is reached", False),
    "QOSUsageThreshold": ("the usage limit of its QOS is reached", False),
    "AssociationJobLimit": ("the limit of running jobs of its account is reached", False),
    "AssociationResourceLimit": ("a limit of its account is reached", False),
    "AssociationTimeLimit": ("the time limit of its account is reached", False),
    "BadConstraints": ("no node can fulfil what it asks for", True),
    "PartitionConfig": ("no node of the partition can fulfil what it asks for", True),
    "PartitionNodeLimit": ("it asks for more nodes than the partition allows", True),
    "PartitionTimeLimit": ("it asks for more time than the partition allows", True),
    "AccountingPolicy": ("a limit of the accounting is reached", False),
}

_ENDS: Dict[str, str] = {
    "NonZeroExitCode": "the command ended with an error",
    "TimeLimit": "the walltime was reached",
    "OutOfMemory": "it used more memory than it had asked for",
    "NodeDown": "a node of the job failed",
    "BadConstraints": "no node can fulfil what it asks for",
    "Prolog": "the preparation of its node failed",
    "DeadLine": "its deadline was reached",
    "SystemFailure": "the scheduler had a failure",
    "BootFail": "its node did not boot",
}

_OUTCOME_WORDS: Dict[str, str] = {
    "CANCELLED": "cancelled",
    "TIMEOUT": "the walltime was reached",
    "DEADLINE": "its deadline was reached",
    "OUT_OF_MEMORY": "it used more memory than it had asked for",
    "NODE_FAIL": "a node of the job failed",
    "BOOT_FAIL": "its node did not boot",
    "PREEMPTED": "it had to make room for a job with a higher priority",
}

# QOSMaxCpuPerUserLimit, AssocGrpGRESMinutes, QOSMinMemory, MaxMemPerLimit, ...
_LIMIT = re.compile(r"(QOS|Assoc)(Max|Min|Grp)(\w*)\Z")
_TOO_BIG = re.compile(r"(PerJob(Limit)?|PerNode(Limit)?|NotSatisfied)\Z|WallDuration|^Min")
_HELD = re.compile(r"requeued? (in )?held|held state", re.IGNORECASE)


def waiting(reason: str) -> Tuple[str, bool]:
    """Words for why a job waits, and whether it will not start unless somebody acts."""
    if reason in NO_REASON:
        return "", False
    # 'ReqNodeNotAvail, UnavailableNodes:n[1-2]' and 'Nodes required for job are DOWN, ...' carry more behind the comma.
    known = _WAITS.get(reason) or _WAITS.get(reason.replace("_", " ")) or _WAITS.get(reason.split(",")[0])
    if known:
        return "{} ({})".format(known[0], reason), known[1]
    limit = _LIMIT.match(reason)
    if limit:
        return _limit_words(reason, limit.group(1), limit.group(2), limit.group(3))
    if _HELD.search(reason.replace("_", " ")):
        return "{}; it will not start without an admin".format(reason), True
    return reason, False


def _limit_words(reason: str, whose: str, kind: str, rest: str) -> Tuple[str, bool]:
    owner = "QOS" if whose == "QOS" else "account"
    # A job that is itself too big waits for ever; one of too many starts when others have ended.
    if kind != "Grp" and _TOO_BIG.search(kind + rest if kind == "Min" else rest):
        return "it asks for more or less than its {} allows ({})".format(owner, reason), True
    return "a limit of its {} is reached ({})".format(owner, reason), False


# Slurm's own mark for a batch script that was never started: no folder for the log, no such user on the node.
_LAUNCH_SIGNAL = 53
_LAUNCH_REASONS = ("JobLaunchFailure", "Prolog", "launch failed")


def ending(
    word: str, reason: str, exit_code: Optional[int], signal: Optional[int], at_once: bool
) -> Tuple[Optional[Outcome], str]:
    """How a job ended, and words for it.

    Code and signal are None where they are not known (squeue); at_once: it had nodes and ended when it started.
    The outcome is None where this is not enough to tell.
    """
    if word == "CANCELLED" and at_once:
        return _never_began(signal)
    if word in _OUTCOME_WORDS:
        return OUTCOMES[word], _OUTCOME_WORDS[word]
    if word == "FAILED" and reason in _LAUNCH_REASONS:
        # Slurm says JobLaunchFailure of scripts that a signal killed too: without the signal nobody can tell.
        if signal is None:
            return None, ""
        if signal in (0, _LAUNCH_SIGNAL):
            return Outcome.LAUNCH_FAILURE, "it could not be launched on its node (is the folder of its log file there?)"
    outcome = OUTCOMES.get(word, Outcome.UNKNOWN)
    if signal:
        return outcome, "ended by signal {}".format(signal)
    if exit_code and word == "FAILED":
        return outcome, "the command ended with exit code {}".format(exit_code)
    return outcome, _ENDS.get(reason) or ("" if reason in NO_REASON else reason)


def _never_began(signal: Optional[int]) -> Tuple[Optional[Outcome], str]:
    """Where a prolog fails and the job may not be requeued, Slurm itself cancels it and gives no reason."""
    if signal is None:
        return None, "cancelled"
    if signal:
        return Outcome.CANCELLED, "cancelled"
    # A scancel in that very moment looks the same.
    return Outcome.LAUNCH_FAILURE, "cancelled in the moment it started, most likely as its node could not be prepared"
