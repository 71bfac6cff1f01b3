"""What goes into a Slurm job's script, and that nothing else can get in."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcspawner.job import Cluster, Job, Resources
from hpcspawner.schedulers import load, slurm

CLUSTER = Cluster("main", "slurm")
UNSET = (
    "SLURM_EXPORT_ENV SLURM_GET_USER_ENV SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU "
    "SLURM_NTASKS SLURM_NTASKS_PER_NODE SLURM_NPROCS XDG_RUNTIME_DIR"
)
JOB = Job("jupyter-abcdef-aaaaaaaaaa", "alice", ("run", "--it"))


def options(script: str) -> list[str]:
    """The options that sbatch reads from a script (measured: quotes group, a backslash takes the next character)."""
    out = []
    for line in script.split("\n")[1:]:
        if line.startswith("#SBATCH"):
            out += words_of_a_directive(line[len("#SBATCH") :])
        elif line.strip() and not line.startswith("#"):
            break
    return out


def words_of_a_directive(line: str) -> list[str]:
    words: list[str] = []
    word, quote, escaped = "", "", False
    for char in line + " ":
        if escaped:
            word, escaped = word + char, False
        elif char == "\\":
            escaped = True
        elif quote:
            word, quote = (word, "") if char == quote else (word + char, quote)
        elif char in "'\"":
            quote = char
        elif char == "#":
            break
        elif char.isspace():
            words, word = ([*words, word], "") if word else (words, word)
        else:
            word += char
    assert not quote
    return words


def script(**changes: Any) -> str:
    return slurm.script(CLUSTER, dataclasses.replace(JOB, **changes))


def test_a_plain_job() -> None:
    text = script(
        resources=Resources(nodes=2, cores=4, memory=8192, gpus=2, gpu_request="1g.5gb", walltime=3601, exclusive=True),
        partition="main",
        account="chem/ab:1",
        qos="long",
        reservation="course",
        workdir="/home/alice",
        output="/home/alice/100%/log",
        setup=("module load python", "export A=1"),
        directives=("--constraint=skylake",),
    )
    assert (
        text
        == """\
#!/bin/bash
#SBATCH --constraint=skylake
#SBATCH --job-name=jupyter-abcdef-aaaaaaaaaa
#SBATCH --partition=main
#SBATCH --account=chem/ab:1
#SBATCH --qos=long
#SBATCH --reservation=course
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8192M
#SBATCH --gres=gpu:1g.5gb:2
#SBATCH --time=61
#SBATCH --exclusive
#SBATCH --chdir=/home/alice
#SBATCH --output=/home/alice/100%%/log
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --export=NONE
unset {unset}
export HPCSPAWNER_JOB_END=$(( $(date +%s) + 3660 ))
module load python
export A=1
exec run --it
""".replace("{unset}", UNSET)
    )


def test_what_is_not_asked_for_is_not_sent() -> None:
    sent = {option.split("=")[0] for option in options(script())}
    assert sent == {"--job-name", "--nodes", "--ntasks-per-node", "--no-requeue", "--export"}


@pytest.mark.parametrize(("seconds", "minutes"), [(1, 1), (60, 1), (61, 2), (86400, 1440)])
def test_walltime_is_rounded_up_to_minutes(seconds: int, minutes: int) -> None:
    assert f"--time={minutes}" in options(script(resources=Resources(walltime=seconds)))


def test_a_job_is_requeued_only_where_the_profile_says_so() -> None:
    assert "--requeue" in options(script(requeue=True))
    assert "--no-requeue" in options(script())


def test_an_array_of_workers_is_one_job() -> None:
    assert "--array=0-99" in options(script(array=(0, 99), tasks_per_node=1))


def test_several_workers_a_node_share_its_cores_and_start_by_srun() -> None:
    text = script(resources=Resources(nodes=3, cores=10), tasks_per_node=4)
    assert {"--ntasks-per-node=4", "--cpus-per-task=2", "--no-kill"} <= set(options(text))
    assert text.splitlines()[-1] == (
        "exec srun --ntasks=12 --ntasks-per-node=4 --cpus-per-task=2 --no-kill --kill-on-bad-exit=0 --wait=0 "
        "--mpi=none --export=ALL run --it"
    )


def test_one_worker_needs_no_srun() -> None:
    assert script(tasks_per_node=1).endswith("\nexec run --it\n")


def test_commands_come_from_the_sites_directory() -> None:
    cluster = dataclasses.replace(CLUSTER, commands="/opt/slurm/bin/")
    job = dataclasses.replace(JOB, resources=Resources(nodes=2), tasks_per_node=1)
    assert "exec /opt/slurm/bin/srun " in slurm.script(cluster, job)
    assert slurm.submit(cluster, JOB, "x", "").argv == ("/opt/slurm/bin/sbatch", "--parsable")


def test_the_script_goes_in_by_standard_input() -> None:
    command = slurm.submit(CLUSTER, JOB, "the script", "/home/alice/script")
    assert (command.stdin, command.argv) == ("the script", ("sbatch", "--parsable"))


def test_the_sites_directives_cannot_override_what_the_job_asks_for() -> None:
    """The last one of two counts."""
    sent = options(script(partition="main", directives=("--partition=other",)))
    assert [option for option in sent if option.startswith("--partition")][-1] == "--partition=main"


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "a b"}),
        ("name", {"name": ""}),
        ("name", {"name": "a" * 65}),
        ("partition", {"partition": "a b"}),
        ("partition", {"partition": "a\n#SBATCH -p b"}),
        ("partition", {"partition": "-w n1"}),
        ("account", {"account": "a\x00"}),
        ("qos", {"qos": "a\u2028b"}),
        ("reservation", {"reservation": "a\tb"}),
        ("workdir", {"workdir": "relative"}),
        ("workdir", {"workdir": "/a\n/b"}),
        ("output", {"output": "/a\\b"}),
        ("output", {"output": "log"}),
        ("gpu_type", {"resources": Resources(gpus=1, gpu_request="a100:8")}),
        ("gpu_type", {"resources": Resources(gpus=1, gpu_request="a,gpu")}),
        ("gpus", {"resources": Resources(gpus=-1)}),
        ("nodes", {"resources": Resources(nodes=0)}),
        ("cores", {"resources": Resources(cores=0)}),
        ("cores", {"resources": Resources(cores=2), "tasks_per_node": 3}),
        ("memory", {"resources": Resources(memory=-5)}),
        ("walltime", {"resources": Resources(walltime=0)}),
        ("array", {"array": (3, 1)}),
        ("tasks_per_node", {"tasks_per_node": 0}),
        ("directives", {"directives": ("--a\n--b",)}),
        ("setup", {"setup": ("a\r\nb",)}),
        ("command", {"command": ()}),
        ("command", {"command": ("a\x00b",)}),
    ],
)
def test_what_slurm_cannot_carry_is_an_error_that_names_the_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        script(**changes)


TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "a\n#SBATCH -p x",
        "#SBATCH -p x",
        '"',
        "'",
        "\\",
        '\\"',
        "$(id)",
        "`id`",
        "a b",
        "{{x}}",
        "%j",
        "--x",
        "é#ü",
        "a;b",
    ]
)
NUMBER = st.none() | st.integers(-2, 2**32)
JOBS = st.builds(
    Job,
    name=st.just(JOB.name),
    user=TEXT,
    command=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    resources=st.builds(
        Resources,
        nodes=st.integers(-1, 9),
        cores=NUMBER,
        memory=NUMBER,
        gpus=st.integers(-1, 9),
        gpu_request=TEXT,
        walltime=NUMBER,
        exclusive=st.booleans(),
    ),
    partition=TEXT,
    account=TEXT,
    qos=TEXT,
    reservation=TEXT,
    workdir=TEXT.map("/".__add__) | TEXT,
    output=TEXT.map("/".__add__) | TEXT,
    requeue=st.booleans(),
    array=st.none() | st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    tasks_per_node=st.none() | st.integers(-1, 4),
)
ONCE = ("partition", "account", "qos", "reservation", "workdir", "output")
NATIVE = {"workdir": "chdir"}


FIELDS = {*ONCE, "nodes", "cores", "memory", "gpus", "gpu_type", "walltime", "array", "tasks_per_node", "command"}


def script_or_refusal(job: Job) -> str:
    try:
        return slurm.script(CLUSTER, job)
    except ValueError as error:
        return str(error)


@settings(deadline=None, max_examples=300)
@given(JOBS)
def test_no_value_adds_a_directive(job: Job) -> None:
    """Each directive is one of ours, once, and holds exactly the value that was given; or the job is refused."""
    text = script_or_refusal(job)
    if not text.startswith("#!"):
        assert text.split(":")[0] in FIELDS
        return
    sent = options(text)
    assert len(sent) == text.count("\n#SBATCH ")
    assert len({option.split("=")[0] for option in sent}) == len(sent)
    values = dict(option.partition("=")[::2] for option in sent)
    for field in ONCE:
        value = getattr(job, field)
        native = "--" + NATIVE.get(field, field)
        assert values.get(native, "") == (value.replace("%", "%%") if field == "output" else value)
    assert text.count("\n") == len(sent) + 3 + (job.resources.walltime is not None)


def test_words_with_line_feeds_stay_on_one_line() -> None:
    assert script(command=("a\n#SBATCH -p x\n'", "\x1b[0m")).splitlines()[-1] == (
        "exec $'a\\012#SBATCH -p x\\012\\'' $'\\033[0m'"
    )


@pytest.mark.parametrize("dialect", ["slurm", "local"])
@settings(deadline=None, max_examples=40)
@given(words=st.lists(st.text(max_size=30).filter(lambda word: "\x00" not in word), min_size=1, max_size=6))
def test_bash_reads_exactly_the_words_of_the_command(dialect: str, words: list[str]) -> None:
    words = [word.encode("utf-8", "ignore").decode() for word in words]
    job = dataclasses.replace(JOB, command=tuple(words))
    line = load(dialect).script(CLUSTER, job).split("\n")[-2]
    line = line.replace("exec", r"printf '%s\0'", 1)
    out = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert out.decode().split("\x00")[:-1] == words
