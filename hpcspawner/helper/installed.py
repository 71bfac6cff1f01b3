"""Whether this helper may be trusted where it lies, and which site holds.

Where a site.json lies beside the program, an administrator installed it: only that site counts, whatever the request
says. Otherwise the request brings the site, which is right only where the hub could do everything itself.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, Iterator, Optional, Tuple

from ..sitemodel import ClusterSite, Site
from .faults import Fault

SITE_FILE = "site.json"


def site_beside(program: str) -> Optional[str]:
    """Path of the site that was installed with the program, or None."""
    path = os.path.join(os.path.dirname(program), SITE_FILE)
    return path if os.path.lexists(path) else None


def must_be_safe(path: str) -> None:
    """Raises a site Fault unless only root can change what lies at path."""
    for part in _parts(path):
        try:
            info = os.lstat(part)
        except OSError as error:
            raise Fault("site", "cannot look at {}: {}".format(part, error.strerror), part) from None
        problem = _problem(info)
        if problem:
            raise Fault("site", "{} {}: the helper does not run from there".format(part, problem), part)


def _parts(path: str) -> Iterator[str]:
    """The file and every folder above it, both as written and as it really lies."""
    for start in sorted({os.path.abspath(path), os.path.realpath(path)}):
        part = start
        while True:
            yield part
            above = os.path.dirname(part)
            if above == part:
                break
            part = above


def _problem(info: os.stat_result) -> str:
    if info.st_uid != 0:
        return "does not belong to root"
    if stat.S_ISLNK(info.st_mode):
        return ""
    # In a sticky folder (/tmp) others may add files, but not replace root's.
    if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX:
        return ""
    if info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and info.st_gid != 0):
        return "can be changed by others than root"
    return ""


def load(program: str, given: Any) -> Tuple[Site, bool]:
    """The site that holds, and whether it was installed. Raises a site Fault."""
    path = site_beside(program)
    if path is not None:
        must_be_safe(program)
        must_be_safe(path)
        return _site(_read(path), path), True
    if os.geteuid() == 0:
        must_be_safe(program)
    if "SUDO_UID" in os.environ and os.geteuid() != 0:
        # Whoever wrote the request would write the rules too.
        raise Fault(
            "site", "there is no {} beside {}: run `hpcspawner site compile`".format(SITE_FILE, program), program
        )
    if not isinstance(given, dict):
        raise Fault("protocol", "site: is missing, and there is no {} beside {}".format(SITE_FILE, program))
    return _site(given, "the request"), False


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise Fault("site", "cannot read {}: {}".format(path, error), path) from None
    if not isinstance(value, dict):
        raise Fault("site", "{} is not a JSON object".format(path), path)
    return value


def _site(value: Dict[str, Any], where: str) -> Site:
    from .. import sitejson

    try:
        return sitejson.load(value)
    except (ValueError, TypeError, KeyError) as error:
        raise Fault("site", "the site in {} is not usable: {}".format(where, error)) from None


def cluster_of(site: Site, name: str) -> ClusterSite:
    """The cluster's part of the site; raises a site Fault."""
    if name not in site.clusters:
        raise Fault("site", "cluster: {!r} is not in the site; there are {}".format(name, ", ".join(site.clusters)))
    return site.clusters[name]


def fingerprint(site: Site) -> str:
    """Equal for equal sites: shows whether an installed site is the one that the hub reads."""
    import hashlib

    from .. import sitejson

    return hashlib.sha256(json.dumps(sitejson.dump(site), sort_keys=True).encode()).hexdigest()[:16]
