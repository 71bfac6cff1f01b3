"""The packed helper as the hub runs it: one request in, one answer out."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpcspawner import helper_app
from tests.helper.kit import PYTHON, FakeSlurm, ask, error, make_site, request, result

ME = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def ask_version(program: Path, tmp_path: Path, **fields: Any) -> dict[str, Any]:
    return ask(program, {**request("version", site=make_site(tmp_path)), **fields})


def test_version_tells_version_and_protocol(program: Path, tmp_path: Path) -> None:
    answer = result(ask_version(program, tmp_path))
    assert answer["protocol"] == 1
    assert answer["version"]


@pytest.mark.parametrize("protocol", [0, 2, "1", None, True, 1.5])
def test_another_protocol_is_refused_in_words(program: Path, tmp_path: Path, protocol: Any) -> None:
    kind, text = error(ask_version(program, tmp_path, protocol=protocol))
    assert kind == "protocol"
    assert "speaks protocol 1, the hub speaks" in text
    assert "install the same version" in text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b" " * 1_000_001, "larger than 1000000 bytes"),
        (b'{"protocol": 1}', "verb: '' is not known"),
        (b'{"protocol": 1, "verb": "exec"}', "known are account, cancel"),
        (b'{"protocol": 1, "verb": ["x"]}', "verb: must be a text"),
        (b'{"protocol": 1, "verb": "version", "user": "-x"}', "is not a user name"),
        (b'{"protocol": 1, "verb": "version", "user": "a b"}', "is not a user name"),
        (b'{"protocol": 1, "verb": "version", "user": "#1000"}', "is not a user name"),
        (b'{"protocol": 1, "verb": "version", "user": "\\ud800"}', "user: must be a text"),
        (b'{"protocol": 1, "verb": "version", "cluster": "a\\u0000"}', "cluster: must be a text"),
        (b'{"protocol": 1, "verb": "version"}', "site: is missing"),
        (b'{"protocol": 1, "verb": "version", "site": []}', "site: is missing"),
    ],
)
def test_garbled_requests_get_an_answer_in_words(program: Path, data: bytes, words: str) -> None:
    kind, text = error(ask(program, data))
    assert kind == "protocol"
    assert words in text


def test_an_unusable_site_is_said_so(program: Path) -> None:
    given = {**request("version"), "site": {"clusters": 3}}
    assert error(ask(program, given))[0] == "site"


def test_an_unknown_cluster_is_said_so(program: Path, tmp_path: Path) -> None:
    kind, text = error(ask_version(program, tmp_path, cluster="moon"))
    assert (kind, text) == ("site", "cluster: 'moon' is not in the site; there are main")


def test_accounts_are_looked_up_and_unknown_ones_do_not_exist(program: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path)
    mine = result(ask(program, request("account", name=ME, site=site)))
    assert (mine["exists"], mine["uid"], mine["gid"]) == (True, os.getuid(), os.getgid())
    assert result(ask(program, request("account", name="no-such-user", site=site))) == {"exists": False}


@pytest.mark.parametrize("verb", ["submit", "cancel", "tail", "clean"])
def test_what_acts_for_a_user_needs_one(program: Path, tmp_path: Path, verb: str) -> None:
    kind, text = error(ask(program, request(verb, site=make_site(tmp_path))))
    assert (kind, text) == ("protocol", f"user: {verb} acts for a user only")


def test_nothing_of_the_callers_environment_reaches_a_command(program: Path, tmp_path: Path) -> None:
    fake = FakeSlurm(tmp_path / "bin")
    fake.command("squeue", f"env > {tmp_path}/env; pwd >> {tmp_path}/env; umask >> {tmp_path}/env")
    site = make_site(tmp_path, commands=str(fake.folder), environment={"SLURM_CONF": "/x"})
    result(ask(program, request("query", ids=["1"], site=site), SECRET_TOKEN="abc", PYTHONPATH="/evil"))
    told = (tmp_path / "env").read_text()
    assert "SLURM_CONF=/x\n" in told
    assert "SECRET_TOKEN" not in told
    assert "PYTHONPATH" not in told
    assert told.endswith("/\n0022\n")


def test_a_hung_command_is_ended_with_all_that_it_started(program: Path, tmp_path: Path) -> None:
    fake = FakeSlurm(tmp_path / "bin")
    fake.command("squeue", f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    site = make_site(tmp_path, commands=str(fake.folder), command_timeout=1)
    kind, _ = error(ask(program, request("query", ids=["1"], site=site)))
    assert kind == "unavailable"
    child = int((tmp_path / "pid").read_text())
    stat_file = Path(f"/proc/{child}/stat")
    # A zombie that waits for its new parent is as dead as one can be.
    assert not stat_file.exists() or stat_file.read_text().rsplit(") ", 1)[1][0] == "Z"


def test_who_asks_for_an_array_gets_its_elements_and_nobody_elses_jobs() -> None:
    from hpcspawner.helper.verbs import _number

    assert [_number(id) for id in ("123", "123_4", "123[4]", "123_[1-9%2]", "x")] == ["123"] * 4 + ["x"]


def test_a_missing_command_is_an_outage_and_not_an_empty_answer(program: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path, commands=str(tmp_path / "nowhere"))
    kind, text = error(ask(program, request("query", ids=["1"], site=site)))
    assert kind == "unavailable"
    assert "squeue" in text


def test_the_helper_ends_in_time_by_itself_and_says_so(program: Path, tmp_path: Path) -> None:
    """A hub without root cannot end what sudo started."""
    fake = FakeSlurm(tmp_path / "bin")
    fake.command("squeue", "exec sleep 1000")
    site = make_site(tmp_path, commands=str(fake.folder), command_timeout=1000)
    assert error(ask(program, request("query", ids=["1"], site=site, timeout=1)))[0] == "unavailable"


def test_version_and_family_are_asked_once_and_told_to_the_hub(program: Path, tmp_path: Path) -> None:
    fake = FakeSlurm(tmp_path / "bin")
    for name in ("squeue", "sbatch", "sinfo", "scontrol"):
        fake.command(name, 'case "$*" in *-V* | *--version*) echo slurm 23.11.4 ;; esac')
    site = make_site(tmp_path, commands=str(fake.folder))
    given = request("query", ids=["1"], site=site)
    del given["probed"]
    answer = ask(program, given)
    assert answer["probed"]["version"] == "23.11.4"
    assert "probed" not in ask(program, {**given, "probed": answer["probed"]})


def test_start_takes_little_cpu(program: Path, tmp_path: Path) -> None:
    """Counted, not timed: what is heavy to import must not come in by the back door."""
    given = json.dumps(request("query", ids=["1"], site=make_site(tmp_path, commands=str(tmp_path)))).encode()
    argv = [PYTHON, "-X", "importtime", "-I", "-S", str(program)]
    done = subprocess.run(argv, input=given, capture_output=True, check=False)
    modules = {line.rsplit("|", 1)[1].strip() for line in done.stderr.decode().splitlines() if "|" in line}
    assert "hpcspawner.helper.main" in modules
    heavy = {
        "argparse",
        "asyncio",
        "email",
        "hashlib",
        "http",
        "logging",
        "random",
        "socket",
        "ssl",
        "tempfile",
        "yaml",
    }
    heavy |= {
        "hpcspawner.options",
        "hpcspawner.localqueue",
        "hpcspawner.schedulers.lsf",
        "hpcspawner.helper.submitting",
    }
    assert not modules & heavy


def test_packing_twice_gives_the_same_file(tmp_path: Path) -> None:
    one, two = helper_app.build(tmp_path / "one"), helper_app.build(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()
    assert stat.S_IMODE(one.stat().st_mode) == 0o644
    assert helper_app.build_into(tmp_path) == helper_app.build_into(tmp_path)


def test_a_python_of_another_version_runs_it_from_source(tmp_path: Path, program: Path) -> None:
    """The zip's bytecode is for one Python; stand-in for another: bytecode with a foreign magic number."""
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(str(program), unpacked, "zip")
    for path in unpacked.rglob("*.pyc"):
        path.write_bytes(b"\0\0\r\n" + path.read_bytes()[4:])
    other = Path(shutil.make_archive(str(tmp_path / "other"), "zip", unpacked))
    assert result(ask_version(other, tmp_path))["protocol"] == 1


def test_the_embedded_queue_is_reached_through_the_same_file(program: Path) -> None:
    argv = [PYTHON, "-I", "-S", str(program), "localqueue", "--no-such-verb"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
