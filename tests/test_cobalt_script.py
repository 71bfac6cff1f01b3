"""What goes into a Cobalt job's script, and that nothing else can get in."""

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
from hpcspawner.schedulers import cobalt

from . import schedkit

CLUSTER = Cluster("main", "cobalt")
JOB = Job("hpc-abcdef-abcdefghij", "alice", ("run", "--it"), Resources(walltime=3600))


def script(**changes: Any) -> str:
    return cobalt.script(CLUSTER, dataclasses.replace(JOB, **changes))


def options(text: str) -> list[str]:
    """The words that qsub reads: from the lines that follow the first one at once."""
    words: list[str] = []
    for line in re.split(r"[\n\r]", text)[1:]:
        if not line.startswith("#COBALT "):
            break
        words += line[len("#COBALT ") :].split()
    return words


def test_golden_scripts_of_the_preset() -> None:
    schedkit.same_as_golden("cobalt", "thetagpu")


def test_a_plain_job() -> None:
    text = script()
    assert text.startswith("#!/bin/bash -l\n#COBALT --jobname hpc-abcdef-abcdefghij\n")
    assert options(text) == ["--jobname", "hpc-abcdef-abcdefghij", "-n", "1", "-t", "60"]
    assert text.endswith("\nexec run --it\n")


def test_a_full_job() -> None:
    text = script(
        resources=Resources(nodes=2, walltime=3601, exclusive=True),
        partition="full-node",
        account="datascience",
        workdir="/home/alice/My Files",
        output="/home/alice/.hpcspawner/logs/x",
        setup=("module load conda",),
    )
    assert options(text) == [
        *("--jobname", "hpc-abcdef-abcdefghij", "-n", "2", "-t", "61", "-q", "full-node", "-A", "datascience"),
        *("--cwd", "/home/alice/.hpcspawner/logs", "-o", "/home/alice/.hpcspawner/logs/x"),
        *("-e", "/home/alice/.hpcspawner/logs/x", "--debuglog", "/home/alice/.hpcspawner/logs/x.cobaltlog"),
    ]
    body = text.split("\n")
    assert body.index("module load conda") < body.index("cd -- '/home/alice/My Files' || exit 1")
    assert "--env" not in text


@pytest.mark.parametrize(("walltime", "minutes"), [(1, 5), (300, 5), (301, 6), (3600, 60), (86400, 1440)])
def test_minutes_are_rounded_up_and_at_least_five(walltime: int, minutes: int) -> None:
    words = options(script(resources=Resources(walltime=walltime)))
    assert words[words.index("-t") + 1] == str(minutes)


def test_all_attributes_go_into_one_option() -> None:
    text = script(
        directives=("--attrs filesystems=home:mig-mode=True", "--attrs=filesystems=home,eagle", "--attr pubnet")
    )
    assert options(text).count("--attrs") == 1
    assert "--attrs filesystems=home,eagle:mig-mode=True:pubnet" in text


@pytest.mark.parametrize(
    "line",
    ["--env A=1", "--env=A=1", "--en A=1", "-I", "--mode script", "-i /f", "x", "", "-q a\n-n 1", "--attrs a=b c"],
)
def test_directives_that_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="directives:"):
        script(directives=(line,))


def test_other_directives_of_the_site_come_first() -> None:
    words = options(script(directives=("--preemptable", "-M admin@example.org")))
    assert words[:3] == ["--preemptable", "-M", "admin@example.org"]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("walltime", {"resources": Resources()}),
        ("walltime", {"resources": Resources(walltime=0)}),
        ("nodes", {"resources": Resources(nodes=0, walltime=60)}),
        ("cores", {"resources": Resources(cores=4, walltime=60)}),
        ("memory", {"resources": Resources(memory=4, walltime=60)}),
        ("gpus", {"resources": Resources(gpus=1, walltime=60)}),
        ("qos", {"qos": "high"}),
        ("reservation", {"reservation": "R.x"}),
        ("array", {"array": (1, 2)}),
        ("requeue", {"requeue": True}),
        ("name", {"name": "a b"}),
        ("partition", {"partition": "a -A b"}),
        ("account", {"account": "$jobid"}),
        ("output", {"output": "/home/alice/$jobid"}),
        ("output", {"output": "relative"}),
        ("output", {"output": "/a b"}),
        ("workdir", {"workdir": "/a\nb"}),
        ("setup", {"setup": ("a\nb",)}),
        ("command", {"command": ()}),
        ("command", {"command": ("a\nb",)}),
    ],
)
def test_errors_name_the_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{field}:"):
        script(**changes)


def test_the_script_is_valid_shell(tmp_path: Path) -> None:
    text = script(
        command=("/bin/sh", "-c", 'pwd; echo "$1"; test "$HPCSPAWNER_JOB_END" -gt 0', "-", "$HOME 'x'"),
        workdir=str(tmp_path),
        setup=("false",),
    )
    done = subprocess.run(["bash"], input=text, text=True, stdout=subprocess.PIPE, check=True)
    assert done.stdout == f"{tmp_path}\n$HOME 'x'\n"


@pytest.mark.parametrize("where", ["node", "service"])
def test_several_tasks_on_several_nodes(where: str, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text('#!/bin/bash\necho "${@: -2:1}" >> hosts\nexec bash -c "${@: -1}"\n')
    (tmp_path / "ssh").chmod(0o755)
    (tmp_path / "nodes").write_text("n1\nn2\n")
    text = script(
        command=("/bin/sh", "-c", 'echo "$HPCSPAWNER_RANK $COBALT_JOBID $0" >> ranks', "it's"),
        resources=Resources(nodes=2, walltime=600),
        tasks_per_node=2,
    )
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "COBALT_NODEFILE": str(tmp_path / "nodes"), "COBALT_JOBID": "7"}
    if where == "service":
        env["COBALT_PARTNAME"] = "n1"
    subprocess.run(["bash"], input=text, text=True, cwd=tmp_path, env=env, check=True, timeout=20)
    assert sorted((tmp_path / "ranks").read_text().splitlines()) == [f"{rank} 7 it's" for rank in range(4)]
    away = ["n2", "n2"] if where == "node" else ["n1", "n1", "n2", "n2"]
    assert sorted((tmp_path / "hosts").read_text().split()) == away


def test_only_a_file_is_submitted() -> None:
    command = cobalt.submit(CLUSTER, JOB, "#!/bin/bash\n", "/home/alice/.hpcspawner/jobs/x/script")
    assert command.argv == ("qsub", "/home/alice/.hpcspawner/jobs/x/script")
    assert command.stdin == ""


@pytest.mark.parametrize("path", ["script", "/a b", "/a;b", "/a$b", "/a&b", "/a\nb", "/~x", "/a'b", ""])
def test_paths_that_a_remote_shell_would_take_apart(path: str) -> None:
    with pytest.raises(ValueError, match="path:"):
        cobalt.submit(CLUSTER, JOB, "", path)


def test_qsub_has_a_path() -> None:
    placed = dataclasses.replace(CLUSTER, commands="/opt/cobalt/bin/")
    command = cobalt.submit(placed, JOB, "", "/s")
    assert command.argv[0] == "/opt/cobalt/bin/qsub"
    assert command.environment["PATH"].startswith("/opt/cobalt/bin:")
    own = dataclasses.replace(placed, environment={"PATH": "/mine"})
    assert "PATH" not in cobalt.submit(own, JOB, "", "/s").environment


@settings(max_examples=300, deadline=None)
@given(
    partition=st.text(max_size=20),
    account=st.text(max_size=20),
    workdir=st.text(max_size=30),
    output=st.text(max_size=30),
    command=st.lists(st.text(max_size=20), min_size=1, max_size=3),
)
def test_no_value_adds_a_directive_or_a_word(**given_values: Any) -> None:
    given_values["command"] = tuple(given_values["command"])
    try:
        text = script(**given_values)
    except ValueError:
        return
    words = options(text)
    assert len(words) % 2 == 0
    assert set(words[::2]) <= {"--jobname", "-n", "-t", "-q", "-A", "--cwd", "-o", "-e", "--debuglog"}
    assert text.count("#COBALT") == len(words) // 2 + str(given_values).count("#COBALT")
    assert shlex.split(text.rstrip("\n").split("\n")[-1]) == ["exec", *given_values["command"]]
