"""Reaches the helper that acts on the batch system as a user. The only place on the hub that starts processes.

Ways: self (the hub is the user), root (the helper drops to the user), sudo (a rule lets the hub's account start the
installed helper as a user) and ssh (a forced command on a submit host). All speak one protocol: a JSON request on
standard input, a JSON answer on standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pwd
import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import HELPER_PROTOCOL, helper_app, sitejson, ways
from .connection import Connection, trouble
from .sitemodel import ClusterSite, Site

READS = frozenset({"version", "account", "query", "find", "tail", "inventory"})
"""Verbs that change nothing: their process is ended when the caller is cancelled."""

_OVERHEAD = 10.0
"""Seconds that the helper gives up before the hub does: for sudo, ssh and the start of Python."""


class HelperError(Exception):
    """The helper did not do it. kind: one of hpcspawner.helper.faults.KINDS, or unknown (a submit without answer)."""

    def __init__(self, kind: str, text: str, path: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.path = path


MOST = 64 * 1024 * 1024
"""Bytes of an answer, some hundred thousand jobs. A helper runs as the user: it must not fill the hub's memory."""

_OWN_SITE = frozenset({"self", "root"})
"""Ways whose helper gets program and site from the hub; the others have their own, installed by an administrator."""


class Helpers:
    """Calls the helper of one cluster.

    directory: the hub's state directory, for the packed helper and ssh's socket. Nothing is started before the first
    call.
    """

    def __init__(self, site: Site, cluster_name: str, directory: str | os.PathLike[str], log: Any) -> None:
        self.name = cluster_name
        self.cluster: ClusterSite = site.clusters[cluster_name]
        self.log = log
        kind = self.cluster.way.kind
        self.kind = ("root" if os.geteuid() == 0 else "self") if kind == "auto" else kind
        if self.kind not in ways.WAYS:
            raise ValueError(
                f"clusters.{cluster_name}.way.kind: {kind!r} is not known; known are {', '.join(ways.WAYS)}"
            )
        self.way = self.cluster.way
        self.probed: dict[str, str] | None = None
        """Version and family of the scheduler, once the helper has told them."""
        self._site = sitejson.dump(site)
        self._directory = Path(directory).absolute()
        self._program = ""
        self._socket = ""
        self._connection: Connection | None = None
        self._preparing = asyncio.Lock()
        self._left: set[asyncio.Task[Any]] = set()

    async def call(self, verb: str, user: str, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        """The result of a verb, carried out as user ('': as the hub's account).

        timeout: seconds for the whole call; default: a little more than the site gives the scheduler's commands. Raises
        HelperError.
        When the caller is cancelled, a verb that changes nothing is ended; any other goes on to its end, unheard:
        shield a submit to hear its answer.
        """
        limit = timeout if timeout is not None else self._limit(verb)
        self._may(verb, user)
        try:
            await self._prepare()
            await self._connect()
            argv = ways.WAYS[self.kind](self.way, user, self._program, self._socket)
            request = self._request(verb, user, limit - min(_OVERHEAD, limit / 3), fields)
            code, out, err = await self._run(argv, request, limit, verb)
        except OSError as error:
            raise HelperError(_lost(verb), f"the helper cannot be started: {error}") from error
        answer = _read(out)
        if answer is None:
            raise self._silence(verb, code, err)
        if isinstance(answer.get("probed"), dict):
            self.probed = answer["probed"]
        return _result(answer, verb)

    async def close(self) -> None:
        """Waits for calls that go on unheard. ssh's connection ends by itself when it is not used."""
        if self._left:
            await asyncio.wait(self._left, timeout=_OVERHEAD)

    # The request -------------------------------------------------------------------------------------------------

    def _limit(self, verb: str) -> float:
        """The scheduler's own time-out comes first, then the helper's; only then we give up."""
        one = self.cluster.submit_timeout if verb == "submit" else self.cluster.command_timeout
        return one + 2 * _OVERHEAD

    def _may(self, verb: str, user: str) -> None:
        if self.kind == "self" and user and user != _own_name() and verb not in ("version", "account"):
            raise HelperError("forbidden", f"this hub runs as {_own_name()} and cannot act for {user}")

    def _request(self, verb: str, user: str, limit: float, fields: Mapping[str, Any]) -> bytes:
        request: dict[str, Any] = {
            "protocol": HELPER_PROTOCOL,
            "verb": verb,
            "cluster": self.name,
            "user": user,
            "timeout": limit,
            **fields,
        }
        if self.probed is not None:
            request["probed"] = self.probed
        if self.kind in _OWN_SITE:
            request["site"] = self._site
        return json.dumps(request).encode()

    async def _prepare(self) -> None:
        """Before the first call: the packed helper, or the place of ssh's connection."""
        async with self._preparing:
            if self.kind in _OWN_SITE and not _exists(self._program):
                await self._pack()
            if self.kind == "ssh" and not _exists(os.path.dirname(self._socket)):
                self._socket = ways.socket_path(self._directory, self.name, self.way)
                argv = ways.WAYS["ssh"](self.way, "", "", self._socket)
                self._connection = Connection(argv, self._socket, _process)

    async def _connect(self) -> None:
        """Before each call by ssh: without a connection nothing was asked, not even a submit."""
        err = await self._connection.open() if self._connection is not None else ""
        if err:
            raise HelperError("unavailable", trouble(self.way, err))

    async def _pack(self) -> None:
        """Packs the helper with the Python that will run it; the hub's own where the site's is missing or too old."""
        directory = ways.program_directory(self._directory, self.kind)
        if directory is None:
            words = "the helper must lie where users can enter and only root can write"
            raise HelperError("site", f"{self._directory}: {words}", str(self._directory))
        argv = [self.way.python, "-I", helper_app.__file__, "--into", str(directory)]
        try:
            code, out, err = await _process(argv, b"", 120)
        except OSError as error:
            code, out, err = None, b"", str(error)
        if code == 0:
            self._program = out.decode().strip()
        elif self.way.python != sys.executable and ways.runs_for_users(sys.executable, self.kind):
            self.log.info("%s cannot run the helper, %s will: %s", self.way.python, sys.executable, err.strip()[-200:])
            self.way = dataclasses.replace(self.way, python=sys.executable)
            await self._pack()
        else:
            raise HelperError(
                "site", f"{self.way.python} cannot pack the helper into {directory}: {err.strip()[-500:]}"
            )

    # The process -------------------------------------------------------------------------------------------------

    async def _run(self, argv: list[str], data: bytes, limit: float, verb: str) -> tuple[int | None, bytes, str]:
        """Code (None: it took too long), output and error text of the process."""
        work = asyncio.ensure_future(_process(argv, data, limit))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if verb in READS:
                work.cancel()
            self._left.add(work)
            work.add_done_callback(self._forget)
            raise

    def _forget(self, work: asyncio.Task[Any]) -> None:
        self._left.discard(work)
        if not work.cancelled() and work.exception() is not None:
            self.log.warning("A helper that nobody waits for failed: %s", work.exception())

    def _silence(self, verb: str, code: int | None, err: str) -> HelperError:
        """The error for a helper that gave no answer that can be read."""
        words = " ".join(err.split())[-500:]
        if code is None:
            return HelperError(_lost(verb), f"no answer from the helper on {self.name} in time")
        if self.kind in ("sudo", "ssh") and re.search(r"^sudo: ", err, re.MULTILINE):
            return HelperError("forbidden", f"sudo does not let the hub act for this user: {words}")
        if self.kind == "ssh" and code == 255:
            # The connection was lost on the way: after a submit there may be a job.
            return HelperError(_lost(verb), trouble(self.way, err))
        return HelperError(_lost(verb), f"the helper gave no answer (exit code {code}): {words}")


def _exists(path: str) -> bool:
    return os.path.exists(path)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"#{os.geteuid()}"


def _lost(verb: str) -> str:
    """What a missing answer means: after a submit there may be a job."""
    return "unknown" if verb == "submit" else "unavailable"


def _read(out: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(out)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and "protocol" in answer else None


def _result(answer: Mapping[str, Any], verb: str) -> dict[str, Any]:
    error, result = answer.get("error"), answer.get("result")
    if answer.get("ok") is False and isinstance(error, dict):
        raise HelperError(*(str(error.get(name) or "") for name in ("kind", "text", "path")))
    if answer["protocol"] != HELPER_PROTOCOL:
        raise HelperError(
            "protocol",
            f"the hub speaks protocol {HELPER_PROTOCOL}, the installed helper speaks {answer['protocol']!r}: "
            "install the same version of hpcspawner on both sides",
        )
    if not isinstance(result, dict):
        raise HelperError(_lost(verb), "the helper's answer has no result")
    return result


async def _process(argv: list[str], data: bytes, limit: float) -> tuple[int | None, bytes, str]:
    """Runs a program to its end, or ends it after limit seconds (code None) or when cancelled. Raises OSError."""
    # A file, not a pipe: the connection that ssh leaves behind keeps its standard error open.
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/"},
            start_new_session=True,
        )
        code: int | None = None
        out = b""
        try:
            out = await asyncio.wait_for(_answer(process, data), limit)
            code = process.returncode
        except asyncio.TimeoutError:
            pass
        finally:
            if process.returncode is None:
                await _end(process)
        errors.seek(0)
        return code, out, errors.read(65_536).decode("utf-8", "replace")


async def _answer(process: asyncio.subprocess.Process, data: bytes) -> bytes:
    """The process's whole output after that input; b'' where it is too long to be an answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
    parts, size = [], 0
    while part := await process.stdout.read(65_536):
        size += len(part)
        if size > MOST:
            return b""
        parts.append(part)
    await process.wait()
    return b"".join(parts)


async def _end(process: asyncio.subprocess.Process) -> None:
    """TERM lets the helper end its command, KILL follows. Processes of sudo resist; their own limit ends them."""
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
            return
