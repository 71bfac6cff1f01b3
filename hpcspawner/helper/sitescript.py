"""A whole batch script that the hub sends: one that a site brought along from batchspawner, where it allows that."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Tuple

from ..job import Command, Job
from ..schedulers import _shell as shell
from .act import Act
from .faults import Fault

LIMIT = 65_536
"""Bytes of a script."""
_MARK = re.compile(r"[A-Za-z0-9_]{16,80}\Z")
_FIELDS = {"text", "mark", "command"}


def wanted(act: Act) -> Dict[str, Any]:
    """The request's script, {} where there is none. Raises a Fault, above all where the site does not allow scripts.

    text: the script; mark: the word in it for which the server's command is put; command: argv that starts the server
    in our wrapper and reports by itself (batchspawner-singleuser), or [].
    """
    given = act.request.table("script")
    if not given:
        return {}
    if not act.site.allow_scripts:
        raise Fault("refused", "script: the site file that this helper obeys does not say 'allow_scripts: true'")
    if set(given) != _FIELDS:
        raise Fault("protocol", "script: must hold {}".format(", ".join(sorted(_FIELDS))))
    text, mark, command = given["text"], given["mark"], given["command"]
    if not isinstance(text, str) or "\0" in text or len(text.encode("utf-8", "replace")) > LIMIT:
        raise Fault("protocol", "script.text: must be a text of at most {} bytes".format(LIMIT))
    if not text.startswith("#!"):
        raise Fault("refused", "script: must begin with #! and the path of a shell")
    if not isinstance(mark, str) or not _MARK.match(mark) or mark not in text:
        raise Fault("protocol", "script.mark: must be a word of the script")
    if not isinstance(command, list) or not all(isinstance(word, str) and "\0" not in word for word in command):
        raise Fault("protocol", "script.command: must be a list of texts")
    return given


def made(act: Act, job: Job, given: Mapping[str, Any], path: str) -> Tuple[str, Command]:
    """The script with the server's command in it, and the command that submits it. Raises ValueError."""
    write = getattr(act.dialect, "own_script", None)
    if write is None:
        raise ValueError("script: {} takes no scripts of the site's own".format(act.dialect.TITLE))
    words = " ".join(shell.word(word) for word in job.command)
    script, command = write(act.cluster, job, given["text"].replace(given["mark"], words), path)
    return script, command


def plan(command: List[str]) -> Dict[str, Any]:
    """What changes in the plan of a server that reports by itself."""
    return {"jupyter": False, "command": command, "kernels": [], "default_kernel": ""} if command else {}
