"""The fields of a card: one for each option that may be chosen, with limits in words, over all its partitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from . import cards, limits, offers
from .access import Person
from .fields import COUNT, FIELDS, WALLTIME, Field, Value
from .job import Inventory
from .menufield import MenuField, Part
from .offer import Limit, Offer
from .sitemodel import Site

PER_NODE = ("cores", "memory", "gpus")
ORDER = (
    "cores",
    "memory",
    "gpus",
    "gpu_type",
    "nodes",
    "walltime",
    "environment",
    "app",
    "account",
    "qos",
    "reservation",
    "workdir",
)
"""Options after those that a profile names, which stand in its own order."""
ASIDE = ("account", "qos", "reservation", "workdir")
"""Options that stand below 'More options' unless there is a list to choose from or a profile names them."""
HOUR = 3600
USUAL_WALLTIMES = tuple(HOUR * hours for hours in (1, 2, 4, 8, 12, 24, 48, 72, 168))


@dataclasses.dataclass(frozen=True)
class _Where:
    """The card that fields are described for."""

    site: Site
    scope: offers.Scope
    partition: str
    """The default one."""
    gpus: Mapping[str, Limit | None]
    """Most GPUs by partition."""


def describe(site: Site, scope: offers.Scope, person: Person, inventory: Inventory | None) -> tuple[MenuField, ...]:
    """The open options of a scope in the order of the form."""
    place = offers.partitions(site, scope, person)
    names = [str(name) for name in place.choices or ()] if place.open else [str(place.default or "")]
    default = str(place.default or "")
    by_place = {name: offers.offers(site, scope, name, person, inventory) for name in names or [""]}
    found: list[MenuField] = []
    gpus = {name: place_offers["gpus"].high for name, place_offers in by_place.items()}
    where = _Where(site, scope, default, gpus)
    if place.open and len(names) > 1:
        found.append(_partition(site, scope, names, default, inventory))
    named = [option for option in (scope.profile.fields if scope.profile else ()) if option in ORDER]
    for option in dict.fromkeys((*named, *ORDER)):
        offered = {name: place_offers[option] for name, place_offers in by_place.items()}
        if any(_asked(offer) for offer in offered.values()):
            found.append(_field(where, FIELDS[option], offered))
    return tuple(found)


def _asked(offer: Offer) -> bool:
    """Whether there is something to choose at all."""
    if not offer.open or offer.hidden:
        return False
    if offer.field.numeric and offer.high is not None and offer.high.value <= (offer.low.value if offer.low else 0):
        return False
    if offer.choices is None:
        return True
    return len(offer.choices) > 1 or (len(offer.choices) == 1 and offer.default != offer.choices[0])


def _partition(
    site: Site, scope: offers.Scope, names: list[str], default: str, inventory: Inventory | None
) -> MenuField:
    field = FIELDS["partition"]
    places = site.clusters[scope.cluster].partitions
    choices = []
    for name in names:
        info = limits.partition_info(inventory, name)
        title = places[name].title or name
        free = cards.free_cores(info) if info else ""
        choices.append((name, f"{title}: {free}" if free else title))
    return MenuField(field.name, field.label, field.kind, field.help, default, choices=tuple(choices))


def _field(where: _Where, field: Field, offered: Mapping[str, Offer]) -> MenuField:
    used = {name: offer for name, offer in offered.items() if _asked(offer)}
    scope = where.scope
    main = used.get(where.partition, next(iter(used.values())))
    lows = [offer.low for offer in used.values()]
    highs = [offer.high for offer in used.values()]
    low = None if None in lows else min(limit.value for limit in lows if limit)
    high = None if None in highs else max(limit.value for limit in highs if limit)
    if field.numeric and low is None:
        low = field.least
    label = field.label + (" per node" if field.name in PER_NODE and scope.opens("nodes") else "")
    parts = _parts(field, offered) if len(offered) > 1 else {}
    choices = tuple(_choices(where, field, used))
    found = MenuField(
        option=field.name,
        label=label,
        kind=field.kind,
        default="" if field.name == "gpu_type" and parts else _text(field, main.default),
        low=_text(field, low),
        high=_text(field, high),
        choices=choices,
        blank=_blank(field, main, parts),
        suggestions=_suggestions(field, low, high),
        aside=field.name in ASIDE and not (choices or (scope.profile and field.name in scope.profile.fields)),
        parts=parts,
    )
    return dataclasses.replace(found, help=" ".join(words for words in _help(field, found, low, high) if words))


def _text(field: Field, value: Value | None) -> str:
    return "" if value is None else field.text(value)


def _choices(where: _Where, field: Field, used: Mapping[str, Offer]) -> Iterator[tuple[str, str]]:
    if any(offer.choices is None for offer in used.values()):
        return
    values = dict.fromkeys(value for offer in used.values() for value in offer.choices or ())
    for value in values:
        yield field.text(value), _words(where, field, value, used)


def _words(where: _Where, field: Field, value: Value, used: Mapping[str, Offer]) -> str:
    name, site = str(value), where.site
    if field.name == "environment":
        return site.environments[name].title or name
    if field.name == "app":
        return site.apps[name].title or name
    if field.name == "gpu_type":
        return _gpu_words(where, name, [place for place, offer in used.items() if name in (offer.choices or ())])
    return field.say(value)


def _gpu_words(where: _Where, name: str, places: list[str]) -> str:
    """'NVIDIA A100 (up to 4)', with the partition where the card has several."""
    partitions = where.site.clusters[where.scope.cluster].partitions
    most = 0
    for place in places:
        limit = where.gpus[place]
        most = max(most, min(partitions[place].gpu_types[name].max, limit.value if limit else 10**6))
    apart = ", " + "/".join(partitions[place].title or place for place in places) if len(where.gpus) > 1 else ""
    return f"{partitions[places[0]].gpu_types[name].title or name} (up to {most}{apart})"


def _blank(field: Field, offer: Offer, parts: Mapping[str, Part]) -> str:
    """A list needs an empty entry where giving nothing is a choice of its own."""
    if field.name == "gpu_type" and parts:
        # A type of one partition must not be posted, without a thought, with another partition.
        return "The usual type"
    if field.name == "account" and offer.default in (None, ""):
        return "Your default account"
    return "Default" if offer.default in (None, "") else ""


def _parts(field: Field, offered: Mapping[str, Offer]) -> dict[str, Part]:
    found = {
        name: Part(
            _text(field, offer.low.value if offer.low else None),
            _text(field, offer.high.value if offer.high else None),
            _text(field, offer.default),
            offer.omitted or ("" if _asked(offer) else "nothing to choose here"),
        )
        for name, offer in offered.items()
    }
    return found if len(set(found.values())) > 1 else {}


def _suggestions(field: Field, low: int | None, high: int | None) -> tuple[tuple[str, str], ...]:
    if field.kind != WALLTIME:
        return ()
    fitting = [value for value in USUAL_WALLTIMES if value >= (low or 0) and (high is None or value <= high)]
    if high is not None and high not in fitting:
        fitting.append(high)
    return tuple((field.text(value), field.say(value)) for value in fitting)


def _help(field: Field, found: MenuField, low: int | None, high: int | None) -> Iterator[str]:
    if field.numeric and found.choices:
        return
    if field.numeric:
        apart = [words for name, part in found.parts.items() for words in _part_words(field, name, part)]
        yield "; ".join(apart) + "." if apart else _range_words(field, low, high)
    yield field.help
    if field.numeric and not found.default:
        yield "Empty: the scheduler's default."


def _range_words(field: Field, low: int | None, high: int | None) -> str:
    bounded = low is not None and low > field.least
    if high is None:
        return f"At least {field.say(low)}." if bounded and low else ""
    if not bounded or low is None:
        return f"Up to {field.say(high)}."
    return f"{low if field.kind == COUNT else field.say(low)} to {field.say(high)}."


def _part_words(field: Field, name: str, part: Part) -> Iterator[str]:
    if part.off:
        yield f"{name}: none"
    elif part.high:
        yield f"{name}: up to {field.say(field.parse(part.high))}"
