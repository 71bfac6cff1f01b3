"""A site's own batch script, as batchspawner had it: a Jinja or str.format template, for sites with allow_scripts.

The template is the admin's. What a user may put into it is the validated choice and the site's legacy_options, all of
plain characters only: no value can end a line or a word, begin an option, or be read as a template. Pure.
"""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from .choice import Choice
from .legacyoptions import plain_value
from .units import format_walltime, parse_memory, parse_walltime

NEVER = "cmd"
"""The one name that neither traits nor users set: where the server is started."""

_CHOSEN: Mapping[str, str] = {
    "partition": "partition",
    "queue": "partition",
    "account": "account",
    "qos": "qos",
    "reservation": "reservation",
    "nprocs": "cores",
    "ngpus": "gpus",
}
"""Name in a template -> option."""


def chosen(choice: Choice, traits: Mapping[str, Any]) -> dict[str, str]:
    """What the choice puts into the template. Raises ValueError for a value that can't stand there.

    traits: req_* as configured. A size that means the same as the site's own text keeps that text, since batch systems
    differ in how they are written.
    """
    found = {name: str(getattr(choice, option) or "") for name, option in _CHOSEN.items()}
    found["memory"] = "" if choice.memory is None else f"{choice.memory}M"
    found["runtime"] = "" if choice.walltime is None else format_walltime(choice.walltime)
    for name, parse, value in (("memory", parse_memory, choice.memory), ("runtime", parse_walltime, choice.walltime)):
        own = str(traits.get("req_" + name) or "")
        if own and value is not None and _read(parse, own) == value:
            found[name] = own
    for name in ("queue", "partition"):
        # PBS-like templates ask for a queue, the one option of ours is both.
        found[name] = found[name] or str(traits.get("req_" + name) or "")
    return {name: plain_value(name, text) for name, text in found.items()}


def _read(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        return None


def variables(
    choice: Choice, own: Mapping[str, str], traits: Mapping[str, Any], account: Mapping[str, str], command: str
) -> dict[str, str]:
    """All that the template may use: the admin's req_* first, then the account, the choice, and the site's own options.

    own: checked by legacyoptions.read. account: username and homedir as the system knows them. command: stands for the
    server's command, which the helper alone knows. Raises ValueError.
    """
    found = {name.removeprefix("req_"): str(value) for name, value in traits.items() if name.startswith("req_")}
    found.update({name: plain_value(name, text) for name, text in account.items()})
    found.update(chosen(choice, traits))
    found.update(own)
    # The job's environment comes from a file; a list of names would export nothing but the helper's own.
    found["keepvars"] = "NONE"
    found["keepvars_extra"] = ""
    found[NEVER] = command
    return found


def render(template: str, values: Mapping[str, str]) -> str:
    """The script: Jinja where the template holds {{ or {%, else str.format, as batchspawner tells them apart.

    Raises ValueError in words.
    """
    try:
        if "{{" in template or "{%" in template:
            # The site's own text, of which no user's value is ever a part before it is compiled; and a batch script is
            # no HTML.
            script = jinja2.Environment(autoescape=False).from_string(template).render(values)  # noqa: S701
        else:
            script = string.Formatter().vformat(template, (), values)
    except KeyError as error:
        raise ValueError(f"batch_script: {error.args[0]} has no value; is it missing in legacy_options?") from None
    except (jinja2.TemplateError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"batch_script: {type(error).__name__}: {error}") from None
    if values[NEVER] not in script:
        raise ValueError("batch_script: has no {cmd}, where the server is started")
    return script + ("" if script.endswith("\n") else "\n")


def wrapped(configured: Mapping[str, Any], command: Sequence[str]) -> list[str]:
    """argv of a server that batchspawner-singleuser starts; [] where the site does not ask for that.

    Best effort: it reports a port that it has chosen and not bound, and ends for idleness no more.
    """
    program = str(configured.get("batchspawner_singleuser_cmd") or "")
    return [*shlex.split(program), *command] if program else []
