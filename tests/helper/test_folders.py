"""Files of the user: nothing follows a link, nothing is shared, errors name path and cause."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from hpcspawner.helper import folders
from hpcspawner.helper.faults import Fault, fail_folder
from hpcspawner.helper.folders import Folder, open_base
from hpcspawner.helper.identity import own_account
from hpcspawner.helper.jobfolder import JobFolders, expand
from tests.helper.kit import make_site, new_tag


@pytest.fixture
def base(tmp_path: Path) -> Folder:
    with open_base(str(tmp_path / "state" / "deep")) as folder:
        yield folder


@pytest.fixture
def jobs(tmp_path: Path) -> JobFolders:
    return JobFolders(make_site(tmp_path), own_account())


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then), follow_symlinks=False)


def test_missing_folders_are_made_private(base: Folder) -> None:
    with base.sub("inner") as inner:
        inner.write("file", b"x")
        assert stat.S_IMODE(os.stat(inner.path).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(inner.join("file")).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(base.path).st_mode) == 0o700


def test_a_link_in_the_place_of_a_folder_is_refused(base: Folder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", base.join("jobs"))
    with pytest.raises(Fault, match=r"jobs: .*(symbolic link|not a directory)"):
        base.sub("jobs")


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_untouched(base: Folder, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    os.symlink(target, base.join("secret.json"))
    base.write("secret.json", b"new")
    assert target.read_text() == "mine"
    assert not os.path.islink(base.join("secret.json"))


def test_a_hard_link_in_the_place_of_a_file_is_replaced_and_its_target_untouched(base: Folder, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    os.link(target, base.join("plan.json"))
    base.write("plan.json", b"new")
    assert target.read_text() == "mine"


def test_links_and_pipes_are_not_read(base: Folder, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    os.symlink(tmp_path / "target", base.join("link"))
    os.mkfifo(base.join("pipe"))
    for name in ("link", "pipe"):
        with pytest.raises(Fault):
            base.read(name, 100)


def test_a_state_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(Fault, match="can be changed by other users: run chmod go-w"):
        open_base(str(tmp_path / "shared"))


def test_the_users_own_link_to_a_state_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir(mode=0o700)
    os.symlink(tmp_path / "scratch", tmp_path / "state")
    with open_base(str(tmp_path / "state")) as folder:
        folder.write("x", b"1")
    assert (tmp_path / "scratch" / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_folders_and_links_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(Fault, match="belongs to another user"):
        open_base(str(tmp_path / "theirs"))


def test_removing_never_reaches_what_a_link_points_to(base: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("x")
    with base.sub("job") as job, job.sub("deep") as deep:
        os.symlink(outside, deep.join("link"))
        deep.write("file", b"")
    assert base.remove("job")
    assert not base.has("job")
    assert (outside / "keep").exists()


def test_a_failed_write_leaves_no_file_behind(base: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(folders, "_write_all", full)
    with pytest.raises(Fault, match=r"cannot write .*secret\.json: the disk quota is exhausted") as caught:
        base.write("secret.json", b"x")
    assert caught.value.kind == "folder"
    assert caught.value.path == base.join("secret.json")
    assert os.listdir(base.path) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the file system is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_errors_name_path_and_cause(number: int, words: str) -> None:
    with pytest.raises(Fault, match=f"cannot write /a/b: .*{words}"):
        fail_folder("write", "/a/b", OSError(number, os.strerror(number)))


def test_a_tag_can_be_claimed_once(jobs: JobFolders) -> None:
    tag = new_tag()
    first = jobs.claim(tag)
    assert first is not None
    with first:
        assert jobs.claim(tag) is None


def test_in_job_programs_are_copied_once_and_mended(jobs: JobFolders) -> None:
    files = {"server.py": b"one", "probe.py": b"two"}
    path = Path(jobs.library("key", files))
    before = (path / "server.py").stat().st_ino
    (path / "probe.py").unlink()
    assert Path(jobs.library("key", files)) == path
    assert (path / "server.py").stat().st_ino == before
    assert (path / "probe.py").read_bytes() == b"two"


def test_the_secret_goes_first_and_with_it_the_folder(jobs: JobFolders) -> None:
    tag = new_tag()
    with jobs.claim(tag) as folder:
        folder.write("secret.json", b"{}")
    assert jobs.remove(tag)
    assert not os.path.exists(jobs.folder(tag))
    assert jobs.remove(tag)


def test_old_logs_go_and_young_kept_and_foreign_files_stay(jobs: JobFolders) -> None:
    old, young, kept = new_tag(), new_tag(), new_tag()
    with jobs.logs() as logs:
        for name in (old, young, kept):
            logs.write(name + ".log", b"x")
        logs.write("notes.txt", b"x")
    for name in (old + ".log", kept + ".log", "notes.txt"):
        age(Path(jobs.log_dir, name), 15)
    assert jobs.sweep([kept]) == [jobs.log(old)]


def test_an_old_folder_goes_only_when_its_job_has_ended(jobs: JobFolders) -> None:
    """Another hub may share the state directory, and its job may run for weeks."""
    ended, running, ancient = new_tag(), new_tag(), new_tag()
    for tag in (ended, running, ancient):
        with jobs.claim(tag) as folder:
            if tag == ended:
                folder.write("end.json", b"{}")
        age(Path(jobs.folder(tag)), 100 if tag == ancient else 20)
    assert sorted(jobs.sweep([])) == sorted([jobs.folder(ended), jobs.folder(ancient)])


def test_cleaning_makes_no_folders(jobs: JobFolders, tmp_path: Path) -> None:
    assert jobs.sweep([]) == []
    assert list(tmp_path.iterdir()) == []


def test_paths_of_the_site_are_filled_in_for_the_user() -> None:
    who = own_account()
    assert expand("~/x", who) == f"{who.home}/x"
    assert expand("/scratch/{user}/./y", who) == f"/scratch/{who.name}/y"
    with pytest.raises(Fault, match="not an absolute path"):
        expand("here", who)
