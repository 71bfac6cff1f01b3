"""Presets, schema, reference and guide: all valid, and never apart from the code."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from hpcspawner import options, schedulers, sitedoc, sitefile, sitekeys, sitemodel
from hpcspawner.access import Person
from hpcspawner.job import Job

ROOT = Path(__file__).parent.parent
SITES = ROOT / "deploy" / "sites"
AGAIN = "write it again with `{}`"


def guide_example() -> str:
    guide = (ROOT / "docs" / "site-file.md").read_text()
    found = re.search(r"<!-- example: complete -->\n```yaml\n(.*?)```", guide, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("name", sitefile.presets())
def test_presets_are_valid(name: str) -> None:
    site = sitefile.read(name)
    assert site.name == name
    assert site.profiles
    assert all(profile.idle or profile.unclaimed for profile in site.profiles.values())


@pytest.mark.parametrize("name", sitefile.presets())
def test_every_card_of_a_preset_starts_a_job_as_it_is(name: str) -> None:
    site = sitefile.read(name)
    person = Person("alice", frozenset(), frozenset({"project"}))
    for profile in site.profiles:
        given = {"profile": profile}
        if "account" in site.profiles[profile].fields and not site.profiles[profile].fields["account"].default:
            given["account"] = "project"
        choice = options.validate(site, given, person)
        cluster = site.clusters[choice.cluster].cluster
        job = Job(
            name="jupyter-0a1b2c-abcdefghij",
            user="alice",
            command=("python3",),
            resources=options.resources(site, choice),
            partition=choice.partition,
            account=choice.account,
            qos=choice.qos,
        )
        assert schedulers.load(cluster.scheduler).script(cluster, job).startswith("#!/bin/bash")


@pytest.mark.parametrize("name", ["rocket", "iris", "triton", "thetagpu"])
def test_presets_of_real_sites_tell_their_sources_and_what_to_check(name: str) -> None:
    text = sitefile.presets()[name].read_text()
    assert "Where the figures come from" in text
    assert "an admin must" in " ".join(text.replace("#", "").split())
    assert "SET" in text


def test_the_demo_shows_the_product_on_a_laptop() -> None:
    site = sitefile.read("demo")
    assert [cluster.cluster.scheduler for cluster in site.clusters.values()] == ["local"]
    assert len(site.profiles) in (3, 4)
    assert {app.url for app in site.apps.values()} == {"/lab", "/tree"}
    free = site.profiles["custom"].fields
    assert (free["cores"].min, free["cores"].max) == (1, 4)
    assert all(not free[name].fixed for name in ("cores", "memory", "walltime"))


@pytest.mark.parametrize("name", ["example", *sitefile.presets()])
def test_files_fit_the_schema(name: str) -> None:
    text = guide_example() if name == "example" else sitefile.presets()[name].read_text()
    jsonschema.validate(yaml.safe_load(text), sitefile.schema())


@pytest.mark.parametrize(
    "bad",
    ["name: a\nclusters: {c: {}}", "clusters: {}", "name: a\nprofles: {}", "name: a\nclusters: {c: {scheduler: x}}"],
)
def test_the_schema_refuses_what_the_reader_refuses(bad: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(bad), sitefile.schema())


def test_the_schema_file_is_made_from_the_code() -> None:
    command = "hpcspawner site schema > deploy/sites/site.schema.json"
    assert json.loads((SITES / "site.schema.json").read_text()) == sitefile.schema(), AGAIN.format(command)


def test_the_reference_is_made_from_the_code() -> None:
    command = "python -m hpcspawner.sitedoc > docs/reference-site.md"
    assert (ROOT / "docs" / "reference-site.md").read_text() == sitedoc.reference(), AGAIN.format(command)


def test_the_guides_example_is_read_and_shows_every_noun() -> None:
    site = sitefile.read_text(guide_example())
    main = site.clusters["main"]
    assert len(site.clusters) == 2
    assert main.partitions["gpu"].gpu_types["slice"].request == "1g.5gb"
    assert main.partitions["whole"].exclusive
    assert main.partitions["whole"].omit == ("memory",)
    assert site.profiles["flexible"].requeue
    assert site.profiles["small"].fields["walltime"].default == 4 * 3600
    assert site.environments["own"].setup[1] == "conda activate jupyter"
    assert site.apps["container"].wrap[0] == "apptainer"


def test_the_reference_names_every_key_and_scheduler() -> None:
    text = sitedoc.reference()
    for cls in sitekeys.SECTIONS:
        for key in sitekeys.keys(cls).values():
            assert f"`{key.name}`" in text
            assert key.doc, f"{cls.__name__}.{key.name} has no manual"
    for name in schedulers.names():
        assert f"| `{name}` |" in text


def test_every_class_of_the_model_is_a_section() -> None:
    classes = {cls for cls in vars(sitemodel).values() if isinstance(cls, type) and dataclasses.is_dataclass(cls)}
    assert classes - {sitemodel.Cluster} == set(sitekeys.SECTIONS)
