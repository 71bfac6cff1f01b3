"""The verbs of the queue: one JSON object on standard input, one on standard output.

    submit     {script, name, cores, memory, walltime, output, workdir, partition, account, array, grace, total_*}
               -> {"id": "17"} or {"refused": text}
    query      {ids: [...]} (none: all) -> {"jobs": [...]}
    cancel     {ids: [...]} -> {"cancelled": {id: true | false}}
    inventory  {} -> {"cores", "free_cores", "memory", "jobs"}
    prepare    {shared: bool} -> {}

Exit code 3 and {"error": text}: the queue can't be used.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

from . import turn
from .store import QueueError, Store, default_folder, is_id, write_json

Json = Dict[str, Any]


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs one verb; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    verb = VERBS.get(words[0]) if len(words) == 1 else None
    if verb is None:
        sys.stderr.write("usage: localqueue {}\n".format("|".join(sorted(VERBS))))
        return 2
    try:
        request = json.loads(sys.stdin.read() or "{}")
        answer, code = verb(request), 0
    except QueueError as error:
        answer, code = {"error": str(error)}, 3
    except OSError as error:
        answer, code = {"error": "the queue's folder: {}".format(error)}, 3
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    return code


def prepare(request: Json) -> Json:
    try:
        Store.prepare(default_folder(), bool(request.get("shared", os.geteuid() == 0)))
    except ValueError as error:
        raise QueueError(str(error)) from None
    return {}


def query(request: Json) -> Json:
    store = Store(default_folder())
    asked = set(request.get("ids") or ())
    jobs = []
    for id in store.ids():
        # '17' asks for all elements of the array 17 as well.
        if not asked or id in asked or id.partition("_")[0] in asked:
            seen = turn.see(store, id)
            if seen is not None:
                jobs.append(_shown(seen))
    return {"jobs": jobs}


def _shown(seen: turn.Seen) -> Json:
    out: Json = {key: _text(seen.job.get(key)) for key in ("name", "partition", "account")}
    out.update(cores=seen.cores, memory=seen.memory, walltime=_number(seen.job.get("walltime")))
    out.update(id=seen.id, uid=seen.uid, user=_user_name(seen.uid), state=seen.state)
    out.update(submitted=_number(seen.job.get("submitted")))
    out["started"] = _number(seen.end.get("started", seen.run.get("started")))
    out["end"] = {key: _text(seen.end[key]) for key in ("outcome", "reason") if seen.end.get(key)}
    out["end"].update({key: _number(seen.end.get(key)) for key in ("exit_code", "signal", "ended") if key in seen.end})
    return out


# Records are their owners' texts: whatever one user writes there, the others' jobs must be shown.


def _text(value: Any) -> str:
    return value[:1000] if isinstance(value, str) else ""


def _number(value: Any) -> Any:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if known and abs(value) < 1e11 else None


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def cancel(request: Json) -> Json:
    store = Store(default_folder())
    return {"cancelled": {id: _cancel(store, id) for id in request.get("ids") or ()}}


def _cancel(store: Store, id: str) -> Optional[bool]:
    if "_" not in id:
        parts = [name for name in store.ids() if name.startswith(id + "_")]
        if parts:
            answers = [_cancel(store, part) for part in parts]
            return False if False in answers else None if None in answers else True
    seen = turn.see(store, id) if is_id(id) else None
    if seen is None or seen.state == turn.ENDED:
        return True
    if os.geteuid() not in (0, seen.uid):
        return False
    if store.signal(id, "control"):
        return True
    if store.alive(id):
        return None
    _kill_orphan(seen)
    return True


def _kill_orphan(seen: turn.Seen) -> None:
    """What a killed supervisor left behind. The record is the owner's text: only the owner's process is touched."""
    pid = seen.run.get("pid")
    if turn.leader_lives(seen.run) and isinstance(pid, int):
        try:
            if os.stat("/proc/{}".format(pid)).st_uid == seen.uid and os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass


def inventory(request: Json) -> Json:
    store = Store(default_folder())
    cores, memory = _totals(request)
    free = cores
    jobs = 0
    for seen in turn.see_all(store):
        if seen.state != turn.ENDED:
            jobs += 1
        if seen.state in (turn.RUNNING, turn.ENDING):
            free -= seen.cores
    return {"cores": cores, "free_cores": max(0, free), "memory": memory, "jobs": jobs}


def _totals(request: Json) -> Tuple[int, int]:
    return request.get("total_cores") or turn.machine_cores(), request.get("total_memory") or turn.machine_memory()


def submit(request: Json) -> Json:
    store = Store(default_folder())
    totals = _totals(request)
    job: Json = {key: request.get(key) for key in ("name", "walltime", "output", "workdir", "partition", "account")}
    job.update(cores=request.get("cores") or 1, memory=request.get("memory") or 0, grace=request.get("grace", 10))
    refused = _refused(job, totals)
    if refused:
        return {"refused": refused}
    store.forget(time.time() - request.get("keep", 86400))
    array = request.get("array")
    with store.locked():
        number = store.next_number()
        ids = [number] if array is None else ["{}_{}".format(number, at) for at in range(array[0], array[1] + 1)]
        made = [(id, _make(store, id, job, request["script"])) for id in ids]
    for at, (id, alive) in enumerate(made):
        _supervise(store, id, job, totals, alive, [handle for _, handle in made[at + 1 :]])
    return {"id": number}


def _refused(job: Json, totals: Tuple[int, int]) -> str:
    if job["cores"] > totals[0]:
        return "cores: {} is more than {}, all cores of the queue".format(job["cores"], totals[0])
    if job["memory"] > totals[1]:
        return "memory: {} MiB is more than {} MiB, all memory of the queue".format(job["memory"], totals[1])
    folder = os.path.dirname(job["output"] or "/")
    if not os.path.isdir(folder):
        return "output: there is no folder {}".format(folder)
    if job["workdir"] and not os.path.isdir(job["workdir"]):
        return "workdir: there is no folder {}".format(job["workdir"])
    return ""


def _make(store: Store, id: str, job: Json, script: str) -> int:
    """Writes the job's folder and makes it appear as a whole; returns the locked file that says it lives."""
    import tempfile

    folder = tempfile.mkdtemp(prefix=".new-", dir=store.jobs)
    write_json(folder, "job.json", dict(job, submitted=time.time()))
    handle = os.open(os.path.join(folder, "script"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(script)
    for pipe, mode in (("control", 0o600), ("bell", 0o622)):
        os.mkfifo(os.path.join(folder, pipe))
        os.chmod(os.path.join(folder, pipe), mode)
    alive = os.open(os.path.join(folder, "alive"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    os.fchmod(alive, 0o644)
    fcntl.flock(alive, fcntl.LOCK_EX)
    os.chmod(folder, 0o755)  # noqa: S103  (the others must see whose turn it is)
    os.rename(folder, store.path(id))
    return alive


def _supervise(store: Store, id: str, job: Json, totals: Tuple[int, int], alive: int, others: List[int]) -> None:
    """Leaves a supervisor behind that belongs to nobody. The lock on 'alive' goes over to it without a gap."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(alive)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        for handle in others:
            os.close(handle)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        from .supervisor import Supervisor

        environment = {key: value for key, value in os.environ.items() if not key.startswith("HPCSPAWNER_")}
        Supervisor(store, id, dict(job, environment=environment), totals, alive).work()
    finally:
        os._exit(0)


VERBS = {"submit": submit, "query": query, "cancel": cancel, "inventory": inventory, "prepare": prepare}
