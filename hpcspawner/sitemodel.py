"""The site: clusters, partitions, environments, apps, profiles and who may use them, as frozen values.

Standard library only and Python 3.8 or newer, since the helper reads the site too (as JSON that the hub or
`hpcspawner site compile` made). Reading YAML, with line numbers in its errors, is sitefile's work.
Each field's "doc" is the manual for an admin; the schema and docs/reference-site.md are made from it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping, Optional, Tuple, Union

from .job import Cluster

SITE_FORMAT = 1

OPTIONS: Tuple[str, ...] = (
    "cluster",
    "profile",
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
    "environment",
    "app",
    "workdir",
)
"""Option names: the interface of form, REST body, URL and Dask cluster options. 'queue' is read as 'partition'."""


def _f(doc: str, default: Any = dataclasses.MISSING, factory: Any = dataclasses.MISSING) -> Any:
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata={"doc": doc})
    if default is not dataclasses.MISSING:
        return dataclasses.field(default=default, metadata={"doc": doc})
    return dataclasses.field(metadata={"doc": doc})


@dataclasses.dataclass(frozen=True)
class Rules:
    users: Tuple[str, ...] = _f("User names that may use it.", ())
    groups: Tuple[str, ...] = _f("Groups whose members may use it.", ())
    accounts: Tuple[str, ...] = _f("Accounts (projects) whose members may use it.", ())
    # With no entry at all, everybody may. One match in any list is enough.


@dataclasses.dataclass(frozen=True)
class FieldRule:
    """What a profile (or partition, or the free choice) allows for one option."""

    default: Optional[Union[int, str]] = _f("Value where the user gives none.", None)
    min: Optional[int] = _f("Smallest value (memory in MiB, walltime in seconds; the file takes 8G, 02:00:00).", None)
    max: Optional[int] = _f("Largest value.", None)
    choices: Tuple[Union[int, str], ...] = _f("The only values allowed; shown as a drop-down list.", ())
    fixed: bool = _f("The default is the only value; the field is shown, not asked.", False)
    hidden: bool = _f("Not shown. Implies fixed.", False)


@dataclasses.dataclass(frozen=True)
class GpuType:
    title: str = _f("Name in the form.", "")
    request: str = _f("The scheduler's own name ('a100', '1g.5gb'); left out: the entry's name; \"\": any type.", "")
    max: int = _f("Most of them on one node.", 1)


@dataclasses.dataclass(frozen=True)
class Partition:
    name: str = _f("Name of the partition or queue.")
    title: str = _f("Name in the form.", "")
    rules: Rules = _f("Who may use it (users, groups, accounts).", factory=Rules)
    fields: Mapping[str, FieldRule] = _f("Limits of single options in this partition.", factory=dict)
    omit: Tuple[str, ...] = _f("Options that must not be sent to this partition (such as memory).", ())
    gpu_types: Mapping[str, GpuType] = _f("GPU types by the name users choose.", factory=dict)
    exclusive: bool = _f("Jobs get whole nodes.", False)
    directives: Tuple[str, ...] = _f("Native directives added to each job (without #SBATCH).", ())


@dataclasses.dataclass(frozen=True)
class Way:
    """How the hub reaches the helper that acts as a user."""

    kind: str = _f("auto | self | root | sudo | ssh. auto: root where the hub is root, else self.", "auto")
    helper: str = _f("sudo, ssh: path of the installed helper.pyz.", "/opt/hpcspawner/helper.pyz")
    python: str = _f("Python that runs the helper.", "/usr/bin/python3")
    sudo: str = _f("Path of sudo.", "/usr/bin/sudo")
    host: str = _f("ssh: the submit host; HOST:PORT where its port is not 22.", "")
    account: str = _f("ssh: the service account there.", "")
    identity: str = _f("ssh: private key file.", "")
    known_hosts: str = _f("ssh: file with the pinned host keys.", "")


@dataclasses.dataclass(frozen=True)
class ServerPython:
    python: str = _f(
        "Python 3.10+ with JupyterLab and jupyterhub that runs the server on the nodes; {hub_python}: the hub's own.",
        "python3",
    )
    setup: Tuple[str, ...] = _f("Shell lines before the server starts ('module load python').", ())


@dataclasses.dataclass(frozen=True)
class Dask:
    python: str = _f(
        "Python of schedulers and workers where the site lists no environments; it holds distributed and dask-gateway.",
        "python3",
    )
    setup: Tuple[str, ...] = _f("Shell lines before it starts ('module load python').", ())
    workers: int = _f("Workers in one job where the user says nothing; they share its cores, memory and GPUs.", 1)
    max_clusters: int = _f("Most Dask clusters that one user may have at one time; 0: any number.", 5)
    max_workers: int = _f("Most workers of one user, all clusters together; 0: any number.", 0)
    max_cores: int = _f("Most cores of one user's workers, all clusters together; 0: any number.", 0)
    idle_timeout: int = _f("Seconds without work after which a cluster ends; 0: never.", 1800)
    start_timeout: int = _f(
        "Seconds from the start of a job until its scheduler or worker must work; waiting in the queue does not count.",
        300,
    )
    scheduler_cores: int = _f("Cores of the job of a Dask scheduler.", 1)
    scheduler_memory: int = _f("Memory of the job of a Dask scheduler.", 2048)
    scheduler_partition: str = _f("Partition of the Dask schedulers; empty: that of the workers.", "")
    address: str = _f(
        "Address that schedulers and workers listen on: interface:NAME or a network (10.1.0.0/16); empty: the one that "
        "leads to the gateway, or to the scheduler.",
        "",
    )
    ports: Tuple[int, int] = _f("Range of ports that schedulers and workers listen on; 0-0: any.", (0, 0))
    scratch: str = _f("Directory on the nodes for data that does not fit into memory; empty: TMPDIR, or /tmp.", "")
    spill: bool = _f("Workers may write data to scratch; false where nodes have no local disk.", True)
    headroom: int = _f("Per cent of a job's memory that its workers leave free, so that the scheduler kills none.", 5)


@dataclasses.dataclass(frozen=True)
class ClusterSite:
    cluster: Cluster = _f("Scheduler, command directory, environment and switches.")
    title: str = _f("Name in the form.", "")
    way: Way = _f("How the helper is reached.", factory=Way)
    query_as: str = _f("hub | owner: who asks for the state of jobs (owner where the site hides jobs).", "hub")
    partitions: Mapping[str, Partition] = _f("Partitions or queues.", factory=dict)
    accounts: Tuple[str, ...] = _f("Accounts (projects) offered in the form; empty: any, if the user gives one.", ())
    account_rules: Mapping[str, Rules] = _f("Who may use which account.", factory=dict)
    server: ServerPython = _f("What runs the Jupyter server on the nodes.", factory=ServerPython)
    address: str = _f(
        "How the hub reaches a node: hostname | fqdn | interface:NAME | a template such as {node}-ib0.cluster.",
        "hostname",
    )
    ports: Tuple[int, int] = _f("Range of ports that servers listen on; 0-0: any.", (0, 0))
    node_networks: Tuple[str, ...] = _f("Networks of the nodes (CIDR); reports from elsewhere are refused.", ())
    hub_url: str = _f("URL of the hub's API as nodes see it; empty: the hub's own.", "")
    proxies: Mapping[str, str] = _f("Proxy variables for jobs (http_proxy, no_proxy, ...).", factory=dict)
    dask: Dask = _f("Dask clusters, which the gateway starts.", factory=Dask)
    directives: Tuple[str, ...] = _f("Native directives added to each job.", ())
    poll_fast: float = _f("Seconds between status queries while something starts.", 2.0)
    poll_slow: float = _f("Seconds between status queries when all is quiet.", 30.0)
    grace: float = _f("Seconds that a job must be missing before it may count as gone.", 20.0)
    command_timeout: float = _f("Seconds that a scheduler command may take.", 30.0)
    submit_timeout: float = _f("Seconds that a submit may take.", 60.0)
    lost_submit_limit: float = _f("Seconds to look for a job whose submit got no answer.", 300.0)
    submits_per_second: float = _f("Most submits a second; whoever waits in line sees the place.", 5.0)
    parallel_helpers: int = _f("Most helper calls at one time.", 4)


@dataclasses.dataclass(frozen=True)
class Environment:
    name: str = _f("Name.")
    title: str = _f("Name in the form and of the kernel.", "")
    python: str = _f("Python of the environment: its kernel, or the server itself where server is true.", "python3")
    setup: Tuple[str, ...] = _f("Shell lines that activate it ('module load lang/Python').", ())
    server: bool = _f("Runs the server too (it must hold jupyterhub and JupyterLab).", False)
    clusters: Tuple[str, ...] = _f("Clusters that have it; empty: all.", ())
    rules: Rules = _f("Who may use it.", factory=Rules)


@dataclasses.dataclass(frozen=True)
class App:
    name: str = _f("Name.")
    title: str = _f("Name in the form.", "")
    command: Tuple[str, ...] = _f(
        "Command; empty: the Jupyter server. In other commands {port} and {base_url} are replaced.", ()
    )
    url: str = _f("Page that opens, below the server's address.", "/lab")
    wrap: Tuple[str, ...] = _f("Words put before the command ([apptainer, exec, image.sif]).", ())
    rules: Rules = _f("Who may use it.", factory=Rules)


@dataclasses.dataclass(frozen=True)
class Profile:
    name: str = _f("Name: the value of the option 'profile'.")
    title: str = _f("Heading of the card.", "")
    description: str = _f("A sentence for users.", "")
    cluster: str = _f("Cluster; empty: the first one.", "")
    fields: Mapping[str, FieldRule] = _f("Options: a value, or default/min/max/choices/fixed/hidden.", factory=dict)
    rules: Rules = _f("Who may use it.", factory=Rules)
    directives: Tuple[str, ...] = _f("Native directives added to each job.", ())
    requeue: bool = _f("The scheduler may start the job again (on another node) after a failure.", False)
    exclusive: bool = _f("Whole nodes.", False)
    idle: int = _f("Minutes without work after which the server ends; 0: never.", 0)
    unclaimed: int = _f("Minutes after which a server that nobody opened ends; 0: never.", 0)
    queue_timeout: int = _f("Seconds that the job may wait in the queue.", 86400)
    start_timeout: int = _f("Seconds from the start of the job until the server must answer.", 300)


@dataclasses.dataclass(frozen=True)
class Site:
    name: str = _f("Name of the site.")
    title: str = _f("Name on the pages.", "")
    prefix: str = _f("First part of every job's name; letters and digits, at most 12.", "jupyter")
    clusters: Mapping[str, ClusterSite] = _f("Clusters by name; the first is the default.", factory=dict)
    environments: Mapping[str, Environment] = _f("Software environments.", factory=dict)
    apps: Mapping[str, App] = _f("What can be started; without entries: JupyterLab.", factory=dict)
    profiles: Mapping[str, Profile] = _f("Resource profiles: the cards of the form.", factory=dict)
    free_choice: bool = _f("Users may leave out the profile and give all options themselves.", False)
    idle: int = _f("As in a profile, for servers started without one.", 0)
    unclaimed: int = _f("As in a profile, for servers started without one.", 0)
    fields: Mapping[str, FieldRule] = _f("Limits for every start, with or without a profile.", factory=dict)
    state_dir: str = _f(
        "Directory for job files on storage that helper and nodes share; ~, {user}, {home}.", "~/.hpcspawner"
    )
    log_dir: str = _f("Directory of the job logs; empty: below state_dir.", "")
    keep_logs: int = _f("Days that logs of ended jobs are kept.", 14)
    min_uid: int = _f("The helper acts for no account below this uid.", 1000)
    deny_groups: Tuple[str, ...] = _f("The helper acts for no member of these groups.", ())
    allow_scripts: bool = _f(
        "The hub may send whole batch scripts, made from the batch_script of its configuration (batchspawner's), and "
        "the helper submits them as the user. Only to move a site in steps; see docs/migrating.md.",
        False,
    )
    legacy_options: Tuple[str, ...] = _f(
        "Further options that users may give, for the site's own batch_script only; values of letters, digits and "
        "_ . , : / @ % + = -.",
        (),
    )
    format: int = _f("Version of this format.", SITE_FORMAT)

    def profile(self, name: str) -> Profile:
        """The profile of that name, or what holds for a server that was started without one."""
        return self.profiles.get(name) or Profile(name="", idle=self.idle, unclaimed=self.unclaimed)
