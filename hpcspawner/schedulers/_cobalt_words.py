"""Cobalt's words, and those of its dialect: states, reasons, switches of the site."""

from __future__ import annotations

from typing import Mapping, Tuple

from ..job import JobState

STATES: Mapping[str, JobState] = {
    "queued": JobState.PENDING,
    "user_hold": JobState.HELD,
    "admin_hold": JobState.HELD,
    # These two end by themselves.
    "dep_hold": JobState.PENDING,
    "maxrun_hold": JobState.PENDING,
    "dep_fail": JobState.HELD,
    "starting": JobState.STARTING,
    "running": JobState.RUNNING,
    "killing": JobState.ENDING,
    "exiting": JobState.ENDING,
    "preempting": JobState.ENDING,
    # Its run is over, and it waits for the next one.
    "preempted": JobState.PENDING,
    "done": JobState.ENDED,
}

REASONS: Mapping[str, str] = {
    "user_hold": "held by its owner",
    "admin_hold": "held by an admin",
    "dep_hold": "waiting for another job",
    "dep_fail": "it will never run: the job that it depends on failed or is not there",
    "maxrun_hold": "the limit of running jobs of its owner in this queue is reached",
    "preempted": "it had to make room for another job and waits to start again",
    "preempting": "it has to make room for another job",
}

SWITCHES: Mapping[str, str] = {
    "node_cores": "Cores of a node, which Cobalt does not tell: a number, or a number for each queue.",
    "node_memory": "Memory of a node in MiB, likewise.",
    "node_gpus": "GPUs of a node, likewise.",
    "device": "Pattern of what a location has behind the host's name where parts of a node are given out "
    "(default -gpu[0-9]+): thetagpu04-gpu0 is then known as thetagpu04 too.",
    "ssh": "Command that runs a worker on another node of a job (default ssh -n -o BatchMode=yes).",
}

OWN_DIRECTIVES: Tuple[str, ...] = (
    *("-n", "--nodecount", "--proccount", "-t", "--time", "-q", "--queue", "-A", "--project", "--jobname"),
    *("-O", "--outputprefix", "-o", "--output", "-e", "--error", "--debuglog", "--cwd", "-i", "--inputfile"),
    *("--env", "--mode", "-I", "--interactive", "-h", "--held", "--dependencies"),
)
"""What the script sets from a job's own fields, or what would keep it from being a batch job of its own."""
