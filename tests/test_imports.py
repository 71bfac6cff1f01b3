"""Who may import what: the rules that keep helper and in-job files light, and the parts apart."""

from __future__ import annotations

import ast
import functools
import gc
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hpcspawner"

CARRIED = ("job", "sitemodel", "sitejson", "units", "options", "schedulers", "helper", "localqueue", "injob")
"""What travels to submit hosts and nodes: the standard library only."""
FRAMEWORKS = {"jupyterhub", "batchspawner", "dask_gateway_server", "dask", "distributed", "ipyparallel", "tornado"}
FREE_OF_FRAMEWORKS = ("sitefile", "options", "inventory", "jobqueue", "run_as", "check", "discover", "menu", "form")
"""Used by hub and gateway alike: no framework."""


def modules(name: str) -> list[Path]:
    path = PACKAGE / name
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@functools.cache
def imported(path: Path) -> set[tuple[int, str]]:
    """(level, module) of every import, wherever it stands."""
    found: set[tuple[int, str]] = set()
    gc.disable()  # Python 3.11.2, Debian's, fails at random where a collection runs while it makes the tree
    try:
        tree = ast.parse(path.read_text())
    finally:
        gc.enable()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.level, node.module or ""))
            found.update((node.level, f"{node.module or ''}.{alias.name}".strip(".")) for alias in node.names)
    return found


def foreign(path: Path) -> set[str]:
    """Top-level names of imported packages that are neither ours nor the standard library's."""
    names = {module.split(".")[0] for level, module in imported(path) if level == 0}
    return {name for name in names if name not in sys.stdlib_module_names and name != "hpcspawner"}


def reached(path: Path) -> set[Path]:
    """Modules of ours that importing this one brings along."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for level, module in imported(here):
            if level:
                base = here.parents[level - 1].joinpath(*module.split(".")) if module else here.parents[level - 1]
                waiting += [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
    return seen


@pytest.mark.parametrize("name", CARRIED)
def test_what_travels_uses_the_standard_library_only(name: str) -> None:
    for path in modules(name):
        if "injob" in path.parts and path.name == "hpcspawner_jupyter.py":
            continue  # runs inside Jupyter's own process
        for module in reached(path):
            if "injob" in module.parts:
                own = {p.stem for p in (PACKAGE / "injob").glob("*.py")}
                assert foreign(module) <= own | {"jupyter_server", "tornado", "jupyterhub"}, module
            else:
                assert not foreign(module), f"{path.name} brings {module.name}: {foreign(module)}"


@pytest.mark.parametrize("name", FREE_OF_FRAMEWORKS)
def test_what_hub_and_gateway_share_knows_no_framework(name: str) -> None:
    for path in modules(name):
        for module in reached(path):
            assert not foreign(module) & FRAMEWORKS, f"{path.name} brings {module.name}"


def test_no_module_shadows_the_standard_library() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.stem in ("__init__", "__main__") or path.stem not in sys.stdlib_module_names, path


def test_only_run_as_starts_processes_on_the_hub() -> None:
    allowed = {"run_as.py", "helper_app.py"}
    inside = {"helper", "localqueue", "injob"}
    for path in PACKAGE.rglob("*.py"):
        if path.name in allowed or inside & set(path.parts):
            continue
        names = {module for level, module in imported(path) if level == 0}
        assert "subprocess" not in names, path
        assert "create_subprocess" not in path.read_text(), path
