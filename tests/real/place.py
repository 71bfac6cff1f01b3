"""A place for the suite over all batch systems.

A Place is a hub on one of them, and what the suite has to do to that batch system behind the hub's back: look at its
jobs, end them, take it away, change a queue. On all but Slurm the hub's own machine is the node.
"""

from __future__ import annotations

import abc
import secrets
import shutil
from pathlib import Path
from typing import Any, ClassVar

from . import conftest
from .hub import USER_PYTHON, Hub
from .manyservers import STUB

SITE = """
name: test
prefix: {prefix}
state_dir: {state}/{{user}}
clusters:
  main:
    scheduler: {kind}
    way: {{kind: {way}, helper: {helper}}}
    server: {{python: {python}}}
    poll_fast: 0.5
    poll_slow: 2
    grace: 1
    command_timeout: 6
    submit_timeout: 6
    lost_submit_limit: 15
{cluster}
free_choice: true
profiles:
  small: {{title: Small, fields: {{{small}}}}}
  never: {{title: Waits for ever, fields: {{{never}}}}}
"""
APPS = """
apps:
  lab: {{title: JupyterLab}}
  stub: {{title: Stub, command: [/usr/bin/python3, -S, -E, {stub}, "{{port}}"], url: /}}
  broken: {{title: Broken, command: [/bin/sh, -c, "echo the license server is away; exit 3", "{{port}}"], url: /}}
"""


class Place(abc.ABC):
    """A hub, and hands on its batch system."""

    kind = ""
    account = "jupyterhub"
    """Account of the hub; '': root."""
    daemon = True
    """The batch system has a daemon that the suite can let hang with a submit inside it."""
    submits_late = False
    """It carries out a submit that was asked while it hung, though the command has been ended since."""
    chosen: ClassVar[dict[str, Any]]
    """A free choice of every resource that the batch system knows."""
    facts: ClassVar[dict[str, Any]]
    """What jobs() must say of such a job."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.prefix = "d" + secrets.token_hex(4)
        self.folder = base / self.prefix
        self.folder.mkdir(mode=0o755)
        self.helper = conftest.HELPERS / self.prefix / "helper.pyz"
        self.state = self.folder / "jobs"
        self.state.mkdir()
        self.state.chmod(0o1777)
        self.stub = self.folder / "stub.py"
        self.stub.write_text(STUB)
        self.stub.chmod(0o644)

    def open(self) -> Place:
        """Starts hub and batch system."""
        self.hub = self._hub().start()
        return self

    def _hub(self) -> Hub:
        site = self.folder / "site.yaml"
        values = self.site()
        cluster = "".join(f"    {line}\n" for line in values.pop("cluster").splitlines())
        text = SITE.format(
            prefix=self.prefix,
            state=self.state,
            kind=self.kind,
            way="sudo" if self.account else "root",
            helper=self.helper,
            python=USER_PYTHON,
            cluster=cluster.rstrip("\n"),
            **values,
        )
        site.write_text(text + APPS.format(stub=self.stub))
        if self.account:
            conftest.install_helper(site, self.helper)
        return Hub(self.folder / "hub", site, account=self.account)

    def close(self) -> None:
        self.hub.close()
        for job in self.jobs():
            self.cancel(job["id"])
        if self.account:
            conftest.sudoers(self.helper).unlink(missing_ok=True)
            shutil.rmtree(self.helper.parent, ignore_errors=True)

    @abc.abstractmethod
    def site(self) -> dict[str, str]:
        """What stands in the site file: cluster (lines), and the fields of the profiles small and never."""

    @abc.abstractmethod
    def jobs(self) -> list[dict[str, Any]]:
        """The hub's jobs that have not ended: id, user, state (waiting, running, ending), and what facts names."""

    @abc.abstractmethod
    def cancel(self, id: str) -> None:
        """Ends a job as its owner would by hand."""

    @abc.abstractmethod
    def down(self) -> None:
        """The commands fail."""

    def hang(self) -> None:
        """The commands give no answer."""
        raise NotImplementedError

    @abc.abstractmethod
    def up(self) -> None:
        """All is well again."""

    def job(self, id: str) -> dict[str, Any]:
        """One of the jobs; {} once it has ended."""
        return next((one for one in self.jobs() if one["id"] == id), {})
