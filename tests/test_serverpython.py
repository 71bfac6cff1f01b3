"""The search for a Python that can run servers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcspawner import serverpython


def prefix(place: Path, *packages: str, version: str = "3.11") -> Path:
    """Something that looks like an environment; its Python."""
    lib = place / "lib" / f"python{version}" / "site-packages"
    for name in packages:
        (lib / name).mkdir(parents=True)
        (lib / name / "__init__.py").touch()
    python = place / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.touch(0o755)
    return python


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_both_packages_must_be_there(folder: Path) -> None:
    assert serverpython.fits(prefix(folder / "full", "jupyterhub", "jupyterlab"))
    assert not serverpython.fits(prefix(folder / "half", "jupyterhub"))


def test_an_old_python_does_not_fit(folder: Path) -> None:
    assert not serverpython.fits(prefix(folder / "old", "jupyterhub", "jupyterlab", version="3.9"))


def test_a_python_that_others_cant_reach_does_not_fit(folder: Path) -> None:
    python = prefix(folder / "home" / "env", "jupyterhub", "jupyterlab")
    (folder / "home").chmod(0o700)
    assert not serverpython.fits(python)


def test_path_comes_first_and_is_searched_in_order(folder: Path) -> None:
    first, second = prefix(folder / "a"), prefix(folder / "b")
    found = serverpython.candidates(
        {"PATH": f"{second.parent}:/nowhere:{first.parent}"}, [str(folder / "*/bin/python3")]
    )
    assert found == [second, first]


def test_nothing_found_is_an_empty_text() -> None:
    assert serverpython.candidates({}, []) == []
