"""`hpcspawner discover`: asks the live scheduler and prints a first site file."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from . import discover, schedulers, serverpython
from .fleet import inventory_from
from .job import Cluster
from .run_as import HelperError, Helpers
from .sitemodel import ClusterSite, Site, Way


def detected() -> list[str]:
    """Dialects whose commands are on PATH."""
    found = []
    for name in schedulers.names():
        commands = schedulers.load(name).DETECT
        if commands and all(shutil.which(command) for command in commands):
            found.append(name)
    return found


def described(scheduler: str) -> Cluster:
    """The cluster as the admin's shell sees it."""
    dialect = schedulers.load(scheduler)
    command = (shutil.which(dialect.DETECT[0]) or "") if dialect.DETECT else ""
    directory = str(Path(command).parent) if command else ""
    environment = {name: os.environ[name] for name in dialect.CONFIG_VARIABLES if os.environ.get(name)}
    if directory in ("/usr/bin", "/bin", "/usr/local/bin"):
        directory = ""
    return Cluster(name="main", scheduler=scheduler, commands=directory, environment=environment)


async def run(scheduler: str | None, python: str | None, hub_url: str) -> int:
    """Prints the site file on standard output, advice on standard error; returns an exit code."""
    name = scheduler or _only(detected())
    if name is None:
        return 1
    try:
        text, problems = await made(name, python, hub_url)
    except HelperError as error:
        print(f"hpcspawner discover: {name} does not answer: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    for problem in problems:
        print(f"hpcspawner discover: {problem}", file=sys.stderr)
    return 0


async def made(scheduler: str, python: str | None = None, hub_url: str = "") -> tuple[str, tuple[str, ...]]:
    """A site file's text, and what the scheduler did not tell; raises HelperError where it does not answer."""
    cluster = described(scheduler)
    site = Site(name="discover", clusters={"main": ClusterSite(cluster=cluster, way=Way(kind="self"))})
    with tempfile.TemporaryDirectory() as directory:
        helpers = Helpers(site, "main", directory, None)
        inventory = inventory_from(await helpers.call("inventory", ""))
    probed = helpers.probed or {}
    cluster = dataclasses.replace(cluster, version=probed.get("version", ""), family=probed.get("family", ""))
    text = discover.discover(cluster, inventory, python or serverpython.find(os.environ), hub_url)
    return text, inventory.problems


def _only(found: list[str]) -> str | None:
    if len(found) == 1:
        return found[0]
    told = (
        f"several schedulers are here ({', '.join(found)}); choose one with --scheduler"
        if found
        else ("no scheduler's commands are on PATH; set PATH, or name one with --scheduler")
    )
    print(f"hpcspawner discover: {told} (host {socket.gethostname()})", file=sys.stderr)
    return None
