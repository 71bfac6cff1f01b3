"""The hub's endpoints for admins and for monitoring, below /hub/api/hpcspawner/.

GET    health                     figures of all clusters (scope read:metrics or admin:servers)
GET    jobs[?cluster=NAME]        living jobs
POST   jobs/TAG/adopt             {"cluster", "user", "id"}: only for a job that the journal lacks
POST   jobs/TAG/forget            {"cancel": true}: ends it too
POST   clusters/NAME/drain        {"text"}
POST   clusters/NAME/resume

All but health need the scope admin:servers for everybody's servers. Answers are JSON; {"message"} where something was
done or could not be.
"""

from __future__ import annotations

import json
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers import APIHandler, default_handlers
from jupyterhub.scopes import needs_scope

from . import fleet, health, metrics
from .operations import Operations, Refusal

ROOT = r"/api/hpcspawner"
LIMIT = 16_384
"""Bytes of a request's body."""


def known_tags(session: Any) -> set[str]:
    """Tags of the jobs in the hub's database."""
    if session is None:
        return set()
    states = [state for (state,) in session.query(orm.Spawner.state)]
    return {str(state["tag"]) for state in states if state and state.get("tag")}


class Handler(APIHandler):  # type: ignore[misc]
    """What the endpoints share."""

    async def fleets(self) -> list[fleet.Fleet]:
        """The fleets of this process, begun. The first one is made here where no server has been asked for yet."""
        if not fleet.fleets():
            self.settings["spawner_class"](config=self.settings["config"])
        for one in fleet.fleets():
            one.begin(lambda: known_tags(self.settings["db"]))
            await one.ready()
        return fleet.fleets()

    async def operations(self) -> Operations:
        return Operations(await self.fleets(), lambda: known_tags(self.db))

    def body(self) -> dict[str, Any]:
        """The request's object; an empty body is an empty one. Raises Refusal."""
        if len(self.request.body) > LIMIT:
            raise Refusal(413, f"a request has at most {LIMIT} bytes")
        try:
            found = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refusal(400, "the request is no JSON object")
        return found

    def refuse(self, refusal: Refusal) -> None:
        self.set_status(refusal.status)
        self.finish(json.dumps({"status": refusal.status, "message": refusal.text}))

    def say(self, text: str) -> None:
        who = getattr(self.current_user, "name", "?")
        self.log.warning("By %s: %s", who, text)
        self.finish(json.dumps({"message": text}))


class HealthHandler(Handler):
    """Age of answers, errors, jobs by state."""

    @needs_scope("read:metrics", "admin:servers")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """See health.py."""
        self.finish(json.dumps(health.report(await self.fleets())))


class JobsHandler(Handler):
    """The list of jobs."""

    @needs_scope("admin:servers")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """{"jobs": [...]}, see operations.py."""
        operations = await self.operations()
        try:
            self.finish(json.dumps({"jobs": operations.jobs(self.get_argument("cluster", ""))}))
        except Refusal as refusal:
            self.refuse(refusal)


class JobHandler(Handler):
    """One job."""

    @needs_scope("admin:servers")  # type: ignore[untyped-decorator]
    async def post(self, tag: str, action: str) -> None:
        """adopt or forget."""
        operations = await self.operations()
        try:
            body = self.body()
            if action == "forget":
                self.say(await operations.forget(tag, cancel=body.get("cancel") is True))
            else:
                self.say(await operations.adopt(tag, **_texts(body, "cluster", "user", "id")))
        except Refusal as refusal:
            self.refuse(refusal)


class ClusterHandler(Handler):
    """One cluster."""

    @needs_scope("admin:servers")  # type: ignore[untyped-decorator]
    async def post(self, cluster: str, action: str) -> None:
        """drain or resume."""
        operations = await self.operations()
        try:
            if action == "drain":
                self.say(operations.drain(cluster, _texts(self.body(), "text")["text"]))
            else:
                self.say(operations.resume(cluster))
        except Refusal as refusal:
            self.refuse(refusal)


def _texts(body: dict[str, Any], *names: str) -> dict[str, str]:
    """These fields of the body, each a text; '' where one is missing. Raises Refusal."""
    for name, value in body.items():
        if name not in names:
            raise Refusal(400, f"{name}: is not known; known are {', '.join(names)}")
        if not isinstance(value, str):
            raise Refusal(400, f"{name}: must be a text")
    return {name: body.get(name, "") for name in names}


HANDLERS = [
    (rf"{ROOT}/health", HealthHandler),
    (rf"{ROOT}/jobs", JobsHandler),
    (rf"{ROOT}/jobs/([A-Za-z0-9-]{{1,64}})/(adopt|forget)", JobHandler),
    (rf"{ROOT}/clusters/([A-Za-z0-9._-]{{1,64}})/(drain|resume)", ClusterHandler),
]


def install() -> None:
    """Adds the endpoints and the metrics. Safe to call again."""
    default_handlers[:] = [entry for entry in default_handlers if not entry[0].startswith(ROOT)]
    default_handlers.extend(HANDLERS)
    metrics.install()


install()
