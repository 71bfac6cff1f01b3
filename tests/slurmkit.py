"""Recorded answers of a real Slurm, and how to read them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from hpcspawner.job import Cluster, Result
from hpcspawner.schedulers import _slurm_query

FOLDER = Path(__file__).parent / "schedulers" / "slurm"
MARK = "SECRETSECRETSECRET"
"""Stands in the recordings for the secret of the process that recorded."""
CLUSTER = Cluster("main", "slurm")


@cache
def _recordings(file: str) -> dict[str, dict[str, Any]]:
    lines = (FOLDER / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def names(file: str) -> list[str]:
    return list(_recordings(file))


def recorded(file: str, name: str) -> Result:
    """One answer, as if this process had asked."""
    record = _recordings(file)[name]
    return Result(record["code"], record["out"].replace(MARK, _slurm_query.SECRET), record["err"])


def asked(file: str, name: str) -> dict[str, Any]:
    """The command that was recorded."""
    return _recordings(file)[name]
