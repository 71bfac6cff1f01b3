"""The values that everything else speaks in: clusters, jobs, resources and what became of them.

Standard library only, and Python 3.8 or newer: the helper carries this module to submit hosts.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union


class JobState(enum.Enum):
    """Where a job stands, in words that all schedulers share."""

    PENDING = "pending"
    """Waits in the queue and may start by itself."""
    HELD = "held"
    """Waits, and will not start unless somebody acts (a hold, a failed dependency, a failed prolog)."""
    STARTING = "starting"
    """Has nodes; the scheduler prepares them."""
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDING = "ending"
    """Is being ended; processes may still run."""
    ENDED = "ended"
    UNKNOWN = "unknown"
    """The scheduler's word means nothing to us. Never to be read as ended."""

    @property
    def waits(self) -> bool:
        """Whether the job holds no nodes yet."""
        return self in (JobState.PENDING, JobState.HELD)

    @property
    def lives(self) -> bool:
        """Whether the job may still run or start: everything but the positive word that it ended."""
        return self is not JobState.ENDED


class Outcome(enum.Enum):
    """How a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "walltime reached"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILURE = "node failure"
    PREEMPTED = "preempted"
    LAUNCH_FAILURE = "could not be launched"
    UNKNOWN = "reason not known"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """One batch system as one site runs it. Every dialect function takes it first."""

    name: str
    scheduler: str
    """Name of the dialect: a module of hpcspawner.schedulers."""
    commands: str = ""
    """Directory of the scheduler's commands; empty: found on PATH."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Added to the environment of every command (SLURM_CONF, LSF_ENVDIR, ...)."""
    version: str = ""
    family: str = ""
    """Variant of the scheduler that probe() found, or that the site file forces ('ibm', 'plain', ...)."""
    switches: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Site switches that only the dialect understands; its SWITCHES names them."""

    def command(self, name: str) -> str:
        """The path of a scheduler command."""
        return self.commands.rstrip("/") + "/" + name if self.commands else name


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a job asks for. None: the field is not sent and the scheduler's default holds."""

    nodes: int = 1
    cores: Optional[int] = None
    """Per node."""
    memory: Optional[int] = None
    """MiB per node."""
    gpus: int = 0
    """Per node."""
    gpu_request: str = ""
    """The site's native name of the GPU type ('a100', '1g.5gb'); empty: any."""
    walltime: Optional[int] = None
    """Seconds."""
    exclusive: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """A job to submit. Every text is a value, never a directive: dialects quote each one."""

    name: str
    """The tag: unique, [A-Za-z0-9_-]+, at most 64 characters."""
    user: str
    command: Tuple[str, ...]
    """argv that the script execs on the first node."""
    resources: Resources = Resources()
    partition: str = ""
    """Partition or queue."""
    account: str = ""
    qos: str = ""
    reservation: str = ""
    workdir: str = ""
    """Directory in which the command starts."""
    output: str = ""
    """Log file for stdout and stderr together."""
    setup: Tuple[str, ...] = ()
    """Shell lines from the site file (admin's text, never a user's) that run before the command."""
    directives: Tuple[str, ...] = ()
    """Native directive lines from the site file without the scheduler's prefix ('--constraint=skylake')."""
    requeue: bool = False
    array: Optional[Tuple[int, int]] = None
    """First and last index of an array job, both included."""
    tasks_per_node: Optional[int] = None
    """Copies of the command on each node (worker jobs); None: the command runs once, on the first node."""


@dataclasses.dataclass(frozen=True)
class JobStatus:
    """What one answer of the scheduler said about one job. Times are seconds since the epoch."""

    id: str
    state: JobState
    word: str = ""
    """The scheduler's own word for the state."""
    reason: str = ""
    """Why it waits or how it ended, in words for a user."""
    name: str = ""
    user: str = ""
    partition: str = ""
    account: str = ""
    nodes: Tuple[str, ...] = ()
    """Node names, the one that runs the script first where the scheduler tells."""
    submitted: Optional[float] = None
    started: Optional[float] = None
    ends: Optional[float] = None
    """When the walltime ends."""
    walltime: Optional[int] = None
    """Seconds that the scheduler gave; None: no limit or not known."""
    estimated_start: Optional[float] = None
    outcome: Optional[Outcome] = None
    """Set when state is ENDED and the scheduler tells."""
    exit_code: Optional[int] = None
    signal: Optional[int] = None


@dataclasses.dataclass(frozen=True)
class Command:
    """A command to run: argv (never a shell line), standard input, and additions to the environment."""

    argv: Tuple[str, ...]
    stdin: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command answered. code is None where it was ended by our time-out or could not be started."""

    code: Optional[int]
    out: str
    err: str


@dataclasses.dataclass(frozen=True)
class Accepted:
    """The job is in the queue."""

    id: str
    notice: str = ""
    """What the scheduler or a site filter said besides."""


@dataclasses.dataclass(frozen=True)
class Refused:
    """There is no job, and text says why in the scheduler's own words."""

    text: str


@dataclasses.dataclass(frozen=True)
class Unknown:
    """There may be a job: a time-out, or an answer that says neither yes nor no."""

    text: str


Submitted = Union[Accepted, Refused, Unknown]


@dataclasses.dataclass(frozen=True)
class PartitionInfo:
    """A partition or queue as the scheduler shows it now. Sizes are per node; None: not known."""

    name: str
    up: bool = True
    """Takes and starts jobs."""
    default: bool = False
    nodes: Optional[int] = None
    free_nodes: Optional[int] = None
    """Wholly idle nodes."""
    cores: Optional[int] = None
    """Cores of the largest node."""
    free_cores: Optional[int] = None
    """Idle cores of all nodes together."""
    memory: Optional[int] = None
    """MiB of the largest node."""
    gpus: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """GPU type ('' where it has no name) -> most on one node."""
    max_walltime: Optional[int] = None
    """Seconds; None: no limit or not known."""
    default_walltime: Optional[int] = None
    min_walltime: Optional[int] = None
    max_nodes: Optional[int] = None
    groups: Tuple[str, ...] = ()
    """Groups whose members may use it; empty: everybody."""
    whole_nodes: bool = False
    """Jobs always get whole nodes."""


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What the scheduler said about its partitions, and what it could not say."""

    partitions: Tuple[PartitionInfo, ...] = ()
    max_array: Optional[int] = None
    """Largest array size; None: not known."""
    problems: Tuple[str, ...] = ()


class SchedulerUnavailable(Exception):
    """The scheduler gave no usable answer: an outage, a time-out or a garbled text. Says nothing about jobs."""


def plain(value: Any) -> Any:
    """A dataclass as JSON can carry it: enums by value, tuples as lists, defaults left out."""
    if value is None or type(value) in _ATOMS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = ((name, getattr(value, name), default) for name, default in _defaults(type(value)))
        return {name: plain(item) for name, item, default in items if item != default}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


_ATOMS = frozenset((str, int, float, bool))
_known_defaults: Dict[type, List[Tuple[str, Any]]] = {}


def _defaults(cls: type) -> List[Tuple[str, Any]]:
    """Names and defaults of a dataclass; looked up once, since an answer may tell of thousands of jobs."""
    found = _known_defaults.get(cls)
    if found is None:
        fields = dataclasses.fields(cls)
        found = _known_defaults[cls] = [(field.name, _default(field)) for field in fields]
    return found


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING
