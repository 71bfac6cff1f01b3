"""What the programs of a Dask cluster's jobs share: secrets as files, an address, children, and their end."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

if TYPE_CHECKING or __package__:
    from . import hpcspawner_place as place
    from . import hpcspawner_process as process
    from . import hpcspawner_session as session
    from .server import ENDING, STALE, Failure, last_lines, private_directory, read_soon, say
else:
    import hpcspawner_place as place
    import hpcspawner_process as process
    import hpcspawner_session as session
    from server import ENDING, STALE, Failure, last_lines, private_directory, read_soon, say

SECRETS: Mapping[str, str] = {
    "HPCSPAWNER_DASK_CERT": "dask.crt",
    "HPCSPAWNER_DASK_KEY": "dask.pem",
    "HPCSPAWNER_DASK_TOKEN": "token",
}
"""Secrets that become files of the job: what is in the environment of a process is in that of all its children."""
GRACE = 3
"""Seconds between TERM and KILL: what a worker holds is lost with the job anyway."""


class Child(NamedTuple):
    """A process to start."""

    name: str
    argv: Tuple[str, ...]
    environment: Mapping[str, str] = {}


class DaskJob:
    """One run of a job: its files, its processes, its end."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.dask: Mapping[str, Any] = plan["dask"]
        self.started = time.time()
        self.directory = ""
        self.scratch = ""
        self.environ: Dict[str, str] = {}
        self.told = 0
        """The signal that told us to end."""
        self.running: Dict[int, str] = {}
        self.failed: List[str] = []
        """Names of the children that ended with an error."""
        self.code = 0

    @property
    def index(self) -> int:
        """Which one of the jobs of an array (or of the nodes of a job) this is, from 1 on."""
        told = os.environ.get(self.dask.get("index_variable") or "", "")
        if told.isdigit():
            return int(told)
        rank = os.environ.get("HPCSPAWNER_RANK", "")
        return int(rank) + 1 if rank.isdigit() else 1

    @property
    def python(self) -> str:
        return os.path.expanduser(str(self.dask.get("python") or sys.executable))

    # Before ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Makes the private directory and the environment. Raises Failure or OSError."""
        self.directory = private_directory(self.plan["tag"], self.plan["state"])
        self.environ = {name: value for name, value in os.environ.items() if name not in STALE}
        for name, value in read_soon(self.plan["secret"]).items():
            if name in SECRETS:
                self._keep(SECRETS[name], value)
            else:
                self.environ[name] = value
        role = "SCHEDULER" if "api_url" in self.dask else "WORKER"
        self.environ.update(
            {
                "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": self.file("HPCSPAWNER_DASK_CERT"),
                "DASK_DISTRIBUTED__COMM__TLS__" + role + "__CERT": self.file("HPCSPAWNER_DASK_CERT"),
                "DASK_DISTRIBUTED__COMM__TLS__" + role + "__KEY": self.file("HPCSPAWNER_DASK_KEY"),
                "DASK_GATEWAY_CLUSTER_NAME": self.dask["cluster"],
                "HPCSPAWNER_TAG": self.plan["tag"],
            }
        )
        self._enter_workdir()

    def _keep(self, name: str, value: str) -> None:
        path = os.path.join(self.directory, name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value)

    def file(self, secret: str) -> str:
        """Path of the file that holds that secret."""
        return os.path.join(self.directory, SECRETS[secret])

    def _enter_workdir(self) -> None:
        for folder in (os.path.expanduser(self.plan.get("workdir") or "~"), os.path.expanduser("~"), "/"):
            try:
                os.chdir(folder)
                return
            except OSError as error:
                say("cannot start in {}: {}".format(folder, error.strerror))

    def make_scratch(self) -> str:
        """A new directory for data that does not fit into memory; it goes with the job. Raises Failure."""
        parent = str(self.dask.get("scratch") or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
        path = os.path.join(parent, "hpcspawner-dask-{}-{}".format(self.plan["tag"], os.urandom(4).hex()))
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise Failure("scratch: {} cannot be made: {}".format(path, error.strerror)) from error
        self.scratch = path
        return path

    def host(self, towards: str) -> str:
        """The address to listen on: the site's rule, or the one that leads to that URL. Raises PlaceError."""
        rule = str(self.dask.get("listen") or "")
        if rule.startswith("interface:"):
            return place.interface_address(rule[len("interface:") :])
        if rule:
            return address_within(rule)
        return address_towards(towards)

    # The processes -----------------------------------------------------------------------------------------------

    def catch_signals(self) -> None:
        for number in (*ENDING, signal.SIGALRM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        if number == signal.SIGALRM:
            process.end_family()
        elif not self.told:
            self.told = number
            signal.alarm(GRACE)
            for pid in list(self.running):
                try:
                    os.kill(pid, signal.SIGTERM)
                except OSError:
                    pass

    def serve(self, children: List[Child]) -> int:
        """Starts them and waits until all have ended; the worst exit code."""
        process.adopt_orphans()
        # A signal between the start and the assignment would not reach the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDING, signal.SIGALRM))
        try:
            for child in children:
                environ = {**self.environ, **child.environment}
                pid = os.posix_spawnp(child.argv[0], child.argv, environ, setsigmask=(), setsigdef=(signal.SIGPIPE,))
                self.running[pid] = child.name
        except OSError as error:
            raise Failure("{} cannot be started: {}".format(children[0].argv[0], error.strerror)) from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, signal.SIGALRM))
        while self.running:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                break  # the alarm's handler has collected them
            self._ended(pid, status)
        return self.code

    def _ended(self, pid: int, status: int) -> None:
        name = self.running.pop(pid, None)
        if name is None:
            return
        code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if code and not self.told:
            say("{} ended with code {}".format(name, code))
            self.failed.append(name)
            self.code = code

    # After -------------------------------------------------------------------------------------------------------

    def record(self, code: int, reason: str) -> None:
        """Writes the end record: end.json, or end-INDEX.json for one job of many."""
        path = self.plan["end"]
        if self.dask.get("names"):
            path = "{}-{}.json".format(os.path.splitext(path)[0], self.index)
        end = {
            "tag": self.plan["tag"],
            "job_id": place.job_id(self.plan, os.environ),
            "run": place.run(self.plan, os.environ),
            "node": socket.gethostname(),
            "exit_code": code,
            "signal": None,
            "started": self.started,
            "ended": time.time(),
            "reason": reason,
            "cause": "",
            "failed": self.failed,
            "lines": last_lines(self.plan.get("log") or "/proc/self/fd/2"),
        }
        try:
            session.write(path, end, lasting=True)
        except OSError as error:
            say("{} cannot be written: {}".format(path, error.strerror))

    def reason(self, code: int) -> str:
        """Why it ended, in words."""
        if self.told:
            ends = place.ends(self.plan, os.environ)
            reached = self.told in (signal.SIGXCPU, signal.SIGUSR2) or (ends and time.time() > ends - 90)
            return "the walltime was reached" if reached else "ended from outside"
        if code:
            return "it failed with exit code {}".format(code)
        return "it ended by itself"

    def tidy(self) -> None:
        process.end_family()
        for folder in (self.directory, self.scratch):
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


def run(argv: List[str], children: Callable[[DaskJob], List[Child]]) -> int:
    """Runs the plan of that path to its end; the exit code. children: what to start in a job that is prepared."""
    try:
        plan = read_soon(argv[1])
    except (Failure, IndexError) as error:
        say(str(error) or "the path of the plan is missing")
        return 2
    job = DaskJob(plan)
    job.catch_signals()
    code, reason = 1, ""
    try:
        job.prepare()
        wanted = children(job)
        code = 0 if job.told else job.serve(wanted)
        reason = job.reason(code)
    except (Failure, place.PlaceError, OSError) as error:
        reason = str(error)
        say(reason)
    finally:
        job.tidy()
        job.record(code, reason)
    return 128 + job.told if job.told else code


def free_port(ports: Any, host: str) -> int:
    """A free port of the range; 0 where any will do. Raises PlaceError."""
    first, last = ports or (0, 0)
    if not last:
        return 0
    held = place.hold_port((int(first), int(last)), host)
    held.release()
    return held.port


def address_towards(url: str) -> str:
    """The address of this node that packets to that URL's host come from. Raises PlaceError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    trouble: Optional[OSError] = None
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)
    except OSError as error:
        raise place.PlaceError("this node cannot look up {}: {}".format(host, error)) from error
    for family, kind, protocol, _, target in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(target)  # sends nothing
                return str(probe.getsockname()[0])
        except OSError as error:
            trouble = error
    raise place.PlaceError("this node has no way to {}: {}".format(host, trouble))


def address_within(network: str) -> str:
    """The first address of this node in that network. Raises PlaceError."""
    wanted = ipaddress.ip_network(network)
    seen = []
    for _, name in socket.if_nameindex():
        try:
            address = place.interface_address(name)
        except place.PlaceError:
            continue
        if ipaddress.ip_address(address) in wanted:
            return address
        seen.append(address)
    raise place.PlaceError("address: the node has none in {}; it has {}".format(network, ", ".join(seen)))
