"""A submit writes everything down first, happens once, and obeys the site's own rules."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.sitemodel import App, Environment, FieldRule, Partition, Profile, Rules, ServerPython, Site
from tests.helper.kit import ACTOR, PYTHON, FakeSlurm, ask, error, make_site, new_tag, request, result

SECRET = "5ecre7-t0ken"

try:
    HOME = pwd.getpwnam(ACTOR).pw_dir
except KeyError:
    pytest.skip(f"there is no account {ACTOR}: run deploy/test", allow_module_level=True)


@pytest.fixture
def slurm(shared: Path) -> FakeSlurm:
    return FakeSlurm(shared / "bin")


@pytest.fixture
def site(shared: Path, slurm: FakeSlurm) -> Site:
    return make_site(shared, commands=str(slurm.folder), submit_timeout=2, command_timeout=2)


def submit(program: Path, site: Site, tag: str = "", **fields: Any) -> dict[str, Any]:
    fields.setdefault("choice", {"partition": "main", "cores": 2})
    fields.setdefault("environment", {"JUPYTERHUB_API_TOKEN": SECRET})
    return ask(program, request("submit", ACTOR, site, tag=tag or new_tag(), **fields))


def files(folder: str) -> dict[str, Any]:
    return {
        path.name: json.loads(path.read_text()) if path.suffix == ".json" else path.read_text()
        for path in Path(folder).iterdir()
    }


def test_an_accepted_job_has_its_files_and_receipt(program: Path, site: Site, shared: Path) -> None:
    tag = new_tag()
    answer = result(submit(program, site, tag, report={"urls": ["http://hub/x"]}, server_name="two"))
    assert (answer["outcome"], answer["id"]) == ("accepted", "4711")
    assert answer["folder"] == f"{shared}/{ACTOR}/jobs/{tag}"
    assert answer["log"] == f"{shared}/{ACTOR}/logs/{tag}.log"
    found = files(answer["folder"])
    assert found["receipt.json"] == {"tag": tag, "id": "4711"}
    assert found["secret.json"] == {"JUPYTERHUB_API_TOKEN": SECRET}
    plan = found["plan.json"]
    assert (plan["tag"], plan["kind"], plan["server_name"]) == (tag, "server", "two")
    assert plan["report"] == {"urls": ["http://hub/x"]}
    assert plan["secret"] == f"{answer['folder']}/secret.json"
    assert os.path.isdir(os.path.dirname(answer["log"]))


def test_files_belong_to_the_user_alone(program: Path, site: Site) -> None:
    folder = Path(result(submit(program, site))["folder"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes.pop("script") == 0o700
    assert modes.pop(folder.name) == 0o700
    assert set(modes.values()) == {0o600}
    assert {path.owner() for path in [folder, *folder.iterdir()]} == {ACTOR}


def test_the_secret_is_in_one_file_only(program: Path, site: Site, shared: Path, slurm: FakeSlurm) -> None:
    slurm.command("sbatch", f"cat > {shared}/stdin; env > {shared}/env; echo 4711")
    answer = submit(program, site)
    holders = [path for path in shared.rglob("*") if path.is_file() and SECRET in path.read_text()]
    assert [path.name for path in holders] == ["secret.json"]
    assert SECRET not in json.dumps(answer)


def test_the_script_runs_the_wrapper_with_the_plan(program: Path, site: Site) -> None:
    answer = result(submit(program, site))
    script = files(answer["folder"])["script"]
    last = script.splitlines()[-1].split()
    assert last[:3] == ["exec", PYTHON, "-I"]
    assert last[4] == f"{answer['folder']}/plan.json"
    assert Path(last[3]).name == "server.py"
    assert (Path(last[3]).parent / "hpcspawner_jupyter.py").exists()


def test_everything_is_written_before_the_command_runs(
    program: Path, site: Site, shared: Path, slurm: FakeSlurm
) -> None:
    slurm.command("sbatch", f"ls {shared}/{ACTOR}/jobs/*/ > {shared}/seen; echo 4711")
    result(submit(program, site))
    assert set((shared / "seen").read_text().split()) == {"plan.json", "receipt.json", "script", "secret.json"}


def test_the_same_tag_is_never_submitted_twice(program: Path, site: Site, slurm: FakeSlurm) -> None:
    tag = new_tag()
    first, again = result(submit(program, site, tag)), result(submit(program, site, tag))
    assert first["id"] == again["id"] == "4711"
    assert again["outcome"] == "accepted"
    assert len(slurm.called("sbatch")) == 1


def test_a_submit_without_answer_is_unknown_and_stays_so(program: Path, site: Site, slurm: FakeSlurm) -> None:
    tag = new_tag()
    slurm.command("sbatch", "exec sleep 100")
    assert result(submit(program, site, tag))["outcome"] == "unknown"
    slurm.command("sbatch", "echo 4712")
    again = result(submit(program, site, tag))
    assert again["outcome"] == "unknown"
    assert len(slurm.called("sbatch")) == 1
    assert set(files(again["folder"])) >= {"secret.json", "receipt.json"}
    assert result(ask(program, request("find", ACTOR, site, tag=tag)))["receipt"] is None


def test_a_refusal_reaches_the_hub_in_the_schedulers_words_and_leaves_nothing(
    program: Path, site: Site, slurm: FakeSlurm
) -> None:
    slurm.command("sbatch", "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1")
    tag = new_tag()
    answer = result(submit(program, site, tag))
    assert answer["outcome"] == "refused"
    assert "Invalid account" in answer["text"]
    assert not os.path.exists(answer["folder"])
    assert result(ask(program, request("find", ACTOR, site, tag=tag)))["receipt"] == "none"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"cores": 9}, "cores: 9 is more than 8"),
        ({"profile": "secret"}, "profile: 'secret' is not known"),
        ({"partition": "moon"}, "partition: "),
        ({"nonsense": 1}, "nonsense: is no option"),
        ({"workdir": "relative"}, "workdir: "),
        ({"account": "a\n#SBATCH --uid=0"}, "account: "),
        ({"cores": True}, "cores: "),
    ],
)
def test_the_helper_checks_the_choice_itself(program: Path, shared: Path, choice: dict[str, Any], words: str) -> None:
    site = make_site(
        shared,
        fields={"cores": FieldRule(default=1, max=8)},
        profiles={"secret": Profile("secret", rules=Rules(users=("somebody",)))},
    )
    kind, text = error(submit(program, site, choice=choice))
    assert kind == "refused"
    assert words in text
    assert not (shared / ACTOR).exists()


def test_a_tag_of_another_site_is_refused(program: Path, site: Site) -> None:
    kind, text = error(submit(program, site, new_tag("other")))
    assert kind == "protocol"
    assert "does not start with jupyter-" in text


@pytest.mark.parametrize("tag", ["", "../../x", "jupyter-00000-aaaaaaaaaa", "jupyter-000000-AAAAAAAAAA", "a\n"])
def test_what_is_no_tag_is_refused(program: Path, site: Site, tag: str) -> None:
    assert error(ask(program, request("submit", ACTOR, site, tag=tag)))[0] == "protocol"


@pytest.mark.parametrize("environment", [{"A": 1}, {"": "x"}, {"A=B": "x"}, {"A": "x\0y"}])
def test_a_garbled_environment_is_refused(program: Path, site: Site, environment: dict[str, Any], shared: Path) -> None:
    assert error(submit(program, site, environment=environment))[0] == "protocol"
    assert list((shared / ACTOR / "jobs").iterdir()) == []


def test_a_missing_working_directory_is_named(program: Path, site: Site, slurm: FakeSlurm) -> None:
    kind, text = error(submit(program, site, choice={"workdir": "/no/such"}))
    assert (kind, text) == ("folder", "the working directory /no/such does not exist")
    assert slurm.called("sbatch") == []


def test_a_state_directory_that_cannot_be_made_is_named(program: Path, site: Site, slurm: FakeSlurm) -> None:
    answer = submit(program, dataclasses.replace(site, state_dir="/proc/{user}"))
    kind, text = error(answer)
    assert kind == "folder"
    assert text.startswith(f"cannot make /proc/{ACTOR}: ")
    assert answer["error"]["path"] == f"/proc/{ACTOR}"
    assert slurm.called("sbatch") == []


def test_kernels_come_from_the_environments_that_the_user_may_use(
    program: Path, shared: Path, slurm: FakeSlurm
) -> None:
    environments = {
        "torch": Environment("torch", "Torch", "~/torch/bin/python", ("module load cuda",)),
        "plain": Environment("plain", python="python3"),
        "other": Environment("other", clusters=("moon",)),
        "theirs": Environment("theirs", rules=Rules(users=("somebody",))),
        "lab": Environment("lab", python="/opt/lab/bin/python", setup=("module load lab",), server=True),
    }
    site = make_site(shared, commands=str(slurm.folder), environments=environments)
    kernels = files(result(submit(program, site, choice={"environment": "plain"}))["folder"])["plan.json"]["kernels"]
    assert [kernel["name"] for kernel in kernels] == ["plain", "torch"]
    assert kernels[1] == {
        "name": "torch",
        "title": "Torch",
        "argv": [f"{HOME}/torch/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "setup": ["module load cuda"],
    }


def test_a_server_environment_runs_the_server_itself(program: Path, shared: Path, slurm: FakeSlurm) -> None:
    lab = Environment("lab", python="/opt/lab/bin/python", setup=("module load lab",), server=True)
    server = ServerPython("/opt/site/bin/python", ("module load site",))
    site = make_site(
        shared, commands=str(slurm.folder), environments={"lab": lab, "my": Environment("my")}, server=server
    )
    chosen = files(result(submit(program, site, choice={"environment": "lab"}))["folder"])
    assert chosen["plan.json"]["python"] == "/opt/lab/bin/python"
    assert "\nmodule load lab\nexec /opt/lab/bin/python -I " in chosen["script"]
    other = files(result(submit(program, site, choice={"environment": "my"}))["folder"])
    assert other["plan.json"]["python"] == "/opt/site/bin/python"
    assert "module load site\n" in other["script"]


def test_what_the_site_says_reaches_script_and_plan(program: Path, shared: Path, slurm: FakeSlurm) -> None:
    site = make_site(
        shared,
        commands=str(slurm.folder),
        partitions={"main": Partition("main", directives=("--constraint=a",))},
        directives=("--comment=cluster",),
        profiles={"p": Profile("p", directives=("--nice=5",), requeue=True, idle=30, unclaimed=7)},
        apps={"board": App("board", command=("tensorboard", "--port={port}"), wrap=("apptainer", "exec"))},
        proxies={"https_proxy": "http://proxy:3128"},
        address="{node}-ib0",
        ports=(9000, 9100),
    )
    found = files(result(submit(program, site, choice={"profile": "p"}))["folder"])
    for line in ("--comment=cluster", "--constraint=a", "--nice=5", "--requeue"):
        assert f"\n#SBATCH {line}\n" in found["script"]
    plan = found["plan.json"]
    assert (plan["command"], plan["jupyter"]) == (["tensorboard", "--port={port}"], False)
    assert plan["wrap"] == ["apptainer", "exec"]
    assert (plan["address"], plan["ports"]) == ("{node}-ib0", [9000, 9100])
    assert (plan["idle"], plan["unclaimed"]) == (30, 7)
    assert found["secret.json"]["https_proxy"] == "http://proxy:3128"


def test_the_check_job_runs_the_probe(program: Path, site: Site) -> None:
    found = files(result(submit(program, site, kind="check"))["folder"])
    assert "/probe.py " in found["script"].splitlines()[-1]
    assert error(submit(program, site, kind="shell"))[0] == "protocol"


def test_clean_removes_secret_and_folder(program: Path, site: Site) -> None:
    tag = new_tag()
    folder = result(submit(program, site, tag))["folder"]
    assert result(ask(program, request("clean", ACTOR, site, tags=[tag], keep=[])))["removed"] == [tag]
    assert not os.path.exists(folder)


def test_tail_shows_the_last_lines_without_terminal_codes(program: Path, site: Site, shared: Path) -> None:
    tag = new_tag()
    answer = result(submit(program, site, tag))
    log = Path(answer["log"])
    log.write_bytes(b"old\n" * 50_000 + b"50%\r100%\n\x1b[31mred\x1b[0m \x07bell\nlast \xff\n\n")
    os.chown(log, *(getattr(pwd.getpwnam(ACTOR), name) for name in ("pw_uid", "pw_gid")))
    end = Path(answer["folder"]) / "end.json"
    end.write_text('{"tag": "x", "exit_code": 3}')
    os.chown(end, pwd.getpwnam(ACTOR).pw_uid, -1)
    found = result(ask(program, request("tail", ACTOR, site, tag=tag, id="", lines=3)))
    assert found["log"] == ["100%", "red bell", "last \ufffd"]
    assert found["end"]["exit_code"] == 3
    assert found["path"] == answer["log"]


def test_of_a_huge_log_only_the_end_is_read(program: Path, site: Site, shared: Path) -> None:
    tag = new_tag()
    log = Path(result(submit(program, site, tag))["log"])
    with log.open("wb") as file:
        file.seek(1 << 40)
        file.write(b"x" * 100_000 + b"\n<script>alert(1)</script>\n")
    os.chown(log, pwd.getpwnam(ACTOR).pw_uid, -1)
    found = result(ask(program, request("tail", ACTOR, site, tag=tag, id="", lines=500)))["log"]
    assert found == ["x" * 1000, "<script>alert(1)</script>"]


def test_a_log_that_is_a_link_is_not_read(program: Path, site: Site) -> None:
    tag = new_tag()
    log = Path(result(submit(program, site, tag))["log"])
    os.symlink("/etc/passwd", log)
    found = result(ask(program, request("tail", ACTOR, site, tag=tag)))
    assert found["log"] == []
    assert "symbolic link" in found["problem"]
