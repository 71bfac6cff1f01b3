"""Limits of the options that are numbers: the tightest of site, partition, profile and live inventory.

Standard library only, and Python 3.8 or newer.
"""

from __future__ import annotations

import dataclasses
from typing import List, Tuple  # noqa: UP035

from .fields import Value
from .job import Inventory, PartitionInfo
from .offer import Limit, Offer
from .sitemodel import FieldRule, Partition

Layers = List[Tuple[FieldRule, str]]  # noqa: UP006 (evaluated, and Python 3.8 has no other)
"""Rules for one option, the most general first, each with who sets it in words."""


def partition_info(inventory: Inventory | None, partition: str) -> PartitionInfo | None:
    """The live figures of a partition, of the default one where no name is given; None where they are not known."""
    if inventory is None:
        return None
    if partition:
        return next((info for info in inventory.partitions if info.name == partition), None)
    if len(inventory.partitions) == 1:
        return inventory.partitions[0]
    return next((info for info in inventory.partitions if info.default), None)


def allowed(layers: Layers) -> tuple[Value, ...] | None:
    """Values that every rule allows, in the order of the most special one; None: no rule lists values."""
    lists = [rule.choices for rule, _ in layers if rule.choices]
    if not lists:
        return None
    return tuple(value for value in lists[-1] if all(value in others for others in lists))


def narrowed(offer: Offer, layers: Layers, place: Partition | None, info: PartitionInfo | None) -> Offer:
    """The offer with limits. What is fixed stays as it is: a limit then makes an error, never another value."""
    lows = [Limit(rule.min, where) for rule, where in layers if rule.min is not None]
    highs = [Limit(rule.max, where) for rule, where in layers if rule.max is not None]
    offer = dataclasses.replace(offer, choices=allowed(layers))
    if offer.field.name == "gpus":
        highs += _gpus(offer, highs, place)
    fixed = any(rule.fixed or rule.hidden for rule, _ in layers)
    offer = _limited(offer, lows, highs)
    if not fixed:
        offer = offer.fitted()
    if info is not None and offer.open:
        live_low, live_high = _live(offer.field.name, info)
        offer = _limited(offer, lows + live_low, highs + live_high).fitted()
    return offer


def _limited(offer: Offer, lows: list[Limit], highs: list[Limit]) -> Offer:
    low = max(lows, key=lambda limit: limit.value) if lows else None
    high = min(highs, key=lambda limit: limit.value) if highs else None
    return dataclasses.replace(offer, low=low, high=high)


def _gpus(offer: Offer, highs: list[Limit], place: Partition | None) -> list[Limit]:
    """Without GPU types, and without a rule that gives a number of GPUs, there are none."""
    where = f"partition {place.name}" if place is not None else "this cluster"
    if place is not None and place.gpu_types:
        return [Limit(max(kind.max for kind in place.gpu_types.values()), where)]
    if highs or offer.choices is not None:
        return []
    return [Limit(int(offer.default or 0), where)]


def _live(name: str, info: PartitionInfo) -> tuple[list[Limit], list[Limit]]:
    """Smallest and largest number that the scheduler shows at present."""
    highs = {
        "nodes": min([count for count in (info.max_nodes, info.nodes) if count], default=None),
        "cores": info.cores,
        "memory": info.memory,
        "gpus": max(info.gpus.values(), default=None),
        "walltime": info.max_walltime,
    }
    part = "the largest node of partition {}" if name in ("cores", "memory", "gpus") else "partition {} at present"
    where = part.format(info.name)
    low = info.min_walltime if name == "walltime" else None
    high = highs.get(name)
    return ([Limit(low, where)] if low else []), ([Limit(high, where)] if high else [])
