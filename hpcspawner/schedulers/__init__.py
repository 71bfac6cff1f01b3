"""Dialects: one module of pure functions for each batch system.

A dialect does no I/O. Each of its functions takes the Cluster first; commands go out as Command, answers come in as
Result. Adding a batch system means one module here and one folder of recorded output under tests/schedulers/.
Standard library only, and Python 3.8 or newer: the helper carries the dialects to submit hosts.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, cast

from ..job import Cluster, Command, Inventory, Job, JobState, JobStatus, Result, Submitted

try:
    from typing import Protocol
except ImportError:  # pragma: no cover
    Protocol = object  # type: ignore[assignment]


class Scheduler(Protocol):
    """What a dialect module has. All of it is required unless its text says otherwise.

    own_script(cluster, job, script, path) -> (script, Command) may be there too, for sites with allow_scripts: a
    script of the site's own made to fit, and the command that submits it under the job's name and with its log.
    """

    TITLE: str
    """Name for people: 'Slurm'."""
    DETECT: Tuple[str, ...]
    """Commands that are all on PATH where this batch system is used; empty: never detected."""
    STATES: Mapping[str, JobState]
    """Native state word -> ours. A word that is not here is UNKNOWN."""
    SWITCHES: Mapping[str, str]
    """Site switches this dialect understands -> what they do, for an admin."""
    JOB_ID_VARIABLES: Tuple[str, ...]
    """Variables that hold the job's id inside a job, the first one that is set counts."""
    RUN_VARIABLE: str
    """Variable that counts the restarts of a requeued job; '' where there is none."""
    END_VARIABLES: Tuple[str, ...]
    """Variables that hold the end of the walltime in seconds since the epoch; may be empty."""
    ARRAY_ID: str
    """Id of one element of an array from {id} and {index}; '' where there are no arrays. Indexes begin at 1."""
    ARRAY_VARIABLE: str
    """Variable that holds the index inside an element; '' where there are no arrays."""
    FIELDS: Tuple[str, ...]
    """Option names that jobs of this batch system can carry (partition, account, qos, reservation, nodes, cores,
    memory, gpus, gpu_type, walltime). A field that is not here is not offered and refused when sent."""
    CONFIG_VARIABLES: Tuple[str, ...]
    """Variables by which its commands find their configuration; `discover` takes them over from the admin's shell."""
    DIRECTIVE: str
    """What begins a directive in a script ('#SBATCH'); '' where there are none."""
    OWN_DIRECTIVES: Tuple[str, ...]
    """Options that the script sets from a job's own fields, all spellings, and those that would break the job of a
    server: a site's directives must not have them."""
    SEE_ALL: str
    """What an administrator of the batch system does so that the hub's account sees all jobs; '' if nothing helps."""
    LOCAL: bool
    """True only for the embedded queue: nodes are this machine, loopback addresses are allowed."""

    def probe(self, cluster: Cluster) -> Command:
        """Asks version and family."""

    def probed(self, cluster: Cluster, result: Result) -> Cluster:
        """The cluster with version and family filled in; raises SchedulerUnavailable."""

    def script(self, cluster: Cluster, job: Job) -> str:
        """The whole batch script. Raises ValueError that names the field which this scheduler can't carry."""

    def submit(self, cluster: Cluster, job: Job, script: str, path: str) -> Command:
        """Submits; the script goes in by standard input, or is the file at path (0700, the user's)."""

    def submitted(self, cluster: Cluster, result: Result) -> Submitted:
        """What became of the submit."""

    def query(self, cluster: Cluster, ids: Sequence[str], users: Sequence[str]) -> Command:
        """ONE command for the state of all these jobs (owned by these users)."""

    def queried(self, cluster: Cluster, result: Result) -> Dict[str, JobStatus]:
        """Only the jobs that were SEEN (may hold others than asked). Raises SchedulerUnavailable."""

    def detail(self, cluster: Cluster, id: str) -> Sequence[Command]:
        """Commands that may tell how one job ended or why it waits (accounting, long form); may be empty."""

    def detailed(self, cluster: Cluster, id: str, results: Sequence[Result]) -> Optional[JobStatus]:
        """What they told; None where nothing. Never raises for a text it does not know."""

    def find(self, cluster: Cluster, name: str, user: str) -> Command:
        """Looks for a job by its unique name and owner, hidden partitions and ended jobs included."""

    def found(self, cluster: Cluster, name: str, user: str, result: Result) -> List[JobStatus]:
        """The jobs whose name is, or ends in, the asked one (site filters add prefixes), of that user only."""

    def cancel(self, cluster: Cluster, ids: Sequence[str]) -> Command:
        """One command for all. Raises ValueError for an id that is no id (empty, 0)."""

    def cancelled(self, cluster: Cluster, ids: Sequence[str], result: Result) -> Dict[str, Optional[bool]]:
        """True: is being ended or has ended; False: refused; None: look again, silence is no success."""

    def inventory(self, cluster: Cluster) -> Mapping[str, Command]:
        """Commands by key."""

    def inventoried(self, cluster: Cluster, results: Mapping[str, Result]) -> Inventory:
        """Partitions and limits; what could not be read goes to problems. Raises SchedulerUnavailable for an outage."""


_NAME = re.compile(r"[a-z][a-z0-9]*\Z")


def names() -> List[str]:
    """All dialects, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if _NAME.match(m.name))


def load(name: str) -> Scheduler:
    """The dialect of that name; raises ValueError that lists the known ones."""
    if not _NAME.match(name) or name not in names():
        raise ValueError("scheduler: {!r} is not known; known are {}".format(name, ", ".join(names())))
    module: Any = importlib.import_module("{}.{}".format(__name__, name))
    return cast(Scheduler, module)
