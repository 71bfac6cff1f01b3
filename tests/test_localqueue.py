"""The embedded queue, with real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcspawner.job import (
    Accepted,
    Cluster,
    Command,
    Job,
    JobState,
    JobStatus,
    Outcome,
    Refused,
    Resources,
    Result,
    SchedulerUnavailable,
    Unknown,
)
from hpcspawner.schedulers import local

ME = pwd.getpwuid(os.geteuid()).pw_name


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true value of the condition."""
    limit = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


@dataclasses.dataclass
class Queue:
    cluster: Cluster
    folder: Path

    def run(self, command: Command, user: str | None = None) -> Result:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", **command.environment}
        more: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        done = subprocess.run(
            command.argv,
            input=command.stdin,
            capture_output=True,
            text=True,
            env=environment,
            cwd="/",
            timeout=60,
            **more,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def submit(self, *words: str, user: str | None = None, name: str = "tag", **more: Any) -> str:
        answer = self.try_submit(*words, user=user, name=name, **more)
        assert isinstance(answer, Accepted), answer
        return answer.id

    def try_submit(self, *words: str, user: str | None = None, name: str = "tag", **more: Any) -> Any:
        resources = {k: more.pop(k) for k in ("cores", "memory", "walltime") if k in more}
        more.setdefault("output", str(self.folder / "log"))
        job = Job(name, user or ME, words, Resources(**resources), **more)
        command = local.submit(self.cluster, job, local.script(self.cluster, job), "")
        return local.submitted(self.cluster, self.run(command, user))

    def all(self) -> dict[str, JobStatus]:
        return local.queried(self.cluster, self.run(local.query(self.cluster, [], [])))

    def status(self, id: str) -> JobStatus:
        return local.queried(self.cluster, self.run(local.query(self.cluster, [id], [])))[id]

    def wait(self, id: str, state: JobState) -> JobStatus:
        return until(lambda: s if (s := self.status(id)).state is state else None)

    def cancel(self, *ids: str, user: str | None = None) -> dict[str, bool | None]:
        return local.cancelled(self.cluster, ids, self.run(local.cancel(self.cluster, ids), user))

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    environment = {"HPCSPAWNER_LOCALQUEUE": str(tmp_path / "queue")}
    switches = {"cores": 2, "memory": 1000, "grace": 0.3, "python": sys.executable}
    queue = Queue(Cluster("here", "local", environment=environment, switches=switches), tmp_path)
    yield queue
    ids = [id for id, job in queue.all().items() if job.state.lives]
    if ids:
        queue.cancel(*ids)
        until(lambda: not any(job.state.lives for job in queue.all().values()))


def test_a_job_runs_with_its_own_words_folder_and_log_and_a_clean_environment(queue: Queue) -> None:
    (queue.folder / "work").mkdir()
    words = ("sh", "-c", 'printf "%s\\n" "$@"; pwd; env', "sh", "a b", "$(id)", "x\ny", "'\"`")
    id = queue.submit(*words, workdir=str(queue.folder / "work"), walltime=60, setup=("export SETUP=done",))
    status = queue.wait(id, JobState.ENDED)
    assert status.outcome is Outcome.COMPLETED
    assert status.exit_code == 0
    lines = queue.log().splitlines()
    assert lines[:6] == ["a b", "$(id)", "x", "y", "'\"`", str(queue.folder / "work")]
    variables = dict(line.split("=", 1) for line in lines[6:])
    assert variables["HPCSPAWNER_JOB_ID"] == id
    assert variables["HPCSPAWNER_JOB_NAME"] == "tag"
    assert variables["SETUP"] == "done"
    assert status.started is not None
    assert abs(float(variables["HPCSPAWNER_JOB_END"]) - status.started - 60) <= 1
    assert "HPCSPAWNER_LOCALQUEUE" not in variables


def test_ids_are_numbers_that_are_never_given_twice(queue: Queue) -> None:
    forgetful = dataclasses.replace(queue.cluster, switches={**queue.cluster.switches, "keep": 0})
    queue.cluster = forgetful
    ids = []
    for _ in range(3):
        ids.append(queue.submit("true"))
        queue.wait(ids[-1], JobState.ENDED)
    assert ids == ["1", "2", "3"]
    assert list(queue.all()) == ["2", "3"]


def test_first_come_first_served_within_the_cores(queue: Queue) -> None:
    first = queue.submit("sleep", "1000", cores=1)
    queue.wait(first, JobState.RUNNING)
    big = queue.submit("sleep", "1000", cores=2)
    small = queue.submit("sleep", "1000", cores=1)
    waiting = queue.status(small)
    assert queue.status(big).state is JobState.PENDING
    assert waiting.state is JobState.PENDING
    assert waiting.reason
    assert waiting.nodes == ()
    assert queue.cancel(first) == {first: True}
    queue.wait(big, JobState.RUNNING)
    assert queue.status(small).state is JobState.PENDING
    assert queue.cancel(big) == {big: True}
    assert queue.wait(small, JobState.RUNNING).nodes == ("localhost",)


def test_jobs_wait_for_memory_too(queue: Queue) -> None:
    one, two = (queue.submit("sleep", "1000", memory=600) for _ in range(2))
    queue.wait(one, JobState.RUNNING)
    assert queue.status(two).state is JobState.PENDING
    queue.cancel(one)
    queue.wait(two, JobState.RUNNING)


def test_what_never_fits_is_refused_in_words(queue: Queue) -> None:
    assert queue.try_submit("true", cores=3) == Refused("cores: 3 is more than 2, all cores of the queue")
    assert isinstance(queue.try_submit("true", memory=2000), Refused)
    assert isinstance(queue.try_submit("true", workdir="/nonexistent"), Refused)
    assert queue.all() == {}


def test_a_cancelled_waiting_job_never_runs(queue: Queue) -> None:
    first = queue.submit("sleep", "1000", cores=2)
    second = queue.submit("touch", str(queue.folder / "ran"))
    assert queue.cancel(second) == {second: True}
    assert queue.wait(second, JobState.ENDED).outcome is Outcome.CANCELLED
    queue.cancel(first)
    queue.wait(first, JobState.ENDED)
    assert not (queue.folder / "ran").exists()


def test_cancel_is_idempotent_and_unknown_jobs_count_as_over(queue: Queue) -> None:
    id = queue.submit("true")
    queue.wait(id, JobState.ENDED)
    assert queue.cancel(id, "4711") == {id: True, "4711": True}


def test_term_comes_before_kill(queue: Queue) -> None:
    id = queue.submit("bash", "-c", "trap 'echo got TERM; exit 7' TERM; echo ready; while :; do sleep 0.01; done")
    until(lambda: "ready" in queue.log())
    queue.cancel(id)
    status = queue.wait(id, JobState.ENDED)
    assert (status.outcome, status.exit_code) == (Outcome.CANCELLED, 7)
    assert "got TERM" in queue.log()


def test_the_walltime_is_enforced_even_on_those_who_ignore_term(queue: Queue) -> None:
    id = queue.submit("bash", "-c", "trap '' TERM; while :; do sleep 0.01; done", walltime=1)
    status = queue.wait(id, JobState.ENDED)
    assert (status.outcome, status.signal) == (Outcome.TIMEOUT, signal.SIGKILL)
    assert status.walltime == 1


def test_nothing_outlives_the_job_not_even_what_hides_in_a_new_session(queue: Queue) -> None:
    id = queue.submit("bash", "-c", "setsid sleep 4242 & setsid --fork sleep 4242; echo $!; exit 3")
    assert queue.wait(id, JobState.ENDED).exit_code == 3
    pid = int(queue.log().split()[0])
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("words", "outcome", "code", "number"),
    [
        (("false",), Outcome.FAILED, 1, None),
        (("sh", "-c", "kill -9 $$"), Outcome.FAILED, None, 9),
        (("/nonexistent",), Outcome.FAILED, 127, None),
    ],
)
def test_how_a_job_ended_is_told(
    queue: Queue, words: Any, outcome: Outcome, code: int | None, number: int | None
) -> None:
    status = queue.wait(queue.submit(*words), JobState.ENDED)
    assert (status.outcome, status.exit_code, status.signal) == (outcome, code, number)
    assert status.reason


def supervisor_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_killed_supervisor_ends_the_job_with_unknown_reason(queue: Queue) -> None:
    id = queue.submit("bash", "-c", "echo $$; exec sleep 1000", cores=2)
    pid = int(until(queue.log))
    os.kill(supervisor_of(pid), signal.SIGKILL)
    status = queue.wait(id, JobState.ENDED)
    assert status.outcome is Outcome.UNKNOWN
    until(lambda: not Path(f"/proc/{pid}").exists())
    # Its cores are free again.
    queue.wait(queue.submit("true", cores=2), JobState.ENDED)


def test_a_killed_supervisor_that_waited_lets_the_next_one_pass(queue: Queue) -> None:
    first = queue.submit("bash", "-c", "echo $$; exec sleep 1000", cores=2)
    holder = int(until(queue.log))
    second = queue.submit("true", cores=2)
    third = queue.submit("true")
    waiting = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and int(entry.name) != supervisor_of(holder)
        and holds(entry, queue.folder / f"queue/jobs/{second}/control")
    ]
    assert len(waiting) == 1
    os.kill(waiting[0], signal.SIGKILL)
    queue.wait(second, JobState.ENDED)
    queue.cancel(first)
    queue.wait(third, JobState.ENDED)


def holds(process: Path, file: Path) -> bool:
    try:
        return any(os.readlink(fd) == str(file) for fd in (process / "fd").iterdir())
    except OSError:
        return False


def test_jobs_do_not_belong_to_who_submitted_them(queue: Queue) -> None:
    """The end of the submitting process group, as at a restart of the hub, changes nothing."""
    job = Job("tag", ME, ("bash", "-c", "echo $$; exec sleep 1000"), output=str(queue.folder / "log"))
    command = local.submit(queue.cluster, job, local.script(queue.cluster, job), "")
    environment = {"PATH": os.environ["PATH"], **command.environment}
    process = subprocess.Popen(
        command.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
    )
    out, _ = process.communicate(command.stdin.encode())
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    id = json.loads(out)["id"]
    pid = int(until(queue.log))
    assert supervisor_of(supervisor_of(pid)) != process.pid
    assert queue.status(id).state is JobState.RUNNING


def test_an_array_is_one_submit_and_its_elements_are_jobs(queue: Queue) -> None:
    id = queue.submit("sh", "-c", "echo index $HPCSPAWNER_JOB_INDEX; exec sleep 1000", array=(0, 2))
    elements = [f"{id}_{index}" for index in range(3)]
    until(lambda: [job.state for job in queue.all().values()].count(JobState.RUNNING) == 2)
    assert list(queue.all()) == elements
    assert queue.status(elements[2]).state is JobState.PENDING
    assert local.queried(queue.cluster, queue.run(local.query(queue.cluster, [id], []))).keys() == set(elements)
    assert queue.cancel(id) == {id: True}
    until(lambda: all(job.state is JobState.ENDED for job in queue.all().values()))
    assert sorted(queue.log().split()) == ["0", "1", "index", "index"]


def test_many_submits_at_once_get_different_numbers(queue: Queue) -> None:
    job = Job("tag", ME, ("true",))
    command = local.submit(queue.cluster, job, local.script(queue.cluster, job), "")
    environment = {"PATH": os.environ["PATH"], **command.environment}
    running = [
        subprocess.Popen(command.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) for _ in range(8)
    ]
    ids = {json.loads(process.communicate(command.stdin.encode())[0])["id"] for process in running}
    assert len(ids) == 8
    until(lambda: all(job.state is JobState.ENDED for job in queue.all().values()))


def test_find_takes_the_name_with_a_prefix_and_only_that_owner(queue: Queue) -> None:
    id = queue.submit("true", name="site-jupyter-abcdef-aaaaaaaaaa")
    queue.submit("true", name="other")
    result = queue.run(local.find(queue.cluster, "jupyter-abcdef-aaaaaaaaaa", ME))
    assert [job.id for job in local.found(queue.cluster, "jupyter-abcdef-aaaaaaaaaa", ME, result)] == [id]
    assert local.found(queue.cluster, "jupyter-abcdef-aaaaaaaaaa", "somebody", result) == []


def test_inventory_counts_free_cores(queue: Queue) -> None:
    queue.wait(queue.submit("sleep", "1000"), JobState.RUNNING)
    commands = local.inventory(queue.cluster)
    inventory = local.inventoried(queue.cluster, {key: queue.run(command) for key, command in commands.items()})
    (partition,) = inventory.partitions
    assert (partition.name, partition.cores, partition.free_cores, partition.memory) == ("local", 2, 1, 1000)
    assert local.probed(queue.cluster, queue.run(local.probe(queue.cluster))).version


def test_a_queue_of_one_account_is_closed_to_others(queue: Queue) -> None:
    from hpcspawner.localqueue import prepare

    prepare(str(queue.folder / "mine"), shared=False)
    assert (queue.folder / "mine").stat().st_mode & 0o777 == 0o700
    prepare(str(queue.folder / "ours"), shared=True)
    assert (queue.folder / "ours/jobs").stat().st_mode & 0o7777 == 0o1777


def test_a_folder_that_anybody_may_change_is_not_used(queue: Queue) -> None:
    (queue.folder / "queue").mkdir()
    (queue.folder / "queue/jobs").mkdir()
    (queue.folder / "queue/jobs").chmod(0o777)
    answer = queue.try_submit("true")
    assert isinstance(answer, Refused)
    assert "chmod 1777" in answer.text
    with pytest.raises(SchedulerUnavailable, match="chmod 1777"):
        queue.all()
    (queue.folder / "queue/jobs").chmod(0o700)


def test_a_link_in_place_of_the_folder_is_not_followed(queue: Queue) -> None:
    (queue.folder / "queue").mkdir()
    (queue.folder / "elsewhere").mkdir()
    (queue.folder / "queue/jobs").symlink_to(queue.folder / "elsewhere")
    assert isinstance(queue.try_submit("true"), Refused)
    (queue.folder / "queue/jobs").unlink()


@pytest.mark.parametrize(
    ("result", "submit"),
    [(Result(None, "", ""), Unknown), (Result(0, "hello", ""), Unknown), (Result(1, "", "Traceback\nX: y"), Unknown)],
)
def test_no_answer_is_no_news(result: Result, submit: type) -> None:
    cluster = Cluster("here", "local")
    assert isinstance(local.submitted(cluster, result), submit)
    with pytest.raises(SchedulerUnavailable):
        local.queried(cluster, result)
    with pytest.raises(SchedulerUnavailable):
        local.inventoried(cluster, {"queue": result})
    assert local.cancelled(cluster, ["1"], result) == {"1": None}
    assert local.detailed(cluster, "1", [result]) is None


@pytest.mark.parametrize("ids", [[], [""], ["0"], ["-1"], ["1 2"], ["1_"]])
def test_only_ids_are_cancelled(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="ids"):
        local.cancel(Cluster("here", "local"), ids)


@pytest.mark.parametrize("resources", [Resources(nodes=2), Resources(gpus=1)])
def test_what_this_machine_does_not_have_is_no_script(resources: Resources) -> None:
    with pytest.raises(ValueError, match=r"^(nodes|gpus): "):
        local.script(Cluster("here", "local"), Job("tag", ME, ("true",), resources))


# Several accounts on one queue


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Queue]:
    """A queue that the hub made as root, below a folder that everybody may pass."""
    from hpcspawner.localqueue import prepare

    folder = Path(tempfile.mkdtemp(prefix="hpcspawner-test-"))
    folder.chmod(0o1777)
    mask = os.umask(0o077)
    try:
        prepare(str(folder / "deep" / "queue"), shared=True)
    finally:
        os.umask(mask)
    environment = {"HPCSPAWNER_LOCALQUEUE": str(folder / "deep" / "queue")}
    switches = {"cores": 2, "memory": 1000, "grace": 0.3, "python": sys.executable}
    queue = Queue(Cluster("here", "local", environment=environment, switches=switches), folder)
    yield queue
    ids = [id for id, job in queue.all().items() if job.state.lives]
    if ids:
        queue.cancel(*ids)
        until(lambda: not any(job.state.lives for job in queue.all().values()))
    shutil.rmtree(folder)


@pytest.mark.other_user
def test_jobs_of_several_users_wait_in_one_line_each_as_its_owner(shared: Queue) -> None:
    first = shared.submit("sh", "-c", "id -un; exec sleep 1000", cores=2, user="alice")
    until(shared.log)
    assert shared.log() == "alice\n"
    second = shared.submit("sleep", "1000", cores=2, user="bob", output="")
    assert (shared.status(second).state, shared.status(second).user) == (JobState.PENDING, "bob")
    assert shared.cancel(first, user="alice") == {first: True}
    shared.wait(second, JobState.RUNNING)


@pytest.mark.other_user
def test_nobody_cancels_anothers_job_and_root_may(shared: Queue) -> None:
    id = shared.submit("sleep", "1000", user="alice")
    shared.wait(id, JobState.RUNNING)
    assert shared.cancel(id, user="bob") == {id: False}
    assert shared.status(id).state is JobState.RUNNING
    assert shared.cancel(id) == {id: True}
    shared.wait(id, JobState.ENDED)


@pytest.mark.other_user
def test_nobody_forges_or_removes_anothers_job(shared: Queue) -> None:
    id = shared.submit("sleep", "1000", user="alice")
    shared.wait(id, JobState.RUNNING)
    folder = f"{shared.cluster.environment['HPCSPAWNER_LOCALQUEUE']}/jobs/{id}"
    for command in (
        ["mv", folder, folder + "x"],
        ["sh", "-c", 'echo \'{"outcome": "FAILED"}\' > "$0/end.json"', folder],
        ["sh", "-c", 'echo > "$0/control"', folder],
        ["cat", folder + "/script"],
    ):
        done = subprocess.run(command, user="bob", group="bob", extra_groups=[], capture_output=True, timeout=30)
        assert done.returncode != 0, command
    assert (shared.status(id).state, shared.status(id).user) == (JobState.RUNNING, "alice")


@pytest.mark.other_user
def test_a_record_that_its_owner_did_not_write_is_not_read(shared: Queue) -> None:
    """A hard link or a copy by root in somebody's folder says nothing about the job."""
    id = shared.submit("sleep", "1000", user="alice")
    shared.wait(id, JobState.RUNNING)
    end = Path(shared.cluster.environment["HPCSPAWNER_LOCALQUEUE"]) / "jobs" / id / "end.json"
    end.write_text('{"outcome": "COMPLETED"}')
    assert shared.status(id).state is JobState.RUNNING
    end.unlink()


@pytest.mark.other_user
def test_an_orphan_record_never_makes_root_kill_a_foreign_process(shared: Queue) -> None:
    victim = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        from hpcspawner.localqueue.turn import started

        folder = Path(shared.cluster.environment["HPCSPAWNER_LOCALQUEUE"]) / "jobs" / "77"
        text = json.dumps({"pid": victim.pid, "start": started(victim.pid), "started": 1})
        line = 'mkdir "$0"; echo "{}" > "$0/job.json"; echo "$1" > "$0/run.json"'
        subprocess.run(
            ["sh", "-c", line, str(folder), text], user="alice", group="alice", extra_groups=[], check=True, timeout=30
        )
        shared.cancel("77")
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
        shutil.rmtree(folder)


def forge(queue: Queue, id: str, *, user: str = "bob", **files: Any) -> None:
    """A job's folder that a user made by hand."""
    folder = Path(queue.cluster.environment["HPCSPAWNER_LOCALQUEUE"]) / "jobs" / id
    folder.mkdir()
    for name, value in files.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    for path in (folder, *folder.iterdir()):
        os.chown(path, pwd.getpwnam(user).pw_uid, -1)


HUGE = "9" * 400
FORGED = [
    "[" * 60_000,
    '{"name": ["x"], "cores": -5, "memory": true, "walltime": Infinity, "submitted": NaN}',
    f'{{"name": "{"x" * 60_000}", "walltime": {HUGE}, "submitted": {HUGE}, "cores": {HUGE}}}',
    '{"name": "\\ud800", "partition": {}, "account": [[]], "submitted": "yesterday"}',
]


@pytest.mark.other_user
def test_no_record_of_a_user_hides_the_jobs_of_others(shared: Queue) -> None:
    mine = shared.submit("sleep", "1000", user="alice", output="")
    for number, text in enumerate(FORGED):
        forge(
            shared, str(100 + number), job=text, run='{"started": 1e999, "pid": -1}', end='{"ended": [], "signal": {}}'
        )
        forge(shared, str(200 + number), job={"name": "x"}, end=text, run=text)
    assert shared.wait(mine, JobState.RUNNING).user == "alice"
    assert {job.user for id, job in shared.all().items() if id != mine} == {"bob"}
    assert max(len(job.name) for job in shared.all().values()) <= 1000


@pytest.mark.other_user
def test_a_record_in_anothers_job_or_of_another_user_does_not_count(shared: Queue) -> None:
    mine = shared.submit("sleep", "1000", user="alice", output="")
    shared.wait(mine, JobState.RUNNING)
    folder = Path(shared.cluster.environment["HPCSPAWNER_LOCALQUEUE"]) / "jobs" / mine
    for words in (["rm", "-rf", folder], ["mv", folder, f"{folder}0"], ["touch", folder / "end.json"]):
        done = subprocess.run(["runuser", "-u", "bob", "--", *map(str, words)], capture_output=True, check=False)
        assert done.returncode
    assert shared.cancel(mine, user="bob") == {mine: False}
    assert shared.status(mine).state is JobState.RUNNING
    # Not even root's slip makes a stranger's file a record.
    (folder / "end.json").write_text('{"outcome": "COMPLETED"}')
    os.chown(folder / "end.json", pwd.getpwnam("bob").pw_uid, -1)
    assert shared.status(mine).state is JobState.RUNNING
    (folder / "end.json").unlink()


@pytest.mark.other_user
def test_the_last_number_taken_by_somebody_leaves_numbers(shared: Queue) -> None:
    forge(shared, "9" * 15, job={"name": "x"})
    first = shared.submit("true", user="alice", output="")
    assert shared.wait(first, JobState.ENDED).user == "alice"
    assert int(shared.submit("true", user="alice", output="")) == int(first) + 1


@pytest.mark.other_user
def test_a_folder_of_another_user_is_not_used(shared: Queue) -> None:
    """Its owner could exchange a job's script, whatever the sticky bit says."""
    folder = Path(shared.cluster.environment["HPCSPAWNER_LOCALQUEUE"])
    os.chown(folder / "jobs", pwd.getpwnam("bob").pw_uid, -1)
    refused = shared.try_submit("true", user="alice", output="")
    assert isinstance(refused, Refused)
    assert "belongs to another user" in refused.text
    os.chown(folder / "jobs", 0, -1)
