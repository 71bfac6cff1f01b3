"""The documents are true: links lead somewhere, commands and files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_of_the_project_exist(document: Path) -> None:
    for name in re.findall(r"`((?:deploy|docs|tests|hpcspawner)/[\w./-]+)`", document.read_text()):
        assert "NAME" in name or (ROOT / name).exists(), name


def test_the_design_names_every_house() -> None:
    """A module or package that is not in the table of docs/design.md is one that nobody will find."""
    text = (ROOT / "docs/design.md").read_text()
    patterns = [re.escape(name).replace(r"\*", "[a-z_]*") for name in re.findall(r"`([\w*]+)(?:\.py|/)`", text)]
    for path in sorted((ROOT / "hpcspawner").iterdir()):
        if path.name.startswith("_") or path.suffix not in ("", ".py"):
            continue
        assert any(re.fullmatch(pattern, path.stem) for pattern in patterns), path.name
