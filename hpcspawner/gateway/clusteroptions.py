"""What a user may choose for a Dask cluster: the site's own fields, checked where those of the form are checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dask_gateway_server import options as gateway

from .. import menu, options, units
from ..access import Person
from ..job import Inventory
from ..menufield import MenuField
from ..sitemodel import Site

NOT_HERE = ("app", "nodes")
"""Options of servers that mean nothing for workers."""
WORKERS = "workers"
"""Workers in one job; the only option that the form does not have."""

Inventories = Mapping[str, Inventory | None]


@dataclasses.dataclass(frozen=True)
class Asked:
    """A choice, valid and complete."""

    choice: options.Choice
    """Of one job."""
    workers: int
    """Of one job, which share it."""

    @property
    def worker_cores(self) -> int:
        return max(1, (self.choice.cores or 1) // self.workers)

    @property
    def worker_memory(self) -> int:
        """Bytes; for reports and limits."""
        return (self.choice.memory or 2048) * 1024 * 1024 // self.workers


def validate(site: Site, given: Mapping[str, Any], person: Person, inventories: Inventories) -> Asked:
    """Raises options.OptionError: 'cores: 200 is more than 40, ...'."""
    if not isinstance(given, Mapping):
        raise options.OptionError("options", given, "must be a table of names and values")
    asked = dict(given)
    wanted = asked.pop(WORKERS, None)
    for name in NOT_HERE:
        if asked.get(name) not in (None, "", 1, "1"):
            raise options.OptionError(name, asked[name], "is no option of a Dask cluster")
        asked.pop(name, None)
    choice = options.validate(site, asked, person, inventories)
    return Asked(choice, _workers(site, choice, wanted))


def _workers(site: Site, choice: options.Choice, wanted: Any) -> int:
    most = max(1, choice.cores or 1)
    if wanted in (None, "", 0, "0"):
        usual = site.clusters[choice.cluster].dask.workers
        # With GPUs, each worker has one.
        return min(choice.gpus if choice.gpus and usual == 1 else usual, most)
    try:
        count = units.parse_int(wanted)
    except ValueError as error:
        raise options.OptionError(WORKERS, wanted, str(error)) from None
    if count < 1:
        raise options.OptionError(WORKERS, wanted, f"{count} is less than 1")
    if count > most:
        raise options.OptionError(WORKERS, wanted, f"{count} is more than {most}, the cores of a job")
    return count


def describe(site: Site, person: Person, inventories: Inventories) -> gateway.Options:
    """What Gateway().cluster_options() shows: one field for each option that is open in some profile.

    With several profiles an empty value means what the profile says.
    """
    cards = menu.describe(site, person, inventories).cards
    fields: list[Any] = []
    profiles = [card.profile for card in cards if card.profile]
    clusters = list(dict.fromkeys(card.cluster for card in cards))
    if len(cards) > 1 and profiles:
        free = [""] if len(profiles) < len(cards) else []
        fields.append(gateway.Select("profile", [*profiles, *free], label="Profile"))
    if len(clusters) > 1:
        fields.append(gateway.Select("cluster", ["", *clusters] if profiles else clusters, label="Cluster"))
    for name in dict.fromkeys(field.option for card in cards for field in card.fields):
        if name not in NOT_HERE:
            found = [field for card in cards if (field := card.field(name)) is not None]
            fields.append(_exact(found[0]) if len(cards) == 1 else _loose(found))
    fields.append(gateway.Integer(WORKERS, default=0, min=0, label="Workers in one job (0: as usual here)"))
    return gateway.Options(*fields)


def _exact(field: MenuField) -> Any:
    """The field of the only card, with its limits and default."""
    if field.choices:
        names = [name for name, _ in field.choices]
        names = names if field.default in names else [str(field.default or ""), *names]
        return gateway.Select(field.option, names, default=str(field.default or ""), label=_label([field]))
    if field.kind == "count" and str(field.default or "").isdigit():
        low, high = (int(limit) if str(limit or "").isdigit() else None for limit in (field.low, field.high))
        return gateway.Integer(field.option, default=int(field.default or 0), min=low, max=high, label=_label([field]))
    return gateway.String(field.option, default=str(field.default or ""), label=_label([field]))


def _loose(found: list[MenuField]) -> Any:
    if all(field.choices for field in found):
        names = list(dict.fromkeys(name for field in found for name, _ in field.choices if name))
        return gateway.Select(found[0].option, ["", *names], label=_label(found))
    return gateway.String(found[0].option, label=_label(found))


def _label(found: list[MenuField]) -> str:
    field = found[0]
    per = " of one job" if field.option in ("cores", "memory", "gpus") else ""
    limits = {(str(each.low or ""), str(each.high or "")) for each in found}
    low, high = next(iter(limits)) if len(limits) == 1 else ("", "")
    span = f" ({low} to {high})" if low and high else f" (up to {high})" if high else ""
    return f"{field.label.removesuffix(' per node')}{per}{span}"
