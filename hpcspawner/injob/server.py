"""Runs the server of a job: server.py PLAN. See __init__.py beside this file for what the plan holds.

It gives the server its secrets and a clean environment, has the hub told where the server listens, passes signals on,
and keeps a record of the end. It is the process that the batch script execs, so it starts fast.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NoReturn, Optional

if TYPE_CHECKING or __package__:
    from . import hpcspawner_kernels as kernels
    from . import hpcspawner_memory as memory
    from . import hpcspawner_notice as notice
    from . import hpcspawner_place as place
    from . import hpcspawner_process as process
    from . import hpcspawner_session as session
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import hpcspawner_kernels as kernels
    import hpcspawner_memory as memory
    import hpcspawner_notice as notice
    import hpcspawner_place as place
    import hpcspawner_process as process
    import hpcspawner_session as session

HERE = os.path.dirname(os.path.abspath(__file__))
STALE = ("XDG_SESSION_ID", "DBUS_SESSION_BUS_ADDRESS", "JUPYTER_TOKEN", "JUPYTER_PORT", "JPY_PARENT_PID")
"""Variables of the session that submitted the job; they mean nothing here, or harm."""
RESTARTS = 5
"""How often a server that could not get its port is started again."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR2)
"""LSF sends USR2 when the run limit is reached."""


class Failure(Exception):
    """The server cannot be started; the text says why."""


def say(text: str) -> None:
    """A line in the job's log."""
    sys.stderr.write("hpcspawner: {}\n".format(text))
    sys.stderr.flush()


def read_soon(path: str, seconds: float = 10.0) -> Dict[str, Any]:
    """A JSON file that was written a moment ago on another machine, which a network file system may show late."""
    limit = time.monotonic() + seconds
    while True:
        value = session.read(path)
        if value:
            return value
        if time.monotonic() > limit:
            raise Failure("{} cannot be read on this node".format(path))
        time.sleep(0.2)


def private_directory(tag: str, state: str) -> str:
    """A new directory of the user's own, on a local disk if possible: sockets and keys of kernels live there."""
    for parent in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp", state):  # noqa: S108
        # Unix sockets take paths of 107 characters; names that kernels and Dask add need some of them.
        if not parent or (len(parent) > 50 and parent != state):
            continue
        path = os.path.join(parent, "hpcspawner-{}-{}".format(tag, os.urandom(4).hex()))
        try:
            os.mkdir(path, 0o700)
            return path
        except OSError:
            continue
    raise Failure("no temporary directory can be written on this node (TMPDIR, /tmp, /var/tmp, {})".format(state))


def environment(plan: Mapping[str, Any], directory: str) -> Dict[str, str]:
    """The server's environment: the job's, without what harms, with the plan's and the secret one."""
    environ = {name: value for name, value in os.environ.items() if name not in STALE}
    environ.update(plan.get("environment") or {})
    secret = read_soon(plan["secret"]) if plan.get("secret") else {}
    environ.update(secret)
    for name in ("run", "jupyter", "busy"):
        os.mkdir(os.path.join(directory, name), 0o700)
    environ["XDG_RUNTIME_DIR"] = os.path.join(directory, "run")
    environ["JUPYTER_RUNTIME_DIR"] = os.path.join(directory, "jupyter")
    environ["HPCSPAWNER_BUSY"] = os.path.join(directory, "busy")
    environ["HPCSPAWNER_TAG"] = plan["tag"]
    if plan.get("jupyter"):
        share = os.path.join(directory, "share")
        kernels.write(share, plan.get("kernels") or ())
        notice.write(share)
        environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (share, environ.get("JUPYTER_PATH"))))
    return environ


def command(plan: Mapping[str, Any], values: Mapping[str, str]) -> List[str]:
    """argv of the server; values replace {port}, {base_url} and {host} in a command that is not Jupyter's."""
    if plan.get("jupyter"):
        python = os.path.expanduser(plan.get("python") or "python3")
        argv = [python, os.path.join(HERE, "hpcspawner_jupyter.py"), *(plan.get("command") or ())[1:]]
        if plan.get("default_kernel"):
            argv.append("--MultiKernelManager.default_kernel_name=" + kernels.directory_name(plan["default_kernel"]))
    else:
        argv = list(plan.get("command") or ())
        for name, value in values.items():
            argv = [word.replace("{" + name + "}", value) for word in argv]
    argv = [*(plan.get("wrap") or ()), *argv]
    if not argv:
        raise Failure("command: the plan names none")
    setup = "\n".join(plan.get("environment_setup") or ())
    return ["/bin/bash", "-c", setup + '\nexec "$@"', "hpcspawner", *argv] if setup else argv


class Wrapper:
    """One run of a job: starts the server, waits for its end, and keeps the record."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.started = time.time()
        self.run = place.run(plan, os.environ)
        self.ends = place.ends(plan, os.environ)
        self.directory = ""
        self.notes = ""
        self.environ: Dict[str, str] = {}
        self.child = 0
        self.told = 0
        """The signal that told us to end."""
        self.cause = ""
        self.killed = memory.killed()
        """Processes of the job that the kernel had ended for memory before we began."""

    def prepare(self) -> None:
        """Makes the job's private directory, environment and session file. Raises Failure, OSError, PlaceError."""
        plan = self.plan
        self.directory = private_directory(plan["tag"], plan["state"])
        self.notes = os.path.join(self.directory, "notes.json")
        self.environ = environment(plan, self.directory)
        scheme = "https" if self.environ.get("JUPYTERHUB_SSL_CERTFILE") else "http"
        settings = {
            "report": plan.get("report") or {},
            "body": {
                "protocol": 1,
                "tag": plan["tag"],
                "job_id": place.job_id(plan, os.environ),
                "run": self.run,
                "host": place.host(plan),
                "url_scheme": scheme,
            },
            "bind": place.bind_address(plan, self.environ),
            "ports": plan.get("ports") or [0, 0],
            "idle": plan.get("idle") or 0,
            "unclaimed": plan.get("unclaimed") or 0,
            "ends": self.ends,
            "started": self.started,
            "notes": self.notes,
            "busy": self.environ["HPCSPAWNER_BUSY"],
        }
        self.settings = settings
        self.environ[session.VARIABLE] = os.path.join(self.directory, "session.json")
        session.write(self.environ[session.VARIABLE], settings)
        self.enter_workdir()

    def enter_workdir(self) -> None:
        home = self.environ.get("HOME") or "/"
        for folder in (os.path.expanduser(self.plan.get("workdir") or home), home, "/"):
            try:
                os.chdir(folder)
                return
            except OSError as error:
                say("cannot start in {}: {}".format(folder, error.strerror))

    def catch_signals(self) -> None:
        for number in (*ENDING, signal.SIGALRM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.on_signal)

    def on_signal(self, number: int, _frame: Any) -> None:
        """Passes the wish to end on; after the grace time the server is killed."""
        if number == signal.SIGALRM:
            if self.child:
                os.kill(self.child, signal.SIGKILL)
            return
        if self.told:
            return
        self.told = number
        signal.alarm(max(1, int(self.plan.get("grace") or 10)))
        if self.child:
            os.kill(self.child, signal.SIGTERM)

    def start(self, values: Mapping[str, str]) -> None:
        if self.told:
            raise Failure(self.reason(0))
        argv = command(self.plan, values)
        # A signal between the start and the assignment would not reach the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDING, signal.SIGALRM))
        try:
            self.child = os.posix_spawnp(
                argv[0], argv, self.environ, setsigmask=(), setsigdef=(signal.SIGPIPE, signal.SIGXFSZ)
            )
        except OSError as error:
            raise Failure("{} cannot be started: {}".format(argv[0], error.strerror)) from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, signal.SIGALRM))

    def wait(self) -> int:
        """Waits for the server, and for orphans that it leaves; its status as wait() gives it."""
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self.child:
                self.child = 0
                return status

    def serve(self) -> int:
        """Runs the server to its end; its wait status."""
        process.adopt_orphans()
        if not self.plan.get("jupyter"):
            return self.serve_other()
        restarts = 0
        while True:
            self.start({})
            status = self.wait()
            notes = session.read(self.notes)
            if self.told or status == 0 or notes.get("reported") or notes.get("reason"):
                return status
            if not self.hub_answers():
                say("the server ended while the hub was away; it starts again when the hub is back")
                self.await_hub()
            elif restarts < RESTARTS and self.port_was_taken(notes.get("port")):
                restarts += 1
                say("port {} was taken by somebody else; starting again".format(notes.get("port")))
            else:
                return status

    def serve_other(self) -> int:
        if TYPE_CHECKING or __package__:
            from .hpcspawner_command import Reporter
        else:
            from hpcspawner_command import Reporter

        reporter = Reporter(self.settings, self.environ, say)
        while True:
            self.start(reporter.choose_port())
            reporter.watch(self.child)
            status = self.wait()
            if not reporter.again() or self.told:
                return status

    def hub_answers(self) -> bool:
        if TYPE_CHECKING or __package__:
            from . import hpcspawner_report as report
        else:
            import hpcspawner_report as report

        url = self.environ.get("JUPYTERHUB_API_URL") or ""
        answer = report.send(url, None, self.environ, (self.plan.get("report") or {}).get("proxy") or "", timeout=10)
        return 0 < answer.status < 500

    def await_hub(self) -> None:
        pause = 1.0
        while not self.told and not self.hub_answers():
            limit = time.monotonic() + pause
            while not self.told and time.monotonic() < limit:
                time.sleep(0.2)
            pause = min(pause * 2, 30.0)

    def port_was_taken(self, port: Any) -> bool:
        return isinstance(port, int) and bool(process.listeners(port))

    def reason(self, status: int) -> str:
        """Why the server ended, in words; sets the cause: walltime, memory, or nothing that the hub has a word for."""
        noted = str(session.read(self.notes).get("reason") or "") if self.notes else ""
        if noted:
            return noted
        if self.told:
            if self.told in (signal.SIGXCPU, signal.SIGUSR2) or (self.ends and time.time() > self.ends - 90):
                self.cause = "walltime"
                return "the walltime was reached"
            return "ended from outside ({})".format(signal.Signals(self.told).name)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGKILL and memory.killed() > self.killed:
                self.cause = "memory"
                return "the server needed more memory than the job has and was ended"
            more = ": perhaps it needed more memory than the job has" if number == signal.SIGKILL else ""
            return "the server was ended by signal {}{}".format(number, more)
        code = os.WEXITSTATUS(status)
        return "the server ended by itself" if code == 0 else "the server failed with exit code {}".format(code)

    def record(self, status: int, reason: str) -> None:
        """Writes end.json, which the helper reads."""
        signaled = os.WIFSIGNALED(status)
        end = {
            "tag": self.plan["tag"],
            "job_id": place.job_id(self.plan, os.environ),
            "run": self.run,
            "exit_code": None if signaled else os.WEXITSTATUS(status),
            "signal": os.WTERMSIG(status) if signaled else None,
            "started": self.started,
            "ended": time.time(),
            "reason": reason,
            "cause": self.cause,
            "lines": last_lines(self.plan.get("log") or "/proc/self/fd/2"),
        }
        try:
            session.write(self.plan["end"], end, lasting=True)
        except OSError as error:
            say("{} cannot be written: {}".format(self.plan["end"], error.strerror))

    def tidy(self) -> None:
        process.end_family()
        if self.directory:
            import shutil

            shutil.rmtree(self.directory, ignore_errors=True)


def last_lines(path: str, count: int = 20) -> List[str]:
    """The last lines of the job's log, if it is a file."""
    try:
        if not os.path.isfile(path):
            return []
        with open(path, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 8192))
            return log.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []


def main(argv: List[str]) -> int:
    """Runs the plan of that path; the exit code is the server's, or 128 + the signal that ended it."""
    try:
        plan = read_soon(argv[1])
    except (Failure, IndexError) as error:
        say(str(error) or "usage: server.py PLAN")
        return 2
    wrapper = Wrapper(plan)
    wrapper.catch_signals()
    status: Optional[int] = None
    reason = ""
    try:
        # The record of an earlier run of a restarted job would be read as the end of this one.
        if os.path.lexists(plan["end"]):
            os.unlink(plan["end"])
        wrapper.prepare()
        status = wrapper.serve()
        reason = wrapper.reason(status)
    except (Failure, OSError, place.PlaceError) as error:
        status, reason = 1 << 8, str(error)
    say(reason)
    wrapper.record(status, reason)
    wrapper.tidy()
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def run() -> NoReturn:
    """The program."""
    code = main(sys.argv)
    sys.stdout.flush()
    os._exit(code)  # no threads that still try to reach the hub hold us up


if __name__ == "__main__":
    run()
