"""Site files for tests: a small valid one, and what is wrong with a changed one."""

from __future__ import annotations

import pytest

from hpcspawner import sitefile
from hpcspawner.siteyaml import Problem

SMALL = """\
name: uni
clusters:
  main:
    scheduler: slurm
    partitions:
      cpu:
        fields: {cores: {max: 40}, walltime: {max: "24:00:00"}}
      gpu:
        gpu_types: {a100: {max: 4}}
        omit: [memory]
environments:
  science: {python: python3, setup: module load python}
apps:
  lab: {url: /lab}
profiles:
  small:
    fields: {partition: cpu, cores: 2, memory: 4G, walltime: "02:00:00"}
"""


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text
    return text.replace(old, new)


def problems(text: str) -> list[Problem]:
    """All that is wrong with the text; none for a valid file."""
    try:
        sitefile.read_text(text, "site.yaml")
    except sitefile.SiteError as error:
        return error.problems
    return []


def only_problem(text: str) -> Problem:
    found = problems(text)
    if len(found) != 1:
        pytest.fail("expected one problem, found: " + "; ".join(map(str, found)))
    return found[0]
