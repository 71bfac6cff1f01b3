"""The job behind a server: what is kept about it in the hub's database, and the report by which it says where it is."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from batchspawner import BatchSpawnerBase
from jupyterhub import orm
from sqlalchemy import inspect

from . import STATE_SCHEMA, callback, report, schedulers
from .fleet import Fleet
from .jobqueue import Entry, JobQueue
from .lastending import LastEnding


class JobSpawner(BatchSpawnerBase):  # type: ignore[misc]
    """State, token and report. No scheduler is asked here; all of it is memory and the hub's database."""

    def __init__(self, **kwargs: Any) -> None:
        self.tag = ""
        self._cluster = ""
        self._submitted = 0.0
        self._token_id = 0
        self._url = ""
        self._run = 0
        self._summary = ""
        self._changed: list[str] = []
        self._plain = False
        self._last: dict[str, Any] = {}
        self._again = False
        self.last_ending = LastEnding()
        self._reported = asyncio.Event()
        super().__init__(**kwargs)

    # What is kept ------------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The last valid choice and how the last job ended always; the job's own facts while there is a job."""
        state: dict[str, Any] = {"schema": STATE_SCHEMA, "last": self._last}
        if self.last_ending:
            state["last_ending"] = self.last_ending.as_json()
        if self.tag:
            state.update(
                tag=self.tag,
                cluster=self._cluster,
                job_id=self.job_id,
                submitted=self._submitted,
                token_id=self._token_id,
                url=self._url,
                run=self._run,
                summary=self._summary,
                changed=self._changed,
                plain=self._plain,
            )
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Reads what an earlier hub kept; unknown keys of a newer one are ignored."""
        self._last = dict(state.get("last") or {})
        self.last_ending = LastEnding.from_json(state.get("last_ending"))
        self.tag = str(state.get("tag") or "")
        self._cluster = str(state.get("cluster") or "")
        self.job_id = str(state.get("job_id") or "")
        self._submitted = float(state.get("submitted") or 0)
        self._token_id = int(state.get("token_id") or 0)
        self._url = str(state.get("url") or "")
        self._run = int(state.get("run") or 0)
        self._summary = str(state.get("summary") or "")
        self._changed = [str(text) for text in state.get("changed") or ()]
        self._plain = bool(state.get("plain"))
        if self._url:
            self._reported.set()

    def clear_state(self) -> None:
        """Forgets the job, never the last choice nor how the job ended.

        The token goes too: a restarted hub knows it by its id only.
        """
        super().clear_state()
        self._revoke_token()
        self.tag = self._cluster = self.job_id = self._url = self._summary = ""
        self._submitted, self._token_id, self._run, self._changed = 0.0, 0, 0, []
        self._again, self._reported = False, asyncio.Event()

    def persist(self) -> None:
        """Commits the state now: the hub itself saves it only after start() has returned."""
        if self.orm_spawner is not None:
            self.orm_spawner.state = self.get_state()
            inspect(self.orm_spawner).session.commit()

    def begin_job(self, tag: str, cluster: str, summary: str) -> None:
        """A new job is about to be submitted under that tag."""
        self.tag, self._cluster, self._summary = tag, cluster, summary
        self._submitted = time.time()
        self._url, self._run, self.job_id, self._plain, self._changed = "", 0, "", False, []
        self._again, self._reported = False, asyncio.Event()
        self.last_ending = LastEnding()
        token = orm.APIToken.find(inspect(self.orm_spawner).session, self.api_token)
        self._token_id = token.id if token else 0
        self.persist()

    def note_ending(self, text: str) -> None:
        """What the user reads on the pages from now on, until the next start."""
        self.last_ending = LastEnding(text, time.time(), self.job_id)

    def expect_again(self) -> None:
        """The job was put back into the queue: its next run reports another place."""
        self._again = True
        self._reported.clear()

    def _revoke_token(self) -> None:
        if not self._token_id or self.orm_spawner is None:
            return
        session = inspect(self.orm_spawner).session
        token = session.get(orm.APIToken, self._token_id)
        if token is not None and token.user_id == self.orm_spawner.user_id:
            session.delete(token)
            session.commit()

    def owns_token(self, token: orm.APIToken) -> bool:
        """Whether that token of the database is the one this server's job was given."""
        return bool(self.tag) and token is not None and token.id == self._token_id

    # Where it is -------------------------------------------------------------------------------------------------

    fleet: Fleet

    @property
    def queue(self) -> JobQueue | None:
        """The queue of the job's cluster; None where the cluster has left the site file."""
        return self.fleet.queues.get(self._cluster)

    @property
    def owner_key(self) -> str:
        """What the queue's journal calls this server: user/server."""
        return f"{self.user.name}/{self.name}"

    def entry(self) -> Entry | None:
        """What the queue knows of the job, from memory."""
        queue = self.queue
        return queue.entry(self.tag) if queue is not None and self.tag else None

    @property
    def reported_url(self) -> str:
        """Scheme, host and port that the job has reported last."""
        return self._url

    async def take_report(self, body: dict[str, Any]) -> tuple[int, str]:
        """The job says where its server listens. Returns an HTTP status and a sentence; a refusal changes nothing."""
        queue = self.queue
        if not self.tag or queue is None:
            return 404, "no job of this server is expected to report"
        try:
            expected = await self._expected(queue, body)
            verdict = report.judge(body, expected, await callback.known(body, expected.nodes))
        except report.ReportError as error:
            self.log.warning("Report for %s refused: %s", self._log_name, error)
            return error.status, str(error)
        if isinstance(verdict, report.Same):
            return 200, "already known"
        self._url, self._run = verdict.url, verdict.run
        self.job_id = self.job_id or verdict.job_id
        entry = self.entry()
        self._changed = list(entry.changed_by_site) if entry is not None else []
        self.persist()
        queue.reported(self.tag, verdict.job_id, verdict.run)
        if isinstance(verdict, report.Changed):
            self.fleet.later(self.moved(verdict.url))
        self._again = False
        self._reported.set()
        return 200, "thank you"

    async def _expected(self, queue: JobQueue, body: Any) -> report.Expected:
        told = body if isinstance(body, dict) and body.get("tag") == self.tag else {}
        job_id, run = told.get("job_id"), told.get("run")
        entry = await queue.nodes_known(
            self.tag,
            job_id=job_id if isinstance(job_id, str) else "",
            run=run if isinstance(run, int) else 0,
        )
        return report.Expected(
            tag=self.tag,
            cluster=self.fleet.cluster(self._cluster),
            nodes=entry.status.nodes if entry is not None and entry.status else (),
            local=schedulers.load(self.fleet.cluster(self._cluster).cluster.scheduler).LOCAL,
            job_id=self.job_id or (entry.id if entry else ""),
            run=self._run,
            url=self._url,
            plain=self._plain,
        )

    async def moved(self, url: str) -> None:
        """The job was requeued and listens elsewhere: the hub's record and the proxy's route follow."""
        if self.server is None:
            return
        self.log.warning("%s moved to %s", self._log_name, url)
        self.set_server(url)
        await self.route()

    def set_server(self, url: str) -> None:
        """Writes scheme, host and port into the hub's record of the server."""
        parts = urlsplit(url)
        self.server.proto = parts.scheme
        self.server.ip = parts.hostname or ""
        self.server.port = parts.port or (443 if parts.scheme == "https" else 80)
        inspect(self.orm_spawner).session.commit()

    async def route(self) -> None:
        """Adds the proxy's route; the hub itself does so only at the end of a start it knows of."""
        proxy = self.user.settings.get("proxy")
        if proxy is not None:
            await proxy.add_user(self.user, self.name)

    async def unroute(self) -> None:
        """Takes the proxy's route away: requests come to the hub's own pages then."""
        proxy = self.user.settings.get("proxy")
        if proxy is not None:
            await proxy.delete_user(self.user, self.name)
