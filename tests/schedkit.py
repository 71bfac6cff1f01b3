"""Recorded output of LSF and Cobalt, and the fakes that answer as recorded."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpcspawner.job import Command, Result

FOLDER = Path(__file__).parent / "schedulers"

sys.path.insert(0, str(FOLDER))
fakebatch = importlib.import_module("fakebatch")
sys.path.pop(0)

QUEUES_LSF = {
    "interactive": {
        "priority": 40,
        "about": "Interactive sessions (JupyterHub), RUNLIMIT default 60 min, max 480.",
        "default": 3600,
        "most": 28800,
    },
    "gpu": {"priority": 35, "about": "Pretend GPU queue, two slots in total.", "slots": 2},
    "restricted": {"priority": 35, "about": "Only user bob may submit here.", "users": ["bob"], "delay": False},
    "normal": {
        "priority": 30,
        "nice": 10,
        "about": "For normal low priority jobs, running only if hosts are lightly loaded.  This is the default queue.",
    },
}
LSF = {"hosts": {"vm": 8}, "master": "vm", "cluster": "openlava", "default_queue": "normal", "queues": QUEUES_LSF}
COBALT = {
    "nodes": {
        "thetagpu01": ["full-node"],
        "thetagpu02": ["full-node"],
        "thetagpu03": ["full-node"],
        "thetagpu04-gpu0": ["single-gpu"],
        "thetagpu04-gpu1": ["single-gpu"],
    },
    "queues": {
        "default": {},
        "full-node": {"mintime": 300, "maxtime": 43200, "maxrunning": 10, "maxqueued": 20},
        "single-gpu": {},
    },
}


@functools.cache
def recorded(kind: str) -> list[dict[str, Any]]:
    """The lines of a recording: name, user, cwd, argv, code (None where a time-out ended it), out, err."""
    with open(FOLDER / kind / "recorded.jsonl") as file:
        return [json.loads(line) for line in file]


def line(kind: str, name: str) -> dict[str, Any]:
    return next(one for one in recorded(kind) if one["name"] == name)


def result(kind: str, name: str) -> Result:
    one = line(kind, name)
    return Result(one["code"], one["out"], one["err"])


def answer(out: str = "", err: str = "", code: int | None = 0) -> Result:
    return Result(code, out, err)


def bin_of(kind: str) -> str:
    return str(FOLDER / kind / "bin")


def environment(kind: str, state: Any, **more: str) -> dict[str, str]:
    path = bin_of(kind) + ":/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, fakebatch.VARIABLE: state.folder, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/", **more}


class Fake:
    """A fake of its own, and the dialect's commands run through its executables."""

    def __init__(self, kind: str, folder: Path, config: dict[str, Any]) -> None:
        self.kind = kind
        self.state = fakebatch.create(str(folder), {**config, "root": True})

    def run(self, command: Command, timeout: float = 30) -> Result:
        return self.call(command.argv, command.stdin, timeout, **command.environment)

    def call(self, argv: tuple[str, ...], stdin: str = "", timeout: float = 30, **more: str) -> Result:
        env = environment(self.kind, self.state, **more)
        child = subprocess.Popen(
            [str(Path(bin_of(self.kind)) / argv[0]) if "/" not in argv[0] else argv[0], *argv[1:]],
            env=env,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(stdin, timeout=timeout)
            return Result(child.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            out, err = child.communicate()
            return Result(None, out, err)


class Replayer:
    """A process that runs one recorded command after the other through a fake."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.child = subprocess.Popen(
            [sys.executable, str(FOLDER / "replayer.py"), str(FOLDER / kind / "fake")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, state: Any, argv: list[str], user: str, cwd: str, stdin: str = "", **more: str) -> Result:
        env = environment(self.kind, state, FAKE_BATCH_USER=user, **more)
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps({"argv": argv, "env": env, "cwd": cwd, "stdin": stdin}) + "\n")
        self.child.stdin.flush()
        return Result(**json.loads(self.child.stdout.readline()))

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()


def replayers(kind: str) -> Iterator[Replayer]:
    one = Replayer(kind)
    yield one
    one.close()


def shape(text: str) -> list[str]:
    """What stays of an answer when numbers, times, names in angle brackets and the width of columns are left out."""
    text = re.sub(r"\n {21}", "", text)
    text = re.sub(r"(Command <).*(?=>$)", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"(?<!<) ?<[^<>\n]*>", " <>", text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "day", text)
    text = re.sub(r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b", "month", text)
    text = re.sub(r"\d+(,\d+)*", "9", re.sub(r"={3,}", "===", text))
    return [" ".join(one.split()) for one in text.splitlines() if one.strip()]


def wait_for(what: Callable[[], Any], seconds: float = 20) -> Any:
    """Asks until the answer is true."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Background:
    """A command of a fake that is still running."""

    def __init__(self, fake: Fake, argv: tuple[str, ...], stdin: str = "", **more: str) -> None:
        self.errors: list[str] = []
        self.child = subprocess.Popen(
            [str(Path(bin_of(fake.kind)) / argv[0]), *argv[1:]],
            env=environment(fake.kind, fake.state, **more),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.child.stdin is not None
        self.child.stdin.write(stdin)
        self.child.stdin.close()
        self.child.stdin = None

    def until_said(self, text: str) -> None:
        assert self.child.stderr is not None
        for one in self.child.stderr:
            self.errors.append(one)
            if text in one:
                return
        raise AssertionError("".join(self.errors))

    def end(self) -> Result:
        out, err = self.child.communicate(timeout=30)
        return Result(self.child.returncode, out, "".join(self.errors) + err)


def preset_scripts(preset: str) -> dict[str, str]:
    """The script of each profile of a preset, as the helper would render it for alice."""
    from hpcspawner import options, schedulers, sitefile
    from hpcspawner.access import Person
    from hpcspawner.helper import jobplan
    from hpcspawner.helper.identity import Account

    site = sitefile.read(preset)
    person = Person("alice", frozenset(), frozenset({"datascience"}))
    alice = Account("alice", 5001, 5001, "/home/alice", "/bin/bash", ("alice",), (5001,))
    found = {}
    for name in site.profiles:
        choice = options.validate(
            site, {"profile": name, "account": "datascience"} if asks(site, name) else {"profile": name}, person
        )
        where = site.clusters[choice.cluster]
        order = jobplan.Order(site, where, choice, alice, person)
        tag = f"{site.prefix}-0a1b2c-abcdefghij"
        folder = f"/home/alice/.hpcspawner/jobs/{tag}"
        job = jobplan.job(
            order, tag, "server", "/home/alice/.hpcspawner/lib/0", folder, folder.replace("jobs", "logs") + ".log"
        )
        found[name] = schedulers.load(where.cluster.scheduler).script(where.cluster, job)
    return found


def asks(site: Any, profile: str) -> bool:
    return "account" in site.profiles[profile].fields


def same_as_golden(kind: str, preset: str, again: bool = os.environ.get("WRITE_GOLDEN") == "1") -> None:
    """Compares with tests/schedulers/<kind>/golden; WRITE_GOLDEN=1 writes them again, for a look at the difference."""
    folder = FOLDER / kind / "golden"
    for name, text in preset_scripts(preset).items():
        path = folder / f"{preset}-{name}.sh"
        if again:
            folder.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.read_text() == text, path.name
    assert {path.name for path in folder.iterdir()} == {f"{preset}-{name}.sh" for name in preset_scripts(preset)}
