"""What the small job found on its node about the Pythons, judged."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from ..choice import Choice
from ..sitemodel import Site
from .subject import Subject

OLDEST = (3, 10)
"""Of a Python that runs servers."""

INSTALL = "install into it: pip install jupyterhub=={0} jupyterlab"


def server_of(subject: Subject, choice: Choice) -> tuple[str, str]:
    """The Python that runs the server of this choice, and the field of the site file that names it."""
    environment = subject.site.environments.get(choice.environment)
    if environment is not None and environment.server:
        return environment.python, f"environments.{environment.name}.python"
    return subject.cluster.server.python, f"clusters.{subject.name}.server.python"


def pythons(subject: Subject, choice: Choice, result: Mapping[str, Any]) -> None:
    """A step for the server's Python and one for each environment that the user may choose."""
    node = str(result.get("node") or "the node")
    python, path = server_of(subject, choice)
    _server(subject, "server's Python", path, python, result.get("python"), node)
    servers, kernels = (_table(result, key) for key in ("servers", "kernels"))
    broken = _table(result, "environments")
    for name, environment in subject.site.environments.items():
        title, path = f"environment {name}", f"environments.{name}"
        if name in servers:
            _server(subject, title, f"{path}.python", environment.python, servers[name], node)
        elif broken.get(name):
            subject.steps.fail(title, f"on {node}: {broken[name]}", *_kernel_advice(path, environment.python))
        elif name in kernels:
            version = f"ipykernel {kernels[name]}" if kernels[name] else "a kernel of another language"
            subject.steps.ok(title, f"{environment.python} on {node}: {version}")
        elif not environment.clusters or subject.name in environment.clusters:
            subject.skip(title, f"{subject.user} may not use it")


def _table(result: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = result.get(key)
    return value if isinstance(value, dict) else {}


def _kernel_advice(path: str, python: str) -> list[str]:
    return [
        f"{path}.setup must make {python} found on the node, and {path}.python is what starts afterwards",
        "the environment needs ipykernel: python -m pip install ipykernel",
    ]


def _server(subject: Subject, title: str, path: str, python: str, found: Any, node: str) -> None:
    told: Mapping[str, Any] = found if isinstance(found, dict) else {}
    hub = importlib.metadata.version("jupyterhub")
    problem = str(told.get("problem") or "") or _unfit(subject.site, told, hub)
    if problem:
        subject.steps.fail(
            title,
            f"{python} on {node}: {problem}",
            INSTALL.format(hub),
            f"{path} names it; its 'setup' lines run before",
        )
        return
    versions = ", ".join(f"{name} {told[name]}" for name in ("jupyterhub", "jupyterlab") if told.get(name))
    subject.steps.ok(title, f"{told.get('executable') or python} on {node}: Python {told.get('version')}, {versions}")


def _unfit(site: Site, told: Mapping[str, Any], hub: str) -> str:
    """Why a Python that works cannot run the servers of this hub; '' it can."""
    version = _numbers(str(told.get("version") or ""))
    if version and version < OLDEST:
        return f"is Python {told['version']}; servers need {OLDEST[0]}.{OLDEST[1]} or newer"
    if not told.get("jupyterlab") and _needs_lab(site):
        return "has no JupyterLab"
    theirs = str(told.get("jupyterhub") or "")
    if theirs and _numbers(theirs)[:1] != _numbers(hub)[:1]:
        return f"has jupyterhub {theirs}, which does not fit the hub's {hub}"
    return ""


def _needs_lab(site: Site) -> bool:
    return not site.apps or any(not app.command and app.url.startswith("/lab") for app in site.apps.values())


def _numbers(version: str) -> tuple[int, ...]:
    found = []
    for part in version.split(".")[:2]:
        digits = "".join(x for x in part if x.isdigit())
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)
