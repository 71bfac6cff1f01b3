"""From what a user asked to a Choice that the site allows: one validation for form, URL, REST, Dask and the helper.

Standard library only, and Python 3.8 or newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import offers, units
from .access import Person, may
from .choice import Choice, restored
from .fields import ALIASES, FIELDS, Field, Value
from .job import Inventory, Resources
from .offer import Offer
from .sitemodel import Site

__all__ = ["Choice", "OptionError", "Person", "may", "recheck", "resources", "restored", "validate"]


class OptionError(ValueError):
    """A choice that is not possible. str() is 'cores: 200 is more than 40, the most of profile small'."""

    def __init__(self, field: str, value: Any, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        """Option name."""
        self.value = value
        """As it was given."""
        self.text = text
        """Why, without the field's name."""


def validate(
    site: Site,
    given: Mapping[str, Any],
    person: Person,
    inventories: Mapping[str, Inventory | None] | None = None,
    last: Mapping[str, Any] | None = None,
) -> Choice:
    """The choice, every value checked and every missing one filled in; raises OptionError.

    given holds option names with text, numbers or lists of one of them; an empty value counts as missing. inventories:
    cluster -> what its scheduler shows now, None or left out where that is not known or too old to count. last: the
    choice taken where nothing at all is given, as long as it is still allowed.
    """
    asked = _read(given)
    if not asked and last:
        try:
            return validate(site, last, person, inventories)
        except OptionError:
            pass
    scope = _scope(site, asked, person)
    inventory = (inventories or {}).get(scope.cluster)
    place = _take(offers.partitions(site, scope, person), asked.get("partition"))
    partition = str(place or "")
    offered = offers.offers(site, scope, partition, person, inventory)
    values = {name: _take(offer, asked.get(name)) for name, offer in offered.items()}
    _check_gpus(site, scope.cluster, partition, values)
    profile = scope.profile
    return Choice(
        cluster=scope.cluster,
        profile=profile.name if profile else "",
        partition=partition,
        title=(profile.title or profile.name) if profile else "",
        **values,  # type: ignore[arg-type]
    )


def recheck(site: Site, canonical: Mapping[str, Any], person: Person) -> Choice:
    """The helper's own check of a choice the hub made; raises OptionError. Needs no inventory."""
    return validate(site, canonical, person)


def resources(site: Site, choice: Choice) -> Resources:
    """What the job asks the batch system for."""
    place = site.clusters[choice.cluster].partitions.get(choice.partition)
    profile = site.profiles.get(choice.profile)
    kind = place.gpu_types.get(choice.gpu_type) if place is not None else None
    return Resources(
        nodes=choice.nodes,
        cores=choice.cores,
        memory=choice.memory,
        gpus=choice.gpus,
        gpu_request=kind.request if kind is not None else "",
        walltime=choice.walltime,
        exclusive=bool((place is not None and place.exclusive) or (profile is not None and profile.exclusive)),
    )


# Steps -----------------------------------------------------------------------------------------------------------


def _read(given: Mapping[str, Any]) -> dict[str, Value]:
    """Names known, aliases resolved, values parsed, missing ones left out."""
    found: dict[str, Value] = {}
    for key, value in given.items():
        name = ALIASES.get(key, key) if isinstance(key, str) else ""
        field = FIELDS.get(name)
        if field is None:
            raise OptionError(units.shown(key).strip("'"), value, "is no option; known: {}".format(", ".join(FIELDS)))
        value = _one(field, value)
        if value is None:
            continue
        try:
            parsed = field.parse(value)
        except ValueError as error:
            raise OptionError(field.name, value, str(error)) from None
        if name in found and found[name] != parsed:
            alias = next(other for other in given if other != name and ALIASES.get(other) == name)
            raise OptionError(alias, given[alias], f"means the same as {name}, which is given too")
        found[name] = parsed
    return found


def _one(field: Field, value: Any) -> Any:
    """The value itself where a form or URL gives a list of one; None where it is empty."""
    if isinstance(value, (list, tuple)):
        if len(value) > 1:
            raise OptionError(field.name, value, f"is given {len(value)} times")
        value = value[0] if value else None
    return None if isinstance(value, str) and not value.strip(" ") else value


def _scope(site: Site, asked: Mapping[str, Value], person: Person) -> offers.Scope:
    """The card that is meant. A profile that is not for this person is as unknown as one that does not exist."""
    scopes = offers.scopes(site, person)
    cluster = asked.get("cluster")
    if cluster is not None and cluster not in [scope.cluster for scope in scopes]:
        raise _unknown("cluster", cluster, tuple(dict.fromkeys(scope.cluster for scope in scopes)))
    profiles = {scope.profile.name: scope for scope in scopes if scope.profile is not None}
    if "profile" in asked:
        name = str(asked["profile"])
        if name not in profiles:
            raise _unknown("profile", name, tuple(profiles))
        if cluster not in (None, profiles[name].cluster):
            text = f"{units.shown(cluster)} is not possible, profile {name} is on {profiles[name].cluster}"
            raise OptionError("cluster", cluster, text)
        return profiles[name]
    fitting = [scope for scope in scopes if cluster in (None, scope.cluster)]
    free = [scope for scope in fitting if scope.profile is None]
    # Nothing at all means the first card; single options without a profile mean the free choice where there is one.
    found = free if asked and free else fitting
    if not found:
        raise OptionError("profile", "", "there is no profile that you may use")
    return found[0]


def _unknown(name: str, value: Value, known: tuple[str, ...]) -> OptionError:
    listed = "; known: {}".format(", ".join(known)) if known else ", and there is none that you may use"
    return OptionError(name, value, f"{units.shown(value)} is not known{listed}")


def _take(offer: Offer, value: Value | None) -> Value | None:
    """The given value or the default, checked; the neutral one where the option is not sent."""
    field = offer.field
    try:
        if value is not None:
            offer.check(value)
        if offer.omitted:
            return field.neutral
        if value is None and offer.default not in (None, "", field.neutral):
            # The site's own values pass the same grammar: they reach the same script.
            value = field.parse(offer.default) if isinstance(offer.default, str) else offer.default
            offer.check(value)
    except ValueError as error:
        raise OptionError(field.name, offer.default if value is None else value, str(error)) from None
    return offer.default if value is None else value


def _check_gpus(site: Site, cluster: str, partition: str, values: dict[str, Value | None]) -> None:
    """The most of the chosen type; a type without GPUs means nothing and is dropped."""
    count = int(values.get("gpus") or 0)
    if count == 0:
        values["gpu_type"] = ""
        return
    place = site.clusters[cluster].partitions.get(partition)
    kind = place.gpu_types.get(str(values.get("gpu_type"))) if place is not None else None
    if kind is not None and count > kind.max:
        text = "{} is more than {}, the most of GPU type {} on one node of partition {}"
        raise OptionError("gpus", count, text.format(count, kind.max, values["gpu_type"], partition))
