"""The start of a server: submit its job, then wait for its report as long as the profile has patience."""

from __future__ import annotations

import time
from typing import Any

from jupyterhub.utils import url_path_join
from traitlets import Integer

from . import failure, options, progress
from .choosing import ChoosingSpawner
from .jobqueue import Entry, JobQueue, SubmitFailed, SubmitLost, SubmitRefused
from .patience import Patience, first, submit_limit
from .sitemodel import Profile


class StartingSpawner(ChoosingSpawner):
    """From a choice to the URL of a server, or to a failure that says what happened to the job."""

    queue_timeout = Integer(
        0,
        help="""Seconds that a job may wait in the queue before the start is given up and the job cancelled.
        0: what the profile says in the site file (a day, if it says nothing). JupyterHub's own start_timeout is set
        from this and the profile's start_timeout before each start.""",
    ).tag(config=True)

    async def _run_apply_user_options(self, user_options: Any) -> None:
        await super()._run_apply_user_options(user_options)
        # The hub reads start_timeout once, when start() begins.
        patience = self._patience()
        self.start_timeout = round(patience.queue_limit + patience.report_limit + self._submit_limit())

    async def start(self) -> str:
        """Submits the job and waits until its server reports; returns the server's URL."""
        await self.fleet.ready()
        choice = self._choice or await self.choose(self.user_options)
        queue = self.fleet.queues[choice.cluster]
        self.begin_job(queue.new_tag(), choice.cluster, choice.summary())
        await self._submit(queue, choice)
        return await self.until_reported(queue)

    # Submit ------------------------------------------------------------------------------------------------------

    async def _submit(self, queue: JobQueue, choice: options.Choice) -> None:
        fields = await self._fields(choice)
        try:
            fields.update(await self.script_fields(choice))
        except ValueError as error:
            raise failure.not_submitted(str(error)) from error
        try:
            entry = await queue.submit(self.tag, self.user.name, fields, self.owner_key)
        except SubmitRefused as error:
            raise failure.refused_job(str(error)) from error
        except SubmitLost as error:
            raise failure.lost(str(error)) from error
        except SubmitFailed as error:
            raise failure.not_submitted(str(error)) from error
        self.job_id = entry.id
        self.persist()
        queue.stored(self.tag)
        self.log.info("Job %s (%s) on %s for %s: %s", entry.id, self.tag, choice.cluster, self._log_name, self._summary)

    async def _fields(self, choice: options.Choice) -> dict[str, Any]:
        """For the helper's verb submit."""
        person = await self.person()
        fields: dict[str, Any] = {
            "kind": "server",
            "choice": choice.canonical(),
            "groups": sorted(person.groups),
            "environment": self._environment(choice),
            "report": {"urls": [url_path_join(self._hub_api(), "batchspawner")]},
            "server_name": self.name,
        }
        if person.accounts is not None:
            fields["accounts"] = sorted(person.accounts)
        return fields

    def _hub_api(self) -> str:
        return self.fleet.cluster(self._cluster).hub_url or str(self.hub.api_url)

    def _environment(self, choice: options.Choice) -> dict[str, str]:
        """What the server needs to know, secrets included; travels in a file that only the user reads."""
        environment = dict(self.get_env())
        hub_url = self.fleet.cluster(choice.cluster).hub_url
        if hub_url:
            activity = url_path_join(hub_url, "users", self.user.escaped_name, "activity")
            environment.update(JUPYTERHUB_API_URL=hub_url, JUPYTERHUB_ACTIVITY_URL=activity)
        app = self.fleet.site.apps.get(choice.app)
        if app is not None and app.url and not self.default_url:
            environment["JUPYTERHUB_DEFAULT_URL"] = app.url
        return environment

    # Wait --------------------------------------------------------------------------------------------------------

    async def until_reported(self, queue: JobQueue) -> str:
        """Waits for the job's own report; its end, or the end of our patience, ends the start."""
        patience = self._patience()
        while not self._reported.is_set():
            entry = queue.entry(self.tag)
            if entry is not None and entry.ended:
                raise await self.job_ended(queue)
            left = patience.left(entry)
            if left <= 0:
                raise await self._too_long(queue, entry, patience)
            await first(self._reported.wait(), queue.changed(self.tag, since=entry), timeout=min(left, 30))
        return self._url

    def _patience(self) -> Patience:
        profile = self._profile()
        return Patience(self.queue_timeout or profile.queue_timeout, profile.start_timeout)

    def _submit_limit(self) -> float:
        cluster = self.fleet.site.clusters.get(self._choice.cluster if self._choice else self._cluster)
        return 60 if cluster is None else submit_limit(self.fleet.queues[cluster.cluster.name], cluster)

    def _profile(self) -> Profile:
        name = self._choice.profile if self._choice else self._last.get("profile", "")
        return self.fleet.site.profile(str(name))

    async def job_ended(self, queue: JobQueue) -> failure.StartFailure:
        """The failure to raise for a job that ended before its server was ready."""
        ending = await queue.why(self.tag)
        self.note_ending(ending.text)
        self.log.error("Job %s (%s) of %s: %s", self.job_id, self.tag, self._log_name, ending.text)
        return failure.ended(f"Job {self.job_id} ended before the server was ready: {ending.text}", tuple(ending.lines))

    async def _too_long(self, queue: JobQueue, entry: Entry | None, patience: Patience) -> failure.StartFailure:
        self.log.error("Job %s (%s) of %s took too long to start", self.job_id, self.tag, self._log_name)
        if entry is None or entry.state.waits or not entry.id:
            found = failure.waited_too_long(patience.queue_limit, progress.line(entry, now=time.time()).text)
        else:
            ending = await queue.why(self.tag)
            found = failure.started_too_slowly(patience.report_limit, tuple(ending.lines), ending.log)
        self.note_ending(str(found.message))
        return found
