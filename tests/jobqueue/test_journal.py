"""What is on disk."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.jobqueue import Journal, JournalError

ROW = {"tag": "t1", "cluster": "main", "user": "alice", "submitted": 5.0}


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW, choice={"cores": 2}).result()
    journal.change("t1", id="7", began=6.0).result()
    journal.close()
    again = Journal(tmp_path)
    (row,) = again.rows("main")
    assert (row["tag"], row["id"], row["began"], row["choice"]) == ("t1", "7", 6.0, {"cores": 2})
    assert again.instance == journal.instance
    assert again.rows("other") == []
    again.close()


def test_reading_sees_what_was_just_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW)
    assert journal.row("main", "t1") is not None
    assert journal.row("other", "t1") is None
    journal.close()


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW).result()
    for file in tmp_path.glob("journal.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    journal.close()


def test_two_processes_never_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    program = f"from hpcspawner.jobqueue import Journal; Journal({str(tmp_path)!r})"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert "another process (pid" in other.stderr
    journal.close()
    Journal(tmp_path).close()


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    program = (
        "import os, signal; from hpcspawner.jobqueue import Journal\n"
        f"journal = Journal({str(tmp_path)!r})\n"
        "journal.add(tag='t1', cluster='main', user='alice').result()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    journal = Journal(tmp_path)
    assert [row["tag"] for row in journal.rows("main")] == ["t1"]
    journal.close()


def test_two_directories_are_two_instances(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = Journal(tmp_path / "a"), Journal(tmp_path / "b")
    assert a.instance != b.instance
    a.close()
    b.close()


def test_a_broken_instance_id_is_named(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("Not six hex digits\n")
    with pytest.raises(JournalError, match=r"instance.*no instance id"):
        Journal(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("this is no database, " * 100)
    with pytest.raises(JournalError, match=r"journal\.sqlite"):
        Journal(tmp_path)
    (tmp_path / "journal.sqlite").unlink()
    Journal(tmp_path).close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW).result()
    limit = journal._thread.submit(lambda: journal._db.execute("PRAGMA page_count").fetchone()[0]).result()
    journal._thread.submit(journal._db.execute, f"PRAGMA max_page_count = {limit}").result()
    failed = journal.change("t1", notice="n" * 100_000)
    with pytest.raises(JournalError, match="full"):
        failed.result()
    assert "full" in journal.trouble
    journal._thread.submit(journal._db.execute, "PRAGMA max_page_count = 1000000").result()
    journal.flushed().result()
    assert journal.trouble == ""
    assert len(journal.rows("main")[0]["notice"]) == 100_000
    journal.close()


def test_a_journal_of_an_older_version_gets_the_columns_it_lacks(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("CREATE TABLE jobs (tag TEXT PRIMARY KEY, cluster TEXT, user TEXT, submitted REAL, ended_at REAL)")
    db.execute("INSERT INTO jobs VALUES ('t1', 'main', 'alice', 5.0, NULL)")
    db.commit()
    db.close()
    journal = Journal(tmp_path)
    (row,) = journal.rows("main")
    assert (row["tag"], row["id"], row["cancel_wanted"], row["ending"]) == ("t1", "", 0, {})
    journal.close()


def test_a_journal_of_a_newer_version_is_read_and_its_columns_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW).result()
    journal.close()
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("ALTER TABLE jobs ADD COLUMN newer TEXT DEFAULT 'kept'")
    db.execute("PRAGMA user_version = 99")
    db.commit()
    again = Journal(tmp_path)
    again.change("t1", id="7").result()
    assert again.rows("main")[0]["id"] == "7"
    again.close()
    assert db.execute("SELECT newer FROM jobs").fetchall() == [("kept",)]
    assert db.execute("PRAGMA user_version").fetchone() == (99,)
    db.close()


@pytest.mark.parametrize(
    ("columns", "before", "left"),
    [
        ({"ended_at": 10.0, "cleaned": 1}, 20.0, 0),
        ({"ended_at": 10.0, "cleaned": 1}, 5.0, 1),
        ({"ended_at": 10.0, "cleaned": 0}, 20.0, 1),
        ({}, 20.0, 1),
    ],
)
def test_only_what_ended_and_was_cleaned_is_forgotten(
    tmp_path: Path, columns: dict[str, Any], before: float, left: int
) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW, **columns)
    journal.forget(before).result()
    assert len(journal.rows("main")) == left
    journal.close()


def test_a_wrong_write_takes_no_other_along(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(**ROW).result()
    gate = threading.Event()
    journal._thread.submit(gate.wait)
    journal.change("t1", id="7")
    wrong = journal.add(**ROW)
    journal.add(**{**ROW, "tag": "t2"})
    gate.set()
    with pytest.raises(JournalError, match="UNIQUE"):
        wrong.result()
    assert [(row["tag"], row["id"]) for row in journal.rows("main")] == [("t1", "7"), ("t2", "")]
    journal.close()


def test_an_unknown_column_is_a_mistake_of_ours(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(ValueError, match="no column password"):
        journal.change("t1", password="secret")
    journal.close()
