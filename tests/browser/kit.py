"""What the browser tests share: a hub on the embedded queue as root, and the pages as a user handles them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect

from hpcspawner.job import Accepted, Cluster, Command, Job, Resources, Result
from hpcspawner.schedulers import local

from ..real.hub import USER_PYTHON, Hub, until

CHROMIUM = os.environ.get("HPCSPAWNER_TEST_CHROMIUM", "/usr/bin/chromium")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-dev-shm-usage",
]
PASSWORDS = {"alice": "alice-pw", "bob": "bob-pw"}
PATIENCE = 60_000
"""Milliseconds before a condition that must come true counts as failed."""
CORES = 8

expect.set_options(timeout=PATIENCE)

SITE = """
name: browser
title: A machine to try
prefix: {prefix}
state_dir: {state}/{{user}}
clusters:
  here:
    title: This machine
    scheduler: local
    environment: {{HPCSPAWNER_LOCALQUEUE: {queue}}}
    switches: {{cores: {cores}, memory: 65536}}
    way: root
    server: {{python: {python}}}
    poll_fast: 0.5
    poll_slow: 2
    submits_per_second: 20
environments:
  plain: {{title: Python 3, python: {python}, server: true}}
  broken:
    title: Forgotten module
    python: {python}
    server: true
    setup: ["echo 'module: R/9 <beta> is not known here' >&2", "exit 7"]
profiles:
  small:
    title: Small
    description: One core for an hour.
    fields: {{cores: 1, memory: 1G, walltime: "01:00:00", environment: plain}}
  flexible:
    title: Flexible
    description: Cores, memory and time as you need them.
    fields:
      cores: {{default: 1, min: 1, max: 4}}
      memory: {{default: 1G, min: 512M, max: 8G}}
      walltime: {{default: "01:00:00", min: "00:05:00", max: "08:00:00"}}
      environment: plain
  broken:
    title: Broken
    fields: {{cores: 1, memory: 1G, walltime: "01:00:00", environment: broken}}
  private:
    title: For Bob alone
    rules: {{users: [bob]}}
    fields: {{cores: 1, memory: 1G, walltime: "01:00:00", environment: plain}}
"""


class Place:
    """The hub with its queue, and what a batch system's other users would do to it."""

    def __init__(self, base: Path) -> None:
        self.queue = base / "queue"
        state = base / "jobs"
        state.mkdir()
        state.chmod(0o1777)
        site = base / "site.yaml"
        prefix = "b" + secrets.token_hex(4)
        site.write_text(SITE.format(prefix=prefix, state=state, queue=self.queue, cores=CORES, python=USER_PYTHON))
        extra = 'c.Authenticator.admin_users = {"bob"}'
        self.hub = Hub(base / "hub", site, authenticator="pam", extra=extra)

    def url(self, path: str) -> str:
        return f"{self.hub.url}/hub/{path}"

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Another job has all cores, so that whatever is started meanwhile waits."""
        switches = {"cores": CORES, "memory": 65536, "grace": 1}
        cluster = Cluster("here", "local", environment={"HPCSPAWNER_LOCALQUEUE": str(self.queue)}, switches=switches)
        job = Job("filler-" + secrets.token_hex(4), "root", ("sleep", "600"), Resources(cores=CORES), workdir="/")
        taken = local.submitted(cluster, run(local.submit(cluster, job, local.script(cluster, job), "")))
        assert isinstance(taken, Accepted), taken
        try:
            yield
        finally:
            run(local.cancel(cluster, [taken.id]))

    def clear(self) -> None:
        """No server is left."""
        for user in PASSWORDS:
            answer = self.hub.call("GET", f"/users/{user}")
            names = list(answer.json().get("servers", {})) if answer.ok else []
            for name in names:
                self.hub.delete(user, name)
            for name in names:
                self.hub.stopped(user, name)


def run(command: Command) -> Result:
    """The command of a dialect, as root."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", **command.environment}
    done = subprocess.run(
        command.argv, input=command.stdin, env=environment, capture_output=True, text=True, timeout=60, cwd="/"
    )
    return Result(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """A hub that runs; jobs of other users must be able to enter its folders."""
    base = Path("/var/tmp") / f"hpcspawner-{secrets.token_hex(4)}"
    base.mkdir(mode=0o755)
    made = Place(base)
    try:
        made.hub.start()
        yield made
        made.clear()
    finally:
        made.hub.close()
        shutil.rmtree(base, ignore_errors=True)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)


# Pages ---------------------------------------------------------------------------------------------------------------


class Person:
    """Somebody with a browser of their own. Logged in once; the cookies are kept for later windows."""

    def __init__(self, browser: Browser, place: Place, name: str) -> None:
        self.browser, self.place, self.name = browser, place, name
        self._cookies: Any = None
        self._windows: list[BrowserContext] = []

    def window(self, **options: Any) -> BrowserContext:
        """A browser with the person's cookies."""
        if self._cookies is None:
            context = self._made(viewport={"width": 1280, "height": 900})
            log_in(context.new_page(), self.place, self.name)
            self._cookies = context.storage_state()
        return self._made(**{"viewport": {"width": 1280, "height": 900}, **options}, storage_state=self._cookies)

    def page(self, **options: Any) -> Page:
        return self.window(**options).new_page()

    def form(self, name: str = "", owner: str = "", **options: Any) -> Page:
        """The form for a server."""
        page = self.page(**options)
        page.goto(self.place.url(f"spawn/{owner or self.name}" + (f"/{name}" if name else "")))
        return page

    def close(self) -> None:
        for context in self._windows:
            context.close()
        self._windows.clear()

    def _made(self, **options: Any) -> BrowserContext:
        context = self.browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        self._windows.append(context)
        return context


def log_in(page: Page, place: Place, name: str, password: str = "") -> None:
    page.goto(place.url("login?next=%2Fhub%2Fspawn"))
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password or PASSWORDS[name])
    page.get_by_role("button", name="Sign in").click()


def card(page: Page, title: str) -> Locator:
    return page.locator(".hpc-card", has=page.locator(".hpc-title", has_text=re.compile(f"^{title}$")))


def choose(page: Page, title: str, **values: str) -> Locator:
    """Picks a card by its title and fills in its fields by their labels."""
    chosen = card(page, title)
    chosen.locator(".hpc-head").click()
    for label, value in values.items():
        chosen.get_by_label(label.capitalize(), exact=True).fill(value)
    return chosen


def start(page: Page) -> None:
    page.get_by_role("button", name="Start").click()


def waits(page: Page, place: Place, user: str, name: str = "") -> str:
    """The page shows that the job waits; returns the job's id."""
    job = place.hub.pending(user, name)
    expect(page.locator("#hpc-id")).to_have_text(job)
    expect(page.locator("#hpc-state")).to_have_text("waiting in the queue")
    return job


def fits(page: Page) -> None:
    """Nothing is wider than the window."""
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], width


__all__ = ["Hub", "expect", "until"]
