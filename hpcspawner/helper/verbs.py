"""The verbs: each takes the Act (who, where, with what) and gives the result that the hub reads.

The table at the end is closed; what is not in it does not exist for the hub.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .. import HELPER_PROTOCOL, __version__
from ..job import JobStatus, plain
from .act import Act, Answer
from .faults import Fault
from .identity import account
from .installed import fingerprint
from .jobfolder import CHECK, END, RECEIPT, read_json


def version(act: Act) -> Answer:
    """What runs here, and a fingerprint of the site that it obeys."""
    return {
        "version": __version__,
        "protocol": HELPER_PROTOCOL,
        "python": ".".join(map(str, sys.version_info[:3])),
        "site": fingerprint(act.site),
    }


def about_account(act: Act) -> Answer:
    """The account that the request names; asked as the hub, since it may not exist."""
    try:
        who = account(act.request.text("name") or act.request.user)
    except Fault:
        return {"exists": False}
    return {
        "exists": True,
        "uid": who.uid,
        "gid": who.gid,
        "home": who.home,
        "shell": who.shell,
        "groups": list(who.groups),
    }


def submit(act: Act) -> Answer:
    from .submitting import submit as carry_out

    return carry_out(act)


def cancel(act: Act) -> Answer:
    ids = act.request.texts("ids")
    if not ids:
        return {"cancelled": {}, "text": ""}
    try:
        command = act.dialect.cancel(act.cluster, ids)
    except ValueError as error:
        raise Fault("protocol", "ids: {}".format(error)) from None
    result = act.runner.run(command)
    done = act.dialect.cancelled(act.cluster, ids, result)
    return {"cancelled": done, "text": result.err.strip()[:2000]}


def query(act: Act) -> Answer:
    ids, users = act.request.texts("ids"), act.request.texts("users")
    started = time.monotonic()
    result = act.runner.run(act.dialect.query(act.cluster, ids, users))
    seconds = time.monotonic() - started
    jobs = act.dialect.queried(act.cluster, result)
    wanted = {_number(id) for id in ids}
    return {"jobs": {id: plain(x) for id, x in jobs.items() if not ids or _number(id) in wanted}, "seconds": seconds}


def _number(id: str) -> str:
    """The id without the index of an array's element (123_4, 123[4]): who asks for an array gets its elements."""
    return re.split(r"[^0-9]", id, maxsplit=1)[0] or id


def find(act: Act) -> Answer:
    """Receipt, scheduler and end record about one tag. Asked as the hub, there is only the scheduler."""
    tag = act.request.tag()
    receipt, end = _written(act, tag) if act.request.user else ("none", None)
    owner = act.request.user or act.request.text("owner")
    result = act.runner.run(act.dialect.find(act.cluster, tag, owner))
    jobs = act.dialect.found(act.cluster, tag, owner, result)
    return {"receipt": receipt, "jobs": [plain(x) for x in jobs], "end": end}


def _written(act: Act, tag: str) -> Tuple[Optional[str], Optional[Dict[str, Any]]]:
    """The id in the job's receipt ('none' where there is no folder) and its end record."""
    folder = act.folders().open(tag)
    if folder is None:
        return "none", None
    with folder:
        receipt = read_json(folder, RECEIPT) or {}
        id = receipt.get("id")
        return (id if isinstance(id, str) and id else None), read_json(folder, END)


def tail(act: Act) -> Answer:
    """What is known about a job's end: last lines of its log, the record it left, the scheduler's own detail."""
    from .logtail import last_lines

    tag, id = act.request.tag(), act.request.text("id")
    count = int(act.request.number("lines", 20, 0, 500))
    folders = act.folders()
    lines, problem = last_lines(folders, tag, count)
    try:
        end = _written(act, tag)[1]
    except Fault as fault:
        end, problem = None, problem or fault.text
    detail = _detail(act, id) if id else None
    return {
        "log": lines,
        "path": folders.log(tag),
        "problem": problem,
        "end": end,
        "detail": plain(detail) if detail is not None else None,
        "check": _checked(act, tag) if act.request.fields.get("check") else None,
    }


def _checked(act: Act, tag: str) -> Optional[Dict[str, Any]]:
    """What the small job of `hpcspawner check` wrote on its node; None while nothing of it is to be seen here."""
    folder = act.folders().open(tag)
    if folder is None:
        return None
    with folder:
        return read_json(folder, CHECK)


def directories(act: Act) -> Answer:
    """Who acts here, and whether this user's directories can be made and written."""
    from .trying import tried

    return tried(act.folders())


def _detail(act: Act, id: str) -> Optional[JobStatus]:
    try:
        commands = act.dialect.detail(act.cluster, id)
    except ValueError as error:
        raise Fault("protocol", "id: {}".format(error)) from None
    return act.dialect.detailed(act.cluster, id, [act.runner.run(x) for x in commands])


def clean(act: Act) -> Answer:
    """Secrets and folders of ended jobs go, and what is older than the site keeps."""
    folders = act.folders()
    tags = act.request.tags("tags")
    left: List[str] = [tag for tag in tags if not folders.remove(tag)]
    keep = act.request.tags("keep")
    gone = folders.sweep(keep) if "keep" in act.request.fields else []
    return {"removed": [tag for tag in tags if tag not in left], "left": left, "old": gone}


def inventory(act: Act) -> Answer:
    commands = act.dialect.inventory(act.cluster)
    results = {key: act.runner.run(command) for key, command in commands.items()}
    found = plain(act.dialect.inventoried(act.cluster, results))
    return {**found, "version": act.cluster.version, "family": act.cluster.family}


@dataclasses.dataclass(frozen=True)
class Verb:
    """How a verb is to be carried out."""

    run: Callable[[Act], Answer]
    owner: str = "may"
    """must: only as a user. may: as a user or as the hub's account. never: always as the hub's account."""
    scheduler: bool = True
    """Runs commands of the scheduler, so its version must be known."""


VERBS: Mapping[str, Verb] = {
    "version": Verb(version, owner="never", scheduler=False),
    "account": Verb(about_account, owner="never", scheduler=False),
    "submit": Verb(submit, owner="must"),
    "cancel": Verb(cancel, owner="must"),
    "query": Verb(query),
    "find": Verb(find),
    "tail": Verb(tail, owner="must"),
    "clean": Verb(clean, owner="must", scheduler=False),
    "inventory": Verb(inventory),
    "directories": Verb(directories, owner="must", scheduler=False),
}
