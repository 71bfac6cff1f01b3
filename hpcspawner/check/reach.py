"""Steps of the hub's own account: the helper, its site, the scheduler and its partitions."""

from __future__ import annotations

from .. import __version__, sitecheck
from ..fleet import inventory_from
from ..helper.installed import fingerprint
from ..job import Inventory
from ..run_as import HelperError
from .subject import Subject, own_name, words

INSTALL = "hpcspawner helper install {0}; hpcspawner site compile SITE {1}   (as root, on the machine that runs it)"


async def helper(subject: Subject) -> bool:
    """Whether the helper starts and speaks to this version of the hub."""
    try:
        answer = await subject.ask("version", owner=False)
    except HelperError as error:
        return subject.steps.fail("helper", words(error), *_why_not(subject, error))
    told = f"hpcspawner {answer.get('version')}, Python {answer.get('python')}, started by {own_name()}"
    notes = []
    if answer.get("version") != __version__:
        notes.append(f"The hub is {__version__}; both understand each other, but install the same version soon.")
    subject.steps.ok("helper", told, *notes)
    return _same_site(subject, str(answer.get("site") or ""))


def _why_not(subject: Subject, error: HelperError) -> list[str]:
    way = subject.cluster.way
    path = f"clusters.{subject.name}.way"
    beside = way.helper.rpartition("/")[0] + "/site.json"
    if subject.way == "ssh":
        return [
            f"by hand, as the hub's account: ssh -i {way.identity or 'KEY'} -l {way.account or 'ACCOUNT'} {way.host}",
            f"{path}.known_hosts must hold the host's key (ssh-keyscan, compared with the host itself)",
            f"the key's forced command there is: {way.python} -I -S {way.helper} gate",
        ]
    if subject.way == "sudo":
        return [
            "install helper and site: " + INSTALL.format(way.helper, beside),
            "only root may own or change them and the folders above; a writable folder is refused",
            f"{path}.helper and {path}.python say which program is run by which Python",
        ]
    if error.kind == "site":
        return ["the hub's state directory must be one that it can write to"]
    return [f"{path}.python must be a Python 3.8 or newer on this machine: {way.python}"]


def _same_site(subject: Subject, theirs: str) -> bool:
    """Whether an installed helper obeys the file that is being checked."""
    if subject.way in ("self", "root"):
        return True
    if theirs == fingerprint(subject.site):
        return subject.steps.ok("helper's site", "is the same as this site file")
    beside = subject.cluster.way.helper.rpartition("/")[0] + "/site.json"
    subject.steps.fail(
        "helper's site",
        "is not this site file: what the form offers and what the helper allows would differ",
        f"hpcspawner site compile SITE {beside}   (as root there, after each change of the site file)",
    )
    return True


async def scheduler(subject: Subject) -> bool:
    """Whether the scheduler's commands answer; compares partitions and limits with the site file."""
    title, cluster = subject.dialect.TITLE, subject.cluster.cluster
    try:
        answer = await subject.ask("inventory", owner=False)
        inventory = inventory_from(answer)
    except (HelperError, TypeError) as error:
        prefix = f"clusters.{subject.name}"
        variables = ", ".join(cluster.environment) or "none"
        such = ", ".join(subject.dialect.CONFIG_VARIABLES[:2]) or "PATH"
        return subject.steps.fail(
            "scheduler",
            f"{title} does not answer: {words(error)}",
            f"{prefix}.commands must be the folder of its commands (now: {cluster.commands or 'the usual PATH'})",
            f"{prefix}.environment must hold what the commands need, such as {such} (now: {variables})",
            "the commands must work in a clean environment: env -i PATH=/usr/bin:/bin ... as the hub's account",
        )
    told = " ".join(str(answer.get(key)) for key in ("version", "family") if answer.get(key))
    up = [info.name for info in inventory.partitions if info.up]
    notes = [f"It did not tell: {problem}" for problem in inventory.problems]
    subject.steps.ok("scheduler", " ".join(x for x in (title, told) if x) + f", partitions {_listed(up)}", *notes)
    _partitions(subject, inventory)
    return True


def _partitions(subject: Subject, inventory: Inventory) -> None:
    """The site file against what the scheduler shows now."""
    wrong = [f"{path}: {text}" for path, text in sitecheck.check(subject.site, {subject.name: inventory})]
    down = {info.name for info in inventory.partitions if not info.up} & set(subject.cluster.partitions)
    if wrong:
        subject.steps.fail(
            "partitions and limits",
            "the site file promises what the scheduler does not have",
            "correct the site file; `hpcspawner discover` prints what the scheduler shows",
            lines=wrong,
        )
    elif down:
        subject.steps.fail(
            "partitions and limits",
            f"down at the moment: {_listed(sorted(down))}",
            "jobs there wait until an administrator of the scheduler brings the partition up",
        )
    elif subject.cluster.partitions:
        names = _listed(list(subject.cluster.partitions))
        subject.steps.ok("partitions and limits", f"{names} are as the site file says")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8]) or "none"
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
