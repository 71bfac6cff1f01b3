"""The batch script of a Slurm job, and what sbatch answers to it."""

from __future__ import annotations

import re
from typing import List, Tuple

from ..job import Accepted, Cluster, Command, Job, Refused, Result, Submitted, Unknown
from . import _shell as shell
from . import _slurm_text as text

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./%-]")

# Set by --export=NONE and by the batch job's own memory request, and srun and sbatch take them for their own options:
# srun in a cell would find no command, or refuse two memory options at once. Task counts would reach srun inside a job
# that a cell submits, where sbatch sets them only if asked to. The runtime directory is another host's.
UNSET = (
    "SLURM_EXPORT_ENV",
    "SLURM_GET_USER_ENV",
    "SLURM_MEM_PER_NODE",
    "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_GPU",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_NPROCS",
    "XDG_RUNTIME_DIR",
)


def script(cluster: Cluster, job: Job) -> str:
    """The whole batch script. Raises ValueError that names the field."""
    lines = ["#!/bin/bash"]
    # The site's own come first: in sbatch the last one of two counts, so they can't override what the job asks for.
    lines += ["#SBATCH " + shell.line("directives", line) for line in job.directives]
    lines += ["#SBATCH " + line for line in _options(job)]
    lines.append("unset " + " ".join(UNSET))
    if job.resources.walltime is not None:
        # Slurm itself tells the end only from 23.02 on.
        seconds = _minutes(job.resources.walltime) * 60
        lines.append("export HPCSPAWNER_JOB_END=$(( $(date +%s) + {:d} ))".format(seconds))
    lines += [shell.line("setup", line) for line in job.setup]
    lines.append("exec " + " ".join(shell.word(word) for word in _command(cluster, job)))
    return "\n".join(lines) + "\n"


def _options(job: Job) -> List[str]:
    if not _NAME.match(job.name):
        raise ValueError("name: {!r} is no job name".format(job.name[:80]))
    out = ["--job-name=" + job.name]
    for option, field, value in (
        ("partition", "partition", job.partition),
        ("account", "account", job.account),
        ("qos", "qos", job.qos),
        ("reservation", "reservation", job.reservation),
    ):
        if value:
            out.append("--{}={}".format(option, _value(field, value)))
    out += _resources(job)
    if job.workdir:
        out.append("--chdir=" + _path("workdir", job.workdir))
    if job.output:
        # A per cent sign starts a pattern (%j) in the name of a log file.
        out.append("--output=" + _path("output", job.output).replace("%", "%%"))
        out.append("--open-mode=append")
    if job.array is not None:
        first, last = job.array
        if not 0 <= first <= last:
            raise ValueError("array: {}-{} is no range of indexes".format(first, last))
        out.append("--array={:d}-{:d}".format(first, last))
    out.append("--requeue" if job.requeue else "--no-requeue")
    if job.tasks_per_node is not None:
        # Workers on the other nodes live on when one node fails.
        out.append("--no-kill")
    # Nothing of the helper's environment; Slurm makes the user's own, as at a login.
    out.append("--export=NONE")
    return out


def _resources(job: Job) -> List[str]:
    ask = job.resources
    out = ["--nodes={:d}".format(_number("nodes", ask.nodes, 1)), "--ntasks-per-node={:d}".format(_tasks(job))]
    if ask.cores is not None:
        out.append("--cpus-per-task={:d}".format(_cores_of_task(job)))
    if ask.memory is not None:
        out.append("--mem={:d}M".format(_number("memory", ask.memory, 1)))
    if ask.gpus:
        kind = ""
        if ask.gpu_request:
            if not _GPU.match(ask.gpu_request):
                raise ValueError("gpu_type: {!r} is no name of a GPU type".format(ask.gpu_request[:80]))
            kind = ask.gpu_request + ":"
        out.append("--gres=gpu:{}{:d}".format(kind, _number("gpus", ask.gpus, 1)))
    if ask.walltime is not None:
        out.append("--time={:d}".format(_minutes(ask.walltime)))
    if ask.exclusive:
        out.append("--exclusive")
    return out


def _minutes(walltime: int) -> int:
    """Slurm counts minutes; rounding down would end the job before its time."""
    return -(-_number("walltime", walltime, 1) // 60)


def _tasks(job: Job) -> int:
    return 1 if job.tasks_per_node is None else _number("tasks_per_node", job.tasks_per_node, 1)


def _cores_of_task(job: Job) -> int:
    cores = _number("cores", job.resources.cores or 0, 1)
    if cores < _tasks(job):
        raise ValueError("cores: {} is less than {} tasks on each node".format(cores, _tasks(job)))
    return cores // _tasks(job)


def _command(cluster: Cluster, job: Job) -> List[str]:
    if not job.command:
        raise ValueError("command: is empty")
    tasks, nodes = _tasks(job), job.resources.nodes
    if job.tasks_per_node is None or tasks * nodes == 1:
        return list(job.command)
    srun = [cluster.command("srun"), "--ntasks={:d}".format(tasks * nodes), "--ntasks-per-node={:d}".format(tasks)]
    if job.resources.cores is not None:
        # From 22.05 on srun no longer takes over the cores a task of sbatch.
        srun.append("--cpus-per-task={:d}".format(_cores_of_task(job)))
    # One worker's end ends no other worker.
    return [*srun, "--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--mpi=none", "--export=ALL", *job.command]


def _number(field: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise ValueError("{}: {!r} is not a number of at least {}".format(field, value, least))
    return value


def _value(field: str, value: str) -> str:
    """A name, such as that of a partition, so written that sbatch reads exactly it."""
    if shell.ODD.search(value) or value[:1] == "-" or len(value) > 200 or any(char.isspace() for char in value):
        raise ValueError("{}: {!r} holds a character that can't stand in a name".format(field, value[:80]))
    return _escaped(value)


def _path(field: str, value: str) -> str:
    # A backslash switches off patterns in a log file's name, which differs between releases.
    if shell.ODD.search(value) or not value.startswith("/") or "\\" in value or len(value) > 3000:
        raise ValueError("{}: {!r} is not an absolute path in plain characters".format(field, value[:80]))
    return _escaped(value)


def _escaped(value: str) -> str:
    """In quotes, where sbatch takes the character behind a backslash as it is; white space ends a word without them."""
    if all(_PLAIN.match(char) for char in value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def submit(cluster: Cluster, job: Job, script: str, path: str) -> Command:
    """The script goes in by standard input: nothing of it is visible in the list of processes."""
    return Command((cluster.command("sbatch"), "--parsable"), stdin=script)


_SHELL = re.compile(r"#! *(/\S*/)?(env +)?(ba|da|k|z)?sh\b")


def own_script(cluster: Cluster, job: Job, script: str, path: str) -> Tuple[str, Command]:
    """A script of the site's own, made to fit: what hpcspawner relies on wins, what the site left open is filled in.

    Options on the command line count more than directives, and the last of two directives more than the first.
    """
    first, _, rest = script.partition("\n")
    lines = [first]
    if job.workdir:
        lines.append("#SBATCH --chdir=" + _path("workdir", job.workdir))
    body = rest.split("\n")
    start = next((at for at, line in enumerate(body) if line.strip() and not line.startswith("#")), len(body))
    lines += body[:start]
    if _SHELL.match(first):
        lines.append("unset " + " ".join(UNSET))
    lines += body[start:]
    wins = [option for option in _options(job) if option.startswith(_OURS)]
    return "\n".join(lines), Command((cluster.command("sbatch"), "--parsable", *wins), stdin="\n".join(lines))


_OURS = ("--job-name=", "--output=", "--open-mode=", "--requeue", "--no-requeue", "--export=")
_REFUSAL = re.compile(r"^sbatch: |: not found$|: Permission denied$", re.MULTILINE)
_ID_LINE = re.compile(r"^([1-9][0-9]*)(;[A-Za-z0-9_.-]*)?\s*$", re.MULTILINE)


def submitted(cluster: Cluster, result: Result) -> Submitted:
    """What became of the submit. Filters of the site may say something on stderr and still exit with 0."""
    said = text.words(result.err)
    if text.NOT_SENT.search(result.err):
        return Refused("the scheduler can't be reached: " + said)
    if result.code is None:
        return Unknown(said or "sbatch did not answer in time")
    if result.code == 0:
        ids = _ID_LINE.findall(result.out)
        # Plugins may print before it, never behind it.
        return Accepted(ids[-1][0], said) if ids else Unknown(said or text.words(result.out) or "sbatch gave no job id")
    if not _REFUSAL.search(result.err) or text.OUTAGE.search(result.err):
        return Unknown(said or "sbatch ended with code {} and said nothing".format(result.code))
    return Refused(said)
