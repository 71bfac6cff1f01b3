"""Who somebody is, and whether a rule of the site lets them in. Standard library only, and Python 3.8 or newer."""

from __future__ import annotations

import dataclasses

from .sitemodel import Rules


@dataclasses.dataclass(frozen=True)
class Person:
    """The owner of a server: rules look at the owner, never at the admin who starts the server for them."""

    name: str
    groups: frozenset[str] = frozenset()
    accounts: frozenset[str] | None = None
    """Accounts (projects) as the scheduler knows them; None: not known."""
    admin: bool = False
    """Admin of the hub. Gives no right to a profile: the batch system knows nothing of hub admins."""


def may(rules: Rules, person: Person) -> bool:
    """One match in any list is enough; without any entry everybody may. Accounts that are not known match nothing."""
    if not (rules.users or rules.groups or rules.accounts):
        return True
    return (
        person.name in rules.users
        or not person.groups.isdisjoint(rules.groups)
        or not (person.accounts or frozenset()).isdisjoint(rules.accounts)
    )
