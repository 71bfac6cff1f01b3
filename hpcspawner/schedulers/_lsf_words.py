"""LSF's words: states, reasons and ends, and what they mean to a user."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Tuple

from ..job import JobState, Outcome

STATES: Mapping[str, JobState] = {
    "PEND": JobState.PENDING,
    # A member of a chunk job that waits for the one before it.
    "WAIT": JobState.PENDING,
    # Stopped while it waited: only its owner or an admin lets it go on.
    "PSUSP": JobState.HELD,
    # Sent to a host that is waking up from a saving mode.
    "PROV": JobState.STARTING,
    "RUN": JobState.RUNNING,
    # The host does not answer, or its daemon has just been restarted; the job may well run.
    "UNKWN": JobState.RUNNING,
    "USUSP": JobState.SUSPENDED,
    "SSUSP": JobState.SUSPENDED,
    # Killed while its host did not answer: processes live until the host is back.
    "ZOMBI": JobState.ENDING,
    "DONE": JobState.ENDED,
    "EXIT": JobState.ENDED,
}

STATE_WORDS: Mapping[str, str] = {
    "UNKWN": "its node does not answer the scheduler; the job may still run",
    "ZOMBI": "killed while its node does not answer; it ends when the node is back",
    "PSUSP": "stopped while it waited; it will not start unless its owner or an admin resumes it",
    "USUSP": "suspended by its owner or an admin",
    "SSUSP": "suspended by the scheduler, since its node or queue is overloaded or out of its hours",
    "PROV": "its node is waking up",
    "WAIT": "waiting for the job before it on the same node",
}

# Words that a reason holds -> how the job ended. The order counts: the first match is taken.
_ENDS: Tuple[Tuple[str, Outcome, str], ...] = (
    (r"TERM_RUNLIMIT|RUNLIMIT reached|run ?time limit", Outcome.TIMEOUT, "the walltime was reached"),
    (r"TERM_DEADLINE|TERM_WINDOW", Outcome.TIMEOUT, "the queue's hours or its deadline ended it"),
    (r"TERM_MEMLIMIT|MEMLIMIT reached", Outcome.OUT_OF_MEMORY, "it used more memory than it had asked for"),
    (r"TERM_SWAP", Outcome.OUT_OF_MEMORY, "it used more swap space than allowed"),
    (r"TERM_PREEMPT|TERM_BUCKET", Outcome.PREEMPTED, "it had to make room for another job"),
    (r"TERM_OWNER|TERM_FORCE_OWNER|killed by (the )?owner", Outcome.CANCELLED, "cancelled by its owner"),
    (r"TERM_ADMIN|TERM_FORCE_ADMIN", Outcome.CANCELLED, "cancelled by an admin"),
    (r"TERM_CWD_NOTEXIST", Outcome.LAUNCH_FAILURE, "the directory it should start in is not there"),
    (r"TERM_PRE_EXEC_FAIL", Outcome.LAUNCH_FAILURE, "the preparation of its node failed"),
    (r"TERM_SLURM|TERM_RMS|TERM_ZOMBIE|TERM_\w*HOST", Outcome.NODE_FAILURE, "its node failed"),
    (r"TERM_(CPU|PROCESS|THREAD|FILE|STACK|DATA|CORE|TMP)\w*", Outcome.FAILED, "a limit of the scheduler was reached"),
)

_NONE = re.compile(r"\s*(-+|Unknown|)\s*\Z", re.IGNORECASE)


def state(word: str) -> JobState:
    """Our word for one of LSF's; it may carry more behind it."""
    return STATES.get(word.strip().upper(), JobState.UNKNOWN)


def waiting(reason: str) -> str:
    """Why a job waits: LSF's own sentences, several of them separated by '; '."""
    parts = (re.sub(r"\s+", " ", part).strip() for part in reason.split(";"))
    return "; ".join(part for part in parts if not _NONE.match(part))


def ending(word: str, exit_code: Optional[int], signal: Optional[int], reason: str) -> Tuple[Optional[Outcome], str]:
    """How a job with this state ended, and words for it; (None, '') for one that has not ended."""
    if state(word) is not JobState.ENDED:
        return None, ""
    if word == "DONE":
        return Outcome.COMPLETED, ""
    for pattern, outcome, text in _ENDS:
        if re.search(pattern, reason):
            return outcome, text
    if signal is not None:
        return Outcome.FAILED, "ended by signal {}".format(signal)
    if exit_code is not None:
        return Outcome.FAILED, "the command ended with exit code {}".format(exit_code)
    # Also what LSF shows for a success when the node's daemon was restarted under the job.
    return Outcome.UNKNOWN, waiting(reason)


SWITCHES: Mapping[str, str] = {
    "memory_unit": "Unit that LSF_UNIT_FOR_LIMITS names for -M and rusage (KB, MB, GB, TB). Without it: a suffix where "
    "the version takes one (IBM 10.1), else KB for -M and MB for rusage.",
    "memory_per": "What -M and rusage[mem] count for: node (default), slot or job.",
    "memory_limit": "false: -M is not sent, memory is only reserved by rusage.",
    "gpu": "How to ask for GPUs: 'option' sends -gpu (IBM 10.1 only), any other word is the resource that rusage "
    "counts, such as ngpus_physical. Without it jobs can't ask for GPUs.",
    "account_option": "Option that carries the account: -P (project, default) or -G (user group).",
    "json": "false: ask with a delimiter even where the version should know -json.",
    "launcher": "How workers reach the other nodes of a job: blaunch (default of IBM's) or ssh.",
}

OWN_DIRECTIVES: Tuple[str, ...] = tuple(
    "-J -q -P -G -U -n -M -W -x -r -o -oo -e -eo -gpu -cwd -env -I -Ip -Is -IS -K -H -b -w -i -is -rn".split()  # noqa: SIM905
)
"""What the script sets from a job's own fields, or what would keep it from being a batch job of its own."""
