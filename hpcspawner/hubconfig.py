"""What jupyterhub_config.py asks: which site, which address, and who may log in to try it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pwd
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.app import JupyterHub
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator

from . import discovery, fleet, hubapi, sitechoice
from .run_as import HelperError

TEMPLATES = str(Path(__file__).parent / "templates")


def choose_site() -> sitechoice.Chosen:
    """The site of HPCSPAWNER_SITE, a detected scheduler's, or the demo; ends the hub with the reason otherwise."""
    listen = urlsplit(os.environ.get("HPCSPAWNER_BIND_URL", "")).hostname or ""
    try:
        chosen = sitechoice.choose(os.environ, shutil.which, os.getuid(), listen, discovered_site)
    except sitechoice.NoSite as error:
        raise SystemExit(f"hpcspawner: {error}") from None
    for reason in chosen.reasons:
        print(f"hpcspawner: {reason}", flush=True)
    return chosen


def state_directory() -> Path:
    """HPCSPAWNER_STATE, made where it is missing; the hub keeps its database, journal and secrets there."""
    path = Path(os.environ.get("HPCSPAWNER_STATE", "hpcspawner-state")).absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def discovered_site(scheduler: str) -> str:
    """Path of a site file made from what that scheduler says; once made it stays, and may be edited. Raises NoSite."""
    path = state_directory() / "discovered-site.yaml"
    if path.exists():
        return str(path)
    # In a thread: the hub's own loop runs while it reads its configuration.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            text, problems = pool.submit(lambda: asyncio.run(discovery.made(scheduler))).result()
        except HelperError as error:
            raise sitechoice.NoSite(
                f"{sitechoice.VARIABLE} is not set; the commands of {scheduler} are on PATH, but don't answer: {error}"
            ) from None
    for problem in problems:
        print(f"hpcspawner: {problem}", flush=True)
    path.write_text(text)
    return str(path)


def proxy_command() -> list[str]:
    """The command of the proxy, as a path, so that no other program of the same name is found first."""
    return [os.environ.get("HPCSPAWNER_PROXY") or shutil.which("configurable-http-proxy") or "configurable-http-proxy"]


class TrialAuthenticator(SharedPasswordAuthenticator):  # type: ignore[misc]
    """One printed password for the accounts of this machine; the hub's own account only, where it is not root."""

    any_allow_config = True

    def check_allowed(self, username: str, auth_model: Any = None) -> bool:
        """Whether the hub can run jobs for that account at all."""
        return runs_jobs_for(username)


def runs_jobs_for(username: str) -> bool:
    """Whether this hub can act for an account of this machine: any ordinary one as root, else only its own."""
    try:
        uid = pwd.getpwnam(username).pw_uid
    except KeyError:
        return False
    return uid >= 1000 if os.getuid() == 0 else uid == os.getuid()


def login(c: Any, site: sitechoice.Chosen) -> None:
    """Who may log in: with a printed password to try it, by PAM otherwise; the own account only, where that is all."""
    if site.password:
        c.JupyterHub.authenticator_class = TrialAuthenticator
        c.SharedPasswordAuthenticator.user_password = site.password
        who = " or ".join(ordinary_accounts()[:5]) if os.getuid() == 0 else own_name()
        print(f"\n  Log in as {who} with the password {site.password}\n", flush=True)
        return
    c.JupyterHub.authenticator_class = "pam"
    if site.own_account_only:
        c.Authenticator.allowed_users = {own_name()}
    else:
        c.Authenticator.allow_all = True


def ordinary_accounts() -> list[str]:
    """Accounts of people on this machine, as far as it lists them (directories such as LDAP often list none)."""
    return [entry.pw_name for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60000] or ["an account of this machine"]


def own_name() -> str:
    """The account that the hub runs as."""
    return pwd.getpwuid(os.getuid()).pw_name


def begin_with_hub() -> None:
    """Jobs of an earlier hub are looked after from the start of this one, not from the first visit on.

    JupyterHub makes no spawner before it needs one, which may be late where no server is in its database any more.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a subcommand of jupyterhub that reads the configuration, or a test
        return
    _tasks.append(loop.create_task(_begin()))


_tasks: list[asyncio.Task[None]] = []


async def _begin() -> None:
    hub = JupyterHub.instance()
    while not hasattr(hub, "tornado_application"):  # noqa: ASYNC110  JupyterHub tells nobody when it has got so far
        await asyncio.sleep(0.1)
    try:
        hub.spawner_class(config=hub.config)
    except Exception as error:
        # Each start of a server says so too; the hub's other pages go on.
        hub.log.error("hpcspawner does not begin: %s", error)
    for one in fleet.fleets():
        one.begin(lambda: hubapi.known_tags(hub.db))
