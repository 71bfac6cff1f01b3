"""What goes into an LSF job's script, and that nothing else can get in."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcspawner.job import Cluster, Job, Resources
from hpcspawner.schedulers import lsf

from . import schedkit

PLAIN = Cluster("main", "lsf", family="plain")
IBM = Cluster("ibm", "lsf", family="ibm", version="10.1.0.8")
JOB = Job("hpc-abcdef-abcdefghij", "alice", ("run", "--it"))


def script(cluster: Cluster = PLAIN, **changes: Any) -> str:
    return lsf.script(cluster, dataclasses.replace(JOB, **changes))


def options(text: str) -> list[str]:
    """The words that bsub reads: it looks at every line of the script."""
    found = []
    for line in re.split(r"[\n\r\x0b\x0c\x85\u2028\u2029]", text):
        if line.lstrip().startswith("#BSUB"):
            found += shlex.split(line.lstrip()[5:])
    return found


def value(text: str, option: str) -> str:
    words = options(text)
    return words[words.index(option) + 1] if option in words else ""


def test_golden_scripts_of_the_preset() -> None:
    schedkit.same_as_golden("lsf", "triton")


def test_a_plain_job_sends_nothing_that_was_not_asked_for() -> None:
    assert options(script()) == ["-J", "hpc-abcdef-abcdefghij", "-o", "/dev/null"]
    assert script().endswith("\nexec run --it\n")


def test_a_full_job() -> None:
    text = script(
        resources=Resources(nodes=1, cores=4, memory=3000, walltime=3601, exclusive=True),
        partition="interactive",
        account="my project",
        reservation="course#1".replace("#", "_"),
        workdir="/home/alice/My Files",
        output="/home/alice/log's",
        setup=("module load conda", "export A=1"),
        requeue=True,
    )
    assert options(text) == [
        *("-J", "hpc-abcdef-abcdefghij", "-q", "interactive", "-P", "my project", "-U", "course_1"),
        *("-n", "4", "-R", "span[hosts=1] rusage[mem=3000]", "-M", "3072000", "-W", "61", "-x", "-r"),
        *("-o", "/dev/null"),
    ]
    body = text.split("\n")
    assert body[0] == "#!/bin/bash"
    assert "exec >> '/home/alice/log'\"'\"'s' 2>&1" in body
    assert body.index("module load conda") < body.index("cd -- '/home/alice/My Files' || exit 1")
    assert "unset LSB_NTRIES XDG_RUNTIME_DIR" in body
    assert any(line.startswith("export HPCSPAWNER_JOB_END=") and "3660" in line for line in body)


def test_the_script_is_valid_shell_and_logs_at_once(tmp_path: Path) -> None:
    log, place = tmp_path / "a log", tmp_path / "My Files"
    place.mkdir()
    text = script(
        command=("/bin/bash", "-c", 'pwd; echo "$1" "$LSB_NTRIES"; exit 3', "-", "$HOME `id` 'x'"),
        workdir=str(place),
        output=str(log),
        setup=("false", "echo set up"),
        resources=Resources(walltime=60),
    )
    done = subprocess.run(["bash"], input=text, text=True, env={"PATH": "/usr/bin:/bin", "LSB_NTRIES": "1"})
    assert done.returncode == 3
    assert log.read_text() == f"set up\n{place}\n$HOME `id` 'x' \n"


def test_a_missing_working_directory_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = script(workdir=str(tmp_path / "none"), output=str(log))
    assert subprocess.run(["bash"], input=text, text=True).returncode == 1
    assert "No such file or directory" in log.read_text()


def test_a_log_that_can_not_be_written_does_not_end_the_job(tmp_path: Path) -> None:
    text = script(command=("/bin/true",), output=str(tmp_path / "none" / "log"))
    assert subprocess.run(["bash"], input=text, text=True, stderr=subprocess.DEVNULL).returncode == 0


# Units of memory


@pytest.mark.parametrize(
    ("cluster", "switches", "limit", "usage"),
    [
        (PLAIN, {}, "5120000", "5000"),
        (IBM, {}, "5000MB", "5000MB"),
        (PLAIN, {"memory_unit": "KB"}, "5120000", "5120000"),
        (IBM, {"memory_unit": "MB"}, "5000", "5000"),
        (IBM, {"memory_unit": "gb"}, "5", "5"),
        (IBM, {"memory_unit": "TB"}, "1", "1"),
        (IBM, {"memory_unit": "MB", "memory_per": "slot"}, "1250", "1250"),
        (IBM, {"memory_unit": "MB", "memory_per": "job"}, "10000", "10000"),
        (IBM, {"memory_limit": False}, "", "5000MB"),
        (dataclasses.replace(IBM, version="9.1.3"), {}, "5120000", "5000"),
    ],
)
def test_memory_in_the_units_of_the_site(cluster: Cluster, switches: dict[str, Any], limit: str, usage: str) -> None:
    text = script(dataclasses.replace(cluster, switches=switches), resources=Resources(nodes=2, cores=4, memory=5000))
    assert value(text, "-M") == limit
    assert value(text, "-R") == f"span[ptile=4] rusage[mem={usage}]"
    assert value(text, "-n") == "8"


def test_memory_is_rounded_up() -> None:
    gigabytes = dataclasses.replace(IBM, switches={"memory_unit": "GB", "memory_per": "slot"})
    assert value(script(gigabytes, resources=Resources(cores=3, memory=4 * 1024)), "-M") == "2"


# Accounts and GPUs


def test_the_account_may_be_a_user_group() -> None:
    grouped = dataclasses.replace(PLAIN, switches={"account_option": "-G"})
    assert value(script(grouped, account="chem"), "-G") == "chem"


def test_gpus_as_the_site_says() -> None:
    want = Resources(gpus=2, memory=1000)
    typed = dataclasses.replace(want, gpu_request="TeslaV100")
    option = dataclasses.replace(IBM, switches={"gpu": "option"})
    assert value(script(option, resources=want), "-gpu") == "num=2"
    assert value(script(option, resources=typed), "-gpu") == "num=2:gmodel=TeslaV100"
    counted = dataclasses.replace(PLAIN, switches={"gpu": "ngpus_physical"})
    assert value(script(counted, resources=want), "-R") == "rusage[mem=1000:ngpus_physical=2]"
    assert value(script(counted, resources=typed), "-R") == "rusage[mem=1000:TeslaV100=2]"


@pytest.mark.parametrize("family", ["plain", ""])
def test_the_option_that_takes_an_old_daemon_down_is_never_sent(family: str) -> None:
    old = Cluster("main", "lsf", family=family, switches={"gpu": "option"})
    with pytest.raises(ValueError, match="gpus: this LSF knows no option -gpu"):
        script(old, resources=Resources(gpus=1))
    for option in ("-gpu num=1", "-app x", "-env none", "-cwd /tmp", "-hostfile f", "-rn"):
        with pytest.raises(ValueError, match="read as something else"):
            script(old, directives=(option,))
        assert script(IBM, directives=(option,))


def test_without_the_switch_there_are_no_gpus() -> None:
    with pytest.raises(ValueError, match="gpus: cluster ibm has no switch gpu"):
        script(IBM, resources=Resources(gpus=1))


# Several nodes, arrays


@pytest.mark.parametrize(
    ("resources", "slots", "span"),
    [
        (Resources(), "", ""),
        (Resources(cores=1), "1", ""),
        (Resources(cores=8), "8", "span[hosts=1]"),
        (Resources(nodes=3), "3", "span[ptile=1]"),
        (Resources(nodes=3, cores=8), "24", "span[ptile=8]"),
    ],
)
def test_slots_and_their_hosts(resources: Resources, slots: str, span: str) -> None:
    text = script(resources=resources)
    assert (value(text, "-n"), value(text, "-R")) == (slots, span)


def test_arrays_begin_at_one_and_have_a_log_each() -> None:
    text = script(array=(1, 4), output="/l/x")
    assert value(text, "-J") == "hpc-abcdef-abcdefghij[1-4]"
    assert 'exec >> /l/x."$LSB_JOBINDEX" 2>&1' in text
    for array in ((0, 3), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="array:"):
            script(array=array)


def run_tasks(text: str, folder: Path, **env: str) -> list[str]:
    (folder / "launch").write_text('#!/bin/bash\necho "$1" >> hosts\nshift\nexec "$@"\n')
    (folder / "ssh").write_text('#!/bin/bash\necho "${@: -2:1}" >> hosts\nexec bash -c "${@: -1}"\n')
    for name in ("launch", "ssh"):
        (folder / name).chmod(0o755)
    (folder / "blaunch").symlink_to("launch")
    path = f"{folder}:/usr/bin:/bin"
    subprocess.run(["bash"], input=text, text=True, cwd=folder, env={"PATH": path, **env}, check=True, timeout=20)
    return sorted((folder / "ranks").read_text().split("\n"))


@pytest.mark.parametrize("cluster", [PLAIN, IBM], ids=["ssh", "blaunch"])
def test_several_tasks_on_several_nodes(cluster: Cluster, tmp_path: Path) -> None:
    text = script(
        cluster,
        command=("/bin/sh", "-c", 'echo "$HPCSPAWNER_RANK $LSB_JOBID $0" >> ranks', "it's $HOME"),
        resources=Resources(nodes=2, cores=2),
        tasks_per_node=2,
    )
    ranks = run_tasks(text, tmp_path, LSB_MCPU_HOSTS="a 2 b 2 ", LSB_JOBID="7")
    assert ranks == ["", *(f"{rank} 7 it's $HOME" for rank in range(4))]
    assert (tmp_path / "hosts").read_text() == "b\nb\n"


def test_tasks_on_one_node_end_with_the_job(tmp_path: Path) -> None:
    text = script(command=("/bin/sleep", "60"), tasks_per_node=2)
    child = subprocess.Popen(["bash", "-c", text + "echo over"], stdout=subprocess.PIPE, text=True, cwd=tmp_path)

    def running() -> bool:
        found = subprocess.run(["pgrep", "-P", str(child.pid), "sleep"], stdout=subprocess.PIPE, text=True)
        return len(found.stdout.split()) == 2

    schedkit.wait_for(running)
    child.terminate()
    assert child.communicate(timeout=20)[0] == "over\n"


def test_one_task_on_one_node_is_the_command_itself() -> None:
    assert script(tasks_per_node=1).endswith("\nexec run --it\n")


# The site's own directives


def test_requirements_of_the_site_go_into_one_option() -> None:
    text = script(directives=('-R "select[type==any]"', "-sp 40".replace("-sp", "-p")), resources=Resources(cores=2))
    assert options(text).count("-R") == 1
    assert value(text, "-R") == "select[type==any] span[hosts=1]"
    assert options(text).index("-p") < options(text).index("-J")
    with pytest.raises(ValueError, match="directives: two requirements"):
        script(directives=('-R "rusage[tmp=1]"',), resources=Resources(memory=10))


@pytest.mark.parametrize("line", ["jupyter", "--bogus", "", "-q x\n#BSUB -x", "q", "#BSUB -x"])
def test_a_directive_that_would_end_all_others_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="directives:"):
        script(IBM, directives=(line,))


# What users give


@pytest.mark.parametrize("field", ["partition", "account", "reservation"])
@pytest.mark.parametrize("text", ['a"b', "a\nb", "-x", "a\\b", "a`id`", "$HOME", "a'b", "a;b", "a#b", "é" * 3, "a\tb"])
def test_names_that_could_be_more_than_a_name(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"{field}:"):
        script(**{field: text})


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "a b"}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 65}),
        ("qos", {"qos": "high"}),
        ("nodes", {"resources": Resources(nodes=0)}),
        ("cores", {"resources": Resources(cores=0)}),
        ("memory", {"resources": Resources(memory=-1)}),
        ("walltime", {"resources": Resources(walltime=0)}),
        ("command", {"command": ()}),
        ("command", {"command": ("a\n#BSUB -q x",)}),
        ("workdir", {"workdir": "/a\n#BSUB -q x"}),
        ("output", {"output": "/a\n#BSUB -q x"}),
        ("setup", {"setup": ("#BSUB -q x",)}),
        ("setup", {"setup": ("a\n#BSUB -q x",)}),
        ("tasks_per_node", {"tasks_per_node": 0}),
    ],
)
def test_errors_name_the_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{field}:"):
        script(**changes)


@settings(max_examples=300, deadline=None)
@given(
    partition=st.text(max_size=20),
    account=st.text(max_size=20),
    reservation=st.text(max_size=20),
    workdir=st.text(max_size=30),
    output=st.text(max_size=30),
    command=st.lists(st.text(max_size=20), min_size=1, max_size=3),
    nodes=st.integers(1, 3),
    tasks=st.none() | st.integers(1, 3),
)
def test_no_value_adds_a_directive_or_a_word(**given_values: Any) -> None:
    nodes, tasks = given_values.pop("nodes"), given_values.pop("tasks")
    given_values["command"] = tuple(given_values["command"])
    try:
        text = script(IBM, resources=Resources(nodes=nodes), tasks_per_node=tasks, **given_values)
    except ValueError:
        return
    words = options(text)
    allowed = {"-J", "-q", "-P", "-U", "-n", "-R", "-o"}
    assert set(words[::2]) <= allowed
    assert len(set(words[::2])) == len(words[::2])
    for option, field in (("-q", "partition"), ("-P", "account"), ("-U", "reservation")):
        assert value(text, option) == given_values[field]
    assert not any(line.startswith("#") for line in text.split("\n")[1:] if not line.startswith("#BSUB "))
    if tasks is None:
        assert shlex.split(text.rstrip("\n").split("\n")[-1]) == ["exec", *given_values["command"]]
