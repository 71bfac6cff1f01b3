"""HPCSpawner: the lifecycle of a Jupyter server that runs as a batch job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from jupyterhub.utils import url_path_join
from traitlets import Integer

from . import attendance, failure, gone, options, progress
from .choosing import ChoosingSpawner
from .job import JobState
from .jobqueue import Entry, JobQueue, SubmitFailed, SubmitLost, SubmitRefused
from .sitemodel import Profile
from .whereabouts import answers


class HPCSpawner(ChoosingSpawner):
    """Starts servers as jobs of a batch system, as the site file says."""

    queue_timeout = Integer(
        0,
        help="""Seconds that a job may wait in the queue before the start is given up and the job cancelled.
        0: what the profile says in the site file (a day, if it says nothing). JupyterHub's own start_timeout is set
        from this and the profile's start_timeout before each start.""",
    ).tag(config=True)

    stop_timeout = Integer(
        600,
        help="""Seconds to wait until the scheduler confirms that a stopped server's job has ended. Afterwards the
        page goes on, and the cancel is still repeated in the background until the job is gone.""",
    ).tag(config=True)

    _spawn_future: Any

    # Start -------------------------------------------------------------------------------------------------------

    async def _run_apply_user_options(self, user_options: Any) -> None:
        await super()._run_apply_user_options(user_options)
        # The hub reads start_timeout once, when start() begins.
        self.start_timeout = round(self._queue_limit() + self._report_limit() + self._submit_limit())

    async def start(self) -> str:
        """Submits the job and waits until its server reports; returns the server's URL."""
        await self.fleet.ready()
        choice = self._choice or await self.choose(self.user_options)
        queue = self.fleet.queues[choice.cluster]
        self.begin_job(queue.new_tag(), choice.cluster, choice.summary())
        await self._submit(queue, choice)
        return await self._until_reported(queue)

    async def _submit(self, queue: JobQueue, choice: options.Choice) -> None:
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
        try:
            fields.update(await self.script_fields(choice))
        except ValueError as error:
            raise failure.not_submitted(str(error)) from error
        try:
            entry = await queue.submit(self.tag, self.user.name, fields, f"{self.user.name}/{self.name}")
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

    async def _until_reported(self, queue: JobQueue) -> str:
        """Waits for the job's own report; its end, or the end of our patience, ends the start."""
        clock = _Patience()
        while not self._reported.is_set():
            entry = queue.entry(self.tag)
            if entry is not None and entry.ended:
                raise await self._ended(queue)
            left = clock.left(entry, self._queue_limit(), self._report_limit())
            if left <= 0:
                raise await self._too_long(queue, entry)
            await _first(self._reported.wait(), queue.changed(self.tag, since=entry), timeout=min(left, 30))
        return self._url

    def _queue_limit(self) -> float:
        profile = self._profile()
        return self.queue_timeout or profile.queue_timeout

    def _report_limit(self) -> float:
        return self._profile().start_timeout

    def _submit_limit(self) -> float:
        site = self.fleet.site
        cluster = site.clusters.get(self._choice.cluster if self._choice else self._cluster)
        if cluster is None:
            return 60
        # Nobody's time runs out in the line of submits, however slow it moves.
        ahead = self.fleet.queues[cluster.cluster.name].in_line() + 1
        each = max(1 / cluster.submits_per_second, cluster.submit_timeout / max(1, cluster.parallel_helpers - 1))
        return ahead * each + cluster.submit_timeout + cluster.lost_submit_limit + 60

    def _profile(self) -> Profile:
        name = self._choice.profile if self._choice else self._last.get("profile", "")
        return self.fleet.site.profile(str(name))

    async def _ended(self, queue: JobQueue) -> failure.StartFailure:
        ending = await queue.why(self.tag)
        self.note_ending(ending.text)
        self.log.error("Job %s (%s) of %s: %s", self.job_id, self.tag, self._log_name, ending.text)
        return failure.ended(f"Job {self.job_id} ended before the server was ready: {ending.text}", tuple(ending.lines))

    async def _too_long(self, queue: JobQueue, entry: Entry | None) -> failure.StartFailure:
        found = await self._patience_lost(queue, entry)
        self.note_ending(str(found.message))
        return found

    async def _patience_lost(self, queue: JobQueue, entry: Entry | None) -> failure.StartFailure:
        self.log.error("Job %s (%s) of %s took too long to start", self.job_id, self.tag, self._log_name)
        if entry is None or entry.state.waits or not entry.id:
            return failure.waited_too_long(self._queue_limit(), progress.line(entry, now=time.time()).text)
        ending = await queue.why(self.tag)
        return failure.started_too_slowly(self._report_limit(), tuple(ending.lines), ending.log)

    # After a restart of the hub ----------------------------------------------------------------------------------

    async def get_url(self) -> str:
        """The hub asks once, at its own start, for each server in its database. Never raises, since that ends the hub.

        Waits as a start does: the state becomes 'spawn', so that the page shows progress and DELETE works.
        """
        stored = str(self.server.url)
        resume: asyncio.Task[None] = asyncio.ensure_future(self.resume())
        self._check_pending, self._spawn_pending, self._spawn_future = False, True, resume
        await asyncio.wait([resume])
        if resume.cancelled():
            await asyncio.sleep(attendance.TAKEN_OVER)
        self._spawn_pending = False
        failed = None if resume.cancelled() else resume.exception()
        if failed is None:
            # Kept for a failure only: the hub asks a future that is left here for its exception.
            self._spawn_future = None
        if not resume.cancelled() and failed is None:
            self.fleet.later(self._route_when_ready())
            return self._url
        if resume.cancelled():
            await gone.stopped(self)
        else:
            self.log.error("%s did not come back: %s", self._log_name, failed)
        self._gone = gone.GoneServer(stored)
        return stored

    async def resume(self) -> None:
        """Until the server of a job that exists answers, also on another node; raises StartFailure."""
        await self.fleet.ready()
        queue = self.queue
        if queue is None:
            raise failure.ended(f"cluster {self._cluster} is no longer in the site file", ())
        await self._until_reported(queue)
        while not await answers(self._url):
            entry = queue.entry(self.tag)
            if entry is None or entry.ended:
                raise await self._ended(queue)
            if entry.state.waits and self._reported.is_set():
                self.expect_again()
                await self._until_reported(queue)
                continue
            await _first(queue.changed(self.tag, since=entry), timeout=2)
        queue.answered(self.tag)
        if self.server is not None:
            self.set_server(self._url)

    async def _route_when_ready(self) -> None:
        """One queued server must not keep the route of this one waiting until the hub has checked all."""
        for _ in range(60):
            if self.ready:
                try:
                    await self.route()
                    return
                except Exception as error:
                    self.log.debug("The proxy takes no route yet: %s", error)
            await asyncio.sleep(0.5)

    _gone: gone.GoneServer | None = None

    @property
    def server(self) -> Any:
        """The hub's record of the server, or its stand-in while the hub still looks at a server that is gone."""
        return self._gone or super().server

    @server.setter
    def server(self, server: Any) -> None:
        self._gone = None
        ChoosingSpawner.server.fset(self, server)

    # Running -----------------------------------------------------------------------------------------------------

    _attending: asyncio.Task[None] | None = None

    def start_polling(self) -> None:
        """The hub calls this when the server runs: from now on its end is also noticed without a poll."""
        super().start_polling()
        self.stop_attending()
        self._attending = asyncio.ensure_future(attendance.attend(self))
        self.fleet.later(self._attending)

    def stop_polling(self) -> None:
        """The hub calls this when the server is to end, or has ended."""
        super().stop_polling()
        self.stop_attending()

    def stop_attending(self) -> None:
        attending, self._attending = self._attending, None
        if attending is not None and attending is not asyncio.current_task():
            attending.cancel()

    async def poll(self) -> int | None:
        """None while the job may run. Only positive proof of its end is an end; trouble with the scheduler is none."""
        if not self.tag:
            return 0
        await self.fleet.ready()
        queue = self.queue
        if queue is None:
            self.log.error(
                "%s: cluster %s is not in the site file; its job is left alone", self._log_name, self._cluster
            )
            return None
        entry = queue.entry(self.tag)
        if entry is None:
            entry = await queue.adopt(
                self.tag, self.user.name, self.job_id, self._submitted, f"{self.user.name}/{self.name}"
            )
        if not entry.ended:
            return None
        tag = self.tag
        if self.job_id and not entry.cancel_wanted and self.last_ending.job_id != self.job_id:
            # The folder with the job's own record goes next.
            ending = await queue.why(tag)
            if self.tag == tag:
                self.note_ending(ending.text)
                self.log.warning("Job %s (%s) of %s: %s", self.job_id, tag, self._log_name, ending.text)
        self.fleet.later(queue.clean(tag))
        return 1

    async def stop(self, now: bool = False) -> None:
        """Cancels the job and returns when it has ended; a cancel that finds no scheduler is repeated until it does."""
        if not self.tag:
            return
        await self.fleet.ready()
        queue, tag = self.queue, self.tag
        if queue is None:
            return
        await queue.cancel(tag)
        until = time.monotonic() + self.stop_timeout
        while (entry := queue.entry(tag)) is not None and not entry.ended and time.monotonic() < until:
            await _first(queue.changed(tag, since=entry), timeout=5)
        if entry is not None and not entry.ended:
            self.log.warning("Job %s (%s) has not ended yet; its cancel is repeated", self.job_id, tag)
            return
        self.fleet.later(queue.clean(tag))

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Events for one open page, from memory."""
        if self._summary:
            yield {"progress": 1, "message": self._summary}
        if self._again:
            yield {"progress": 2, "message": progress.AGAIN}
        said: Any = None
        while not self._reported.is_set():
            entry, now = self.entry(), time.time()
            line, job = progress.line(entry, now=now), progress.job(entry, now=now)
            if (line, job) != said:
                said = line, job
                yield {"progress": line.percent, "message": line.text, "job": job}
            else:
                # The page takes a longer silence for a hub that has died behind the proxy.
                yield {"progress": line.percent}
            queue = self.queue
            if queue is not None and entry is not None and not entry.ended:
                await _first(self._reported.wait(), queue.changed(self.tag, since=entry), timeout=5)
            else:
                await asyncio.sleep(0.5)
        yield {
            "progress": 90,
            "message": f"Job {self.job_id}: the server has reported; connecting",
            "job": progress.job(self.entry(), now=time.time()),
        }


class _Patience:
    """Two clocks: one for the queue, one from the start of the job. Neither runs while the scheduler is silent."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._queued = 0.0
        self._started = 0.0

    def left(self, entry: Entry | None, queue_limit: float, report_limit: float) -> float:
        """Seconds left on the clock that runs now."""
        now = time.monotonic()
        passed, self._last = now - self._last, now
        silent = entry is not None and bool(entry.trouble)
        if entry is not None and entry.state in (JobState.RUNNING, JobState.STARTING):
            self._started += 0 if silent else passed
            return report_limit - self._started
        self._queued += 0 if silent else passed
        return queue_limit - self._queued


async def _first(*waits: Any, timeout: float) -> None:
    """Until one of these is done or the time is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
