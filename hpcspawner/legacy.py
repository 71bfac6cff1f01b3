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
    "batch_script": "profiles, environments and directives in the site file, or 'allow_scripts: true' there",
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


IN_SCRIPTS = frozenset(
    (
        "batch_script",
        "batchspawner_singleuser_cmd",
        "req_cluster",
        "req_epilogue",
        "req_gres",
        "req_host",
        "req_options",
        "req_prologue",
        "req_srun",
    )
)
"""Those that have their effect in a site's own batch script."""


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


def without_effect(configured: Mapping[str, Any], *, scripted: bool = False) -> list[str]:
    """One sentence for each configured setting that does nothing. scripted: the site's own batch script is used."""
    used = IN_SCRIPTS if scripted else ()
    names = [name for name in sorted(configured) if name in REPLACED and name not in used]
    return [f"{name} has no effect; use {REPLACED[name]}" for name in names]


def traits_of(cls: type[Any] | None, configured: Mapping[str, Any]) -> dict[str, Any]:
    """req_* of a site: what is configured, else the defaults of batchspawner's class, of which ours has only some."""
    defaults = cls.class_traits() if cls is not None else {}
    found = {name: trait.default_value for name, trait in defaults.items() if name.startswith("req_")}
    found.update({name: value for name, value in configured.items() if name.startswith("req_")})
    return {name: value for name, value in found.items() if isinstance(value, (str, int))}
