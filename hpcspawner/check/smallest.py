"""The smallest start that a site allows somebody on one cluster: what the check's job asks for."""

from __future__ import annotations

from typing import Any

from .. import offers, options
from ..choice import Choice
from ..options import OptionError, Person
from ..sitemodel import Site

WISHES: tuple[tuple[str, str], ...] = (
    ("walltime", "00:10:00"),
    ("nodes", "1"),
    ("cores", "1"),
    ("gpus", "0"),
)
"""Tried one by one; where the site does not allow one, its own default stays."""


def choice(site: Site, cluster: str, person: Person) -> Choice:
    """A choice that passes the site's own validation; raises OptionError where the person may start nothing there."""
    found: list[Choice] = []
    trouble = OptionError("profile", "", f"no profile of cluster {cluster} is open to {person.name}")
    for scope in offers.scopes(site, person):
        if scope.cluster != cluster:
            continue
        given: dict[str, Any] = {"profile": scope.profile.name} if scope.profile else {"cluster": cluster}
        try:
            found.append(_small(site, given, person))
        except OptionError as error:
            trouble = error
    if not found:
        raise trouble
    # min() keeps the first of equals: the order of the site file.
    return min(found, key=_cost)


def _small(site: Site, given: dict[str, Any], person: Person) -> Choice:
    if "profile" not in given:
        # Without any other option the first profile would be taken.
        given = {**given, "nodes": "1"}
    best = options.validate(site, given, person)
    for name, value in WISHES:
        try:
            best = options.validate(site, {**given, name: value}, person)
        except OptionError:
            continue
        given = {**given, name: value}
    return best


def _cost(made: Choice) -> tuple[int, int, int]:
    return made.gpus, made.nodes * (made.cores or 1), made.walltime or 86400
