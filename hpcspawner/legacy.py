"""Settings of batchspawner that keep working, and those that no longer have an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import batchspawner
from batchspawner import BatchSpawnerBase

DEFAULTS: Mapping[str, str] = {
    "req_partition": "partition",
    "req_queue": "partition",
    "req_account": "account",
    "req_qos": "qos",
    "req_reservation": "reservation",
    "req_nprocs": "cores",
    "req_memory": "memory",
    "req_ngpus": "gpus",
    "req_runtime": "walltime",
}
"""Traits of batchspawner -> our option, for which the trait is the default where the user chose no profile."""

REPLACED: Mapping[str, str] = {
    "exec_prefix": "the cluster's 'way' in the site file",
    "batch_script": "profiles, environments and directives in the site file",
    "batch_submit_cmd": "the cluster's 'scheduler' and 'commands' in the site file",
    "batch_query_cmd": "the cluster's 'scheduler' and 'commands' in the site file",
    "batch_cancel_cmd": "the cluster's 'scheduler' and 'commands' in the site file",
    "batchspawner_singleuser_cmd": "the cluster's 'server' in the site file",
    "state_pending_re": "the scheduler's own state table",
    "state_running_re": "the scheduler's own state table",
    "state_exechost_re": "the cluster's 'address' in the site file",
    "req_host": "the cluster's 'way' in the site file",
    "req_options": "'directives' in the site file",
    "req_prologue": "'setup' of an environment in the site file",
    "req_epilogue": "the site's own epilog",
    "req_keepvars": "Spawner.environment and Spawner.env_keep",
    "req_keepvars_extra": "Spawner.environment and Spawner.env_keep",
    "req_gres": "the options gpus and gpu_type",
    "req_srun": "nothing: the server is started without srun",
    "req_cluster": "one cluster in the site file for each",
}
"""Settings of batchspawner without effect here -> what takes their place."""


def class_of(scheduler: str) -> type[Any] | None:
    """batchspawner's class for a scheduler, found by its name; None where it has none."""
    for name in dir(batchspawner):
        item = getattr(batchspawner, name)
        if name.lower() == f"{scheduler}spawner" and isinstance(item, type) and issubclass(item, BatchSpawnerBase):
            return item
    return None


def defaults(configured: Mapping[str, Any]) -> dict[str, Any]:
    """Options from configured traits; a trait that is empty gives none."""
    found: dict[str, Any] = {}
    for trait, option in DEFAULTS.items():
        if configured.get(trait):
            found.setdefault(option, configured[trait])
    return found


def without_effect(configured: Mapping[str, Any]) -> list[str]:
    """One sentence for each configured setting that no longer does anything."""
    return [f"{name} has no effect; use {REPLACED[name]}" for name in sorted(configured) if name in REPLACED]
