"""Which choices are allowed, what the missing ones become, and what a refusal says."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import options, sitemodel
from hpcspawner.fields import FIELDS
from hpcspawner.options import Choice, OptionError, Person, validate

from .choicekit import ALICE, BOB, CAROL, CLOSED, GIB, HOUR, INVENTORY, SITE, fixed

SMALL = Choice(
    cluster="rocket",
    profile="small",
    partition="main",
    cores=2,
    memory=4 * GIB,
    walltime=2 * HOUR,
    environment="base",
    app="lab",
)


def test_every_option_has_a_field() -> None:
    assert tuple(FIELDS) == sitemodel.OPTIONS


ALLOWED: list[tuple[dict[str, Any], Person, dict[str, Any]]] = [
    ({}, ALICE, {}),
    ({"profile": "small"}, ALICE, {}),
    ({"profile": ["small"], "cores": ["3"]}, ALICE, {"cores": 3}),
    (
        {"profile": "small", "cores": " 3 ", "memory": "8G", "walltime": "90"},
        ALICE,
        {"cores": 3, "memory": 8 * GIB, "walltime": 5400},
    ),
    ({"profile": "small", "walltime": 90, "memory": 2048}, ALICE, {"memory": 2 * GIB, "walltime": 5400}),
    ({"profile": "small", "walltime": "0-12", "cores": None, "memory": ""}, ALICE, {"walltime": 12 * HOUR}),
    ({"profile": "small", "queue": "main"}, ALICE, {}),
    ({"profile": "small", "queue": "main", "partition": "main"}, ALICE, {}),
    ({"profile": "small", "nodes": 1, "gpus": 0}, ALICE, {}),
    (
        {"profile": "small", "account": "mine", "workdir": "~/my work"},
        ALICE,
        {"account": "mine", "workdir": "~/my work"},
    ),
    ({"profile": "small", "account": "secret"}, CAROL, {"account": "secret"}),
    # A usual 8 hours become what the partition allows; memory is left out there, although the profile has some.
    (
        {"profile": "course"},
        ALICE,
        {
            "profile": "course",
            "partition": "testing",
            "cores": 4,
            "memory": None,
            "walltime": 2 * HOUR,
            "environment": "stats",
        },
    ),
    (
        {"profile": "course", "memory": "8G"},
        ALICE,
        {
            "profile": "course",
            "partition": "testing",
            "cores": 4,
            "memory": None,
            "walltime": 2 * HOUR,
            "environment": "stats",
        },
    ),
    (
        {"profile": "course", "partition": "main", "reservation": "day1"},
        ALICE,
        {
            "profile": "course",
            "cores": 4,
            "memory": 8 * GIB,
            "walltime": 8 * HOUR,
            "environment": "stats",
            "reservation": "day1",
        },
    ),
    (
        {"profile": "gpu", "gpu_type": "mig", "gpus": 7},
        BOB,
        {
            "profile": "gpu",
            "partition": "gpu",
            "cores": 8,
            "memory": None,
            "walltime": 4 * HOUR,
            "gpus": 7,
            "gpu_type": "mig",
        },
    ),
    (
        {"profile": "gpu"},
        BOB,
        {
            "profile": "gpu",
            "partition": "gpu",
            "cores": 8,
            "memory": None,
            "walltime": 4 * HOUR,
            "gpus": 1,
            "gpu_type": "a100",
        },
    ),
    # The free choice: only what is given is sent.
    ({"cores": 40}, ALICE, {"profile": "", "cores": 40, "memory": None, "walltime": None, "qos": "normal"}),
    (
        {"cluster": "iris", "nodes": 4, "qos": "long", "account": "p100", "environment": "iris-only"},
        ALICE,
        {
            "cluster": "iris",
            "profile": "",
            "partition": "batch",
            "nodes": 4,
            "cores": None,
            "memory": None,
            "walltime": None,
            "qos": "long",
            "account": "p100",
            "environment": "iris-only",
        },
    ),
]


@pytest.mark.parametrize(("given", "person", "expected"), ALLOWED)
def test_what_is_allowed_and_what_missing_options_become(
    given: dict[str, Any], person: Person, expected: dict[str, Any]
) -> None:
    expected = {"qos": "normal", **expected} if "profile" not in expected else expected
    qos = {"qos": expected.get("qos", "normal")}
    assert validate(SITE, given, person) == dataclasses.replace(SMALL, **{**qos, **expected})


REFUSED: list[tuple[dict[Any, Any], Person, str]] = [
    # Names
    ({"core": 2}, ALICE, "core: is no option; known: cluster, profile"),
    ({"--qos": "x"}, ALICE, "--qos: is no option"),
    ({3: "x"}, ALICE, "3: is no option"),
    ({"batch_script": "#!/bin/sh"}, ALICE, "batch_script: is no option"),
    ({"queue": "main", "partition": "gpu"}, BOB, "queue: means the same as partition, which is given too"),
    ({"cores": ["1", "2"]}, ALICE, "cores: is given 2 times"),
    # Types and grammar
    ({"cores": "two"}, ALICE, "cores: 'two' is no whole number"),
    ({"cores": 2.5}, ALICE, "cores: 2.5 is no whole number"),
    ({"cores": True}, ALICE, "cores: True is no whole number"),
    ({"cores": {"a": 1}}, ALICE, "cores: {'a': 1} is no whole number"),
    ({"cores": "1e3"}, ALICE, "cores: '1e3' is no whole number"),
    ({"cores": "٣"}, ALICE, "cores: '٣' is no whole number"),
    ({"cores": 10**400}, ALICE, "cores: a number of 1329 bits is too large"),
    ({"cores": "9" * 5000}, ALICE, "cores: a text of 5000 characters is longer than 64"),
    ({"nodes": 10**9}, ALICE, "nodes: 1000000000 is more than 100000"),
    ({"cores": 0}, ALICE, "cores: 0 is less than 1"),
    ({"cores": -1}, ALICE, "cores: -1 is less than 1"),
    ({"memory": "8 apples"}, ALICE, "memory: '8 apples' is not a size such as 8G"),
    ({"memory": "0"}, ALICE, "memory: '0' is less than 1M"),
    ({"walltime": "30:00"}, ALICE, "walltime: '30:00' can mean hours or minutes"),
    ({"walltime": "00:00:30"}, ALICE, "walltime: 00:00:30 is less than 00:01:00"),
    ({"walltime": "UNLIMITED"}, ALICE, "walltime: 'UNLIMITED' is not HH:MM:SS"),
    ({"account": 17}, ALICE, "account: 17 is no text"),
    ({"account": "a b"}, ALICE, "account: 'a b' is no name"),
    ({"account": "-x"}, ALICE, "account: '-x' is no name"),
    ({"account": "a\n#SBATCH --qos=high"}, ALICE, r"account: 'a\n#SBATCH --qos=high' holds a control character"),
    ({"account": "a\n"}, ALICE, r"account: 'a\n' holds a control character"),
    ({"cores": "2\n"}, ALICE, r"cores: '2\n' holds a control character"),
    ({"account": "a\u2028b"}, ALICE, r"account: 'a\u2028b' holds a control character"),
    ({"account": "$(id)"}, ALICE, "account: '$(id)' is no name"),
    ({"account": "{{x}}"}, ALICE, "account: '{{x}}' is no name"),
    ({"reservation": "x" * 65}, ALICE, "reservation: a text of 65 characters is longer than 64"),
    ({"workdir": "work"}, ALICE, "workdir: 'work' must start with / or ~/"),
    ({"workdir": "~bob/x"}, ALICE, "workdir: '~bob/x' must start with / or ~/"),
    ({"workdir": "/a/../b"}, ALICE, "workdir: '/a/../b' holds '..'"),
    ({"workdir": "/$HOME"}, ALICE, "workdir: '/$HOME' holds $, which a directory here may not"),
    ({"workdir": "/a'b"}, ALICE, "which a directory here may not"),
    # Who may use what: what is not for somebody is as unknown as what does not exist
    ({"profile": "none"}, ALICE, "profile: 'none' is not known; known: small, course"),
    ({"profile": "gpu"}, ALICE, "profile: 'gpu' is not known; known: small, course"),
    ({"profile": "gpu"}, CAROL, "profile: 'gpu' is not known; known: small, course, project"),
    ({"profile": "project"}, BOB, "profile: 'project' is not known"),
    ({"partition": "gpu"}, ALICE, "partition: 'gpu' is not known; known: main, testing"),
    ({"partition": "nope"}, ALICE, "partition: 'nope' is not known; known: main, testing"),
    ({"environment": "private"}, ALICE, "environment: 'private' is not known; known: base, stats"),
    ({"environment": "iris-only"}, ALICE, "environment: 'iris-only' is not known; known: base, stats"),
    ({"app": "code"}, ALICE, "app: 'code' is not known; known: lab"),
    ({"account": "secret"}, ALICE, "account: 'secret' is not known"),
    ({"account": "p100", "cluster": "iris"}, CAROL, "account: 'p100' is not known; known: p200"),
    ({"account": "p300", "cluster": "iris"}, ALICE, "account: 'p300' is not known; known: p100, p200"),
    ({"cluster": "mars"}, ALICE, "cluster: 'mars' is not known; known: rocket, iris"),
    ({"cluster": "iris", "profile": "small"}, ALICE, "cluster: 'iris' is not possible, profile small is on rocket"),
    # Limits name who sets them
    ({"profile": "small", "cores": 200}, ALICE, "cores: 200 is more than 8, the most of profile small"),
    ({"profile": "small", "memory": "512M"}, ALICE, "memory: 512M is less than 1G, the least of profile small"),
    ({"profile": "small", "walltime": "1-00:00:00"}, ALICE, "walltime: 1-00:00:00 is more than 12:00:00, the most of"),
    ({"cores": 41}, ALICE, "cores: 41 is more than 40, the most of partition main"),
    ({"nodes": 5}, ALICE, "nodes: 5 is more than 4, the most of this site"),
    ({"gpus": 1}, ALICE, "gpus: 1 is more than 0, the most of partition main"),
    ({"partition": "gpu", "gpus": 5, "gpu_type": "a100"}, BOB, "gpus: 5 is more than 4, the most of GPU type a100"),
    ({"partition": "gpu", "gpus": 8, "gpu_type": "mig"}, BOB, "gpus: 8 is more than 7, the most of partition gpu"),
    ({"partition": "gpu", "gpus": 1, "gpu_type": "h100"}, BOB, "gpu_type: 'h100' is not known; known: a100, mig"),
    ({"profile": "gpu", "gpus": 0}, BOB, "gpus: 0 is less than 1, the least of profile gpu"),
    ({"qos": "high"}, ALICE, "qos: 'high' is not known; known: normal, long"),
    ({"profile": "course", "walltime": "4:00:00"}, ALICE, "walltime: 04:00:00 is not one of 01:00:00, 02:00:00"),
    # What a profile does not open
    ({"profile": "small", "nodes": 2}, ALICE, "nodes: 2 is not possible, profile small always has 1"),
    ({"profile": "small", "partition": "testing"}, ALICE, "partition: 'testing' is not possible, profile small always"),
    (
        {"profile": "small", "reservation": "x"},
        ALICE,
        "reservation: 'x' is not possible, profile small gives no choice",
    ),
    ({"profile": "course", "cores": 5}, ALICE, "cores: 5 is not possible, profile course always has 4"),
    ({"profile": "course", "environment": "base"}, ALICE, "environment: 'base' is not possible, profile course always"),
    ({"profile": "course", "memory": "9G"}, ALICE, "memory: 9G is not possible, partition testing takes none"),
]


@pytest.mark.parametrize(("given", "person", "words"), REFUSED)
def test_a_refusal_names_field_value_and_limit(given: dict[Any, Any], person: Person, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        validate(SITE, given, person)
    assert words in str(caught.value)
    assert str(caught.value) == f"{caught.value.field}: {caught.value.text}"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("given", "person", "expected"), ALLOWED)
def test_the_canonical_choice_is_valid_and_the_same_again(
    given: dict[str, Any], person: Person, expected: dict[str, Any]
) -> None:
    choice = validate(SITE, given, person)
    canonical = json.loads(json.dumps(choice.canonical()))
    assert options.recheck(SITE, canonical, person) == choice
    assert options.recheck(SITE, canonical, person).canonical() == canonical
    assert options.restored(canonical) == choice


def test_a_site_without_free_choice_takes_the_first_profile() -> None:
    assert validate(CLOSED, {"cores": 3}, ALICE) == dataclasses.replace(SMALL, cores=3, environment="", app="")
    with pytest.raises(OptionError, match="profile: there is no profile that you may use"):
        validate(dataclasses.replace(CLOSED, profiles={}), {}, ALICE)
    only_gpu = dataclasses.replace(CLOSED, profiles={"gpu": CLOSED.profiles["gpu"]})
    with pytest.raises(OptionError, match="profile: 'gpu' is not known, and there is none that you may use"):
        validate(only_gpu, {"profile": "gpu"}, ALICE)


def test_the_last_choice_counts_only_where_nothing_is_given_and_it_is_still_allowed() -> None:
    last = {"profile": "small", "cores": 5}
    assert validate(SITE, {}, ALICE, last=last).cores == 5
    assert validate(SITE, {"profile": "small"}, ALICE, last=last).cores == 2
    assert validate(SITE, {}, ALICE, last={"profile": "gpu"}).profile == "small"


def test_the_live_inventory_narrows_what_is_open_and_leaves_what_is_fixed() -> None:
    live = {"rocket": INVENTORY}
    with pytest.raises(OptionError, match="21 is more than 20, the most of the largest node of partition main"):
        validate(SITE, {"cores": 21}, ALICE, live)
    with pytest.raises(
        OptionError, match="walltime: 2-00:00:00 is more than 1-00:00:00, the most of partition main at"
    ):
        validate(SITE, {"walltime": "2-0"}, ALICE, live)
    with pytest.raises(OptionError, match="gpus: 3 is more than 2, the most of the largest node of partition gpu"):
        validate(SITE, {"profile": "gpu", "gpus": 3}, BOB, live)
    small = dataclasses.replace(SITE.profiles["small"], fields={"cores": fixed(40)})
    site = dataclasses.replace(SITE, profiles={"small": small})
    assert validate(site, {"profile": "small"}, ALICE, live).cores == 40
    assert validate(SITE, {"cores": 40}, ALICE, {"rocket": None, "iris": INVENTORY}).cores == 40


def test_without_partitions_in_the_site_the_default_one_limits() -> None:
    main = INVENTORY.partitions[0]
    cluster = dataclasses.replace(SITE.clusters["iris"], partitions={})
    site = dataclasses.replace(SITE, clusters={"iris": cluster}, profiles={})
    for partitions in (
        (main,),
        (dataclasses.replace(main, name="other", cores=4), dataclasses.replace(main, default=True)),
    ):
        with pytest.raises(OptionError, match="21 is more than 20, the most of the largest node of partition main"):
            validate(site, {"cores": 21}, ALICE, {"iris": dataclasses.replace(INVENTORY, partitions=partitions)})
    assert validate(site, {"cores": 20}, ALICE, {"iris": INVENTORY}).partition == ""


def test_a_fixed_value_outside_the_limits_is_an_error_and_never_another_value() -> None:
    small = dataclasses.replace(SITE.profiles["small"], fields={"partition": fixed("main"), "cores": fixed(41)})
    with pytest.raises(OptionError, match="cores: 41 is more than 40, the most of partition main"):
        validate(dataclasses.replace(SITE, profiles={"small": small}), {"profile": "small"}, ALICE)


def test_resources_carry_the_schedulers_own_gpu_name_and_whole_nodes() -> None:
    gpu = options.resources(SITE, validate(SITE, {"profile": "gpu", "gpu_type": "mig", "gpus": 2}, BOB))
    assert (gpu.gpus, gpu.gpu_request, gpu.cores, gpu.exclusive) == (2, "1g.10gb", 8, False)
    assert options.resources(SITE, validate(SITE, {"partition": "testing"}, ALICE)).exclusive
    assert options.resources(SITE, validate(SITE, {"profile": "project"}, CAROL)).exclusive
    none = options.resources(SITE, validate(SITE, {"cluster": "iris"}, ALICE))
    assert (none.cores, none.memory, none.walltime, none.gpu_request) == (None, None, None, "")


def test_the_summary_is_one_line_for_people() -> None:
    assert validate(SITE, {}, ALICE).summary() == "Small · main · 2 cores · 4 GiB · 2 h"
    gpu = validate(SITE, {"profile": "gpu"}, BOB)
    assert gpu.summary() == "GPU · gpu · 8 cores · 1 GPU a100 · 4 h"
    assert validate(SITE, {"nodes": 2, "cores": 1}, ALICE).summary() == "rocket · main · 2 nodes · 1 core"


def test_options_run_where_only_the_standard_library_is() -> None:
    root = Path(options.__file__).parent.parent
    code = "import hpcspawner.options, sys; print(sorted({'jinja2', 'yaml', 'tornado'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
