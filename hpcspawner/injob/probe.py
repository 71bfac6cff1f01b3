"""The small job of `hpcspawner check`: probe.py PLAN looks at a node as a server would find it.

It writes what it found to check.json in the job's folder, and prints it as one line, "hpcspawner-check " and the JSON
object. Then it listens until somebody connects or two minutes have passed (so that the checking hub can try; network
file systems may need a minute to show the file), and writes the object to end.json under "check" too:

    node, host          the node's own name, and the address it would report
    job_id, run, ends   as the plan's variables tell
    port                the port that it listens on; null: see problems
    python              {"executable", "version", "jupyterhub", "jupyterlab", "jupyter_server"} of the server's Python,
                        and "problem" in words where it cannot run servers
    servers             {name: the same} of environments that run the server in its place
    kernels             {name: version of ipykernel}
    environments        {name: what is wrong with that environment, in words; "" nothing}
    hubs                [{"url", "status", "version", "text", "sent"}]: what each URL of the hub answered; status 0: it
                        did not; sent: the node's clock, in seconds since the epoch
    hub                 the one that answered best
    connected           whether somebody connected to the port
    written             the node's clock when check.json was written
    problems            all that does not work, in words
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence

if TYPE_CHECKING or __package__:
    from . import hpcspawner_place as place
    from . import hpcspawner_report as report
    from . import hpcspawner_session as session
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import hpcspawner_place as place
    import hpcspawner_report as report
    import hpcspawner_session as session

MARK = "hpcspawner-check "
RESULT = "check.json"
LISTEN_SECONDS = 120.0

VERSIONS = """
import json, sys
found = {"executable": sys.executable, "version": sys.version.split()[0]}
for name in %r:
    try:
        found[name] = __import__(name).__version__
    except Exception as error:
        found[name] = None
        found[name + "_error"] = "{}: {}".format(type(error).__name__, error)
print(%r + json.dumps(found))
"""
SERVER = ("jupyterhub", "jupyterlab", "jupyter_server")


class Probe:
    """What was found so far."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.problems: List[str] = []
        self.found: Dict[str, Any] = {"problems": self.problems, "connected": False, "port": None}

    def look(self) -> Optional[socket.socket]:
        """Looks at everything; the socket that listens, if one does."""
        plan, found = self.plan, self.found
        found["node"] = socket.gethostname()
        found["job_id"] = place.job_id(plan, os.environ)
        found["run"] = place.run(plan, os.environ)
        found["ends"] = place.ends(plan, os.environ)
        if not found["job_id"]:
            names = ", ".join(plan.get("job_id_variables") or ()) or "no variable"
            self.problems.append("the scheduler tells the job its id in none of: {}".format(names))
        found["python"] = self.versions(plan.get("python") or "python3", plan.get("environment_setup") or (), SERVER)
        found["environments"] = {}
        found["servers"] = {server["name"]: self.server(server) for server in plan.get("servers") or ()}
        found["kernels"] = {kernel["name"]: self.kernel(kernel) for kernel in plan.get("kernels") or ()}
        found["hub"] = self.hub()
        return self.listen()

    def versions(self, python: str, setup: Sequence[str], modules: Sequence[str]) -> Dict[str, Any]:
        """What that Python holds."""
        code = VERSIONS % (tuple(modules), MARK)
        argv = [
            "/bin/bash",
            "-c",
            "\n".join(setup) + '\nexec "$@"',
            "hpcspawner",
            os.path.expanduser(python),
            "-c",
            code,
        ]
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return self.broken({}, "{}: {}".format(python, error))
        text = done.stdout.decode("utf-8", "replace")
        for line in reversed(text.splitlines()):
            if line.startswith(MARK):
                found: Dict[str, Any] = json.loads(line[len(MARK) :])
                for name in modules:
                    if found[name] is None and name != "jupyterlab":
                        self.broken(found, "{}: {}".format(python, found.pop(name + "_error")))
                return found
        return self.broken({}, "{} does not run: {}".format(python, " / ".join(text.splitlines()[-3:]) or "no output"))

    def broken(self, found: Dict[str, Any], problem: str) -> Dict[str, Any]:
        """Notes what is wrong with a Python."""
        self.problems.append(problem)
        found.setdefault("problem", problem)
        return found

    def server(self, server: Mapping[str, Any]) -> Dict[str, Any]:
        """What an environment holds that runs the server itself."""
        found = self.versions(server["python"], server.get("setup") or (), SERVER)
        self.found["environments"][server["name"]] = found.get("problem", "")
        return found

    def kernel(self, kernel: Mapping[str, Any]) -> Optional[str]:
        """The version of ipykernel in a user environment."""
        argv = kernel.get("argv") or ["python3"]
        if "ipykernel_launcher" not in argv and len(argv) > 1:
            return None  # a kernel of another language
        found = self.versions(argv[0], kernel.get("setup") or (), ("ipykernel",))
        self.found["environments"][kernel["name"]] = found.get("problem", "")
        return str(found["ipykernel"]) if found.get("ipykernel") else None

    def hub(self) -> Dict[str, Any]:
        """What the hub answers, seen from here."""
        told = self.plan.get("report") or {}
        asked: List[Dict[str, Any]] = []
        for url in told.get("urls") or ():
            root = url.rpartition("/")[0] if url.endswith("/batchspawner") else url
            sent = time.time()
            answer = report.send(root, None, os.environ, told.get("proxy") or "", timeout=10)
            known = {"url": root, "status": answer.status, "version": answer.version, "text": answer.text, "sent": sent}
            asked.append(known)
        self.found["hubs"] = asked
        nowhere = {"url": "", "status": 0, "version": "", "text": "the plan names no URL of the hub"}
        best = max(asked, key=lambda x: (x["status"] == 200, x["status"])) if asked else nowhere
        if best["status"] == 200:
            return best
        text = best["text"] or "HTTP status {}".format(best["status"])
        self.problems.append("the hub cannot be reached from this node at {}: {}".format(best["url"] or "-", text))
        return best

    def listen(self) -> Optional[socket.socket]:
        """Listens as a server would."""
        first, last = self.plan.get("ports") or (0, 0)
        bind = "127.0.0.1" if self.plan.get("local") else "0.0.0.0"  # noqa: S104
        try:
            self.found["host"] = place.host(self.plan)
            held = place.hold_port((first, last), bind)
        except place.PlaceError as error:
            self.problems.append(str(error))
            return None
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bind, held.port))
        listener.listen(8)
        held.release()
        self.found["port"] = held.port
        return listener

    def answer(self, listener: socket.socket) -> None:
        """Waits for somebody who connects, and says hello by HTTP."""
        limit = time.monotonic() + float(self.plan.get("listen") or LISTEN_SECONDS)
        while not self.found["connected"] and time.monotonic() < limit:
            listener.settimeout(max(0.1, limit - time.monotonic()))
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(4096)
                    body = self.plan["tag"].encode()
                    head = "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Clock: {:.3f}\r\n\r\n"
                    head = head.format(len(body), time.time())
                    connection.sendall(head.encode() + body)
                    self.found["connected"] = True
                except OSError:
                    continue
        listener.close()


def main(argv: Sequence[str]) -> int:
    """Exit code 0: no problems, 1: some, 2: no plan."""
    plan = session.read(argv[1]) if len(argv) > 1 else {}
    if not plan:
        sys.stderr.write("hpcspawner: usage: probe.py PLAN\n")
        return 2
    started = time.time()
    probe = Probe(plan)
    listener = probe.look()
    probe.found["written"] = time.time()
    session.write(os.path.join(plan["state"], RESULT), probe.found, lasting=True)
    sys.stdout.write(MARK + json.dumps(probe.found) + "\n")
    sys.stdout.flush()
    if listener:
        probe.answer(listener)
    code = 1 if probe.problems else 0
    end = {
        "tag": plan["tag"],
        "job_id": probe.found["job_id"],
        "run": probe.found["run"],
        "exit_code": code,
        "signal": None,
        "started": started,
        "ended": time.time(),
        "reason": probe.problems[0] if probe.problems else "the check is done",
        "lines": [],
        "check": probe.found,
    }
    session.write(plan["end"], end, lasting=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
