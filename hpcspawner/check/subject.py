"""One cluster of the site that is being checked, for one user."""

from __future__ import annotations

import dataclasses
import os
import pwd
from typing import Any

from .. import schedulers
from ..job import JobStatus
from ..jobqueue import answers
from ..run_as import HelperError, Helpers
from ..schedulers import Scheduler
from ..sitemodel import ClusterSite, Site
from .steps import Steps

TROUBLE = (HelperError, answers.Garbled)
"""A question that got no usable answer."""


@dataclasses.dataclass
class Subject:
    """What all steps of one cluster share."""

    site: Site
    name: str
    helpers: Helpers
    steps: Steps
    user: str
    """For whom all is tried; '' nobody was named."""
    hub_ip: str = ""
    home: str = ""
    groups: frozenset[str] = frozenset()
    """Filled in by the account step."""

    @property
    def cluster(self) -> ClusterSite:
        return self.site.clusters[self.name]

    @property
    def dialect(self) -> Scheduler:
        return schedulers.load(self.cluster.cluster.scheduler)

    @property
    def way(self) -> str:
        """self | root | sudo | ssh"""
        return self.helpers.kind

    @property
    def as_root(self) -> bool:
        """Root may do by sudo what the hub's own account may not: such a check proves nothing about the rule."""
        return self.way == "sudo" and os.geteuid() == 0

    @property
    def words(self) -> str:
        return f"cluster {self.name}: {self.dialect.TITLE}, reached {WAYS[self.way]}"

    @property
    def as_hub(self) -> str:
        return "run the check as the hub's account: runuser -u jupyterhub -- hpcspawner check ..."

    def skip(self, title: str, why: str) -> bool:
        return self.steps.skip(title, why)

    async def status(self, id: str, *, owner: bool = True) -> JobStatus | None:
        """The job as its owner, or the hub's account, sees it; None where it is not shown. Raises TROUBLE."""
        answer = await self.helpers.call("query", self.user if owner else "", ids=[id], users=[self.user])
        rows = answers.jobs(answer)
        return answers.status(rows[id]) if id in rows else None

    async def ask(self, verb: str, *, owner: bool = True, **fields: Any) -> dict[str, Any]:
        """A verb of the helper, as the user or as the hub's account. Raises HelperError."""
        return await self.helpers.call(verb, self.user if owner else "", **fields)


WAYS = {"self": "as oneself", "root": "as root", "sudo": "by sudo", "ssh": "by ssh"}


def own_name() -> str:
    """The account that runs the check."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"#{os.geteuid()}"


def words(error: BaseException) -> str:
    """An error of TROUBLE as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    path = getattr(error, "path", "")
    return f"{text} ({path})" if path and path not in text else text
