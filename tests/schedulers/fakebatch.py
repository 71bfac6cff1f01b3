"""A batch system that lives in a directory: what the fakes of LSF and Cobalt have in common.

Any user of the machine may use it. There is no daemon: each job has a runner, a process of its owner, that waits for
free slots, runs the script in a session of its own and writes down how it ended. The directory holds

    config.json   hosts, queues and the like; made by create()
    lock, next    one lock for all that is read and written; the next job id
    jobs/         one file a job, its owner's; a file that ends in .kill asks its runner to end it
    switches/     files that change how the commands behave; what they do stands in the fakes
    answers/      <command>: JSON with code, out, err, sleep, times: what that command answers instead of its own

Python 3.10 and the standard library: it runs wherever a test needs a batch system.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

VARIABLE = "FAKE_BATCH_STATE"
TICK = 0.05

JobDict = dict[str, Any]


def create(folder: str, config: dict[str, Any], first_id: int = 101) -> State:
    """A new batch system in an empty directory, for every user of the machine."""
    for name in ("", "jobs", "switches", "answers"):
        path = os.path.join(folder, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o1777)
    for name, text in (("config.json", json.dumps(config)), ("lock", ""), ("next", str(first_id))):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o666)
    return State(folder)


def user_name() -> str:
    """Whom the commands act for; a replay of recorded commands may say so itself."""
    return os.environ.get("FAKE_BATCH_USER") or pwd.getpwuid(os.geteuid()).pw_name


class State:
    """The directory. All that changes it happens under lock()."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._depth = 0

    def path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    @property
    def config(self) -> dict[str, Any]:
        with open(self.path("config.json")) as file:
            found: dict[str, Any] = json.load(file)
        return found

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with open(self.path("lock"), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def switch(self, name: str) -> str | None:
        """The text of a switch; None where it is not set."""
        try:
            with open(self.path("switches", name)) as file:
                return file.read().strip()
        except OSError:
            return None

    def seconds(self, name: str, default: float) -> float:
        text = self.switch(name)
        return float(text) if text else default

    def set(self, name: str, text: str | None) -> None:
        """Sets a switch, or removes it."""
        path = self.path("switches", name)
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        with open(path + ".new", "w") as file:
            file.write(text)
        os.chmod(path + ".new", 0o666)
        os.replace(path + ".new", path)

    def answer(self, command: str, **answer: Any) -> None:
        """Lets a command give this answer (code, out, err, sleep) instead of its own, so many times or always."""
        path = self.path("answers", command)
        with open(path, "w") as file:
            json.dump(answer, file)
        os.chmod(path, 0o666)

    def take_answer(self, command: str) -> dict[str, Any] | None:
        path = self.path("answers", command)
        with self.lock():
            try:
                with open(path) as file:
                    answer: dict[str, Any] = json.load(file)
            except (OSError, ValueError):
                return None
            if "times" in answer:
                if answer["times"] <= 0:
                    return None
                answer["times"] -= 1
                with open(path, "w") as file:
                    json.dump(answer, file)
        return answer

    def new_id(self) -> int:
        with open(self.path("next"), "r+") as file:
            number = int(file.read().strip())
            file.seek(0)
            file.truncate()
            file.write(str(number + 1))
        return number

    def jobs(self) -> list[JobDict]:
        """All jobs by id; those of a runner that died are shown as ended."""
        found = []
        for name in os.listdir(self.path("jobs")):
            if name.endswith(".json"):
                job = self.job(name[:-5])
                if job is not None:
                    found.append(job)
        return sorted(found, key=lambda job: (job["id"], job.get("index", 0)))

    def job(self, key: str) -> JobDict | None:
        try:
            with open(self.path("jobs", key + ".json")) as file:
                job: JobDict = json.load(file)
        except (OSError, ValueError):
            return None
        job["kill"] = os.path.exists(self.path("jobs", key + ".kill"))
        return job

    def save(self, job: JobDict) -> None:
        path = self.path("jobs", key_of(job) + ".json")
        new = f"{path}.{os.getpid()}.new"
        with open(new, "w") as file:
            json.dump({name: value for name, value in job.items() if name != "kill"}, file)
        os.chmod(new, 0o644)
        if os.geteuid() == 0 and os.path.exists(path):
            os.chown(new, os.stat(path).st_uid, -1)
        os.replace(new, path)

    def ask_to_end(self, job: JobDict) -> None:
        path = self.path("jobs", key_of(job) + ".kill")
        with open(path, "a"):
            pass
        with contextlib.suppress(OSError):
            os.chmod(path, 0o666)

    def remove(self, job: JobDict) -> None:
        for end in (".json", ".kill", ".script"):
            with contextlib.suppress(OSError):
                os.unlink(self.path("jobs", key_of(job) + end))


def key_of(job: JobDict) -> str:
    return str(job["id"]) + ("_{}".format(job["index"]) if job.get("index") else "")


def alive(job: JobDict) -> bool:
    """Whether the job's runner lives; one that was only written down has none and is taken as it stands."""
    pid = job.get("runner")
    if not pid:
        return True
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return fields[0] != "Z" and fields[19] == str(job.get("runner_started"))


def start_time(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[19]


class Policy:
    """What a batch system decides about its jobs."""

    ended: tuple[str, ...] = ()
    signals: Sequence[tuple[int, str, float]] = ()
    """Signal, name of the switch with the seconds until the next one, and the usual seconds."""

    def __init__(self, state: State) -> None:
        self.state = state

    def place(self, job: JobDict, jobs: list[JobDict]) -> list[str] | None:
        """The hosts of a job that may start now, one for each slot or node."""
        raise NotImplementedError

    def start(self, job: JobDict) -> tuple[list[str], dict[str, str], Any, Any]:
        """Command, environment, stdout and stderr; called by the runner, not under the lock."""
        raise NotImplementedError

    def mark(self, job: JobDict, what: str, code: int | None = None) -> None:
        """Sets the state word: for 'starting', 'running', 'ending', 'cancelled' (before its start) or 'ended'.

        code is that of Popen: negative for a signal.
        """
        raise NotImplementedError

    def over(self, job: JobDict) -> None:
        """After the end of the job: its output."""


def detach(program: str, state: State, key: str, environment: dict[str, str]) -> None:
    """Starts the runner of a job, in a session of its own."""
    subprocess.Popen(
        [sys.executable, program, "--run", key],
        env={**environment, VARIABLE: state.folder},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def supervise(policy: Policy, key: str) -> None:
    """The life of a job, from its place in the queue to its end."""
    state = policy.state
    job = _wait_for_turn(policy, key)
    if job is None:
        return
    delay = state.seconds("starting", 0)
    until = time.time() + delay
    while time.time() < until:
        time.sleep(TICK)
    child: subprocess.Popen[bytes] | None = None
    try:
        argv, environment, out, err = policy.start(job)
        child = subprocess.Popen(
            argv,
            env=environment,
            cwd=job["cwd"] if os.path.isdir(job["cwd"]) else "/",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    except OSError:
        code = 127
    with state.lock():
        job = state.job(key) or job
        policy.mark(job, "running")
        state.save(job)
    if child is not None:
        code = _watch(policy, key, child)
    with state.lock():
        job = state.job(key) or job
        job["ended"] = time.time()
        policy.mark(job, "ended", code)
        policy.over(job)
        state.save(job)


def _wait_for_turn(policy: Policy, key: str) -> JobDict | None:
    state = policy.state
    while True:
        with state.lock():
            job = state.job(key)
            if job is None or job["state"] in policy.ended:
                return None
            job["runner"], job["runner_started"] = os.getpid(), start_time(os.getpid())
            if job["kill"]:
                job["ended"] = time.time()
                policy.mark(job, "cancelled")
                state.save(job)
                return None
            hosts = None if state.switch("stopped") is not None else policy.place(job, state.jobs())
            if hosts is not None:
                job["hosts"], job["started"] = hosts, time.time()
                policy.mark(job, "starting")
            state.save(job)
            if hosts is not None:
                return job
        time.sleep(TICK)


def _watch(policy: Policy, key: str, child: subprocess.Popen[bytes]) -> int:
    """Waits for the child, and ends it at the walltime or on request, one signal after the other."""
    state, steps, due = policy.state, list(policy.signals), 0.0
    ending = False
    while child.poll() is None:
        job = state.job(key)
        late = job is not None and job.get("walltime") and time.time() > job["started"] + job["walltime"]
        if not ending and job is not None and (job["kill"] or late):
            ending = True
            with state.lock():
                job = state.job(key) or job
                job["timeout"] = bool(late and not job["kill"])
                policy.mark(job, "ending")
                state.save(job)
        if ending and steps and time.time() >= due:
            number, name, usual = steps.pop(0)
            due = time.time() + state.seconds(name, usual)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
        time.sleep(TICK)
    return child.returncode


def answer_instead(state: State, command: str) -> None:
    """Gives a prepared answer and ends; does nothing where there is none. Also waits where commands are slow."""
    prepared = state.take_answer(command)
    time.sleep(state.seconds("slow", 0))
    if prepared is None:
        return
    sys.stdout.write(prepared.get("out", ""))
    sys.stdout.flush()
    sys.stderr.write(prepared.get("err", ""))
    sys.stderr.flush()
    time.sleep(prepared.get("sleep", 0))
    sys.exit(prepared.get("code", 0))


def own_state() -> State:
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        sys.exit(f"{VARIABLE} is not set")
    return State(folder)
