"""What a site must fulfil beyond the types of its values: names that exist, paths, addresses, networks, directives.

Works on a Site, wherever it came from. Each problem is (dotted path of the field, words).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from . import legacyoptions, schedulers, sitefieldcheck
from .fields import FIELDS
from .job import Inventory, plain
from .sitedirectives import directive_problem
from .sitekeys import OMITTABLE, spelling
from .sitemodel import SITE_FORMAT, App, ClusterSite, Environment, Profile, Rules, Site, Way
from .units import shown

Found = Iterator[tuple[str, str]]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
HOST_AND_PORT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(:[1-9][0-9]{0,4})?\Z")
PREFIX = re.compile(r"[A-Za-z0-9]{1,12}\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
INTERFACE = re.compile(r"interface:[A-Za-z0-9_.@-]{1,15}\Z")
TEMPLATE = re.compile(r"[A-Za-z0-9.-]*\{(node|fqdn)\}[A-Za-z0-9.-]*\Z")
PLACEHOLDER = re.compile(r"\{[^}]*\}?")

NOWHERE = ("localhost", "::1", "0.0.0.0", "::")  # noqa: S104 (refused, not bound)


def check(site: Site, inventory: Inventory | Mapping[str, Inventory] | None = None) -> list[tuple[str, str]]:
    """All problems, in no special order."""
    found = [*_site(site), *_printable(plain(site), ())]
    for name, cluster in site.clusters.items():
        found += _cluster(name, cluster)
    for name, environment in site.environments.items():
        found += _environment(site, name, environment)
    for name, app in site.apps.items():
        found += _app(name, app)
    for name, profile in site.profiles.items():
        found += _profile(site, name, profile)
    if isinstance(inventory, Inventory):
        inventory = {next(iter(site.clusters), ""): inventory}
    found += sitefieldcheck.check(site, inventory or {})
    return found


def _site(site: Site) -> Found:
    if not site.name:
        yield "name", "is empty"
    if not PREFIX.match(site.prefix):
        yield "prefix", f"{shown(site.prefix)} must be 1 to 12 letters and digits"
    if not site.clusters:
        yield "clusters", "there is none; the site needs at least one cluster"
    if not site.profiles and not site.free_choice:
        yield "profiles", "there is none; give one, or write 'free_choice: true'"
    if site.format > SITE_FORMAT:
        yield "format", f"{site.format} is newer than this hpcspawner reads (up to {SITE_FORMAT})"
    for number, name in enumerate(site.legacy_options):
        if legacyoptions.problem(name):
            yield f"legacy_options[{number}]", legacyoptions.problem(name)
    if site.legacy_options and not site.allow_scripts:
        yield "legacy_options", "are of use with allow_scripts: true only"
    yield from _directory("state_dir", site.state_dir)
    if site.log_dir:
        yield from _directory("log_dir", site.log_dir)


def _cluster(name: str, cluster: ClusterSite) -> Found:
    path = f"clusters.{name}"
    yield from _name(path, name)
    scheduler = cluster.cluster.scheduler
    if scheduler not in schedulers.names():
        known = spelling(scheduler, schedulers.names())
        yield f"{path}.scheduler", f"{shown(scheduler)} is not known{known}"
    if cluster.cluster.commands:
        yield from _absolute(f"{path}.commands", cluster.cluster.commands)
    dialect = sitefieldcheck.dialect(cluster)
    for switch in cluster.cluster.switches if dialect else ():
        if dialect and switch not in dialect.SWITCHES:
            yield f"{path}.switches.{switch}", "is no switch of this scheduler" + spelling(switch, dialect.SWITCHES)
    for where, variables in (("environment", cluster.cluster.environment), ("proxies", cluster.proxies)):
        for variable in variables:
            if not VARIABLE.match(variable):
                yield f"{path}.{where}.{variable}", "is no name of a variable"
    yield from _way(f"{path}.way", cluster.way)
    yield from _python(f"{path}.server.python", cluster.server.python)
    yield from _network(path, cluster, bool(dialect and dialect.LOCAL))
    yield from _dask(f"{path}.dask", cluster)
    yield from _directives(path, scheduler, cluster.directives)
    for number, account in enumerate(cluster.accounts):
        yield from _option(f"{path}.accounts[{number}]", "account", account)
    for account, rules in cluster.account_rules.items():
        if cluster.accounts and account not in cluster.accounts:
            yield f"{path}.account_rules.{account}", "is not in accounts" + spelling(account, cluster.accounts)
        yield from _rules(f"{path}.account_rules.{account}", rules)
    for partition in cluster.partitions.values():
        below = f"{path}.partitions.{partition.name}"
        yield from _option(below, "partition", partition.name)
        yield from _rules(f"{below}.rules", partition.rules)
        yield from _directives(below, scheduler, partition.directives)
        for number, option in enumerate(partition.omit):
            if option not in OMITTABLE:
                yield f"{below}.omit[{number}]", f"{shown(option)} can't be left out" + spelling(option, OMITTABLE)
        for gpu in partition.gpu_types:
            yield from _option(f"{below}.gpu_types.{gpu}", "gpu_type", gpu)


def _dask(path: str, cluster: ClusterSite) -> Found:
    dask = cluster.dask
    yield from _python(f"{path}.python", dask.python)
    if dask.scheduler_partition and dask.scheduler_partition not in cluster.partitions:
        known = spelling(dask.scheduler_partition, cluster.partitions)
        yield f"{path}.scheduler_partition", f"there is no partition {shown(dask.scheduler_partition)}{known}"
    if dask.scratch:
        yield from _absolute(f"{path}.scratch", dask.scratch)
    if dask.headroom > 90:
        yield f"{path}.headroom", f"{dask.headroom} is more than 90 per cent"
    yield from _ports(f"{path}.ports", dask.ports)
    if dask.address and not INTERFACE.match(dask.address):
        try:
            ipaddress.ip_network(dask.address)
        except ValueError:
            yield f"{path}.address", f"{shown(dask.address)} is neither interface:NAME nor a network (10.1.0.0/16)"


def _network(path: str, cluster: ClusterSite, local: bool) -> Found:
    address = cluster.address
    simple = address in ("hostname", "fqdn") or INTERFACE.match(address)
    if not simple and not TEMPLATE.match(address):
        words = "must be hostname, fqdn, interface:NAME or a template with {node}, such as {node}-ib0.cluster"
        yield f"{path}.address", f"{shown(address)} {words}"
    yield from _ports(f"{path}.ports", cluster.ports)
    for number, network in enumerate(cluster.node_networks):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"{path}.node_networks[{number}]", f"{error}; write it like 10.0.0.0/16"
    if cluster.hub_url:
        yield from _url(f"{path}.hub_url", cluster.hub_url, local)


def _ports(path: str, ports: tuple[int, int]) -> Found:
    low, high = ports
    if (low, high) != (0, 0) and not 1024 <= low <= high <= 65535:
        yield path, f"{low}-{high} is no range of ports within 1024-65535"


def _url(path: str, url: str, local: bool) -> Found:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        yield path, f"{shown(url)} is no URL: {error}"
        return
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not url.endswith("/api"):
        yield path, f"{shown(url)} must look like http://hub.example.org:8081/hub/api"
    elif not local and (host in NOWHERE or host.startswith("127.")):
        yield path, f"{host} means another machine on each node; give an address that nodes can reach"


def _way(path: str, way: Way) -> Found:
    for name in ("helper", "python", "sudo"):
        yield from _absolute(f"{path}.{name}", getattr(way, name))
    for name in ("host", "account", "identity", "known_hosts"):
        value = getattr(way, name)
        if way.kind != "ssh" and value:
            yield f"{path}.{name}", f"is of use for ssh only, and the kind is {way.kind}"
        elif way.kind == "ssh" and not value:
            yield f"{path}.{name}", "is missing; ssh needs it"
        elif name == "account" and value and not HOST.match(value):
            yield f"{path}.{name}", f"{shown(value)} is no plain name"
        elif name == "host" and value and not HOST_AND_PORT.match(value):
            yield f"{path}.{name}", f"{shown(value)} is no host name, with or without :PORT"
        elif name in ("identity", "known_hosts") and value:
            yield from _absolute(f"{path}.{name}", value, home=True)


def _environment(site: Site, name: str, environment: Environment) -> Found:
    path = f"environments.{name}"
    yield from _name(path, name)
    yield from _python(f"{path}.python", environment.python)
    yield from _rules(f"{path}.rules", environment.rules)
    for number, cluster in enumerate(environment.clusters):
        if cluster not in site.clusters:
            yield f"{path}.clusters[{number}]", f"{shown(cluster)} is no cluster" + spelling(cluster, site.clusters)


def _app(name: str, app: App) -> Found:
    path = f"apps.{name}"
    yield from _name(path, name)
    yield from _rules(f"{path}.rules", app.rules)
    if not app.url.startswith("/") or app.url.startswith("//"):
        yield f"{path}.url", f"{shown(app.url)} must begin with one '/'"
    if app.command and not any("{port}" in word for word in app.command):
        yield f"{path}.command", "must hold {port}, or the server could not be told where to listen"


def _profile(site: Site, name: str, profile: Profile) -> Found:
    path = f"profiles.{name}"
    yield from _name(path, name)
    yield from _rules(f"{path}.rules", profile.rules)
    if profile.cluster and profile.cluster not in site.clusters:
        yield f"{path}.cluster", f"{shown(profile.cluster)} is no cluster" + spelling(profile.cluster, site.clusters)
        return
    cluster = sitefieldcheck.cluster_of(site, profile)
    if cluster:
        yield from _directives(path, cluster.cluster.scheduler, profile.directives)


def _directives(path: str, scheduler: str, lines: Sequence[str]) -> Found:
    for number, line in enumerate(lines):
        problem = directive_problem(scheduler, line)
        if problem:
            yield f"{path}.directives[{number}]", problem


def _rules(path: str, rules: Rules) -> Found:
    for kind in ("users", "groups", "accounts"):
        for number, name in enumerate(getattr(rules, kind)):
            if not name or name != name.strip():
                yield f"{path}.{kind}[{number}]", f"{shown(name)} is no name"


def _name(path: str, name: str) -> Found:
    if not NAME.match(name):
        yield path, f"{shown(name)} is no name: letters, digits, '.', '_' and '-', at most 64"


def _option(path: str, option: str, value: str) -> Found:
    """A name that is to be the value of an option must pass as one."""
    try:
        FIELDS[option].parse(value)
    except ValueError as error:
        yield path, str(error)


def _python(path: str, python: str) -> Found:
    if "/" in python:
        yield from _absolute(path, python, home=True)
    elif not NAME.match(python):
        yield path, f"{shown(python)} must be a path, or the name of a command that 'setup' puts on PATH"


def _directory(path: str, directory: str) -> Found:
    wrong = set(PLACEHOLDER.findall(directory)) - {"{user}", "{home}"}
    if wrong:
        yield path, f"{shown(min(wrong))} is not replaced; known are {{user}} and {{home}}"
    if not directory.startswith(("/", "~/", "{home}/")) and directory not in ("~", "{home}"):
        yield path, f"{shown(directory)} must begin with '/', '~' or {{home}}"
    elif ".." in directory.split("/"):
        yield path, f"{shown(directory)} must not hold '..'"
    elif "{user}" not in directory and directory.startswith("/"):
        yield path, f"{shown(directory)} would be the same for all users; put {{user}} into it"


def _absolute(path: str, value: str, home: bool = False) -> Found:
    if not value.startswith("/") and not (home and value.startswith(("~/", "{home}/"))):
        also = " or '~/'" if home else ""
        yield path, f"{shown(value)} must begin with '/'{also}"


def _printable(data: Any, path: tuple[str, ...]) -> Found:
    """Control characters have no place in a site, but for line feeds and tabs in what a shell or program reads."""
    if isinstance(data, dict):
        for key, item in data.items():
            # The model keeps the scheduler's settings one level deeper than the file.
            hidden = len(path) == 2 and path[0] == "clusters" and key == "cluster"
            yield from _printable(item, path if hidden else (*path, str(key)))
    elif isinstance(data, list):
        for number, item in enumerate(data):
            yield from _printable(item, (*path[:-1], f"{path[-1]}[{number}]"))
    elif isinstance(data, str):
        if path[-1].startswith("directives"):  # told in their own words
            return
        words = path[-1].startswith(("setup", "command", "wrap"))
        if not (data.replace("\t", "").replace("\n", "") if words else data).isprintable():
            yield ".".join(path), f"{shown(data)} holds control characters"
