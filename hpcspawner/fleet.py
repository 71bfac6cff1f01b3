"""What all spawners of one hub process share: the site, one JobQueue a cluster, the helpers, the live inventory."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import sitefile
from .drains import Drains
from .inventory import InventoryCache
from .job import Inventory, PartitionInfo
from .jobqueue import Entry, JobQueue, Journal
from .options import Person
from .run_as import HelperError, Helpers
from .sitemodel import ClusterSite, Site

ACCOUNT_SECONDS = 300.0
"""How long the groups of a user count as fresh."""
_ACCOUNT_RETRY = 5.0
"""How long a failed question for them is not asked again: a submit host that is away must not hold up each form."""


class _Account(NamedTuple):
    """What the helper tells of a user; accounts: those of the scheduler, None: not known."""

    groups: frozenset[str] = frozenset()
    accounts: frozenset[str] | None = None
    home: str = ""


def _names(told: Any) -> frozenset[str] | None:
    return frozenset(map(str, told)) if isinstance(told, (list, tuple)) else None


class Fleet:
    """Begins once, when the first spawner needs it; lives as long as the hub."""

    def __init__(self, site: Site, directory: Path, log: Any) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.site = site
        self.log = log
        self.journal = Journal(directory)
        self.drains = Drains(directory)
        self.helpers = {name: Helpers(site, name, directory, log) for name in site.clusters}
        self.queues = {
            name: JobQueue(site, name, self.journal, self.helpers[name], instance=self.journal.instance, log=log)
            for name in site.clusters
        }
        self.inventory = InventoryCache({name: self._inventory_of(name) for name in site.clusters})
        self._people: dict[str, tuple[float, _Account]] = {}
        self.on_change: Callable[[Entry, Entry], None] = lambda before, after: None
        """Told of each change of a job, before and after it; set before begin()."""
        self._begun: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[Any]] = set()

    def begin(self, known: Callable[[], Iterable[str]]) -> asyncio.Task[None]:
        """Starts the queues; known() names the tags that the hub's database holds. A second call changes nothing."""
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_task(self._begin(known))
        return self._begun

    async def _begin(self, known: Callable[[], Iterable[str]]) -> None:
        for queue in self.queues.values():
            queue.on_change(self.on_change)
            await queue.begin()
        for queue in self.queues.values():
            report = await queue.sweep(set(known()))
            if report.orphans:
                self.log.warning("Jobs that no server of this hub knows: %s", report)

    async def ready(self) -> None:
        """Until the queues have read their journal. Cancelling the caller doesn't cancel the beginning."""
        if self._begun is None:
            raise RuntimeError("begin() comes first")
        await asyncio.shield(self._begun)

    def cluster(self, name: str) -> ClusterSite:
        return self.site.clusters[name]

    def inventories(self) -> dict[str, Inventory | None]:
        """The last good answer of each cluster, from memory."""
        return {name: self.inventory.get(name).inventory for name in self.site.clusters}

    async def person(self, name: str, hub_groups: Iterable[str], *, admin: bool = False) -> Person:
        """Who asks: system groups (by the helper, where the accounts are) and the hub's own groups together."""
        account = await self._account(name)
        groups = account.groups | frozenset(hub_groups)
        return Person(name=name, groups=groups, accounts=account.accounts, admin=admin)

    async def home(self, name: str) -> str:
        """The home directory where the jobs are submitted; '' where it is not known."""
        return (await self._account(name)).home

    async def _account(self, name: str) -> _Account:
        cached = self._people.get(name)
        if cached and time.monotonic() - cached[0] < ACCOUNT_SECONDS:
            return cached[1]
        helpers = next(iter(self.helpers.values()))
        asked, fresh = time.monotonic(), ACCOUNT_SECONDS
        try:
            answer = await helpers.call("account", "", timeout=15, name=name)
            account = _Account(
                groups=_names(answer.get("groups")) or frozenset(),
                accounts=_names(answer.get("accounts")),
                home=str(answer.get("home") or ""),
            )
        except HelperError as error:
            # A directory that does not answer takes nobody's groups away.
            self.log.warning("Groups of %s could not be read: %s", name, error)
            account, fresh = cached[1] if cached else _Account(), _ACCOUNT_RETRY
        self._people[name] = (asked - ACCOUNT_SECONDS + fresh, account)
        return account

    def later(self, work: Any) -> None:
        """Runs a coroutine in the background; an error is logged."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("Background work failed", exc_info=task.exception())

    def _inventory_of(self, name: str) -> Callable[[], Any]:
        async def ask() -> Inventory:
            answer = await self.helpers[name].call("inventory", "")
            return inventory_from(answer)

        return ask


def inventory_from(answer: Mapping[str, Any]) -> Inventory:
    """The helper's answer to 'inventory' as values."""
    partitions = []
    for row in answer.get("partitions", ()):
        fields = dict(row)
        fields["groups"] = tuple(fields.get("groups", ()))
        partitions.append(PartitionInfo(**fields))
    return Inventory(
        partitions=tuple(partitions),
        max_array=answer.get("max_array"),
        problems=tuple(answer.get("problems", ())),
    )


_fleets: dict[tuple[str, str], Fleet] = {}


def fleet(site: str, directory: str, log: Any = None) -> Fleet:
    """The fleet of this process for that site file (or preset) and state directory; read once."""
    key = (site, os.path.abspath(directory))
    if key not in _fleets:
        _fleets[key] = Fleet(sitefile.read(site), Path(directory), log or logging.getLogger("hpcspawner"))
    return _fleets[key]


def fleets() -> list[Fleet]:
    """All fleets of this process; one as a rule."""
    return list(_fleets.values())
