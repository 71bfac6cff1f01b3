"""One request about to be carried out."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict

from ..job import Cluster
from ..schedulers import Scheduler
from ..sitemodel import ClusterSite, Site
from .identity import Account
from .jobfolder import JobFolders
from .request import Request
from .running import Runner

Answer = Dict[str, Any]


@dataclasses.dataclass
class Act:
    """Who, where and with what: made by main after all checks of who may ask."""

    request: Request
    site: Site
    where: ClusterSite
    cluster: Cluster
    """As the scheduler's version and family are known now."""
    dialect: Scheduler
    who: Account
    runner: Runner

    def folders(self) -> JobFolders:
        return JobFolders(self.site, self.who)
