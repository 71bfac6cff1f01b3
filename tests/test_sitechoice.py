"""Which site a hub takes, and when it refuses to start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpcspawner import sitechoice
from hpcspawner.sitechoice import NoSite, choose
from tests.sitekit import SMALL, changed

SLURM = {"sbatch", "squeue", "scancel"}


def on_path(*commands: str) -> Callable[[str], str | None]:
    return lambda name: f"/usr/bin/{name}" if name in commands else None


def site_file(folder: Path, text: str) -> str:
    path = folder / "site.yaml"
    path.write_text(text)
    return str(path)


def test_the_variable_decides(tmp_path: Path) -> None:
    path = site_file(tmp_path, SMALL)
    chosen = choose({"HPCSPAWNER_SITE": path}, on_path(*SLURM), 0, "10.0.0.1")
    assert chosen.source == path
    assert chosen.password is None
    assert not chosen.loopback_only
    assert not chosen.own_account_only
    assert "HPCSPAWNER_SITE says" in chosen.reasons[0]


def test_without_it_and_without_a_scheduler_the_demo_is_for_this_machine_only() -> None:
    chosen = choose({}, on_path(), 0, "127.0.0.1")
    assert chosen.source == "demo"
    assert chosen.loopback_only
    assert chosen.password
    assert len(chosen.password) >= 12
    assert choose({}, on_path(), 0, "127.0.0.1").password != chosen.password


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "::", "hub.example.org"])
def test_the_demo_is_refused_on_other_addresses(address: str) -> None:
    with pytest.raises(NoSite, match=r"127\.0\.0\.1 only"):
        choose({}, on_path(), 0, address)


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_addresses(address: str) -> None:
    assert sitechoice.loopback(address)


def test_a_hub_that_is_not_root_lets_only_its_own_account_in() -> None:
    chosen = choose({}, on_path(), 1000, "127.0.0.1")
    assert chosen.own_account_only
    assert "nobody else may log in" in chosen.reasons[-1]
    assert not choose({}, on_path(), 0, "127.0.0.1").own_account_only


def test_the_demo_by_name_is_a_trial_too() -> None:
    assert choose({"HPCSPAWNER_SITE": "demo"}, on_path(), 1000, "127.0.0.1").password
    elsewhere = choose({"HPCSPAWNER_SITE": "demo"}, on_path(), 1000, "10.0.0.1")
    assert elsewhere.password is None
    assert elsewhere.own_account_only


def test_a_detected_scheduler_asks_for_a_file() -> None:
    with pytest.raises(NoSite, match=r"commands of Slurm are on PATH\. .*hpcspawner discover > site\.yaml"):
        choose({}, on_path(*SLURM), 0, "127.0.0.1")


def test_a_detected_scheduler_uses_the_discovered_file(tmp_path: Path) -> None:
    path = site_file(tmp_path, SMALL)
    asked: list[str] = []

    def discovered(scheduler: str) -> str:
        asked.append(scheduler)
        return path

    assert choose({}, on_path(*SLURM), 0, "10.0.0.1", discovered).source == path
    assert asked == ["slurm"]


def test_half_a_scheduler_is_none() -> None:
    assert choose({}, on_path("sbatch"), 0, "").source == "demo"


def test_two_schedulers_need_a_word() -> None:
    with pytest.raises(NoSite, match="LSF and Slurm"):
        choose({}, on_path(*SLURM, "bsub", "bjobs", "bkill", "bqueues", "bhosts", "lsid"), 0, "")


@pytest.mark.parametrize(
    ("way", "uid", "words"),
    [("root", 1000, "needs a hub that runs as root"), ("self", 0, "would run all jobs as root")],
)
def test_a_way_that_cant_work_is_refused(tmp_path: Path, way: str, uid: int, words: str) -> None:
    path = site_file(tmp_path, changed("scheduler: slurm", f"scheduler: slurm\n    way: {way}"))
    with pytest.raises(NoSite, match=words):
        choose({"HPCSPAWNER_SITE": path}, on_path(), uid, "")


def test_sudo_works_for_any_hub(tmp_path: Path) -> None:
    path = site_file(tmp_path, changed("scheduler: slurm", "scheduler: slurm\n    way: sudo"))
    assert not choose({"HPCSPAWNER_SITE": path}, on_path(), 1000, "").own_account_only


def test_a_broken_file_is_refused_with_all_its_mistakes(tmp_path: Path) -> None:
    path = site_file(tmp_path, changed("omit:", "omitt:").replace("url: /lab", "url: lab"))
    with pytest.raises(NoSite, match=r"(?s)site\.yaml:10: .*site\.yaml:14: "):
        choose({"HPCSPAWNER_SITE": path}, on_path(), 0, "")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(NoSite, match="did you mean demo"):
        choose({"HPCSPAWNER_SITE": "dmeo"}, on_path(), 0, "")
