"""A site's own batch script: what reaches it, and that no value of a user adds a directive, a word or a template."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner import legacy, legacyoptions, ownscript, sitefile
from hpcspawner.choice import Choice
from hpcspawner.job import Cluster, Job, Resources
from hpcspawner.options import OptionError, Person, validate
from hpcspawner.schedulers import slurm
from hpcspawner.units import format_memory

from .sitekit import SMALL, problems

MARK = "HPCSPAWNER_0123456789abcdef0123456789abcdef"

JINJA = """#!/bin/bash
#SBATCH --output={{homedir}}/jupyterhub_slurmspawner_%j.log
#SBATCH --job-name=spawner-jupyterhub
#SBATCH --chdir={{homedir}}
#SBATCH --export={{keepvars}}
#SBATCH --get-user-env=L
{% if partition  %}#SBATCH --partition={{partition}}
{% endif %}{% if runtime    %}#SBATCH --time={{runtime}}
{% endif %}{% if memory     %}#SBATCH --mem={{memory}}
{% endif %}{% if gres       %}#SBATCH --gres={{gres}}
{% endif %}{% if nprocs     %}#SBATCH --cpus-per-task={{nprocs}}
{% endif %}{% if reservation%}#SBATCH --reservation={{reservation}}
{% endif %}{% if options    %}#SBATCH {{options}}{% endif %}

set -euo pipefail

trap 'echo SIGTERM received' TERM
{{prologue}}
module load {{module}}
{% if srun %}{{srun}} {% endif %}{{cmd}}
echo "jupyterhub-singleuser ended gracefully"
{{epilogue}}
"""

FORMAT = """#!/bin/bash
#SBATCH --partition={partition}
#SBATCH --time={runtime}
#SBATCH --gres={gres}
#SBATCH {options}
# {module}
export SITE_MODULE={module}
{prologue}
srun {cmd} --debug
"""

TRAITS = {
    "req_partition": "main",
    "req_runtime": "4:00:00",
    "req_memory": "4gb",
    "req_options": "--constraint=ib --comment='jupyter hub'",
    "req_prologue": "module purge\nulimit -c 0",
    "req_srun": "srun",
    "req_gres": "",
    "req_epilogue": "",
}
ACCOUNT = {"username": "alice", "homedir": "/home/alice"}
NAMES = ("module", "gres")


def variables(choice: Choice | None = None, **own: str) -> dict[str, str]:
    chosen = choice or Choice("main", partition="main", cores=2, memory=4096, walltime=14400)
    return ownscript.variables(chosen, {"module": "", "gres": "", **own}, TRAITS, ACCOUNT, MARK)


def shape(script: str) -> tuple[int, int, list[int]]:
    """Lines, directives, and the number of words of each line that a shell would read."""
    lines = script.split("\n")
    words = [len(shlex.split(line, comments=True)) for line in lines]
    return len(lines), sum(line.startswith("#SBATCH") for line in lines), words


def test_the_default_script_of_batchspawner_renders_with_the_sites_own_texts() -> None:
    script = ownscript.render(JINJA, variables(module="lang/Python/3.12"))
    assert "#SBATCH --partition=main\n#SBATCH --time=4:00:00\n#SBATCH --mem=4gb\n#SBATCH --cpus-per-task=2\n" in script
    assert "--constraint=ib --comment='jupyter hub'" in script
    assert "module purge\nulimit -c 0\nmodule load lang/Python/3.12\nsrun HPCSPAWNER_" in script
    assert "--export=NONE" in script
    assert "--gres" not in script


def test_what_the_user_chose_takes_the_place_of_the_sites_text() -> None:
    script = ownscript.render(JINJA, variables(Choice("main", partition="gpu", memory=8192, walltime=3600)))
    assert "--partition=gpu\n#SBATCH --time=01:00:00\n#SBATCH --mem=8192M\n" in script
    assert "--cpus-per-task" not in script


def test_str_format_is_told_apart_by_its_braces() -> None:
    script = ownscript.render(FORMAT, variables(gres="gpu:a100:2", module="x"))
    assert "#SBATCH --gres=gpu:a100:2\n" in script
    assert f"srun {MARK} --debug\n" in script


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("#!/bin/bash\n{cmd} {nosuch}\n", "nosuch has no value; is it missing in legacy_options"),
        ("#!/bin/bash\n{{partition}}\n", "has no {cmd}"),
        ("#!/bin/bash\n{{cmd}\n", "batch_script: "),
        ("#!/bin/bash\n{% if %}{{cmd}}\n", "batch_script: TemplateSyntaxError"),
        ("#!/bin/bash\n{0} {cmd}\n", "batch_script: "),
        ("#!/bin/bash\n{cmd.nosuch}\n", "batch_script: AttributeError"),
    ],
)
def test_a_wrong_template_is_told_in_words(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        ownscript.render(template, variables())


@pytest.mark.parametrize("template", [JINJA, FORMAT])
@given(values=st.fixed_dictionaries({name: st.text(max_size=40) for name in NAMES}))
def test_no_value_adds_a_directive_a_word_or_a_template(template: str, values: dict[str, str]) -> None:
    try:
        own = legacyoptions.read(values, NAMES)
    except ValueError:
        return
    filled = {name: own.get(name, "") for name in NAMES}
    neutral = {name: "x" if text else "" for name, text in filled.items()}
    script = ownscript.render(template, variables(**filled))
    assert shape(script) == shape(ownscript.render(template, variables(**neutral)))
    assert script.count(MARK) == 1
    assert not set("{}") & set(script)


@given(text=st.text(alphabet=st.sampled_from("ab1_.,:/@%+=- \t\n\r'\"`$\\{}()[]<>|;&*?!#~^\x00\u2028é"), max_size=12))
def test_only_plain_characters_pass(text: str) -> None:
    plain = re.fullmatch(r"[A-Za-z0-9_.,:/@%+=][A-Za-z0-9_.,:/@%+=-]*", text.strip(" ")) is not None
    try:
        own = legacyoptions.read({"module": text}, NAMES)
    except ValueError:
        assert not plain
    else:
        assert own == ({"module": text.strip(" ")} if plain else {})
        assert plain or not text.strip(" ")


@given(name=st.sampled_from(["partition", "account", "qos", "reservation"]), text=st.text(max_size=30))
def test_options_that_pass_the_site_are_plain_too(name: str, text: str) -> None:
    site = sitefile.read_text("name: t\nclusters: {main: {scheduler: slurm}}\nfree_choice: true\n")
    try:
        choice = validate(site, {name: text}, Person("alice"))
    except OptionError:
        return
    neutral = Choice("main", **{name: "x" if getattr(choice, name) else ""})
    values = variables(choice, module="x", gres="x")
    assert shape(ownscript.render(FORMAT, values)) == shape(
        ownscript.render(FORMAT, variables(neutral, module="x", gres="x"))
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["a", "b"], "is given 2 times"),
        (True, "neither text nor number"),
        ({"a": 1}, "neither text nor number"),
        ("x" * 300, "longer than 256"),
        ("--wrap=x", "begins with '-'"),
    ],
)
def test_what_is_no_plain_text_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        legacyoptions.read({"module": value}, NAMES)


def test_numbers_and_a_forms_lists_are_texts_and_empty_ones_are_missing() -> None:
    assert legacyoptions.read({"module": ["x"], "gres": 4}, NAMES) == {"module": "x", "gres": "4"}
    assert legacyoptions.read({"module": "", "gres": None, "other": "$(x)"}, NAMES) == {}


@pytest.mark.parametrize("name", ["cmd", "username", "prologue", "epilogue", "options", "homedir", "srun", "keepvars"])
def test_shell_lines_and_identities_are_never_a_users(name: str) -> None:
    (problem,) = problems(f"allow_scripts: true\nlegacy_options: [{name}]\n" + SMALL)
    assert "never taken from users" in problem.text


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("legacy_options: [module]\n", "allow_scripts: true only"),
        ("allow_scripts: true\nlegacy_options: [partition]\n", "is an option already"),
        ("allow_scripts: true\nlegacy_options: [a-b]\n", "is no name"),
    ],
)
def test_what_a_site_may_declare(lines: str, words: str) -> None:
    (problem,) = problems(lines + SMALL)
    assert words in problem.text


def test_batchspawners_defaults_of_traits_that_are_not_ours_are_known() -> None:
    traits = legacy.traits_of(legacy.class_of("slurm"), {"req_qos": "debug", "req_own": "x"})
    assert (traits["req_srun"], traits["req_qos"], traits["req_own"]) == ("srun", "debug", "x")


def test_the_warning_depends_on_whether_the_script_is_used() -> None:
    configured = {"batch_script": "x", "req_prologue": "y", "exec_prefix": "z"}
    assert len(legacy.without_effect(configured)) == 3
    assert legacy.without_effect(configured, scripted=True) == [
        "exec_prefix has no effect; use the cluster's 'way' in the site file"
    ]
    assert "allow_scripts" in legacy.without_effect({"batch_script": "x"})[0]


# What the dialect makes of it -------------------------------------------------------------------------------------

JOB = Job(
    name="jupyter-0a1b2c-aaaaaaaaaa", user="alice", command=("python3",), workdir="/home/alice", output="/l/%x.log"
)


def test_slurm_lets_name_log_and_environment_win_and_fills_in_the_directory() -> None:
    script, command = slurm.own_script(Cluster("main", "slurm"), JOB, ownscript.render(JINJA, variables()), "")
    lines = script.split("\n")
    assert lines[:2] == ["#!/bin/bash", "#SBATCH --chdir=/home/alice"]
    unset = next(at for at, line in enumerate(lines) if line.startswith("unset SLURM_EXPORT_ENV"))
    assert lines[unset + 1] == "set -euo pipefail"
    assert not any(line.startswith("#SBATCH") for line in lines[unset:])
    assert command.stdin == script
    assert command.argv == (
        "sbatch",
        "--parsable",
        "--job-name=jupyter-0a1b2c-aaaaaaaaaa",
        "--output=/l/%%x.log",
        "--open-mode=append",
        "--no-requeue",
        "--export=NONE",
    )


@pytest.mark.parametrize(
    ("first", "shell"),
    [
        ("#!/bin/sh", True),
        ("#!/usr/bin/env bash", True),
        ("#!/bin/bash -l", True),
        ("#!/usr/bin/python3", False),
        ("#!/bin/tcsh", False),
    ],
)
def test_lines_of_a_shell_are_put_into_shell_scripts_only(first: str, shell: bool) -> None:
    script, _ = slurm.own_script(Cluster("main", "slurm"), JOB, f"{first}\n#SBATCH -n1\nrun\n", "")
    assert ("unset " in script) is shell
    assert script.endswith("run\n")


def test_sizes_of_a_choice_are_written_for_slurm() -> None:
    assert format_memory(4096) == "4G"
    assert Resources(memory=4096).memory == 4096
    assert ownscript.chosen(Choice("main", memory=1500), {})["memory"] == "1500M"


def test_batchspawners_own_start_is_asked_for_by_its_setting() -> None:
    assert ownscript.wrapped({}, ["jupyterhub-singleuser"]) == []
    configured = {"batchspawner_singleuser_cmd": "/opt/env/bin/batchspawner-singleuser"}
    assert ownscript.wrapped(configured, ["jupyterhub-singleuser"])[1] == "jupyterhub-singleuser"
