"""Slurm.

Only text output with formats of our own is read: JSON changes its shape between releases. Everything that Slurm
prints without a choice of format (sbatch, scancel, errors) is read by its words, and a text that is not known
decides nothing.
"""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..job import Cluster, Command, Result
from . import _slurm_text as text
from ._slurm_detail import detail, detailed
from ._slurm_inventory import inventoried, inventory, probe, probed
from ._slurm_query import find, found, queried, query
from ._slurm_script import own_script, script, submit, submitted
from ._slurm_words import STATES

__all__ = [
    "ARRAY_ID",
    "ARRAY_VARIABLE",
    "CONFIG_VARIABLES",
    "DETECT",
    "DIRECTIVE",
    "END_VARIABLES",
    "FIELDS",
    "JOB_ID_VARIABLES",
    "LOCAL",
    "OWN_DIRECTIVES",
    "RUN_VARIABLE",
    "SEE_ALL",
    "STATES",
    "SWITCHES",
    "TITLE",
    "cancel",
    "cancelled",
    "detail",
    "detailed",
    "find",
    "found",
    "inventoried",
    "inventory",
    "own_script",
    "probe",
    "probed",
    "queried",
    "query",
    "script",
    "submit",
    "submitted",
]

TITLE = "Slurm"
CONFIG_VARIABLES: Tuple[str, ...] = ("SLURM_CONF",)
DIRECTIVE = "#SBATCH"
OWN_DIRECTIVES: Tuple[str, ...] = (
    *("--job-name", "-J", "--partition", "-p", "--account", "-A", "--qos", "-q", "--reservation", "--nodes"),
    *("-N", "--ntasks", "-n", "--ntasks-per-node", "--cpus-per-task", "-c", "--mem", "--mem-per-cpu"),
    *("--mem-per-gpu", "--gres", "--gpus", "-G", "--gpus-per-node", "--gpus-per-task", "--time", "-t"),
    *("--chdir", "-D", "--output", "-o", "--error", "-e", "--open-mode", "--array", "-a", "--requeue"),
    *("--no-requeue", "--export", "--export-file", "--get-user-env", "--exclusive", "--oversubscribe", "-s"),
    *("--wrap", "--uid", "--gid", "--clusters", "-M", "--parsable", "--test-only", "--wait", "-W", "--hold"),
    *("-H", "--begin", "-b", "--dependency", "-d", "--input", "-i"),
)
SEE_ALL = "give the hub's account the right: sacctmgr modify user {account} set adminlevel=operator"
DETECT: Tuple[str, ...] = ("sbatch", "squeue", "scancel")
SWITCHES: Mapping[str, str] = {}
JOB_ID_VARIABLES: Tuple[str, ...] = ("SLURM_JOB_ID", "SLURM_JOBID")
RUN_VARIABLE = "SLURM_RESTART_COUNT"
END_VARIABLES: Tuple[str, ...] = ("SLURM_JOB_END_TIME", "HPCSPAWNER_JOB_END")
ARRAY_ID = "{id}_{index}"
ARRAY_VARIABLE = "SLURM_ARRAY_TASK_ID"
FIELDS: Tuple[str, ...] = (
    "partition",
    "account",
    "qos",
    "reservation",
    "nodes",
    "cores",
    "memory",
    "gpus",
    "gpu_type",
    "walltime",
)
LOCAL = False


def cancel(cluster: Cluster, ids: Sequence[str]) -> Command:
    """One command for all. Only by id: by name or user scancel is silent about what it did not do."""
    text.check_ids(ids)
    return Command((cluster.command("scancel"), *ids))


_OVER = re.compile(r"already completing or completed|already finished|Invalid job id specified", re.IGNORECASE)
_REFUSED = re.compile(r"Access/permission denied|permission denied|not permitted", re.IGNORECASE)


def cancelled(cluster: Cluster, ids: Sequence[str], result: Result) -> Dict[str, Optional[bool]]:
    """True: is being ended or has ended; False: refused; None: look again.

    scancel exits with the error number of one of the ids and names each one that it could not end.
    """
    told: Dict[str, str] = {}
    strange = result.code is None or bool(text.OUTAGE.search(result.err))
    for line in result.err.splitlines():
        about = [id for id in ids if re.search(r"(?<![0-9_+]){}(?![0-9_+])".format(re.escape(id)), line)]
        told.update((id, line) for id in about)
        strange = strange or not about
    strange = strange or (result.code != 0 and not told)
    # Where each line is about some id, the ids without a line were taken.
    return {id: _judged(told[id]) if id in told else None if strange else True for id in ids}


def _judged(line: str) -> Optional[bool]:
    if _REFUSED.search(line):
        return False
    return True if _OVER.search(line) else None
