"""Whose account the helper acts for, and how it gets there.

Started as root it drops to the user for good. Started by sudo or as the hub's own account it is there already, and
only makes sure of it.
"""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
from typing import List, Sequence, Tuple

from .faults import Fault


@dataclasses.dataclass(frozen=True)
class Account:
    """An account of this machine."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: Tuple[str, ...]
    gids: Tuple[int, ...]


def account(name: str) -> Account:
    """The account of that name; raises a forbidden Fault where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Fault("forbidden", "there is no account {} on this machine".format(name)) from None
    # Directories such as LDAP may find 'Alice' for 'alice': two hub users would share one account.
    if entry.pw_name != name:
        raise Fault("forbidden", "the account is called {}, not {}".format(entry.pw_name, name))
    return _account(entry)


def own_account() -> Account:
    """The account this process runs as; a uid without an entry gets a stand-in name that no user has."""
    uid = os.geteuid()
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError:
        return Account("#{}".format(uid), uid, os.getegid(), os.environ.get("HOME", "/"), "", (), tuple(os.getgroups()))


def _account(entry: pwd.struct_passwd) -> Account:
    gids = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(
        entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell, tuple(_group_names(gids)), gids
    )


def _group_names(gids: Sequence[int]) -> List[str]:
    names = []
    for gid in gids:
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return names


def permitted(who: Account, min_uid: int, deny_groups: Sequence[str]) -> None:
    """Raises a forbidden Fault for an account that nobody may be switched to."""
    if who.uid == 0:
        raise Fault("forbidden", "the helper never acts for root")
    if who.uid in (65534, 65535) or who.uid >= 2**32 - 2:
        raise Fault("forbidden", "{} is nobody's account (uid {})".format(who.name, who.uid))
    if who.uid < min_uid:
        raise Fault("forbidden", "{} is a system account: uid {} is below {}".format(who.name, who.uid, min_uid))
    denied = sorted(set(who.groups) & set(deny_groups))
    if denied:
        raise Fault("forbidden", "{} is in the group {}, which is denied here".format(who.name, denied[0]))


def drop_to(who: Account) -> None:
    """Becomes the user for good. Only for a process that runs as root."""
    os.setgroups(who.gids)
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    uids, gids = os.getresuid(), os.getresgid()
    if uids != (who.uid,) * 3 or gids != (who.gid,) * 3 or not set(os.getgroups()) <= set(who.gids):
        raise Fault("internal", "could not become {}".format(who.name))
    try:
        os.setuid(0)
    except OSError:
        return
    raise Fault("internal", "could still become root again")


def act_as(name: str, min_uid: int, deny_groups: Sequence[str], check: bool) -> Account:
    """Makes this process act for the user, or raises a Fault. check: apply the site's limits in every case."""
    if os.geteuid() == 0 or os.getuid() == 0:
        who = account(name)
        permitted(who, min_uid, deny_groups)
        drop_to(who)
        return who
    who = own_account()
    if who.name != name:
        raise Fault("forbidden", "this helper runs as {} and cannot act for {}".format(who.name, name))
    if check:
        permitted(who, min_uid, deny_groups)
    return who
