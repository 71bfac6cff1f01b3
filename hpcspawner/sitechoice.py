"""Which site a hub takes when it starts, and what that allows: address, login, accounts.

HPCSPAWNER_SITE decides. Without it a scheduler whose commands are on PATH counts, and else the demo site, which is
open to nobody but this machine. What can't work, or would run jobs as root, ends the start with the reason.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import secrets
from collections.abc import Callable, Mapping

from . import schedulers, sitefile
from .sitemodel import Site, Way

VARIABLE = "HPCSPAWNER_SITE"
DEMO = "demo"


class NoSite(Exception):
    """The hub must not start; the text says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The site and what goes with it."""

    source: str
    """File or preset: what sitefile.read takes."""
    site: Site
    reasons: tuple[str, ...]
    """How it came to this, in sentences for the hub's log."""
    loopback_only: bool = False
    """The hub must listen on 127.0.0.1 only."""
    password: str | None = None
    """Random, for the login of a trial; None: the hub's own authenticator counts."""
    own_account_only: bool = False
    """Jobs can only run as the hub's account, so nobody else may log in."""


def choose(
    environ: Mapping[str, str],
    path_lookup: Callable[[str], str | None],
    uid: int,
    hub_ip: str,
    discovered: Callable[[str], str] | None = None,
) -> Chosen:
    """The site for a hub with this environment, user id and address that it is to listen on ('': not set).

    path_lookup is shutil.which. discovered makes a site file for a scheduler that was detected and returns its path, or
    raises NoSite; without it a detected scheduler asks the admin for a file. Raises NoSite.
    """
    given = environ.get(VARIABLE, "").strip()
    if given:
        return _chosen(given, uid, hub_ip, [f"{VARIABLE} says {given}."])
    found = detect(path_lookup)
    if len(found) > 1:
        titles = " and ".join(found.values())
        raise NoSite(f"commands of {titles} are on PATH; say with {VARIABLE}=<site file or preset> which site is meant")
    for name, title in found.items():
        reason = f"{VARIABLE} is not set; the commands of {title} are on PATH."
        if discovered is None:
            raise NoSite(
                f"{reason} Write a first site file with `hpcspawner discover > site.yaml`, read it, "
                f"and start again with {VARIABLE}=./site.yaml"
            )
        path = discovered(name)
        made = f"The site file is {path}, made from what it said: read and edit it, or name your own with {VARIABLE}."
        return _chosen(path, uid, hub_ip, [reason, made])
    if not loopback(hub_ip):
        raise NoSite(
            f"{VARIABLE} is not set and no scheduler is on PATH; the demo site is for 127.0.0.1 only, not {hub_ip}. "
            f"Set {VARIABLE} to a site file or preset ({', '.join(sitefile.presets())})"
        )
    return _chosen(DEMO, uid, hub_ip, [f"{VARIABLE} is not set and no scheduler is on PATH: this is the demo site."])


def detect(path_lookup: Callable[[str], str | None]) -> dict[str, str]:
    """Name -> title of the batch systems all of whose commands are on PATH."""
    dialects = {name: schedulers.load(name) for name in schedulers.names()}
    return {
        name: dialect.TITLE
        for name, dialect in dialects.items()
        if dialect.DETECT and all(path_lookup(command) for command in dialect.DETECT)
    }


def loopback(address: str) -> bool:
    """Whether only this machine reaches the address; '' counts, since the hub then takes 127.0.0.1."""
    if address in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def way_kind(way: Way, uid: int) -> str:
    """self | root | sudo | ssh: what 'auto' means for a hub with that user id."""
    if way.kind != "auto":
        return way.kind
    return "root" if uid == 0 else "self"


def _chosen(source: str, uid: int, hub_ip: str, reasons: list[str]) -> Chosen:
    try:
        path = sitefile.find(source)
        site = sitefile.read(source)
    except sitefile.SiteError as error:
        raise NoSite(f"the site can't be used:\n{error}") from None
    own = False
    for name, cluster in site.clusters.items():
        kind = way_kind(cluster.way, uid)
        if kind == "root" and uid != 0:
            raise NoSite(f"cluster {name}: 'way: root' needs a hub that runs as root; use sudo, or self for one user")
        if kind == "self" and uid == 0:
            raise NoSite(f"cluster {name}: 'way: self' would run all jobs as root; leave it out, or write 'way: root'")
        if kind == "self":
            own = True
            reasons.append(f"Jobs of cluster {name} run as the hub's own account; nobody else may log in.")
    preset = sitefile.presets().get(source)
    trial = source == DEMO and preset == path and loopback(hub_ip)
    return Chosen(
        source=source if preset == path else str(path.absolute()),
        site=site,
        reasons=tuple(reasons),
        loopback_only=trial,
        password=secrets.token_urlsafe(12) if trial else None,
        own_account_only=own,
    )
