"""A first site file from an inventory: valid unedited, whatever the scheduler called its things."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcspawner import sitefile
from hpcspawner.discover import discover, quoted
from hpcspawner.job import Cluster, Inventory, PartitionInfo
from hpcspawner.sitemodel import Site

SLURM = Cluster("main", "slurm", environment={"SLURM_CONF": "/etc/slurm/x y.conf"}, version="22.05.8")
MAIN = PartitionInfo("main", default=True, nodes=4, cores=16, memory=64000, max_walltime=86400, default_walltime=3600)
SHORT = PartitionInfo("short", nodes=4, cores=16, memory=64000, max_walltime=1800, default_walltime=1800)
GPU = PartitionInfo("gpu", nodes=1, cores=16, memory=64000, gpus={"a100": 4, "": 1}, max_walltime=86400)


def found(*partitions: PartitionInfo, cluster: Cluster = SLURM, python: str = "/opt/jupyter/bin/python") -> Site:
    inventory = Inventory(partitions)
    return sitefile.read_text(discover(cluster, inventory, python, ""), "site.yaml", inventory)


def test_one_profile_for_each_partition_and_a_free_choice() -> None:
    site = found(SHORT, GPU, MAIN)
    assert list(site.profiles) == ["main", "short", "gpu"], "the scheduler's default comes first"
    assert site.free_choice
    assert site.idle
    assert site.clusters["main"].cluster.environment == dict(SLURM.environment)
    assert site.clusters["main"].server.python == "/opt/jupyter/bin/python"


def test_limits_are_the_schedulers() -> None:
    fields = found(MAIN).clusters["main"].partitions["main"].fields
    limits = {name: rule.max for name, rule in fields.items()}
    assert limits == {"nodes": 4, "cores": 16, "memory": 64000, "walltime": 86400}


def test_every_start_has_a_walltime_since_sites_refuse_jobs_without() -> None:
    site = found(MAIN, SHORT, PartitionInfo("bare"))
    for place in (*site.profiles.values(), *site.clusters["main"].partitions.values()):
        assert place.fields["walltime"].default
    assert site.profiles["short"].fields["walltime"].default == 1800


def test_gpu_types_are_named_and_a_gpu_is_asked_for() -> None:
    site = found(GPU)
    types = site.clusters["main"].partitions["gpu"].gpu_types
    assert {name: (gpu.request, gpu.max) for name, gpu in types.items()} == {"a100": ("a100", 4), "gpu": ("", 1)}
    assert site.profiles["gpu"].fields["gpus"].default == 1
    assert site.profiles["gpu"].fields["gpu_type"].choices == ("a100", "gpu")


def test_memory_that_the_scheduler_does_not_know_is_not_sent() -> None:
    site = found(PartitionInfo("main", cores=4, memory=1))
    assert site.clusters["main"].partitions["main"].omit == ("memory",)
    assert "memory" not in site.profiles["main"].fields


def test_groups_and_whole_nodes_are_taken_over() -> None:
    partition = found(PartitionInfo("m", groups=("hpc users", "no"), whole_nodes=True)).clusters["main"].partitions["m"]
    assert partition.rules.groups == ("hpc users", "no")
    assert partition.exclusive


def test_a_partition_that_is_down_is_left_out_with_a_word() -> None:
    text = discover(SLURM, Inventory((MAIN, PartitionInfo("old", up=False))), "", "")
    assert "# old is down now" in text
    assert list(sitefile.read_text(text).profiles) == ["main"]


def test_what_nobody_can_guess_is_marked() -> None:
    text = discover(SLURM, Inventory((MAIN,), problems=("sinfo: odd\nline: x",)), "", "")
    assert "SET: a Python 3.10" in text
    assert "# The scheduler did not tell: sinfo: odd line: x" in text
    assert sitefile.read_text(text).clusters["main"].server.python == "python3"


def test_the_hubs_url_is_taken_over() -> None:
    text = discover(SLURM, Inventory((MAIN,)), "", "http://10.0.0.1:8081/hub/api")
    assert sitefile.read_text(text).clusters["main"].hub_url == "http://10.0.0.1:8081/hub/api"


def test_other_schedulers_get_what_their_jobs_can_carry() -> None:
    for scheduler in ("lsf", "cobalt", "local"):
        site = found(MAIN, cluster=Cluster("c", scheduler))
        assert "walltime" in site.profiles["main"].fields


def test_an_empty_inventory_still_gives_a_valid_file() -> None:
    assert found().free_choice


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@settings(max_examples=50)
@given(names, st.lists(names, max_size=2), st.dictionaries(names, st.integers(0, 8), max_size=2))
def test_odd_names_never_break_the_file(name: str, groups: list[str], gpus: dict[str, int]) -> None:
    odd = PartitionInfo(name, groups=tuple(group for group in groups if group.strip() == group), gpus=gpus)
    inventory = Inventory((MAIN, odd), problems=(name,))
    found: list[sitefile.Problem] = []
    try:
        sitefile.read_text(discover(SLURM, inventory, "", ""))
    except sitefile.SiteError as error:
        found = error.problems
    # A group with a control character in its name exists nowhere; it is told, not hidden.
    assert all("control characters" in problem.text for problem in found), found


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_quoted_text_reads_back(text: str) -> None:
    assert yaml.safe_load(f"- {quoted(text)}") == [text]
