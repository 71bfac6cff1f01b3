"""From a site and a valid choice to the job, and to the plan that the in-job wrapper reads.

What the user chose has been checked by options.recheck. Only the site's own text becomes shell lines or directives.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ..access import Person, may
from ..job import Job
from ..options import Choice, resources
from ..schedulers import Scheduler
from ..sitemodel import App, ClusterSite, Environment, Partition, Profile, Site
from .faults import Fault
from .identity import Account
from .jobfolder import END, PLAN, SECRET, expand

KINDS: Mapping[str, str] = {
    "server": "server.py",
    "check": "probe.py",
    "dask-scheduler": "dask_scheduler.py",
    "dask-workers": "dask_workers.py",
}
"""Kinds of jobs -> the in-job program that each one runs."""


@dataclasses.dataclass(frozen=True)
class Order:
    """What was asked for, looked up in the site."""

    site: Site
    cluster: ClusterSite
    choice: Choice
    who: Account
    person: Person

    @property
    def profile(self) -> Profile:
        return self.site.profiles.get(self.choice.profile) or Profile(name="")

    @property
    def partition(self) -> Partition:
        return self.cluster.partitions.get(self.choice.partition) or Partition(name=self.choice.partition)

    @property
    def app(self) -> App:
        return self.site.apps.get(self.choice.app) or App(name="")

    @property
    def environment(self) -> Optional[Environment]:
        return self.site.environments.get(self.choice.environment)

    @property
    def server(self) -> Tuple[str, Tuple[str, ...]]:
        """Python that runs the server, and the shell lines before it."""
        chosen = self.environment
        if chosen is not None and chosen.server:
            return _python(chosen.python, self.who), chosen.setup
        return _python(self.cluster.server.python, self.who), self.cluster.server.setup

    @property
    def workdir(self) -> str:
        """The chosen directory; else the home, or the state directory where the home is missing or closed."""
        if self.choice.workdir:
            return expand(self.choice.workdir, self.who)
        return self.who.home if os.access(self.who.home, os.X_OK) else expand(self.site.state_dir, self.who)


def job(order: Order, tag: str, kind: str, library: str, folder: str, log: str) -> Job:
    """The job that the dialect renders. library: folder of the in-job programs; folder: the job's own."""
    python, setup = order.server
    directives = order.cluster.directives + order.partition.directives + order.profile.directives
    return Job(
        name=tag,
        user=order.who.name,
        command=(python, "-I", os.path.join(library, KINDS[kind]), os.path.join(folder, PLAN)),
        resources=resources(order.site, order.choice),
        partition=order.choice.partition,
        account=order.choice.account,
        qos=order.choice.qos,
        reservation=order.choice.reservation,
        workdir=order.workdir,
        output=log,
        setup=setup,
        directives=directives,
        requeue=order.profile.requeue,
    )


def plan(order: Order, dialect: Scheduler, tag: str, kind: str, folder: str, log: str) -> Dict[str, Any]:
    """What the in-job wrapper needs to know: JSON, without any secret. Its keys: see hpcspawner/injob/__init__.py.

    The server's setup lines are in the script (job), before the wrapper, which may need them to find its Python.
    """
    checks = {"servers": servers(order)} if kind == "check" else {}
    return {
        **checks,
        "tag": tag,
        "kind": kind,
        "state": folder,
        "secret": os.path.join(folder, SECRET),
        "end": os.path.join(folder, END),
        "log": log,
        "workdir": order.workdir,
        "python": order.server[0],
        "command": list(order.app.command) or None,
        "jupyter": not order.app.command,
        "wrap": list(order.app.wrap),
        "address": order.cluster.address,
        "ports": list(order.cluster.ports),
        "local": dialect.LOCAL,
        "job_id_variables": list(dialect.JOB_ID_VARIABLES),
        "run_variable": dialect.RUN_VARIABLE,
        "end_variables": list(dialect.END_VARIABLES),
        "idle": order.profile.idle,
        "unclaimed": order.profile.unclaimed,
        "kernels": [] if order.app.command else kernels(order),
        "default_kernel": _default_kernel(order),
    }


def kernels(order: Order) -> List[Dict[str, Any]]:
    """Kernel specifications of the user environments, the chosen one first."""
    found = [x for x in order.site.environments.values() if not x.server and _offered(x, order)]
    found.sort(key=lambda x: x.name != order.choice.environment)
    return [
        {
            "name": x.name,
            "title": x.title or x.name,
            "argv": [_python(x.python, order.who), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "setup": list(x.setup),
        }
        for x in found
    ]


def servers(order: Order) -> List[Dict[str, Any]]:
    """Environments that run the server themselves: the small job of `hpcspawner check` looks at each."""
    found = [x for x in order.site.environments.values() if x.server and _offered(x, order)]
    return [{"name": x.name, "python": _python(x.python, order.who), "setup": list(x.setup)} for x in found]


def _default_kernel(order: Order) -> str:
    chosen = order.environment
    return chosen.name if chosen is not None and not chosen.server else ""


def _offered(environment: Environment, order: Order) -> bool:
    here = not environment.clusters or order.choice.cluster in environment.clusters
    return here and may(environment.rules, order.person)


def _python(python: str, who: Account) -> str:
    """A name stays a name (found on the PATH of the job, after the setup lines); a path is filled in."""
    return expand(python, who) if "/" in python else python


def secret_environment(order: Order, given: Mapping[str, Any]) -> Dict[str, str]:
    """Variables of the server: the site's proxies and what the hub sent. Raises a protocol Fault."""
    out = dict(order.cluster.proxies)
    for name, value in given.items():
        if not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise Fault("protocol", "environment: {!r} must be a variable with a text".format(name))
        out[name] = value
    return out


def groups_of(who: Account, told: Sequence[str]) -> FrozenSet[str]:
    """The account's groups on this machine and those that only the hub knows (OIDC claims, JupyterHub groups)."""
    return frozenset(who.groups) | frozenset(told)
