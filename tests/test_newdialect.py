"""A batch system is one module and one folder of recorded output: nothing else knows its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcspawner import schedulers
from hpcspawner.job import JobState
from hpcspawner.schedulers import Scheduler

PACKAGE = Path(__file__).parents[1] / "hpcspawner"
NAMELESS = [
    "spawner",
    "jobqueue",
    "options",
    "helper",
    "choosing",
    "jobspawner",
    "fleet",
    "run_as",
    "sitedirectives",
    "discovery",
    "report",
    "callback",
    "menu",
    "form",
    "offers",
    "limits",
    "inventory",
    "progress",
    "sitechoice",
]
NAMED = re.compile(r"slurm|lsf|cobalt|grid ?engine", re.IGNORECASE)


@pytest.mark.parametrize("name", NAMELESS)
def test_no_module_but_the_dialects_names_a_scheduler(name: str) -> None:
    path = PACKAGE / name
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        lines = [line for line in file.read_text().splitlines() if NAMED.search(line)]
        assert not lines, f"{file.name}: {lines[0].strip()}"


@pytest.mark.parametrize("name", schedulers.names())
def test_a_dialect_has_all_that_is_asked_of_one(name: str) -> None:
    dialect = schedulers.load(name)
    for attribute in Scheduler.__annotations__:
        assert hasattr(dialect, attribute), attribute
    for function in (word for word in vars(Scheduler) if not word.startswith("_")):
        assert callable(getattr(dialect, function)), function
    assert set(dialect.STATES.values()) <= set(JobState)
    assert dialect.TITLE
    assert "{account}" in dialect.SEE_ALL or "{" not in dialect.SEE_ALL


@pytest.mark.parametrize("name", [name for name in schedulers.names() if schedulers.load(name).DETECT])
def test_a_dialect_is_found_by_commands_that_no_other_one_has(name: str) -> None:
    mine = set(schedulers.load(name).DETECT)
    for other in schedulers.names():
        theirs = set(schedulers.load(other).DETECT)
        assert other == name or not theirs or not mine <= theirs, other


@pytest.mark.parametrize("name", [name for name in schedulers.names() if schedulers.load(name).DETECT])
def test_a_dialect_has_a_folder_of_recorded_output(name: str) -> None:
    assert list((Path(__file__).parent / "schedulers" / name).glob("*.jsonl"))
