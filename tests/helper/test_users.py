"""Acting for real other users: as root, through the sudo rule, and never for the wrong one."""

from __future__ import annotations

import dataclasses
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.sitemodel import Site
from tests.helper.installed import installed, sudo_rule
from tests.helper.kit import FakeSlurm, ask, error, make_site, new_tag, request, result

pytestmark = pytest.mark.other_user

AS_HUB = ("runuser", "-u", "jupyterhub", "--")


@pytest.fixture
def slurm(shared: Path) -> FakeSlurm:
    return FakeSlurm(shared / "bin")


@pytest.fixture
def site(shared: Path, slurm: FakeSlurm) -> Site:
    return make_site(shared, commands=str(slurm.folder))


@pytest.fixture
def program_there(site: Site) -> Iterator[Path]:
    """The installed helper with its sudo rule."""
    with installed(site) as path, sudo_rule(path):
        yield path


def sudo(user: str) -> tuple[str, ...]:
    return (*AS_HUB, "sudo", "-n", "-u", user, "--")


def submit(tag: str = "", **fields: Any) -> dict[str, Any]:
    return {"tag": tag or new_tag(), "choice": {"partition": "main"}, "environment": {"A": "b"}, **fields}


def whoami(slurm: FakeSlurm, shared: Path) -> None:
    slurm.command("squeue", f"cat /proc/self/status > {shared}/who-$(id -u)")


# As root ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_root_becomes_the_user_with_all_that_belongs_to_it(
    program: Path, site: Site, slurm: FakeSlurm, shared: Path, user: str
) -> None:
    whoami(slurm, shared)
    who = pwd.getpwnam(user)
    result(ask(program, request("query", user, site, ids=["1"])))
    told = dict(
        line.split(":\t", 1) for line in (shared / f"who-{who.pw_uid}").read_text().splitlines() if ":\t" in line
    )
    assert told["Uid"].split() == [str(who.pw_uid)] * 4
    assert told["Gid"].split() == [str(who.pw_gid)] * 4
    assert set(map(int, told["Groups"].split())) == set(os.getgrouplist(user, who.pw_gid))
    assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == 0


def test_without_a_user_the_hubs_own_account_asks(program: Path, site: Site, slurm: FakeSlurm, shared: Path) -> None:
    whoami(slurm, shared)
    result(ask(program, request("query", "", site, ids=["1"])))
    assert (shared / "who-0").exists()


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("root", "never acts for root"),
        ("daemon", "is a system account: uid 1 is below 1000"),
        ("nobody", "nobody's account"),
        ("no-such-user", "there is no account no-such-user"),
    ],
)
def test_root_system_and_unknown_accounts_are_refused(program: Path, site: Site, user: str, words: str) -> None:
    kind, text = error(ask(program, request("submit", user, site, **submit())))
    assert kind == "forbidden"
    assert words in text


def test_members_of_denied_groups_are_refused(program: Path, site: Site) -> None:
    kind, text = error(ask(program, request("query", "alice", dataclasses.replace(site, deny_groups=("hpcusers",)))))
    assert (kind, text) == ("forbidden", "alice is in the group hpcusers, which is denied here")


def test_the_sites_least_uid_holds(program: Path, site: Site) -> None:
    kind, text = error(ask(program, request("query", "alice", dataclasses.replace(site, min_uid=5000))))
    assert kind == "forbidden"
    assert "below 5000" in text


def test_root_does_not_run_a_helper_that_others_can_change(program: Path, site: Site, shared: Path) -> None:
    loose = shared / "helper.pyz"
    loose.write_bytes(program.read_bytes())
    given = request("query", "alice", site)
    loose.chmod(0o666)
    assert "can be changed by others than root" in error(ask(loose, given))[1]
    loose.chmod(0o644)
    result(ask(loose, given))
    os.chown(loose, pwd.getpwnam("bob").pw_uid, -1)
    assert "does not belong to root" in error(ask(loose, given))[1]


def test_what_another_user_put_in_the_way_is_not_used(program: Path, site: Site, shared: Path) -> None:
    bob = pwd.getpwnam("bob")
    (shared / "alice").mkdir()
    os.chown(shared / "alice", bob.pw_uid, bob.pw_gid)
    kind, text = error(ask(program, request("submit", "alice", site, **submit())))
    assert (kind, text) == ("folder", f"{shared}/alice belongs to another user (uid {bob.pw_uid})")


def test_a_link_of_another_user_is_not_followed(program: Path, site: Site, shared: Path) -> None:
    victim = shared / "victim"
    victim.mkdir(mode=0o700)
    os.chown(victim, pwd.getpwnam("alice").pw_uid, -1)
    subprocess.run(["runuser", "-u", "bob", "--", "ln", "-s", str(victim), str(shared / "alice")], check=True)
    kind, text = error(ask(program, request("submit", "alice", site, **submit())))
    assert (kind, text) == ("folder", f"{shared}/alice is a link that another user made")
    assert list(victim.iterdir()) == []


def test_a_folder_above_that_another_user_can_move_is_refused(program: Path, site: Site, shared: Path) -> None:
    """Whoever owns or may write a folder on the way could put programs of theirs in the place of the job's."""
    deep = dataclasses.replace(site, state_dir=f"{shared}/x/{{user}}/state")
    bob = pwd.getpwnam("bob")
    (shared / "x").mkdir()
    for mode in (0o777, 0o1777):
        (shared / "x").chmod(mode)
        os.chown(shared / "x", bob.pw_uid, bob.pw_gid)
        kind, text = error(ask(program, request("submit", "alice", deep, **submit())))
        assert (kind, text) == ("folder", f"{shared}/x belongs to another user (uid {bob.pw_uid})")
    os.chown(shared / "x", 0, 0)
    (shared / "x").chmod(0o777)
    kind, text = error(ask(program, request("submit", "alice", deep, **submit())))
    assert (kind, text) == ("folder", f"{shared}/x can be changed by other users: run chmod go-w or chmod +t on it")
    assert list((shared / "x").iterdir()) == []
    (shared / "x").chmod(0o1777)
    assert result(ask(program, request("submit", "alice", deep, **submit())))["outcome"] == "accepted"


IN_MOUNT = 'mount -t tmpfs -o "$0" none "$1"; shift; exec "$@"'


@pytest.mark.parametrize(
    ("options", "words"),
    [("size=4k,mode=1777", "the file system is full"), ("ro,mode=1777", "the file system is read-only")],
)
def test_a_full_or_read_only_state_directory_is_told_with_path_and_cause(
    program: Path, site: Site, shared: Path, slurm: FakeSlurm, options: str, words: str
) -> None:
    place = shared / "small"
    place.mkdir()
    there = dataclasses.replace(site, state_dir=f"{place}/{{user}}")
    before = ("unshare", "--mount", "sh", "-c", IN_MOUNT, options, str(place))
    kind, text = error(ask(program, request("submit", "alice", there, **submit()), *before))
    assert kind == "folder"
    assert text.endswith(words)
    assert f"{place}/alice" in text
    assert not [call for call in slurm.called("sbatch") if "--version" not in call]


def test_another_users_log_is_not_shown(program: Path, site: Site, shared: Path) -> None:
    tag = new_tag()
    log = Path(result(ask(program, request("submit", "alice", site, **submit(tag))))["log"])
    log.write_text("root wrote this\n")
    found = result(ask(program, request("tail", "alice", site, tag=tag)))
    assert found["log"] == []
    assert "is not a file of the user" in found["problem"]


def test_users_cannot_read_each_others_secrets(program: Path, site: Site) -> None:
    folder = result(ask(program, request("submit", "alice", site, **submit())))["folder"]
    seen = subprocess.run(
        ["runuser", "-u", "bob", "--", "cat", f"{folder}/secret.json"], capture_output=True, check=False
    )
    assert seen.returncode != 0


def test_a_home_that_is_missing_or_closed_does_not_matter_where_the_state_lies_elsewhere(
    program: Path, site: Site, shared: Path
) -> None:
    name = "hpct" + shared.name[-8:]
    home = shared / "home"
    subprocess.run(["useradd", "--no-create-home", "--home-dir", str(home), name], check=True)
    try:
        for _ in ("missing", "closed"):
            answer = result(ask(program, request("submit", name, site, **submit())))
            script = Path(answer["folder"], "script").read_text()
            assert f"\n#SBATCH --chdir={shared}/{name}\n" in script
            home.mkdir(mode=0o000, exist_ok=True)
    finally:
        subprocess.run(["userdel", name], check=True)


# Through sudo ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_the_service_account_submits_for_users_through_sudo(program_there: Path, user: str, shared: Path) -> None:
    tag = new_tag()
    answer = result(ask(program_there, request("submit", user, **submit(tag)), *sudo(user)))
    assert (answer["outcome"], answer["id"]) == ("accepted", "4711")
    assert {path.owner() for path in (shared / user).rglob("*")} == {user}


def test_the_installed_site_holds_whatever_the_request_says(program_there: Path, site: Site, shared: Path) -> None:
    loose = dataclasses.replace(site, state_dir=f"{shared}/elsewhere-{{user}}", min_uid=0)
    answer = result(ask(program_there, request("submit", "alice", loose, **submit()), *sudo("alice")))
    assert answer["folder"].startswith(f"{shared}/alice/")


def test_the_request_must_name_the_user_that_sudo_became(program_there: Path) -> None:
    kind, text = error(ask(program_there, request("query", "bob"), *sudo("alice")))
    assert (kind, text) == ("forbidden", "this helper runs as alice and cannot act for bob")


@pytest.mark.parametrize("user", ["root", "daemon", "nobody", "jupyterhub"])
def test_sudo_itself_keeps_the_hub_to_the_users_group(program_there: Path, user: str) -> None:
    argv = [*sudo(user), "/usr/bin/python3", "-I", "-S", str(program_there)]
    done = subprocess.run(argv, input=b"{}", capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize("more", [("localqueue", "submit"), ("gate",), ("-c", "x")])
def test_the_rule_takes_no_further_argument(program_there: Path, more: tuple[str, ...]) -> None:
    argv = [*sudo("alice"), "/usr/bin/python3", "-I", "-S", str(program_there), *more]
    assert subprocess.run(argv, input=b"{}", capture_output=True, check=False).stdout == b""


def test_through_sudo_a_helper_without_its_own_site_refuses(program_there: Path, site: Site) -> None:
    """Else the hub could write the rules that are to keep it in bounds."""
    (program_there.parent / "site.json").unlink()
    kind, text = error(ask(program_there, request("query", "alice", site), *sudo("alice")))
    assert kind == "site"
    assert "there is no site.json beside" in text


@pytest.mark.parametrize("name", ["helper.pyz", "site.json", "."])
def test_an_installed_helper_that_others_can_change_refuses(program_there: Path, name: str) -> None:
    path = program_there.parent / name
    path.chmod(path.stat().st_mode | 0o020)
    os.chown(path, 0, pwd.getpwnam("bob").pw_gid)
    kind, text = error(ask(program_there, request("query", "alice"), *sudo("alice")))
    assert kind == "site"
    assert text.startswith(f"{path.resolve()} can be changed by others than root")


def test_the_installed_helper_keeps_to_the_least_uid_itself(site: Site) -> None:
    with installed(dataclasses.replace(site, min_uid=5000)) as path, sudo_rule(path):
        assert "below 5000" in error(ask(path, request("query", "alice"), *sudo("alice")))[1]


def test_the_gate_goes_on_as_the_named_user(program_there: Path, shared: Path) -> None:
    """What a forced command of ssh runs as the service account."""
    answer = result(ask(program_there, request("submit", "bob", **submit()), *AS_HUB, arguments=("gate",)))
    assert (shared / "bob").owner() == "bob"
    assert answer["outcome"] == "accepted"


def test_the_gate_asks_as_the_service_account_where_no_user_is_named(
    program_there: Path, slurm: FakeSlurm, shared: Path
) -> None:
    whoami(slurm, shared)
    result(ask(program_there, request("query", "", ids=["1"]), *AS_HUB, arguments=("gate",)))
    assert (shared / f"who-{pwd.getpwnam('jupyterhub').pw_uid}").exists()


def test_the_gate_has_no_way_to_root_or_around_sudo(program_there: Path) -> None:
    argv = [*AS_HUB, "/usr/bin/python3", "-I", "-S", str(program_there), "gate"]
    data = b'{"protocol": 1, "verb": "query", "cluster": "main", "user": "root"}'
    done = subprocess.run(argv, input=data, capture_output=True, text=False, check=False)
    assert done.stdout == b""
    assert b"sudo" in done.stderr
