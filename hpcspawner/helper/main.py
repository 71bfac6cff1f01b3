"""From the request on standard input to the answer on standard output."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from typing import Any, Dict, Optional, Sequence

from .. import HELPER_PROTOCOL, schedulers
from ..job import Cluster, SchedulerUnavailable
from ..sitemodel import ClusterSite
from . import installed
from .act import Act
from .faults import Fault
from .identity import act_as, own_account
from .request import Request, parse, read
from .running import Runner
from .verbs import VERBS, Verb

# Seconds over the commands' own limit after which the helper gives up by itself: a hub without root cannot end it.
_SPARE = 5.0


def main(argv: Sequence[str], program: str) -> int:
    """program: path of the zip that runs. Always answers; the exit code is 0 where the answer says ok."""
    os.umask(0o077)
    os.chdir("/")
    out = _own_stdout()
    answer: Dict[str, Any] = {"protocol": HELPER_PROTOCOL}
    try:
        gate = out if list(argv[1:]) == ["gate"] else None
        answer.update(ok=True, **carry_out(read(sys.stdin.buffer), program, gate))
    except Fault as fault:
        answer.update(ok=False, error=fault.answer())
    except SchedulerUnavailable as error:
        answer.update(ok=False, error=Fault("unavailable", str(error)).answer())
    except Exception as error:
        answer.update(ok=False, error=Fault("internal", "{}: {}".format(type(error).__name__, error)).answer())
    with os.fdopen(out, "wb") as stream:
        stream.write(json.dumps(answer).encode())
    return 0 if answer["ok"] else 1


def _own_stdout() -> int:
    """The answer's descriptor; what anything else prints goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def carry_out(data: bytes, program: str, gate: Optional[int] = None) -> Dict[str, Any]:
    """Checks who asks for whom, becomes that user, and runs the verb.

    gate: the descriptor for the answer where this is the service account's side of ssh, which goes on by sudo.
    """
    request = parse(data)
    verb = VERBS.get(request.verb)
    if verb is None:
        raise Fault("protocol", "verb: {!r} is not known; known are {}".format(request.verb, ", ".join(sorted(VERBS))))
    site, is_installed = installed.load(program, request.fields.get("site"))
    where = installed.cluster_of(site, request.cluster)
    switches = verb.owner != "never" and bool(request.user)
    if verb.owner == "must" and not switches:
        raise Fault("protocol", "user: {} acts for a user only".format(request.verb))
    if gate is not None and switches:
        if not is_installed:
            raise Fault("site", "the gate needs a {} beside {}".format(installed.SITE_FILE, program), program)
        from .gate import pass_on

        pass_on(data, gate, request.user, where, program)
    dialect = schedulers.load(where.cluster.scheduler)
    cluster = _local(where.cluster, program) if dialect.LOCAL else where.cluster
    who = act_as(request.user, site.min_uid, site.deny_groups, is_installed) if switches else own_account()
    each, whole = _limits(request, where)
    runner = Runner(cluster, who, each, whole)
    # A submit that is cut off may have happened.
    _end_in_time(runner, whole + _SPARE, "unknown" if request.verb == "submit" else "unavailable")
    act = Act(request, site, where, cluster, dialect, who, runner)
    probed = _probe(act, verb)
    result = verb.run(act)
    return {"result": result, "probed": probed} if probed else {"result": result}


def _limits(request: Request, where: ClusterSite) -> "tuple[float, float]":
    """Seconds for one command and for the whole request."""
    each = where.submit_timeout if request.verb == "submit" else where.command_timeout
    whole = request.number("timeout", each * 2, 1, 3600)
    return min(each, whole), whole


def _local(cluster: Cluster, program: str) -> Cluster:
    """The embedded queue has no commands of its own: it is told where this program is. Root makes its folder."""
    if os.geteuid() == 0:
        from ..localqueue.store import Store, default_folder

        mask = os.umask(0o022)
        try:
            Store.prepare(cluster.environment.get("HPCSPAWNER_LOCALQUEUE") or default_folder(), shared=True)
        except (OSError, ValueError) as error:
            raise Fault("unavailable", "the folder of the local queue cannot be made: {}".format(error)) from None
        finally:
            os.umask(mask)
    return dataclasses.replace(cluster, environment={**cluster.environment, "HPCSPAWNER_PROGRAM": program})


def _probe(act: Act, verb: Verb) -> Optional[Dict[str, str]]:
    """Version and family of the scheduler: what the hub remembers, or else asked now and told to the hub."""
    known = act.request.table("probed")
    version, family = known.get("version"), known.get("family")
    if isinstance(version, str) and isinstance(family, str):
        act.cluster = dataclasses.replace(act.cluster, version=version, family=family)
        return None
    if not verb.scheduler or act.dialect.LOCAL:
        return None
    act.cluster = act.dialect.probed(act.cluster, act.runner.run(act.dialect.probe(act.cluster)))
    return {"version": act.cluster.version, "family": act.cluster.family}


def _end_in_time(runner: Runner, seconds: float, kind: str) -> None:
    """An end by SIGTERM or for lack of time is an answer in words, and leaves no command behind."""

    def end(number: int, frame: Any) -> None:
        signal.alarm(0)
        runner.stop()
        raise Fault(kind, "the helper was ended" if number == signal.SIGTERM else "the helper took too long")

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, end)
    signal.alarm(int(seconds) + 1)
