"""The verb submit: everything that a job needs lies on disk, and a receipt with it, before the hub hears of it."""

from __future__ import annotations

import os
from typing import Any, Dict

from ..access import Person
from ..job import Accepted, Refused
from ..options import OptionError, recheck
from . import daskplan, jobplan, sitescript
from .act import Act, Answer
from .faults import Fault
from .folders import Folder
from .injobfiles import injob_files
from .jobfolder import PLAN, RECEIPT, SCRIPT, SECRET, JobFolders, read_json, write_json
from .jobplan import Order


def submit(act: Act) -> Answer:
    """Submits a job once. outcome: accepted (with id and notice), refused or unknown (with text)."""
    tag, kind = act.request.tag(), act.request.text("kind", "server")
    if kind not in jobplan.KINDS:
        raise Fault("protocol", "kind: {!r} is not known".format(kind))
    if not tag.startswith(act.site.prefix + "-"):
        raise Fault("protocol", "tag: {} does not start with {}-".format(tag, act.site.prefix))
    order = _order(act)
    folders = act.folders()
    where = {"log": folders.log(tag), "folder": folders.folder(tag)}
    folder = folders.claim(tag)
    if folder is None:
        return {**_known(folders, tag), **where}
    with folder:
        return {**_first(act, order, folders, folder, tag, kind), **where}


def _order(act: Act) -> Order:
    request = act.request
    accounts = frozenset(request.texts("accounts")) if request.fields.get("accounts") is not None else None
    person = Person(
        name=act.who.name,
        groups=jobplan.groups_of(act.who, request.texts("groups")),
        accounts=accounts,
        admin=False,
    )
    try:
        choice = recheck(act.site, request.table("choice"), person)
    except OptionError as error:
        raise Fault("refused", str(error)) from None
    if choice.cluster != act.cluster.name:
        raise Fault("protocol", "cluster: the choice is for {!r}".format(choice.cluster))
    return Order(act.site, act.where, choice, act.who, person)


def _first(act: Act, order: Order, folders: JobFolders, folder: Folder, tag: str, kind: str) -> Answer:
    try:
        command = _prepare(act, order, folders, folder, tag, kind)
    except BaseException:
        # Nothing was submitted: nothing of it stays, least of all the secret.
        folders.remove(tag)
        raise
    try:
        outcome = act.dialect.submitted(act.cluster, act.runner.run(command))
    except Exception as error:
        # The command ran, or may have: whatever went wrong afterwards, there may be a job.
        return {"outcome": "unknown", "text": str(error) or type(error).__name__}
    if isinstance(outcome, Refused):
        folders.remove(tag)
        return {"outcome": "refused", "text": outcome.text}
    if isinstance(outcome, Accepted):
        _keep(folder, {"tag": tag, "id": outcome.id})
        return {"outcome": "accepted", "id": outcome.id, "notice": outcome.notice}
    return {"outcome": "unknown", "text": outcome.text}


def _prepare(act: Act, order: Order, folders: JobFolders, folder: Folder, tag: str, kind: str) -> Any:
    """Writes all files; returns the Command that submits."""
    own = sitescript.wanted(act) if kind == "server" else {}
    environment = jobplan.secret_environment(order, act.request.table("environment"))
    _must_be_usable(order.workdir)
    folders.logs().__exit__(None, None, None)
    log, library = folders.log(tag), folders.library(*injob_files())
    job = jobplan.job(order, tag, kind, library, folder.path, log)
    dask = daskplan.read(act.request, kind)
    if dask is not None:
        job = daskplan.job(job, order, act.dialect, dask)
    try:
        if own:
            script, command = sitescript.made(act, job, own, folder.join(SCRIPT))
        else:
            script = act.dialect.script(act.cluster, job)
            command = act.dialect.submit(act.cluster, job, script, folder.join(SCRIPT))
    except ValueError as error:
        raise Fault("refused", str(error)) from None
    plan = jobplan.plan(order, act.dialect, tag, kind, folder.path, log)
    plan.update(report=act.request.table("report"), server_name=act.request.text("server_name"))
    plan.update(sitescript.plan(own["command"]) if own else {})
    plan.update({"dask": daskplan.plan(order, act.dialect, dask)} if dask is not None else {})
    write_json(folder, SECRET, environment)
    write_json(folder, PLAN, plan)
    folder.write(SCRIPT, script.encode(), 0o700)
    write_json(folder, RECEIPT, {"tag": tag})
    return command


def _must_be_usable(workdir: str) -> None:
    """A batch system may start the job in /tmp instead, and say nothing."""
    if not os.path.isdir(workdir):
        raise Fault("folder", "the working directory {} does not exist".format(workdir), workdir)
    if not os.access(workdir, os.X_OK):
        raise Fault("folder", "the working directory {} cannot be entered: permission denied".format(workdir), workdir)


def _keep(folder: Folder, receipt: Dict[str, Any]) -> None:
    """The job runs already: a full disk must not turn it into an error."""
    try:
        write_json(folder, RECEIPT, receipt)
    except Fault:
        pass


def _known(folders: JobFolders, tag: str) -> Answer:
    """A repeated submit: the receipt answers, the scheduler is never asked for the same tag twice."""
    folder = folders.open(tag)
    if folder is not None:
        with folder:
            receipt = read_json(folder, RECEIPT) or {}
        if isinstance(receipt.get("id"), str):
            return {"outcome": "accepted", "id": receipt["id"], "notice": ""}
    return {"outcome": "unknown", "text": "this submit was begun before, and its outcome is not known"}
