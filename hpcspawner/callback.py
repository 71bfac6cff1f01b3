"""The hub's endpoint for jobs that report where their server listens: POST /hub/api/batchspawner.

It takes the place of batchspawner's handler, which finds the spawner by a token that it forgets when the hub restarts,
and sets whatever attribute of the spawner the body names.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from typing import Any

from batchspawner.api import BatchSpawnerAPIHandler  # registers itself; install() takes its place
from jupyterhub import orm, scopes
from jupyterhub.apihandlers import default_handlers
from jupyterhub.utils import maybe_future

from .report import LIMIT, Known, ReportError

PATTERN = r"/api/batchspawner"


class ReportHandler(BatchSpawnerAPIHandler):  # type: ignore[misc]
    """Takes a report from the job that owns the server's token.

    The hub imports every installed spawner, so this is here on hubs of batchspawner alone too: its spawners keep its
    own handler.

    The spawner gives owns_token(orm_token) -> bool, tag and take_report(report) -> (status, text), which may be
    a coroutine and may raise ReportError.
    """

    async def post(self) -> None:
        """Answers {"message"}: 200 taken or known already, 4xx refused (409: another place is known), 503 try again."""
        if self._is_batchspawners():
            super().post()
            return
        status, text = await self._take()
        if status != 200:
            self.log.warning("report of a job: %s %s", status, text)
        self.set_status(status)
        self.finish(json.dumps({"status": status, "message": text}))

    def _is_batchspawners(self) -> bool:
        token = self.get_token()
        user = self.users[token.user] if token is not None and token.user is not None else None
        spawners = user.spawners.values() if user is not None else ()
        mine = [s for s in spawners if s.api_token and s.api_token == self.get_auth_token()]
        return bool(mine) and not any(hasattr(spawner, "take_report") for spawner in mine)

    async def _take(self) -> tuple[int, str]:
        # Not current_user: that may be missing because the user's login needs a refresh, which no job can do.
        token = self.get_token()
        if token is None or token.user is None:
            return 403, "the server's own token is needed; it may have been ended"
        if len(self.request.body) > LIMIT:
            return 413, f"a report has at most {LIMIT} bytes"
        try:
            body = json.loads(self.request.body)
        except (ValueError, RecursionError):
            return 400, "the report is no JSON"
        spawner = self._spawner(token, body)
        if spawner is None:
            return 404, "no server that is starting or running belongs to this token"
        try:
            status, text = await maybe_future(spawner.take_report(body))
        except ReportError as error:
            return error.status, error.text
        except Exception:
            self.log.exception("report of a job of %s", spawner._log_name)
            return 500, "the hub failed to take the report; its log says why"
        return status, text

    def _spawner(self, token: orm.APIToken, body: Any) -> Any:
        return find_spawner(self.users[token.user], token, body, scopes.get_scopes_for(token))


def find_spawner(user: Any, token: Any, body: Any, held: Any) -> Any:
    """The spawner of this user to which the token belongs, or None.

    token: the database row of the token; held: the scopes that it has. A spawner that knows the token's id has it.
    Else (a state that an older version wrote) the tag in the body has to be that spawner's own, and the token one that
    was made for that very server.
    """
    spawners = [user.spawners[name] for name, row in user.orm_user.orm_spawners.items() if _alive(user, name, row)]
    for spawner in spawners:
        owns = getattr(spawner, "owns_token", None)
        if owns is not None and owns(token):
            return spawner
    tag = body.get("tag") if isinstance(body, dict) else None
    for spawner in spawners:
        if tag and getattr(spawner, "tag", None) == tag and _made_for(user, spawner, token, held):
            return spawner
    return None


def _alive(user: Any, name: str, row: Any) -> bool:
    """Whether the server is starting or running; a look that makes no new spawner for servers long gone."""
    return row.server is not None or (name in user.spawners and bool(user.spawners[name].active))


def _made_for(user: Any, spawner: Any, token: Any, held: Any) -> bool:
    # The hub gives a server's API token this scope and this note; browser tokens belong to the server's OAuth client.
    wanted = f"access:servers!server={user.name}/{spawner.name}"
    return token.client_id == "jupyterhub" and wanted in held and str(token.note or "").startswith("Server at ")


async def known(body: Any, nodes: Sequence[str]) -> Known:
    """What the report's host and the job's nodes resolve to; empty where a name resolves to nothing or is no text."""
    host = body.get("host") if isinstance(body, dict) else None
    found = await _looked_up(host) if isinstance(host, str) else ()
    of_nodes = [address for node in nodes[:5] for address in await _looked_up(node)] if found else []
    here = socket.gethostname().split(".")[0] in {node.split(".")[0] for node in nodes}
    # Networks of nodes often hold the hub too: a job must not lead its route to what else listens here.
    own = () if here else tuple(address for address in found if address not in of_nodes and _is_own(address))
    return Known(found, tuple(of_nodes), own)


async def _looked_up(host: str) -> tuple[str, ...]:
    if not host or len(host) > 253:
        return ()
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_own(address: str) -> bool:
    """What this machine sends to its own addresses has them as its source too. Nothing is sent."""
    address = address.removeprefix("::ffff:")
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:
        return False


def install() -> None:
    """Puts the handler in place of batchspawner's. Safe to call again."""
    default_handlers[:] = [entry for entry in default_handlers if entry[0] != PATTERN]
    default_handlers.append((PATTERN, ReportHandler))


install()
