"""Rules of the hub's endpoint for reports, on a real hub (without a proxy) that is also restarted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import Spawner
from sqlalchemy import inspect
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

from hpcspawner import callback
from hpcspawner.report import Known, ReportError


class Server(Spawner):  # type: ignore[misc]
    """A spawner whose job is still to report, as HPCSpawner is in the eyes of the endpoint."""

    knows_token = True

    def __init__(self, **settings: Any) -> None:
        self.tag = ""
        self.token_id = 0
        self.taken: list[dict[str, Any]] = []
        self.answer: tuple[int, str] | Exception = (200, "thank you")
        self.reported = asyncio.Event()
        super().__init__(**settings)

    def get_state(self) -> dict[str, Any]:
        return {"tag": self.tag, "token_id": self.token_id}

    def load_state(self, state: dict[str, Any]) -> None:
        self.tag = state.get("tag", "")
        self.token_id = state.get("token_id", 0)

    def clear_state(self) -> None:
        super().clear_state()
        self.tag, self.token_id = "", 0

    async def start(self) -> str:
        self.tag = "tag-" + (self.name or "default")
        session = inspect(self.orm_spawner).session
        if self.knows_token:
            self.token_id = orm.APIToken.find(session, self.api_token).id
        self.orm_spawner.state = self.get_state()
        session.commit()
        await self.reported.wait()
        await asyncio.Event().wait()
        return ""

    async def get_url(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def poll(self) -> int | None:
        return None if self.tag else 0

    async def stop(self, now: bool = False) -> None:
        pass

    def owns_token(self, token: orm.APIToken) -> bool:
        return bool(self.token_id) and token.id == self.token_id

    async def take_report(self, body: dict[str, Any]) -> tuple[int, str]:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.taken.append(body)
        self.reported.set()
        return self.answer


class Hub:
    """A hub on a port of its own, with its database in a file that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tasks: list[Any] = []

    async def up(self) -> None:
        config = Config()
        config.JupyterHub.spawner_class = Server
        config.JupyterHub.authenticator_class = "dummy"
        config.Authenticator.allow_all = True
        config.JupyterHub.allow_named_servers = True
        config.JupyterHub.db_url = f"sqlite:///{self.folder}/hub.sqlite"
        config.JupyterHub.cookie_secret_file = f"{self.folder}/cookie_secret"
        config.JupyterHub.cleanup_servers = False
        config.JupyterHub.init_spawners_timeout = 0
        config.JupyterHub.log_level = 40
        self.app = JupyterHub(config=config)
        await self.app.initialize([])
        self.listener, self.port = bind_unused_port()
        self.server = HTTPServer(self.app.tornado_application)
        self.server.add_socket(self.listener)

    async def down(self) -> None:
        """As kill -9 would: nothing is stopped, nothing saved."""
        self.server.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        self.app.db.close()

    async def start(self, user: str, name: str = "") -> str:
        """Starts a server, which waits for its report; its token."""
        if orm.User.find(self.app.db, user) is None:
            self.app.db.add(orm.User(name=user))
            self.app.db.commit()
            from jupyterhub.roles import assign_default_roles

            assign_default_roles(self.app.db, orm.User.find(self.app.db, user))
        owner = self.app.users[user]
        self.tasks.append(asyncio.ensure_future(owner.spawn(name)))
        while not (name in owner.spawners and owner.spawners[name].tag):
            await asyncio.sleep(0.01)
            assert not self.tasks[-1].done(), self.tasks[-1]
        token: str = owner.spawners[name].api_token
        return token

    def spawner(self, user: str, name: str = "") -> Server:
        found: Server = self.app.users[user].spawners[name]
        return found

    async def post(self, token: str | None, body: Any) -> tuple[int, str]:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"token {token}"
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        url = f"http://127.0.0.1:{self.port}/hub/api/batchspawner"
        answer = await AsyncHTTPClient().fetch(HTTPRequest(url, "POST", headers, data), raise_error=False)
        return answer.code, json.loads(answer.body)["message"]


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.chdir(tmp_path)
    hub = Hub(tmp_path)
    await hub.up()
    yield hub
    await hub.down()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    JupyterHub.clear_instance()


async def test_a_report_reaches_the_server_whose_token_it_carries(hub: Hub) -> None:
    first, second = await hub.start("alice"), await hub.start("alice", "gpu")
    other = await hub.start("bob")
    assert await hub.post(second, {"port": 2}) == (200, "thank you")
    assert await hub.post(other, {"port": 3, "tag": "tag-gpu"}) == (200, "thank you")
    assert await hub.post(first, {"port": 1}) == (200, "thank you")
    assert hub.spawner("alice").taken == [{"port": 1}]
    assert hub.spawner("alice", "gpu").taken == [{"port": 2}]
    assert hub.spawner("bob").taken == [{"port": 3, "tag": "tag-gpu"}]


@pytest.mark.parametrize("name", ["", "gpu"])
async def test_a_restarted_hub_knows_the_token_of_a_server_that_it_did_not_start(hub: Hub, name: str) -> None:
    token = await hub.start("alice", name)
    await hub.down()
    await hub.up()
    assert await hub.post(token, {"port": 1}) == (200, "thank you")
    assert hub.spawner("alice", name).taken == [{"port": 1}]
    assert hub.spawner("alice", name).api_token != token


async def test_a_state_without_the_tokens_id_is_matched_by_tag_and_scope(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "knows_token", False)
    token, other = await hub.start("alice", "gpu"), await hub.start("alice", "cpu")
    assert await hub.post(token, {"tag": "tag-gpu"}) == (200, "thank you")
    assert hub.spawner("alice", "gpu").taken == [{"tag": "tag-gpu"}]
    # The token of one server says nothing about another, though both are alice's.
    assert (await hub.post(other, {"tag": "tag-gpu"}))[0] == 404
    assert (await hub.post(token, {"tag": ""}))[0] == 404
    assert (await hub.post(token, []))[0] == 404


async def test_other_tokens_of_the_user_are_no_server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    await hub.start("alice")
    monkeypatch.setattr(Server, "knows_token", False)
    own = hub.app.users["alice"].new_api_token(note="my script")
    assert (await hub.post(own, {"tag": "tag-default"}))[0] == 404
    assert hub.spawner("alice").taken == []


@pytest.mark.parametrize("token", [None, "", "made-up"])
async def test_without_a_token_of_a_user_nothing_is_taken(hub: Hub, token: str | None) -> None:
    await hub.start("alice")
    assert (await hub.post(token, {"port": 1}))[0] == 403
    assert hub.spawner("alice").taken == []


async def test_the_token_of_an_ended_server_is_refused(hub: Hub) -> None:
    token = await hub.start("alice")
    hub.tasks.pop().cancel()
    await asyncio.sleep(0)
    await hub.app.users["alice"].stop("")
    assert (await hub.post(token, {"port": 1}))[0] == 403


@pytest.mark.parametrize("body", ["", "{", "\xff", "[" * 100_000])
async def test_what_is_no_json_is_refused_in_words(hub: Hub, body: str) -> None:
    token = await hub.start("alice")
    status, text = await hub.post(token, body)
    assert status == (413 if len(body) > 4096 else 400)
    assert "JSON" in text or "bytes" in text


async def test_a_refusal_goes_back_with_its_status_and_words(hub: Hub) -> None:
    token = await hub.start("alice")
    hub.spawner("alice").answer = ReportError(409, "the hub knows this server at another address already")
    assert await hub.post(token, {}) == (409, "the hub knows this server at another address already")
    hub.spawner("alice").answer = RuntimeError("with a secret")
    status, text = await hub.post(token, {})
    assert status == 500
    assert "secret" not in text


async def test_a_host_is_looked_up_and_nonsense_is_not() -> None:
    assert "127.0.0.1" in (await callback.known({"host": "localhost"}, ())).addresses
    for body in ({"host": "no-such-host.invalid"}, {"host": 5}, {"host": "x" * 300}, {"host": "a..b"}, [], None):
        assert await callback.known(body, ("localhost",)) == Known()


async def test_the_hubs_own_addresses_are_told_apart_from_those_of_the_jobs_nodes() -> None:
    mine = {"host": "127.0.0.1"}
    assert (await callback.known(mine, ("no-such-host.invalid",))).own == ("127.0.0.1",)
    assert (await callback.known(mine, ("localhost",))).own == ()
    assert (await callback.known(mine, (socket.gethostname(),))).own == ()
    assert (await callback.known({"host": "192.0.2.1"}, ())).own == ()


def test_the_endpoint_takes_the_place_of_batchspawners() -> None:
    from jupyterhub.apihandlers import default_handlers

    callback.install()
    found = [entry for entry in default_handlers if entry[0] == callback.PATTERN]
    assert found == [(callback.PATTERN, callback.ReportHandler)]
