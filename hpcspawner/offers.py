"""What one person may choose: the site's limits, partitions, profiles and rules put together for each option.

Standard library only, and Python 3.8 or newer: the helper repeats the check. The live inventory only narrows what may
be chosen and never changes what is fixed, so that a choice the hub accepted is accepted by a helper that knows none.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from . import limits, schedulers
from .access import Person, may
from .fields import FIELDS, Field, Value
from .job import Inventory
from .limits import Layers
from .offer import Offer
from .sitemodel import ClusterSite, FieldRule, Partition, Profile, Site

ALWAYS_OPEN = ("account", "environment", "app", "workdir")
"""Options that a profile leaves to the user unless it says otherwise; all else a profile has to name."""

NO_DIRECTIVE = ("environment", "app", "workdir")
"""Options that a batch system does not have to carry."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """A card of the form: a profile, or the free choice on one cluster."""

    cluster: str
    profile: Profile | None = None

    def opens(self, option: str) -> bool:
        return self.profile is None or option in self.profile.fields or option in ALWAYS_OPEN

    @property
    def words(self) -> str:
        return f"profile {self.profile.name}" if self.profile else f"cluster {self.cluster}"


def scopes(site: Site, person: Person) -> list[Scope]:
    """What this person may start with, in the order of the site file; the free choice comes last."""
    found = [
        Scope(profile.cluster or next(iter(site.clusters), ""), profile)
        for profile in site.profiles.values()
        if may(profile.rules, person)
    ]
    if site.free_choice:
        found.extend(Scope(name) for name in site.clusters)
    return [scope for scope in found if _startable(site, scope, person)]


def partitions(site: Site, scope: Scope, person: Person) -> Offer:
    """The partitions of a scope; default None where there are some but none for this person."""
    cluster = site.clusters[scope.cluster]
    names = [name for name, partition in cluster.partitions.items() if may(partition.rules, person)]
    offer = _named(FIELDS["partition"], names, _layers(site, scope, None, "partition"), scope)
    missing = _not_carried(cluster, "partition")
    if missing or not cluster.partitions:
        return dataclasses.replace(offer, default="", omitted=missing or "the site lists no partitions")
    return dataclasses.replace(offer, default=offer.default or None)


def offers(
    site: Site, scope: Scope, partition: str, person: Person, inventory: Inventory | None = None
) -> dict[str, Offer]:
    """Every option but cluster, profile and partition, in the order of the form."""
    cluster = site.clusters[scope.cluster]
    place = cluster.partitions.get(partition)
    info = limits.partition_info(inventory, partition)
    found: dict[str, Offer] = {}
    for name, field in FIELDS.items():
        if name in ("cluster", "profile", "partition"):
            continue
        layers = _layers(site, scope, place, name)
        if field.numeric:
            offer = limits.narrowed(base(field, layers, scope), layers, place, info)
        elif name == "account":
            offer = _account(cluster, person, layers, scope)
        elif name in ("environment", "app", "gpu_type"):
            offer = _named(field, _names(site, scope, place, person, name), layers, scope)
        else:
            offer = dataclasses.replace(base(field, layers, scope), choices=limits.allowed(layers))
        omitted = _not_carried(cluster, name) or _left_out(place, name)
        found[name] = dataclasses.replace(offer, omitted=omitted)
    return found


def base(field: Field, layers: Layers, scope: Scope) -> Offer:
    """Default and who fixes it: the most general rule that fixes wins, else the most special default."""
    default, closed, hidden = field.neutral, "", False
    for rule, where in layers:
        hidden = hidden or rule.hidden
        if closed:
            continue
        if rule.default is not None:
            default = rule.default
        elif rule.choices and default not in rule.choices:
            default = rule.choices[0]
        if rule.fixed or rule.hidden:
            closed = where
    if not closed and not scope.opens(field.name):
        closed = scope.words
    return Offer(field, default, closed=closed, hidden=hidden)


def _startable(site: Site, scope: Scope, person: Person) -> bool:
    """A profile whose every partition is closed to the person is none for them."""
    return scope.cluster in site.clusters and partitions(site, scope, person).default is not None


def _layers(site: Site, scope: Scope, place: Partition | None, option: str) -> Layers:
    """The rules for an option, the most general first, each with its name for people."""
    sources: list[tuple[Mapping[str, FieldRule], str]] = [(site.fields, "this site")]
    if place is not None:
        sources.append((place.fields, f"partition {place.name}"))
    if scope.profile is not None:
        sources.append((scope.profile.fields, scope.words))
    return [(rules[option], where) for rules, where in sources if option in rules]


def _named(field: Field, names: list[str], layers: Layers, scope: Scope) -> Offer:
    """One of the site's own names; the first one is the default where no rule has another."""
    offer = base(field, layers, scope)
    listed = limits.allowed(layers)
    choices = tuple(name for name in (names if listed is None else listed) if name in names)
    default: Value | None = offer.default
    fixed = any(rule.fixed or rule.hidden for rule, _ in layers)
    if default not in choices:
        # A fixed name that is not for this person must not turn into another one.
        default = "" if fixed and default else next(iter(choices), "")
    return dataclasses.replace(offer, default=default, choices=choices)


def _account(cluster: ClusterSite, person: Person, layers: Layers, scope: Scope) -> Offer:
    """Accounts have no first one as default: without one, the scheduler's default account of the user holds."""
    offer = base(FIELDS["account"], layers, scope)
    closed = tuple(name for name, rules in cluster.account_rules.items() if not may(rules, person))
    listed = limits.allowed(layers)
    if listed is None and cluster.accounts:
        listed = cluster.accounts
    if person.accounts is not None:
        mine = person.accounts
        listed = tuple(sorted(mine)) if listed is None else tuple(name for name in listed if name in mine)
    choices = None if listed is None else tuple(name for name in listed if name not in closed)
    if choices is not None and offer.default not in choices and not offer.closed:
        offer = dataclasses.replace(offer, default="")
    return dataclasses.replace(offer, choices=choices, excluded=closed)


def _names(site: Site, scope: Scope, place: Partition | None, person: Person, option: str) -> list[str]:
    if option == "gpu_type":
        return list(place.gpu_types) if place else []
    if option == "app":
        return [name for name, app in site.apps.items() if may(app.rules, person)]
    return [
        name
        for name, environment in site.environments.items()
        if may(environment.rules, person) and (not environment.clusters or scope.cluster in environment.clusters)
    ]


# Loading looks into the package's folder each time; a form asks once for each option.
_dialect = functools.lru_cache(maxsize=None)(schedulers.load)


def _not_carried(cluster: ClusterSite, option: str) -> str:
    """Why jobs of this batch system can't have the option; empty where they can."""
    dialect = _dialect(cluster.cluster.scheduler)
    if option in NO_DIRECTIVE or option in dialect.FIELDS:
        return ""
    return f"jobs of {dialect.TITLE} have no such option"


def _left_out(place: Partition | None, option: str) -> str:
    return f"partition {place.name} takes none" if place is not None and option in place.omit else ""
