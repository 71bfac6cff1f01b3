"""Cluster options are the site's fields: shown as a widget, checked by the same code as the form's."""

from __future__ import annotations

from typing import Any

import pytest

from hpcspawner import sitefile
from hpcspawner.gateway import clusteroptions, limits
from hpcspawner.options import OptionError, Person
from hpcspawner.sitemodel import Dask, Site

ALICE = Person(name="alice", groups=frozenset(), accounts=None, admin=False)

TEXT = """
name: test
clusters:
  main:
    scheduler: slurm
    dask: {workers: %d, max_workers: 40}
    partitions:
      main: {}
      gpu: {gpu_types: {a100: 4}}
fields:
  cores: {default: 2, min: 1, max: 16}
  memory: {default: 4G, max: 32G}
  walltime: {default: "01:00:00", max: "10:00:00"}
"""
FREE = "free_choice: true\n"
PROFILES = """
profiles:
  small: {title: Small, fields: {partition: main, cores: 1, memory: 1G}}
  big: {title: Big, fields: {partition: main, cores: {default: 8, max: 16}, memory: 16G}}
"""


def site(more: str = FREE, workers: int = 1) -> Site:
    return sitefile.read_text(TEXT % workers + more)


def shown(site: Site) -> dict[str, dict[str, Any]]:
    found = clusteroptions.describe(site, ALICE, {}).get_specification()
    return {field["field"]: field for field in found}


def ask(site: Site, **given: Any) -> clusteroptions.Asked:
    return clusteroptions.validate(site, given, ALICE, {})


def test_a_single_card_is_shown_with_its_limits_and_defaults() -> None:
    fields = shown(site())
    assert fields["cores"]["spec"] == {"type": "int", "min": 1, "max": 16}
    assert fields["cores"]["default"] == 2
    assert fields["memory"]["default"] == "4G"
    assert fields["partition"]["spec"]["options"] == ["main", "gpu"]
    assert "nodes" not in fields
    assert "app" not in fields


def test_what_the_widget_shows_is_accepted_as_it_is() -> None:
    for one in (site(), site(PROFILES), site(PROFILES + FREE)):
        options = clusteroptions.describe(one, ALICE, {})
        given = options.parse_options({})
        assert ask(one, **given).choice.cluster == "main"


def test_profiles_are_a_choice_and_an_empty_field_is_what_the_profile_says() -> None:
    one = site(PROFILES)
    assert shown(one)["profile"]["spec"]["options"] == ["small", "big"]
    assert ask(one, profile="big", cores="").choice.cores == 8
    assert ask(one, profile="big", cores=12).choice.cores == 12


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cores": 17}, "cores: 17 is more than 16"),
        ({"memory": "1T"}, "memory: "),
        ({"workers": 3}, "workers: 3 is more than 2, the cores of a job"),
        ({"workers": "many"}, "workers: "),
        ({"workers": -1}, "workers: "),
        ({"nodes": 2}, "nodes: is no option of a Dask cluster"),
        ({"app": "lab"}, "app: is no option of a Dask cluster"),
        ({"colour": "red"}, "colour: is no option"),
        ({"partition": "main\n#SBATCH --uid=0"}, "partition: "),
    ],
)
def test_what_is_not_possible_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as error:
        ask(site(), **given)
    assert str(error.value).startswith(words)


def test_options_that_are_no_table_are_refused() -> None:
    with pytest.raises(OptionError):
        clusteroptions.validate(site(), ["cores"], ALICE, {})  # type: ignore[arg-type]


def test_workers_share_what_a_job_has() -> None:
    asked = ask(site(workers=4), cores=8, memory="8G")
    assert (asked.workers, asked.worker_cores, asked.worker_memory) == (4, 2, 2 * 1024**3)
    assert ask(site(workers=4), cores=2).workers == 2
    assert ask(site(), cores=8, workers=2).worker_cores == 4


def test_each_worker_has_a_gpu_where_nothing_else_is_said() -> None:
    asked = ask(site(), partition="gpu", gpus=4, gpu_type="a100", cores=8)
    assert asked.workers == 4


def test_a_users_limits_are_for_all_clusters_together() -> None:
    assert limits.most_workers(Dask(), 4) is None
    assert limits.most_workers(Dask(max_workers=40, max_cores=20), 4) == 5
    assert "you may have 2 Dask clusters" in limits.one_more(Dask(max_clusters=2), 2)
    assert limits.one_more(Dask(max_clusters=2), 1) == ""
    assert limits.one_more(Dask(max_clusters=0), 99) == ""
