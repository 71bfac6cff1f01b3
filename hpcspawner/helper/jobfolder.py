"""Where the files of jobs lie below the user's state directory, and the receipt that makes a submit happen once.

<state_dir>/jobs/<tag>/   secret.json, plan.json, script, receipt.json, and what the job itself writes
<state_dir>/lib/<hash>/   the in-job programs, one copy for each version
<log_dir>/<tag>.log       or <state_dir>/logs where the site names no log_dir
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Optional, Sequence

from ..sitemodel import Site
from .faults import Fault
from .folders import Folder, open_base
from .identity import Account
from .request import TAG

SECRET = "secret.json"  # noqa: S105
PLAN = "plan.json"
SCRIPT = "script"
RECEIPT = "receipt.json"
END = "end.json"
CHECK = "check.json"

_DAY = 86400.0
_SMALL = 262_144
# A job may outlive the log's days, and may belong to another hub: what shows no end is kept this much longer.
_LONGEST_JOB = 60 * _DAY


def expand(path: str, who: Account) -> str:
    """A directory of the site file for this user: ~, {user} and {home} filled in. Raises a site Fault."""
    full = path.replace("{user}", who.name).replace("{home}", who.home)
    if full == "~" or full.startswith("~/"):
        full = who.home + full[1:]
    if not full.startswith("/"):
        raise Fault("site", "{!r} is not an absolute path for {}".format(path, who.name), path)
    return os.path.normpath(full)


class JobFolders:
    """The job files of one user."""

    def __init__(self, site: Site, who: Account) -> None:
        self.site = site
        self.who = who
        self.state_dir = expand(site.state_dir, who)
        self.log_dir = expand(site.log_dir, who) if site.log_dir else os.path.join(self.state_dir, "logs")

    def state(self, make: bool = True) -> Folder:
        return open_base(self.state_dir, make, self.who.home)

    def logs(self, make: bool = True) -> Folder:
        if not self.site.log_dir:
            with self.state(make) as state:
                return state.sub("logs", make)
        return open_base(self.log_dir, make, self.who.home)

    def log(self, tag: str) -> str:
        """Path of the job's log."""
        return os.path.join(self.log_dir, tag + ".log")

    def folder(self, tag: str) -> str:
        return os.path.join(self.state_dir, "jobs", tag)

    def claim(self, tag: str) -> Optional[Folder]:
        """A new folder for this job, or None where the tag was used before."""
        with self.state() as state, state.sub("jobs") as jobs:
            folder = jobs.claim(tag)
            if folder is not None:
                os.fsync(jobs.fd)
            return folder

    def open(self, tag: str) -> Optional[Folder]:
        """The folder of this job, or None where there is none."""
        if not os.path.lexists(self.folder(tag)):
            return None
        with self.state(make=False) as state, state.sub("jobs", make=False) as jobs:
            return jobs.sub(tag, make=False)

    def remove(self, tag: str) -> bool:
        """Removes the job's folder with its secret. False: something is left."""
        if not os.path.lexists(self.folder(tag)):
            return True
        with self.state(make=False) as state, state.sub("jobs", make=False) as jobs:
            # The secret first, so that it is gone even where the rest resists (open files on NFS).
            if jobs.has(tag):
                with jobs.sub(tag, make=False) as folder:
                    folder.remove(SECRET)
            return jobs.remove(tag)

    def library(self, key: str, files: Dict[str, bytes]) -> str:
        """Path of the folder with the in-job programs of that content key, copied there where they are not yet."""
        with self.state() as state, state.sub("lib") as lib, lib.sub(key) as folder:
            present = {name for name, _ in folder.entries()}
            for name, data in sorted(files.items()):
                # Compared, not believed: scratch file systems purge old files, and a full one leaves empty files.
                if name not in present or folder.read(name, len(data) + 1) != data:
                    folder.write(name, data, 0o700 if name.endswith(".sh") else 0o600)
            os.utime(folder.fd)
            return folder.path

    def sweep(self, keep: Sequence[str]) -> List[str]:
        """Removes logs, folders and in-job programs that are older than the site keeps them; returns their paths."""
        limit = time.time() - self.site.keep_logs * _DAY
        kept = set(keep)
        gone: List[str] = []
        if os.path.isdir(self.log_dir):
            with self.logs(make=False) as logs:
                for name, changed in logs.entries():
                    tag = name.split(".")[0]
                    if TAG.match(tag) and tag not in kept and changed < limit and logs.remove(name):
                        gone.append(logs.join(name))
        if not os.path.isdir(self.state_dir):
            return gone
        with self.state(make=False) as state:
            with state.sub("jobs") as jobs:
                for name, changed in jobs.entries():
                    if TAG.match(name) and name not in kept and changed < limit and self._is_over(jobs, name, changed):
                        gone.extend([jobs.join(name)] if jobs.remove(name) else [])
            with state.sub("lib") as lib:
                for name, changed in lib.entries():
                    if changed < limit - _LONGEST_JOB and lib.remove(name):
                        gone.append(lib.join(name))
        return gone

    def _is_over(self, jobs: Folder, tag: str, changed: float) -> bool:
        if changed < time.time() - self.site.keep_logs * _DAY - _LONGEST_JOB:
            return True
        with jobs.sub(tag, make=False) as folder:
            return folder.has(END)


def write_json(folder: Folder, name: str, value: Any) -> str:
    return folder.write(name, json.dumps(value).encode())


def read_json(folder: Folder, name: str) -> Optional[Dict[str, Any]]:
    """The object in that file, or None where the file is missing or garbled."""
    data = folder.read(name, _SMALL)
    if data is None:
        return None
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
