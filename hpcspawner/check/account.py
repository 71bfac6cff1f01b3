"""Steps for one user before any job: the account, acting as it, its directories."""

from __future__ import annotations

from typing import Any

from ..run_as import HelperError
from .subject import Subject, words

LITTLE = 100
"""MiB that should be free where job files and logs lie."""


async def steps(subject: Subject) -> bool:
    """Whether jobs of this user can be submitted, as far as the account goes."""
    return await _account(subject) and await _acting(subject)


async def _account(subject: Subject) -> bool:
    title = f"account {subject.user}"
    try:
        answer = await subject.ask("account", owner=False, name=subject.user)
    except HelperError as error:
        return subject.steps.fail(title, words(error))
    if not answer.get("exists"):
        return subject.steps.fail(
            title,
            "is not known where the helper runs",
            "user names of the hub must be account names there; try: getent passwd " + subject.user,
        )
    subject.home = str(answer.get("home") or "")
    subject.groups = frozenset(str(group) for group in answer.get("groups") or ())
    refused = _refused(subject, int(answer.get("uid") or 0))
    if refused:
        return subject.steps.fail(title, *refused)
    groups = ", ".join(sorted(subject.groups))
    return subject.steps.ok(title, f"uid {answer.get('uid')}, home {subject.home}, groups {groups}")


def _refused(subject: Subject, uid: int) -> tuple[str, str] | None:
    """Why the helper will not act for this account, and what to do; None where it will."""
    if subject.way == "self":
        return None
    if uid == 0 or uid < subject.site.min_uid:
        return (
            f"uid {uid} is below {subject.site.min_uid}: the helper does not act for system accounts",
            "min_uid of the site file is the smallest uid of people; root is never served",
        )
    denied = sorted(subject.groups & set(subject.site.deny_groups))
    if denied:
        return f"is in the group {denied[0]}, which deny_groups of the site file names", "use another account"
    return None


async def _acting(subject: Subject) -> bool:
    """One call tells two things: whether the helper may act as the user, and whether the directories are good."""
    title = f"acting as {subject.user}"
    try:
        answer = await subject.ask("directories")
    except HelperError as error:
        if error.kind != "folder":
            return subject.steps.fail(title, words(error), *_rule(subject))
        _acts(subject, title, "")
        return subject.steps.fail(
            "directories",
            words(error),
            f"state_dir and log_dir of the site file, for this user: {subject.site.state_dir}"
            + (f", {subject.site.log_dir}" if subject.site.log_dir else ""),
            "each must belong to the user or be missing in a folder where the user may make it; nobody else may be "
            "able to change it, and a link there must be the user's own or root's",
        )
    _acts(subject, title, f"uid {answer.get('uid')}")
    return _directories(subject, answer)


def _acts(subject: Subject, title: str, found: str) -> None:
    subject.steps.ok(title, found or "works")
    if subject.as_root:
        subject.skip("sudo rule", f"root needs none; to try the rule, {subject.as_hub}")


def _rule(subject: Subject) -> list[str]:
    """What lets the helper act as somebody, for each way."""
    way = subject.cluster.way
    command = f"{way.python} -I -S {way.helper}"
    if subject.way == "sudo":
        return [
            "install deploy/sudoers/hpcspawner: its command must be, word for word: " + command,
            f"{subject.user} must be a member of the group that the rule names; see: sudo -l, as the hub's account",
            f"try by hand: sudo -n -u {subject.user} {command} </dev/null   (an error in JSON is the right answer)",
        ]
    if subject.way == "ssh":
        return [f"the sudo rule on {way.host} must let its service account run, for this user: {command}"]
    if subject.way == "self":
        return [f"this hub serves its own account only; run the check as {subject.user}, or choose another 'way'"]
    return ["the packed helper must lie where users can read it and only root can change it: /var/lib/hpcspawner"]


def _directories(subject: Subject, answer: dict[str, Any]) -> bool:
    state, log, home = answer.get("state") or {}, answer.get("log") or {}, answer.get("home") or {}
    for what, folder in (("state_dir", state), ("log_dir", log)):
        if int(folder.get("free") or 0) < LITTLE:
            return subject.steps.fail(
                "directories",
                f"only {folder.get('free')} MiB are free in {folder.get('path')}",
                f"make room, or choose another {what} in the site file",
            )
    subject.steps.ok("directories", f"job files {_told(state)}, logs {_told(log)}")
    if home.get("usable"):
        return True
    return subject.steps.fail(
        "home",
        f"{home.get('path')} cannot be entered where the helper runs",
        "jobs start there unless workdir is chosen; mount it, or make it at the first login (pam_mkhomedir)",
    )


def _told(folder: dict[str, Any]) -> str:
    kind = folder.get("filesystem")
    return f"{folder.get('path')}" + (f" ({kind})" if kind else "")
