"""A packed helper that other users can run, and a place where they can keep their state."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcspawner import helper_app


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    yield helper_app.build(folder / "helper.pyz")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder like /tmp: everybody may add to it."""
    folder = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
