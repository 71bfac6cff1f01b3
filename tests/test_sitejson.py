"""The site as JSON: an exact round trip, and nothing unknown is taken."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest

import hpcspawner
from hpcspawner import sitefile, sitejson
from tests.sitekit import SMALL

PACKAGE = Path(hpcspawner.__file__).parent


@pytest.mark.parametrize("name", sitefile.presets())
def test_presets_survive_the_round_trip(name: str) -> None:
    site = sitefile.read(name)
    assert sitejson.load(json.loads(json.dumps(sitejson.dump(site)))) == site


def data() -> dict[str, Any]:
    return copy.deepcopy(sitejson.dump(sitefile.read_text(SMALL)))


def test_order_is_kept_since_the_first_cluster_is_the_default() -> None:
    site = data()
    site["clusters"] = {"z": site["clusters"]["main"], "a": site["clusters"]["main"]}
    assert list(sitejson.load(json.loads(json.dumps(site))).clusters) == ["z", "a"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format",), 2, "install the helper of the hub's version"),
        (("surprise",), 1, "unknown key 'surprise'"),
        (("min_uid",), True, "site.min_uid: must be int"),
        (("min_uid",), "0", "site.min_uid: must be int"),
        (("title",), None, "site.title: must be str"),
        (("clusters",), [], "site.clusters: must be an object"),
        (("clusters", "main"), 1, "site.clusters.main: must be an object"),
        (("clusters", "main", "ports"), [1], "ports: must be a list"),
        (("clusters", "main", "ports"), [1, "2"], "ports: must be int"),
        (("clusters", "main", "directives"), "--x", "directives: must be a list"),
        (("clusters", "main", "cluster"), {"name": "main"}, "scheduler"),
        (("profiles", "small", "fields", "cores", "default"), 1.5, "default: must be NoneType or int or str|must be"),
    ],
)
def test_what_does_not_fit_names_its_field(path: tuple[str, ...], value: object, words: str) -> None:
    site = data()
    place = site
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=words):
        sitejson.load(site)


def test_numbers_may_come_as_whole_numbers() -> None:
    site = data()
    site["clusters"]["main"]["grace"] = 20
    assert isinstance(sitejson.load(site).clusters["main"].grace, float)


@pytest.mark.parametrize("name", ["units.py", "sitejson.py", "sitemodel.py"])
def test_what_the_helper_carries_is_python_3_8(name: str) -> None:
    ast.parse((PACKAGE / name).read_text(), feature_version=(3, 8))
