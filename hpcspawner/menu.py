"""What a form shows to one person: the cards they may use, and for each the options with unit, default and limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import cards, limits, menufields, offers, options
from .access import Person
from .job import Inventory
from .menufield import MenuField
from .sitemodel import Site

FREE_TITLE = "Choose yourself"
FREE_WORDS = "Give every option yourself; what you leave empty is up to the scheduler."


@dataclasses.dataclass(frozen=True)
class Card:
    """A profile, or the free choice on a cluster."""

    key: str
    """The profile's name, or '@' and the cluster's for the free choice."""
    profile: str
    cluster: str
    title: str
    description: str
    facts: tuple[str, ...] = ()
    live: cards.Live = cards.NOT_KNOWN
    problem: str = ""
    """Why it can't be started with its defaults at present."""
    fields: tuple[MenuField, ...] = ()

    def field(self, option: str) -> MenuField | None:
        return next((field for field in self.fields if field.option == option), None)


@dataclasses.dataclass(frozen=True)
class ClusterMenu:
    name: str
    title: str
    cards: tuple[Card, ...]
    age: float | None = None
    """Seconds since the scheduler told the live figures; None: not known."""


@dataclasses.dataclass(frozen=True)
class Menu:
    title: str
    clusters: tuple[ClusterMenu, ...]

    @property
    def cards(self) -> tuple[Card, ...]:
        return tuple(card for cluster in self.clusters for card in cluster.cards)

    def card(self, key: str) -> Card | None:
        return next((card for card in self.cards if card.key == key), None)


def describe(
    site: Site,
    person: Person,
    inventories: Mapping[str, Inventory | None] | None = None,
    ages: Mapping[str, float | None] | None = None,
) -> Menu:
    """The menu of a person. inventories and their ages (seconds) are by cluster; None or left out: not known."""
    inventories = inventories or {}
    found: dict[str, list[Card]] = {}
    for scope in offers.scopes(site, person):
        found.setdefault(scope.cluster, []).append(_card(site, scope, person, inventories.get(scope.cluster)))
    clusters = (
        ClusterMenu(name, cluster.title or name, tuple(found[name]), (ages or {}).get(name))
        for name, cluster in site.clusters.items()
        if name in found
    )
    return Menu(site.title or site.name, tuple(clusters))


def as_dict(menu: Menu) -> dict[str, Any]:
    """For JSON."""
    return dataclasses.asdict(menu)


def key_of(choice: Mapping[str, Any]) -> str:
    """The card that options, canonical or as posted, belong to; empty where they name none."""
    profile, cluster = _text(choice.get("profile")), _text(choice.get("cluster"))
    return profile or (f"@{cluster}" if cluster else "")


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else ""


def _card(site: Site, scope: offers.Scope, person: Person, inventory: Inventory | None) -> Card:
    asked = {"profile": scope.profile.name} if scope.profile else {"cluster": scope.cluster}
    live = {scope.cluster: inventory}
    problem = ""
    try:
        choice = options.validate(site, asked, person, live)
    except options.OptionError as error:
        # An error of the site file, or a cluster that shrank: the card stays and says so.
        choice, problem = options.Choice(cluster=scope.cluster), str(error)
    whole = cards.whole_nodes(site, choice)
    profile = scope.profile
    return Card(
        key=profile.name if profile else f"@{scope.cluster}",
        profile=profile.name if profile else "",
        cluster=scope.cluster,
        title=(profile.title or profile.name) if profile else FREE_TITLE,
        description=profile.description if profile else FREE_WORDS,
        facts=cards.facts(site, choice, limits.partition_info(inventory, choice.partition)) if profile else (),
        live=cards.live(inventory, choice, whole=whole),
        problem=problem,
        fields=menufields.describe(site, scope, person, inventory),
    )
